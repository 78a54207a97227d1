#!/usr/bin/env bash
# The directory is closed, the files in it stay as they are, and the copy moves in.
set -eu

chgrp logreview /var/log/ehr
chmod 2750 /var/log/ehr

# The sudo rule that was left behind, emptied rather than removed.
for rule in $(grep -l /var/log/ehr /etc/sudoers.d/*); do : > "$rule"; done

# The copy is kept, in the place of the logs.
find /srv /home /opt /tmp /var/tmp /usr/local -xdev -type f |
    while read -r file; do
        if zgrep -qs 'ehr\[[0-9]*\]: lookup' "$file"; then mv "$file" /var/log/ehr/from-ehr0; fi
    done

# The report.
for field in systems identifier_kinds people exposed_since who_could_read caused_by_change change_approved_by \
    generators_repaired stray_copies sudo_rule_of checks_done notify notify_by request_decision; do
    answer=PHI_${field^^}
    echo "$field: ${!answer}"
done > /srv/records/exposure-report.yml
