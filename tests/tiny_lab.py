"""A lab of one small host, written where a test wants it: quick to start, with something for every facet."""

from __future__ import annotations

import textwrap
from pathlib import Path

from phi_labs.model.lab import Lab, load_lab

LAB = """\
id: tiny
title: A tiny lab
summary: One host, a secret that everybody reads and a flag that is down.
policy: IT-07
minutes: 5
record: /srv/records/report.yml
hosts:
  - name: one
    login: itops
    memory: 256m
personas:
  - name: intern
    user: intern
    job: intern
  - name: reviewer
    user: reviewer
    job: log reviewer
    reads_logs: true
objectives:
  - id: closed
    title: Only the reviewer reads the secret
    points: 45
    citations: ["164.312(a)(1)"]
    expected: The reviewer reads it and nobody else.
    hints:
      - {text: "Who can read it?", cost: 0}
      - {text: "Look at the mode.", cost: 10}
  - id: flag
    title: The flag is up, now and after a restart
    points: 35
    citations: ["164.312(b)"]
    expected: Up.
  - id: record
    title: The exposure is on record
    points: 20
    citations: ["164.312(b)"]
    expected: How many patients.
guards:
  - id: kept
    title: The secret is still there
    protects: [closed]
"""

DOCKERFILE = """\
FROM phi-labs/base
RUN useradd -m -u 1000 -s /bin/bash -p '*' itops && useradd -m -u 1001 -s /bin/bash -p '*' intern \\
 && useradd -m -u 1002 -s /bin/bash -p '*' reviewer && useradd -r -u 980 -s /usr/sbin/nologin ehr
COPY files/ /
RUN chmod 0755 /etc/init.d/flag && chmod 0440 /etc/sudoers.d/itops && update-rc.d flag defaults \\
 && mkdir -p /srv/records
"""

# A service that reads its configuration only when it starts, and whose state a restart does not keep.
SERVICE = """\
#!/bin/sh
### BEGIN INIT INFO
# Provides:          flag
# Required-Start:
# Required-Stop:
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: a flag
### END INIT INFO
case "$1" in
    start|restart) [ ! -x /etc/flag.hook ] || /etc/flag.hook; cat /etc/flag.conf > /run/flag.state ;;
esac
"""

PLANT = """\
def plant(p):
    patients = [p.hospital.patient(number) for number in range(3)]
    text = "".join(f"{patient.mrn} {patient.display}\\n" for patient in patients)
    p.file("/srv/secret.txt", text, mode=0o644)
    p.planted("secret", "/srv/secret.txt", patients, ["mrn", "family", "given"])
    p.file("/etc/flag.conf", "down")
    p.answer("count", len(patients))
    p.fact("first", patients[0].mrn)
    p.variable("place", "/srv/secret.txt")
"""

CHECKS = """\
from phi_labs.checks import guard, objective

@objective("closed")
def test_only_the_reviewer_reads(host, planted):
    found = host.leaks(planted.identifiers("secret"), readable_by="intern")
    assert not found, f"intern reads {found.summary()}"

@objective("flag")
def test_the_flag_is_up_after_a_restart(host):
    assert host.file("/run/flag.state").content == b"up", "the flag is down after a restart"

@objective("flag")
def test_the_flag_is_up_now(live):
    assert live.file("/run/flag.state").content == b"up", "the flag is down now"

@objective("record")
def test_the_record_counts(record, planted):
    assert record.exists, record.error
    assert record.field("patients") == planted.answers["count"], "the number of patients is not right"

@guard("kept")
def test_the_secret_is_kept(host, planted):
    found = host.leaks(planted.identifiers("secret"))
    assert found.identifiers == planted.identifiers("secret"), "the secret is gone"
"""

FIX = """\
chmod 0600 /srv/secret.txt
printf up > /etc/flag.conf
/etc/init.d/flag restart
echo 'patients: 3' > /srv/records/report.yml
"""


def write_tiny_lab(content: Path, *, checks: str = CHECKS, plant: str = PLANT) -> Lab:
    """Write the lab below a content folder, with these checks and this plant.py; return it loaded."""
    folder = content / "labs" / "tiny"
    files = folder / "one" / "files" / "etc"
    for place in (files / "init.d", files / "sudoers.d", folder / "checks", folder / "attempts"):
        place.mkdir(parents=True, exist_ok=True)
    (folder / "lab.yml").write_text(LAB)
    (folder / "plant.py").write_text(plant)
    (folder / "one" / "Dockerfile").write_text(DOCKERFILE)
    (files / "init.d" / "flag").write_text(SERVICE)
    (files / "sudoers.d" / "itops").write_text("itops ALL=(ALL:ALL) NOPASSWD: ALL\n")
    (folder / "checks" / "test_tiny.py").write_text(textwrap.dedent(checks))
    return load_lab(folder)
