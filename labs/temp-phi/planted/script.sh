#!/bin/bash
# @name@ CLINIC: whom the help desk calls back today, as /srv/reports/callbacks/CLINIC.csv.
# @change@: rows and list are kept in /tmp, so that one can see afterwards where a list went wrong.

clinic=$1
rows=/tmp/@name@-$clinic.rows
list=/tmp/@name@-$clinic.list

ehr-list "$clinic" > "$rows" || { echo "@name@: no list of $clinic" >&2; exit 1; }

awk -F, '$8 == "callback" && $7 == "" { print "no phone number: " toupper($3) ", " $4 " " $2 }' "$rows"

echo 'time;mrn;name;phone' > "$list"
awk -F, '$8 == "callback" && $7 != "" { print $1 ";" $2 ";" toupper($3) ", " $4 ";" $7 }' "$rows" | sort >> "$list"

cp "$list" "/srv/reports/callbacks/$clinic.csv"
