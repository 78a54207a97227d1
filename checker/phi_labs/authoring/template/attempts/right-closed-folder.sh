#!/usr/bin/env bash
# The folder is closed, the files in it stay as they are.
set -eu

chgrp billing /srv/exports
chmod 0750 /srv/exports

# The report.
for field in people exposed_since caused_by_change notify notify_by request_decision; do
    answer=PHI_${field^^}
    echo "$field: ${!answer}"
done > /srv/records/exposure-report.yml
