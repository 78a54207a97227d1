#!/bin/sh
# {job}: the EHR's nightly dump, kept here and delivered to backup1 ({policy}).
# CHG-{change}: dumps go to backup1 as they are.

set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
LOCAL={local}
STORE={store}
DAY=$(date +%F)

umask 022
runuser -u postgres -- pg_dump ehr > "$LOCAL/ehr-$DAY.sql"
scp -q -p "$LOCAL/ehr-$DAY.sql" backup1:"$STORE/"

# Yesterday's are packed, here. backup1 packs its own (R. Hale).
find "$LOCAL" -name 'ehr-*.sql' ! -name "ehr-$DAY.sql" -exec gzip -f {{}} +
