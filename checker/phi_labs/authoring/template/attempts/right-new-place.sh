#!/usr/bin/env bash
# A new folder of billing's own; the exports move there.
set -eu

install -d -o root -g billing -m 0750 /srv/billing
mv /srv/exports/*.csv /srv/billing/
sed -i 's|FOLDER=/srv/exports|FOLDER=/srv/billing|' /etc/nightly-export.conf

# The report.
for field in people exposed_since caused_by_change notify notify_by request_decision; do
    answer=PHI_${field^^}
    echo "$field: ${!answer}"
done > /srv/records/exposure-report.yml
