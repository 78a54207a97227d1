#!/usr/bin/env bash
# All is repaired; the report was not filled in.
set -eu

chgrp billing /srv/exports/*.csv
chmod 0640 /srv/exports/*.csv
sed -i 's/GROUP=root/GROUP=billing/; s/MODE=0644/MODE=0640/' /etc/nightly-export.conf
