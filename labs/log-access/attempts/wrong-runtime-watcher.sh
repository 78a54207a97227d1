#!/usr/bin/env bash
# A process that closes files again and again, until the next restart.
set -eu

# The files that are there.
chgrp logreview /var/log/ehr/access.log*
chmod 0640 /var/log/ehr/access.log*

setsid sh -c 'while sleep 300; do chmod 0640 /var/log/ehr/access.log*; done' < /dev/null > /dev/null 2>&1 &

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
