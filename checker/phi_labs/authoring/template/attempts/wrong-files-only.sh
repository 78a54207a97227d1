#!/usr/bin/env bash
# The files are closed, the job was not looked at.
set -eu

chgrp billing /srv/exports/*.csv
chmod 0640 /srv/exports/*.csv

# The report.
for field in people exposed_since caused_by_change notify notify_by request_decision; do
    answer=PHI_${field^^}
    echo "$field: ${!answer}"
done > /srv/records/exposure-report.yml
