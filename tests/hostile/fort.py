"""A lab made to be attacked: its checks use all that a host offers, its repair takes one script."""

from __future__ import annotations

from pathlib import Path

from phi_labs.model.lab import Lab, load_lab

LAB = """\
id: fort
title: A fort
summary: One host with something for every way to cheat.
policy: IT-07
minutes: 5
record: /srv/records/report.yml
hosts:
  - name: one
    login: itops
    memory: 256m
    pids: 150
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
    title: Only the reviewer reads identifiers
    points: 30
    citations: ["164.312(a)(1)"]
    expected: The reviewer reads them and nobody else.
    hints:
      - {text: "Who can read them?", cost: 0}
  - id: rights
    title: The intern has no rights but his own
    points: 15
    citations: ["164.312(a)(1)"]
    expected: None.
  - id: login
    title: People log in as themselves
    points: 15
    citations: ["164.312(d)"]
    expected: The reviewer does, root does not.
  - id: nightly
    title: The nightly job counts the patients
    points: 10
    citations: ["164.312(b)"]
    expected: It does.
  - id: flag
    title: The flag is up, now and after a restart
    points: 10
    citations: ["164.312(b)"]
    expected: Up.
  - id: record
    title: The exposure is on record
    points: 20
    citations: ["164.312(b)"]
    expected: The right ticket.
guards:
  - id: kept
    title: The reviewer still reads every identifier
    protects: [closed, nightly]
"""

DOCKERFILE = """\
FROM phi-labs/base
RUN useradd -m -u 1000 -s /bin/bash -p '*' itops && useradd -m -u 1001 -s /bin/bash -p '*' intern \\
 && useradd -m -u 1002 -s /bin/bash -p '*' reviewer && useradd -r -u 980 -s /usr/sbin/nologin ehr
COPY files/ /
RUN chmod 0755 /etc/init.d/flag /usr/local/bin/nightly && chmod 0440 /etc/sudoers.d/* \\
 && update-rc.d flag defaults && mkdir -p /srv/records && install -d -o reviewer /var/lib/nightly
"""

# The hook is where attacks come in that wait for a restart.
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
    start|restart) cat /etc/flag.conf > /run/flag.state; [ ! -x /etc/flag.hook ] || /etc/flag.hook ;;
esac
"""
NIGHTLY = """\
#!/bin/sh
. /etc/nightly.conf
wc -l < "$source" > /var/lib/nightly/report
"""

PLANT = """\
def plant(p):
    patients = [p.hospital.patient(number) for number in range(3)]
    text = "".join(f"{patient.mrn} {patient.display}\\n" for patient in patients)
    p.file("/srv/secret.txt", text, mode=0o644)
    p.planted("secret", "/srv/secret.txt", patients, ["mrn", "family", "given"])
    p.file("/etc/flag.conf", "down")
    p.file("/etc/nightly.conf", "source=/srv/missing\\n")
    p.fact("first", patients[0].mrn)
    p.answer("ticket", f"T-{p.rng('ticket').randrange(10**8)}")
"""

CHECKS = """\
from phi_labs.checks import guard, objective

@objective("closed")
def test_the_intern_reads_nothing(host, planted):
    found = host.leaks(planted.identifiers(), readable_by="intern")
    assert not found, f"the intern reads {found.summary()}"

@objective("closed")
def test_the_intern_reads_nothing_now(live, planted):
    found = live.leaks(planted.identifiers(), readable_by="intern")
    assert not found, f"the intern reads {found.summary()} on the running machine"

@objective("rights")
def test_nobody_else_is_root(host):
    roots = [account.name for account in host.accounts.users.values() if account.uid == 0]
    assert roots == ["root"], f"{', '.join(roots)} are root"
    others = host.user("intern").groups - {"intern"}
    assert host.user("intern").uid == 1001 and not others, "the intern is somebody else, too"

@objective("rights")
def test_nothing_lends_rights(host):
    assert not host.sudoers.grants("intern"), "sudo lends the intern rights"
    changed = host.changed()
    assert not changed.setuid, f"{changed.setuid[0]} lends rights"
    assert not changed.capabilities, f"{changed.capabilities[0]} lends rights"

@objective("rights")
def test_no_job_works_for_the_intern(host):
    jobs = host.jobs()
    assert not jobs, f"{jobs[0].path} starts something"

@objective("login")
def test_the_reviewer_logs_in(host, planted):
    with host.ssh("reviewer", key=planted.personas["reviewer"].private_key) as session:
        said = session.run("cat /srv/secret.txt").stdout
    assert planted.facts["first"].encode() in said, "the reviewer reads nothing over SSH"

@objective("login")
def test_root_does_not(host):
    assert host.sshd_config["permitrootlogin"] == ["no"], "root may log in over SSH"
    assert host.sshd_config_for("root")["permitrootlogin"] == ["no"], "root may log in over SSH after all"
    assert host.listening() == {22}, "something else listens"

@objective("nightly")
def test_the_nightly_job_counts(host):
    host.run(["/usr/local/bin/nightly"], user="reviewer", timeout=5.0)
    report = host.file("/var/lib/nightly/report")
    assert report.exists and report.user == "reviewer", "there is no report"
    assert report.content.strip() == b"3", "the report is wrong"

@objective("flag")
def test_the_flag_is_up_after_a_restart(host):
    assert host.file("/run/flag.state").content == b"up", "the flag is down after a restart"

@objective("flag")
def test_the_flag_is_up_now(live):
    assert live.file("/run/flag.state").content == b"up", "the flag is down now"

@objective("record")
def test_the_record_names_the_ticket(record, planted):
    assert record.exists, record.error
    assert record.field("ticket") == planted.answers["ticket"], "the ticket is not the right one"

@guard("kept")
def test_the_reviewer_reads_everything(host, planted):
    found = host.leaks(planted.identifiers(), readable_by="reviewer")
    assert found.identifiers == planted.identifiers(), "the reviewer cannot read everything"
"""

# Everything but the record, which needs this trainee's ticket.
FIX = """\
chown reviewer /srv/secret.txt; chmod 0400 /srv/secret.txt
rm -f /etc/sudoers.d/intern
printf 'PermitRootLogin no\\n' > /etc/ssh/sshd_config.d/05-root.conf
printf 'source=/srv/secret.txt\\n' > /etc/nightly.conf
printf up > /etc/flag.conf; /etc/init.d/flag restart
"""


def write_fort(content: Path, *, checks: str = CHECKS) -> Lab:
    """Write the lab below a content folder; return it loaded."""
    folder = content / "labs" / "fort"
    files = folder / "one" / "files"
    etc, programs = files / "etc", files / "usr" / "local" / "bin"
    for place in (etc / "init.d", etc / "sudoers.d", programs, folder / "checks", folder / "attempts"):
        place.mkdir(parents=True, exist_ok=True)
    (folder / "lab.yml").write_text(LAB)
    (folder / "plant.py").write_text(PLANT)
    (folder / "one" / "Dockerfile").write_text(DOCKERFILE)
    (etc / "init.d" / "flag").write_text(SERVICE)
    (etc / "sudoers.d" / "itops").write_text("itops ALL=(ALL:ALL) NOPASSWD: ALL\n")
    (etc / "sudoers.d" / "intern").write_text("intern ALL=(root) NOPASSWD: /bin/cat\n")
    (programs / "nightly").write_text(NIGHTLY)
    (folder / "checks" / "test_fort.py").write_text(checks)
    return load_lab(folder)
