"""A lab of two machines from start to scorecard: they find each other by name, live and as clones."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.machines.conftest import Box

from phi_labs.errors import UserError
from phi_labs.grading.grade import grade_run, regrade
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.pool import KINDS, remove_spares, tidy
from phi_labs.lifecycle.runs import start_run, stop_run
from phi_labs.model.lab import Lab, load_lab
from phi_labs.model.run import Run

pytestmark = pytest.mark.docker

LAB = """\
id: pair
title: A lab of two machines
summary: One sends a file to the other every night.
policy: IT-07
minutes: 5
hosts:
  - {name: front, login: itops, pristine: true}
  - {name: store, login: itops}
personas:
  - {name: courier, user: courier, job: carries the file}
objectives:
  - {id: closed, title: Closed on both, points: 50, citations: ["164.312(a)(1)"], expected: Closed.}
  - {id: sent, title: The next one is closed, points: 50, citations: ["164.312(b)"], expected: Sent.}
guards:
  - {id: kept, title: Both are there, protects: all}
"""
DOCKERFILE = """\
FROM phi-labs/base
RUN useradd -m -u 1000 -s /bin/bash -p '*' itops && useradd -m -u 1001 -s /bin/bash -p '*' courier \\
 && echo 'itops ALL=(ALL:ALL) NOPASSWD: ALL' > /etc/sudoers.d/itops && chmod 0440 /etc/sudoers.d/itops
"""
PLANT = """\
def plant(p):
    patients = [p.hospital.patient(number) for number in range(3)]
    text = "".join(f"{patient.mrn}\\n" for patient in patients)
    pair = p.key_pair("courier to store")
    for host in ("front", "store"):
        p.file("/srv/file.txt", text, host=host)
        p.planted(host, "/srv/file.txt", patients, ["mrn"], host=host)
    p.file("/home/courier/.ssh/id_ed25519", pair.private, owner="courier", group="courier", mode=0o600)
    p.file("/home/courier/.ssh/known_hosts", f"store {p.host_public_key('store')}\\n", owner="courier")
    key = f"{pair.public}\\n{p.public_key('courier')}\\n"
    path = "/home/courier/.ssh/authorized_keys"
    p.file(path, key, owner="courier", group="courier", mode=0o600, host="store")
    p.file("/usr/local/bin/send", SEND, mode=0o755)

SEND = '''#!/bin/sh
exec ssh store 'umask 022; cat > /home/courier/next.txt' < /srv/next.txt
'''
"""
CHECKS = """\
from phi_labs.checks import guard, objective

@objective("closed")
def test_closed_on_both(hosts, planted):
    for name, host in hosts.items():
        assert not host.leaks(planted.identifiers(name), readable_by="courier"), f"open on {name}"

@objective("closed")
def test_closed_now(lives, planted):
    for name, live in lives.items():
        assert not live.as_user("courier").can_read("/srv/file.txt"), f"open now on {name}"

@objective("sent")
def test_the_next_one(hosts, pristine):
    hosts["front"].write("/srv/next.txt", b"fresh", mode=0o644)
    sent = hosts["front"].run(["/usr/local/bin/send"], user="courier", env={"HOME": "/home/courier"})
    assert sent.exit_code == 0, sent.stderr.decode()
    arrived = hosts["store"].file("/home/courier/next.txt")
    assert arrived.exists and arrived.content == b"fresh", "nothing arrived"
    assert arrived.mode & 0o077 == 0, "the next file is open"
    assert not pristine.file("/srv/next.txt").exists and not pristine.file("/srv/file.txt").exists
    pristine.write("/tmp/said", arrived.content, user=12345)
    assert pristine.run(["/bin/cat", "/tmp/said"], user=12345).stdout == b"fresh"
    assert pristine.listing("/sys/class/net") == ["lo"]

@guard("kept")
def test_both_are_there(hosts, lives, planted):
    assert set(hosts) == set(lives) == {"front", "store"}
    with hosts["store"].ssh("courier", key=planted.personas["courier"].private_key) as session:
        assert session.run("cat next.txt").exit_code == 0
"""


@pytest.fixture(scope="module")
def pair(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    before, installation.content = installation.content, tmp_path_factory.mktemp("pair")
    yield write_lab(installation.content)
    installation.content = before


def write_lab(content: Path) -> Lab:
    folder = content / "labs" / "pair"
    (folder / "checks").mkdir(parents=True)
    for host in ("front", "store"):
        (folder / host).mkdir()
        (folder / host / "Dockerfile").write_text(DOCKERFILE)
    (folder / "lab.yml").write_text(LAB)
    (folder / "plant.py").write_text(PLANT)
    (folder / "checks" / "test_pair.py").write_text(textwrap.dedent(CHECKS))
    return load_lab(folder)


@pytest.fixture
def run(installation: Installation, pair: Lab) -> Iterator[Run]:
    yield start_run(installation, pair, "pia", spares=False).run
    stop_run(installation, pair.id, "pia")
    assert installation.engine.networks({"install": installation.state.install}) == []


def waiting(installation: Installation, lab: Lab) -> int:
    mine = {"install": installation.state.install, "lab": lab.id}
    return sum(len(installation.engine.containers({**mine, "kind": kind})) for kind in KINDS)


def fix(installation: Installation, run: Run) -> None:
    front, store = (Box(installation.engine, run.containers[name]) for name in ("front", "store"))
    front.sh("chmod 0600 /srv/file.txt; sed -i s/022/077/ /usr/local/bin/send")
    store.sh("chmod 0600 /srv/file.txt")


def test_a_fix_on_both_machines_counts_and_one_on_one_does_not(
    installation: Installation, pair: Lab, run: Run
) -> None:
    before = grade_run(installation, pair, "pia", later=False).scorecard
    assert (before.score, [guard.id for guard in before.failed_guards]) == (0, [])
    Box(installation.engine, run.containers["front"]).sh("chmod 0600 /srv/file.txt")
    half = grade_run(installation, pair, "pia", later=False).scorecard
    said = " ".join(half.objectives[0].messages)
    assert "open on store" in said
    assert "open now on store" in said
    assert "front" not in said
    fix(installation, run)
    after = grade_run(installation, pair, "pia", later=False)
    assert after.scorecard.score == 100, after.scorecard
    assert regrade(installation, pair, "pia", after.number).scorecard.score == 100


def test_machines_that_wait_are_taken_and_joined(installation: Installation, pair: Lab, run: Run) -> None:
    fix(installation, run)
    tidy(installation, pair)
    assert waiting(installation, pair) == 5  # clone and interpreter of both hosts, and the untouched one
    assert grade_run(installation, pair, "pia", later=False).scorecard.score == 100
    assert waiting(installation, pair) == 0
    remove_spares(installation)


def test_a_machine_that_is_gone_is_told_by_name(installation: Installation, pair: Lab, run: Run) -> None:
    installation.engine.remove(run.containers["store"])
    with pytest.raises(UserError, match="machine store"):
        grade_run(installation, pair, "pia")
