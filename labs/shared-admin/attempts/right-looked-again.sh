#!/usr/bin/env bash
# sshd is restarted, and afterwards somebody looks at its files with an editor and leaves a backup behind.
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

# sudo, one file for each person.
list | while read -r account duty; do
    case "$duty" in
        on-call) rule='(root) NOPASSWD: /usr/sbin/service ehr restart, /usr/sbin/service ehr status' ;;
        accounts) rule='(root) NOPASSWD: /usr/local/sbin/ehr-unlock' ;;
        reports) rule='(ehradm) NOPASSWD: /usr/local/bin/ehr-report' ;;
        deputy) rule='(root) ALL' ;;
    esac
    echo "$account ALL=$rule" > "/etc/sudoers.d/$account"
    chmod 0440 "/etc/sudoers.d/$account"
done
rm /etc/sudoers.d/ehr-admins

# sudo logs again.
rm /etc/sudoers.d/05-quiet
visudo -c -q

# The shared key, wherever it stands, and every copy of its private half.
blob=$(cut -d' ' -f2 /var/lib/ehr/.ssh/id_ed25519.pub)
secret=$(sed -n 4p /var/lib/ehr/.ssh/id_ed25519)
{ grep -rlFs "$blob" /root /etc /home /var/lib/ehr || :; grep -rlFs "$secret" /root /etc /home /usr/local /var || :; } |
    while read -r file; do rm -f "$file"; done

# The service account: no password, no shell; its report no longer needs one.
usermod -p '*' -s /usr/sbin/nologin ehradm
sed -i 's|root   su - ehradm -c /usr/local/bin/ehr-report|ehradm /usr/local/bin/ehr-report|' /etc/cron.d/ehr-report

# Keys only.
rm /etc/ssh/sshd_config.d/05-admins.conf
systemctl restart ssh
touch /etc/ssh/sshd_config /etc/ssh/sshd_config.d/10-machine.conf
cp /etc/ssh/sshd_config.d/10-machine.conf /etc/ssh/sshd_config.d/10-machine.conf.orig

# The report.
for field in systems identifier_kinds people shared_account shared_since caused_by_change change_approved_by \
    known_to sudo_unlogged_since unattributed_commands key_places private_copies accounts_made keys_not_used \
    checks_done notify notify_by request_decision; do
    answer=PHI_${field^^}
    echo "$field: ${!answer}"
done > /srv/records/account-report.yml
