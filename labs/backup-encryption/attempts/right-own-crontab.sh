#!/usr/bin/env bash
# root's own crontab, an armoured age file, a restore command in Python; a copy stays at home, encrypted.
set -eu

job=$(awk '$6 == "root" { print $7 }' /etc/cron.d/*)
local=$(sed -n 's/^LOCAL=//p' "$job")
keys=/etc/escrow/$PHI_ESCROW_YEAR

# A place and a table of its own; the old job goes.
rm /etc/cron.d/*ehr* /etc/cron.d/*backup1* 2> /dev/null || :
rm -f "$job"
install -d /opt/backup

# The job.
cat > "/opt/backup/nightly" << END
#!/bin/bash
# The EHR's nightly dump, encrypted, delivered to backup1.
set -euo pipefail
PATH=/usr/sbin:/usr/bin:/sbin:/bin
set -o noclobber
name=ehr-\$(date +%F).asc
rm -f "/root/\$name"
runuser -u postgres -- pg_dump ehr | gzip | age -a -r $(cat $keys/escrow.agepub) > "/root/\$name"
printf 'put /root/%s /srv/backups/ehr/.new\n-rm /srv/backups/ehr/%s\nrename /srv/backups/ehr/.new /srv/backups/ehr/%s\n' \
    "\$name" "\$name" "\$name" | sftp -q -b - backup1
END
chmod 0755 "/opt/backup/nightly"
printf 'MAILTO=""\n@daily /opt/backup/nightly\n' | crontab -

# The way back, for machines without bash.
cat > /usr/local/sbin/restore-ehr << 'END'
#!/usr/bin/python3
"""restore-ehr KEYS BACKUPS DAY: writes the SQL of a day's backup. KEYS holds escrow.agekey."""
import gzip
import subprocess
import sys

keys, backups, day = sys.argv[1:]
opened = subprocess.run(
    ["age", "-d", "-i", f"{keys}/escrow.agekey", f"{backups}/ehr-{day}.asc"], check=True, stdout=subprocess.PIPE
)
sys.stdout.buffer.write(gzip.decompress(opened.stdout))
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
    esac | gzip | age -a -R "$keys/escrow.agepub" -o "$work/${name%%.*}.asc"
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
