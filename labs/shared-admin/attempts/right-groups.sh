#!/usr/bin/env bash
# Groups for duties, AllowGroups in sshd, sudo's own logfile, the service account expired and its jobs run by root's cron.
set -eu

list() { awk '$2 ~ /^(on-call|accounts|reports|deputy)$/ { print $1, $2 }' /srv/records/access/app1-admins.txt; }

# A group for each duty.
for duty in on-call accounts reports deputy; do groupadd "ehr-$duty"; done
groupadd ssh-people

# Everybody on the list gets an account of their own, with their own key.
list | while read -r account duty; do
    useradd -m -s /bin/bash -c "EHR administrator, $duty" "$account"
    usermod -aG "ehr-$duty,ssh-people" "$account"
    install -d -o "$account" -g "$account" -m 0700 "/home/$account/.ssh"
    install -o "$account" -g "$account" -m 0600 "/srv/records/keys/$account.pub" "/home/$account/.ssh/authorized_keys"
done
for account in akessler jbaker labfeed; do usermod -aG ssh-people "$account"; done

# The deputy's first password, to be handed over in person.
deputy=$(list | awk '$2 == "deputy" { print $1 }')
(umask 077; head -c 15 /dev/urandom | base64 > /root/first-password)
echo "$deputy:$(cat /root/first-password)" | chpasswd

# sudo by duty.
cat > /etc/sudoers.d/ehr-admins <<'RULES'
Defaults logfile=/var/log/sudo.log, loglinelen=0
%ehr-on-call  ALL=(root) NOPASSWD: /usr/sbin/service ^ehr (restart|status)$
%ehr-accounts ALL=(root) NOPASSWD: /usr/local/sbin/ehr-unlock *
%ehr-reports  ALL=(ehradm) NOPASSWD: /usr/local/bin/ehr-report ""
%ehr-deputy   ALL=(ALL:ALL) ALL
RULES
install -m 0600 /dev/null /var/log/sudo.log

# The shared key, wherever it stands, and every copy of its private half.
blob=$(cut -d' ' -f2 /var/lib/ehr/.ssh/id_ed25519.pub)
secret=$(sed -n 4p /var/lib/ehr/.ssh/id_ed25519)
{ grep -rlFs "$blob" /root /etc /home /var/lib/ehr || :; grep -rlFs "$secret" /root /etc /home /usr/local /var || :; } |
    while read -r file; do rm -f "$file"; done

# The service account has expired, which keeps cron from starting its own jobs: root's cron does, as ehradm.
usermod -L -e 1970-01-02 ehradm
crontab -u ehradm -r
cat > /etc/cron.d/ehr-report <<'TABLE'
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
30 5 * * *   root   runuser -u ehradm -- /usr/local/bin/ehr-report
*/10 * * * * root   runuser -u ehradm -- /usr/local/bin/ehr-queue
TABLE

# Keys only, and only for people.
cat > /etc/ssh/sshd_config.d/05-admins.conf <<'RULES'
PasswordAuthentication no
PermitRootLogin no
AllowGroups ssh-people
RULES
systemctl reload ssh

# The report.
for field in systems identifier_kinds people shared_account shared_since caused_by_change change_approved_by \
    known_to sudo_unlogged_since unattributed_commands key_places private_copies accounts_made keys_not_used \
    checks_done notify notify_by request_decision; do
    answer=PHI_${field^^}
    echo "$field: ${!answer}"
done > /srv/records/account-report.yml
