#!/usr/bin/env bash
# The account gets another name, and everything else stays.
set -eu

# The EHR is told the new name.
pkill -u ehradm || :
usermod -l ehrops ehradm
sed -i 's/ehradm/ehrops/' /etc/ehr/app.conf /etc/sudoers.d/ehr-admins
systemctl restart ehr

# The report.
for field in systems identifier_kinds people shared_account shared_since caused_by_change change_approved_by \
    known_to sudo_unlogged_since unattributed_commands key_places private_copies accounts_made keys_not_used \
    checks_done notify notify_by request_decision; do
    answer=PHI_${field^^}
    echo "$field: ${!answer}"
done > /srv/records/account-report.yml
