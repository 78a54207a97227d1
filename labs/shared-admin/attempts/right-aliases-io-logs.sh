#!/usr/bin/env bash
# Aliases in one file, I/O logs, a service account with a shell that nothing opens.
set -eu

list() { awk '$2 ~ /^(on-call|accounts|reports|deputy)$/ { print $1, $2 }' /srv/records/access/app1-admins.txt; }

# Everybody on the list gets an account of their own, with their own key.
list | while read -r account duty; do
    useradd -m -s /bin/bash -c "EHR administrator, $duty" "$account"
    install -d -o "$account" -g "$account" -m 0700 "/home/$account/.ssh"
    install -o "$account" -g "$account" -m 0600 "/srv/records/keys/$account.pub" "/home/$account/.ssh/authorized_keys"
done

# The deputy's first password, to be handed over in person.
deputy=$(list | awk '$2 == "deputy" { print $1 }')
(umask 077; head -c 15 /dev/urandom | base64 > /root/first-password)
echo "$deputy:$(cat /root/first-password)" | chpasswd

# The policy's table, as aliases.
who() { list | awk -v duty="$1" '$2 == duty { print $1 }'; }
cat > /etc/sudoers.d/ehr-admins <<RULES
User_Alias ONCALL = $(who on-call)
User_Alias DESK = $(who accounts)
User_Alias PRESS = $(who reports)
User_Alias DEPUTY = $(who deputy)
Cmnd_Alias EHR = /usr/sbin/service ehr restart, /usr/sbin/service ehr status
Cmnd_Alias UNLOCK = /usr/local/sbin/ehr-unlock
Cmnd_Alias PAPER = /usr/local/bin/ehr-report
Runas_Alias APP = ehradm
Defaults log_output, iolog_dir=/var/log/sudo-io, timestamp_timeout=5
ONCALL ALL = (root) NOPASSWD: EHR
DESK   ALL = (root) NOPASSWD: UNLOCK
PRESS  ALL = (APP) NOPASSWD: PAPER
DEPUTY ALL = (ALL) ALL
RULES

visudo -c -q

# The shared key, wherever it stands, and every copy of its private half.
blob=$(cut -d' ' -f2 /var/lib/ehr/.ssh/id_ed25519.pub)
secret=$(sed -n 4p /var/lib/ehr/.ssh/id_ed25519)
{ grep -rlFs "$blob" /root /etc /home /var/lib/ehr || :; grep -rlFs "$secret" /root /etc /home /usr/local /var || :; } |
    while read -r file; do rm -f "$file"; done

# The service account keeps its shell, for the report's sake; nothing opens it.
passwd -l ehradm

# Keys only, and none for the service account.
printf '%s\n' 'PasswordAuthentication no' 'AuthenticationMethods publickey' 'DenyUsers ehradm root' > /etc/ssh/sshd_config.d/05-admins.conf
systemctl restart ssh

# The report.
for field in systems identifier_kinds people shared_account shared_since caused_by_change change_approved_by \
    known_to sudo_unlogged_since unattributed_commands key_places private_copies accounts_made keys_not_used \
    checks_done notify notify_by request_decision; do
    answer=PHI_${field^^}
    echo "$field: ${!answer}"
done > /srv/records/account-report.yml
