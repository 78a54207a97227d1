#!/usr/bin/env bash
# Access control lists, with defaults for what is created next.
set -eu

setfacl -m u:billing:r,g::-,o::- /srv/exports/*.csv
setfacl -m d:u:billing:r,d:g::-,d:o::- /srv/exports
sed -i 's/MODE=0644/MODE=0640/' /etc/nightly-export.conf

# The report.
for field in people exposed_since caused_by_change notify notify_by request_decision; do
    answer=PHI_${field^^}
    echo "$field: ${!answer}"
done > /srv/records/exposure-report.yml
