#!/usr/bin/env bash
# Root only, and the reviewer gets sudo in place of access.
set -eu

chown root:root /var/log/ehr
chmod 0700 /var/log/ehr
echo 'mrivera ALL=(root) NOPASSWD: /usr/bin/less /var/log/ehr/*' > /etc/sudoers.d/reviewer
chmod 0440 /etc/sudoers.d/reviewer

# The sudo rule that was left behind.
grep -l /var/log/ehr /etc/sudoers.d/inc-* | xargs -r rm

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
