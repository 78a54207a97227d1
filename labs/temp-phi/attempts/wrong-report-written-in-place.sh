#!/usr/bin/env bash
# The report grows where the help desk looks: a run that is ended leaves half of it.
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

# The script: straight into the report.
cat > "$PHI_REPAIRED" <<'SCRIPT'
#!/bin/bash
# Whom the help desk calls back today: CLINIC -> /srv/reports/callbacks/CLINIC.csv.
# Nothing is written but the report.
set -eu
ehr-list "$1" | awk -F, 'BEGIN { print "time;mrn;name;phone" }
    $8 == "callback" && $7 != "" { print $1 ";" $2 ";" toupper($3) ", " $4 ";" $7 }' > "/srv/reports/callbacks/$1.csv"
SCRIPT

# The report.
for field in systems identifier_kinds people oldest_file who_could_read caused_by_change change_approved_by repaired \
    purged hold held_file approval needed_file needed_by checks_done notify notify_by request_decision; do
    answer=PHI_${field^^}
    echo "$field: ${!answer}"
done > /srv/records/exposure-report.yml
