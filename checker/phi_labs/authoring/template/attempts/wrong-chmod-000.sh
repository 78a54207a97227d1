#!/usr/bin/env bash
# A folder that nobody enters.
set -eu

chmod 000 /srv/exports

# The report.
for field in people exposed_since caused_by_change notify notify_by request_decision; do
    answer=PHI_${field^^}
    echo "$field: ${!answer}"
done > /srv/records/exposure-report.yml
