#!/usr/bin/env bash
# In shared memory, under a lock; what a killed run left goes when the lock is free.
set -eu

# What must stay: moved unchanged, for its one reader.
keep() {
    install -d -m 0750 -g "$3" "$2"
    install -p -m 0640 -g "$3" "$1" "$2/"
    rm "$1"
}
keep "$PHI_HELD_FILE" "/srv/legal-hold/$PHI_HOLD" hcole
keep "$PHI_NEEDED_FILE" "/srv/approved/$PHI_APPROVAL" "$PHI_NEEDED_BY"

# What nobody may keep; the report names it.
tr -d '[],"' <<< "$PHI_PURGED" | xargs rm

# The script: shared memory, one run at a time.
cat > "$PHI_REPAIRED" <<'SCRIPT'
#!/bin/bash
# Whom the help desk calls back today: CLINIC -> /srv/reports/callbacks/CLINIC.csv.
# Rows stay in memory. Who has the lock is alone, so what lies there is of runs that were killed.
set -euo pipefail
umask 077
clinic=$1
report=/srv/reports/callbacks/$clinic.csv

exec 9> /var/lib/reports/lock
flock -w 10 9
for old in /dev/shm/calls.*; do
    if [ -O "$old" ] && [ ! -L "$old" ]; then rm -rf "$old"; fi
done
rm -f /srv/reports/callbacks/.part
work=$(mktemp -d /dev/shm/calls.XXXXXXXXXXXX)
trap 'rm -rf "$work" /srv/reports/callbacks/.part' EXIT
trap 'exit 1' TERM INT HUP

ehr-list "$clinic" > "$work/rows"
(echo 'time;mrn;name;phone'; awk -F, '$8 == "callback" && $7 != "" { print $1 ";" $2 ";" toupper($3) ", " $4 ";" $7 }' "$work/rows" | sort) > "$work/list"
cp "$work/list" /srv/reports/callbacks/.part
chmod 0640 /srv/reports/callbacks/.part
mv /srv/reports/callbacks/.part "$report"
SCRIPT

# The report.
for field in systems identifier_kinds people oldest_file who_could_read caused_by_change change_approved_by repaired \
    purged hold held_file approval needed_file needed_by checks_done notify notify_by request_decision; do
    answer=PHI_${field^^}
    echo "$field: ${!answer}"
done > /srv/records/exposure-report.yml
