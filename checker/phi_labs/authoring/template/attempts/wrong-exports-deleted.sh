#!/usr/bin/env bash
# What is not there cannot be read.
set -eu

rm /srv/exports/*.csv
sed -i 's/GROUP=root/GROUP=billing/; s/MODE=0644/MODE=0640/' /etc/nightly-export.conf

# The report.
for field in people exposed_since caused_by_change notify notify_by request_decision; do
    answer=PHI_${field^^}
    echo "$field: ${!answer}"
done > /srv/records/exposure-report.yml
