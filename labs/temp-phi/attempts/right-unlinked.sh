#!/usr/bin/env bash
# A file that has no name any more while it is used; histories and mail are emptied and linked away.
set -eu

# What must stay: moved unchanged, for its one reader.
keep() {
    install -d -m 0750 -g "$3" "$2"
    install -p -m 0640 -g "$3" "$1" "$2/"
    rm "$1"
}
keep "$PHI_HELD_FILE" "/srv/legal-hold/$PHI_HOLD" hcole
keep "$PHI_NEEDED_FILE" "/srv/approved/$PHI_APPROVAL" "$PHI_NEEDED_BY"

# What nobody may keep: files go, histories and mailboxes are emptied.
for path in $(tr -d '[],"' <<< "$PHI_PURGED"); do
    case "$path" in
        */.psql_history) rm "$path"; ln -s /dev/null "$path" ;;
        /var/mail/*) : > "$path"; chmod 0600 "$path" ;;
        *) rm "$path" ;;
    esac
done

# The script: an open file without a name.
cat > "$PHI_REPAIRED" <<'SCRIPT'
#!/bin/bash
# Whom the help desk calls back today: CLINIC -> /srv/reports/callbacks/CLINIC.csv.
# The rows lie in a file without a name: it goes with the process, however that ends.
set -euo pipefail
umask 077
clinic=$1
report=/srv/reports/callbacks/$clinic.csv
find /tmp -maxdepth 1 -user reports -type f -name 'cb-*' -delete
rm -f /srv/reports/callbacks/*.part

rows=$(mktemp /tmp/cb-XXXXXXXXXX)
exec 3> "$rows" 4< "$rows"
rm "$rows"
trap 'rm -f "$report.part"' EXIT

ehr-list "$clinic" >&3
{ echo 'time;mrn;name;phone'; awk -F, '$8 == "callback" && $7 != "" { print $1 ";" $2 ";" toupper($3) ", " $4 ";" $7 }' <&4 | sort; } > "$report.part"
chmod 0640 "$report.part"
mv "$report.part" "$report"
SCRIPT

# The report.
for field in systems identifier_kinds people oldest_file who_could_read caused_by_change change_approved_by repaired \
    purged hold held_file approval needed_file needed_by checks_done notify notify_by request_decision; do
    answer=PHI_${field^^}
    echo "$field: ${!answer}"
done > /srv/records/exposure-report.yml
