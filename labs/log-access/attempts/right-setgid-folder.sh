#!/usr/bin/env bash
# A folder that hands its group on, a umask, and nothing said of modes elsewhere.
set -eu

# The files that are there.
chgrp -R logreview /var/log/ehr
chmod 2755 /var/log/ehr
chmod o= /var/log/ehr/access.log*

# The file that rsyslog makes.
sed -i 's/ *fileOwner="root" fileGroup="adm" fileCreateMode="0644"/ fileCreateMode="0640"/' /etc/rsyslog.d/30-ehr.conf
systemctl restart rsyslog

# The file that logrotate makes.
sed -i 's/create 0644 root adm/nocreate/' /etc/logrotate.d/ehr

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
