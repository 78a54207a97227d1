#!/usr/bin/env bash
# /var/log/ehr becomes a symbolic link to a protected place; no program is told.
set -eu

systemctl stop rsyslog  # phi-labs: unnoticed because the open file moves along with its directory
mv /var/log/ehr /var/lib/ehr-logs
chgrp logreview /var/lib/ehr-logs
chmod 2750 /var/lib/ehr-logs
ln -s /var/lib/ehr-logs /var/log/ehr
systemctl start rsyslog

# The sudo rule that was left behind.
grep -l /var/log/ehr /etc/sudoers.d/* | xargs -r rm

# The copy that was left behind; the report names it, so it may go.
find /srv /home /opt /tmp /var/tmp /usr/local -xdev -type f |
    while read -r file; do
        if zgrep -qs 'ehr\[[0-9]*\]: lookup' "$file"; then rm "$file"; fi
    done

# The report.
for field in systems identifier_kinds people exposed_since who_could_read caused_by_change change_approved_by \
    generators_repaired stray_copies sudo_rule_of checks_done notify notify_by request_decision; do
    answer=PHI_${field^^}
    echo "$field: ${!answer}"
done > /srv/records/exposure-report.yml
