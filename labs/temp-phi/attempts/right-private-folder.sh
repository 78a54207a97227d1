#!/usr/bin/env bash
# A folder of the account's own, emptied before and after; plain sh.
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

# Its folder; nobody else enters it.
install -d -o reports -g reports -m 0700 /var/lib/reports/work

# The script: fixed names, where nobody else can make any.
cat > "$PHI_REPAIRED" <<'SCRIPT'
#!/bin/sh
# Whom the help desk calls back today: CLINIC -> /srv/reports/callbacks/CLINIC.csv.
# /var/lib/reports/work is this script's alone: whatever is in it was left by a run that was killed.
set -eu
umask 077
clinic=$1
work=/var/lib/reports/work
report=/srv/reports/callbacks/$clinic.csv

clear_up() { rm -rf "$work"/* /srv/reports/callbacks/*.new; }
clear_up
trap clear_up EXIT
trap 'exit 1' HUP INT TERM

ehr-list "$clinic" > "$work/rows"
echo 'time;mrn;name;phone' > "$work/report"
awk -F, '$8 == "callback" && $7 != "" { print $1 ";" $2 ";" toupper($3) ", " $4 ";" $7 }' "$work/rows" > "$work/list"
sort "$work/list" >> "$work/report"
cat "$work/report" > "$report.new"
chmod 0640 "$report.new"
mv "$report.new" "$report"
SCRIPT

# The report.
for field in systems identifier_kinds people oldest_file who_could_read caused_by_change change_approved_by repaired \
    purged hold held_file approval needed_file needed_by checks_done notify notify_by request_decision; do
    answer=PHI_${field^^}
    echo "$field: ${!answer}"
done > /srv/records/exposure-report.yml
