#!/usr/bin/env bash
# The group may read, and the clerk is added to it.
set -eu

chgrp billing /srv/exports/*.csv
chmod 0640 /srv/exports/*.csv
sed -i 's/GROUP=root/GROUP=billing/; s/MODE=0644/MODE=0640/' /etc/nightly-export.conf
usermod -a -G billing clerk

# The report.
for field in people exposed_since caused_by_change notify notify_by request_decision; do
    answer=PHI_${field^^}
    echo "$field: ${!answer}"
done > /srv/records/exposure-report.yml
