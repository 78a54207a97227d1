#!/usr/bin/env bash
# As right-adm-emptied, but the help desk's night shift stays in adm.
set -eu

gpasswd -d jbaker adm
gpasswd -a mrivera adm
chmod 0640 /var/log/ehr/access.log*
sed -i 's/fileCreateMode="0644"/fileCreateMode="0640"/' /etc/rsyslog.d/30-ehr.conf
sed -i 's/create 0644/create 0640/' /etc/logrotate.d/ehr
systemctl restart rsyslog

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
