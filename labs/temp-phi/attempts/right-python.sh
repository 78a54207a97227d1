#!/usr/bin/env bash
# Rewritten in Python, with a temporary directory; what is kept is closed by ACLs.
set -eu

# What must stay: closed for all, and opened for one by an access control list.
keep() {
    install -d -m 0700 "$2"
    mv "$1" "$2/"
    chown root:root "$2"/*
    chmod 0600 "$2"/*
    setfacl -m "u:$3:rx" "$2"
    setfacl -m "u:$3:r" "$2"/*
}
keep "$PHI_HELD_FILE" "/srv/legal-hold/$PHI_HOLD" hcole
keep "$PHI_NEEDED_FILE" "/srv/approved/$PHI_APPROVAL" "$PHI_NEEDED_BY"

# What nobody may keep; the report names it.
tr -d '[],"' <<< "$PHI_PURGED" | xargs rm

# The script, anew.
cat > "$PHI_REPAIRED" <<'SCRIPT'
#!/usr/bin/python3
"""Whom the help desk calls back today: CLINIC -> /srv/reports/callbacks/CLINIC.csv."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

REPORTS = Path("/srv/reports/callbacks")
PREFIX = "callbacks-work-"


def left_by_killed_runs():
    """Folders and half reports of this account that no run clears up any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if not folder.is_symlink() and folder.stat().st_uid == os.getuid():
            shutil.rmtree(folder)
    for half in REPORTS.glob("*.half"):
        half.unlink()


def deliver(clinic, rows):
    lines = [
        f"{row[0]};{row[1]};{row[2].upper()}, {row[3]};{row[6]}" for row in rows if row[7] == "callback" and row[6]
    ]
    half = REPORTS / f"{clinic}.half"
    try:
        half.write_text("\n".join(["time;mrn;name;phone", *sorted(lines)]) + "\n")
        half.chmod(0o640)
        half.replace(REPORTS / f"{clinic}.csv")
    finally:
        half.unlink(missing_ok=True)


def main(clinic):
    os.umask(0o077)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    left_by_killed_runs()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        rows = Path(folder, "rows.csv")
        with rows.open("wb") as file:
            subprocess.run(["ehr-list", clinic], stdout=file, check=True)
        with rows.open(newline="") as file:
            deliver(clinic, list(csv.reader(file)))


try:
    main(sys.argv[1])
except (OSError, subprocess.CalledProcessError, IndexError) as error:
    sys.exit(f"no list: {error}")
SCRIPT

# The report.
for field in systems identifier_kinds people oldest_file who_could_read caused_by_change change_approved_by repaired \
    purged hold held_file approval needed_file needed_by checks_done notify notify_by request_decision; do
    answer=PHI_${field^^}
    echo "$field: ${!answer}"
done > /srv/records/exposure-report.yml
