#!/usr/bin/env bash
# Text forms: the job by gpg, which does not say for whom; the older ones by age.
set -eu

job=$(awk '$6 == "root" { print $7 }' /etc/cron.d/*)
local=$(sed -n 's/^LOCAL=//p' "$job")
keys=/etc/escrow/$PHI_ESCROW_YEAR

# The job.
cat > "$job" << END
#!/bin/bash
# The EHR's nightly dump, encrypted, delivered to backup1.
set -euo pipefail
PATH=/usr/sbin:/usr/bin:/sbin:/bin
file=/var/tmp/ehr-\$(date +%F).sql.asc
trap 'rm -f "\$file"' EXIT
runuser -u postgres -- pg_dump ehr |
    gpg --batch --yes --quiet --armor --hidden-recipient-file $keys/escrow.asc --encrypt --output "\$file"
scp -q "\$file" backup1:/srv/backups/ehr/
END
chmod 0755 "$job"

# The way back.
cat > /usr/local/sbin/restore-ehr << 'END'
#!/bin/bash
# restore-ehr KEYS BACKUPS DAY: writes the SQL of a day's backup. KEYS holds escrow.agekey and escrow.pgp.
set -euo pipefail
older=$2/ehr-$3.sql.age
[ ! -e "$older" ] || exec age -d -i "$1/escrow.agekey" "$older"
GNUPGHOME=$(mktemp -d)
export GNUPGHOME
trap 'gpgconf --kill all; rm -rf "$GNUPGHOME"' EXIT
gpg --batch --quiet --import "$1/escrow.pgp"
gpg --batch --quiet --decrypt "$2/ehr-$3.sql.asc"
END
chmod 0755 /usr/local/sbin/restore-ehr

# Older dumps: all as SQL, encrypted, on backup1; then the plaintext goes, here and there.
work=$(mktemp -d)
for dump in "$local"/ehr-*; do
    name=$(basename "$dump")
    case "$name" in
        *.dump) pg_restore -f - "$dump" ;;
        *.gz) zcat "$dump" ;;
        *) cat "$dump" ;;
    esac | age -a -R "$keys/escrow.agepub" -o "$work/${name%%.*}.sql.age"
done
scp -q "$work"/* backup1:/srv/backups/ehr/
printf -- '-rm /srv/backups/ehr/%s\n' '*.dump' '*.gz' '*.sql' | sftp -q -b - backup1
rm -r "$work" "$local"/ehr-*

# Copies that were left behind, here and on backup1; the report names them, so they may go.
cat > /tmp/strays << 'END'
find / -xdev -type f -size +20k ! -path '/usr/*' \( -name '*.dump' -o -name '*.sql' -o -name '*.sql.gz' \) -delete
END
bash /tmp/strays
runuser -u itops -- ssh backup1 sudo -n bash < /tmp/strays

# The report.
for field in systems identifier_kinds people exposed_since who_could_read caused_by_change change_approved_by \
    missed_night stray_copies escrow_year checks_done notify notify_by dump_request key_request; do
    answer=PHI_${field^^}
    echo "$field: ${!answer}"
done > /srv/records/exposure-report.yml
