#!/usr/bin/env bash
# Root and nobody else.
set -eu

chmod 0600 /srv/exports/*.csv
sed -i 's/MODE=0644/MODE=0600/' /etc/nightly-export.conf

# The report.
for field in people exposed_since caused_by_change notify notify_by request_decision; do
    answer=PHI_${field^^}
    echo "$field: ${!answer}"
done > /srv/records/exposure-report.yml
