"""What a hostile lab costs the grader: memory beside a plain grade, and time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from tests.hostile.conftest import ALL, NOTHING, Fort

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.usefixtures("plain_asserts")]

MOST_MEMORY = 64 * 1024  # KiB beside a plain grade
MOST_SECONDS = 180.0

# Says the peak memory (KiB) of the grader and of its worker, and what passed.
GRADING = """
import json, resource, sys
from pathlib import Path
from phi_labs.grading.grade import grade_run
from phi_labs.lifecycle.installation import Installation
from phi_labs.model.lab import load_lab
card = grade_run(Installation(), load_lab(Path(sys.argv[1])), sys.argv[2], later=False).scorecard
usage = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
passed = [item.id for item in card.objectives if item.passed and not item.withheld]
print(json.dumps([usage, passed]))
"""
HEAVY = """
import gzip, os
os.mkdir("/srv/many")
for n in range(20000): os.close(os.open(f"/srv/many/{n}", os.O_CREAT))
for n in range(2000): os.link("/srv/many/0", f"/srv/many/link{n}")
with open("/srv/large", "wb") as f:
    for _ in range(60): f.write(os.urandom(1 << 20))
with open("/srv/sparse", "wb") as f: f.truncate(20 << 30)
with gzip.open("/srv/bomb.gz", "wb") as f:
    for _ in range(200): f.write(bytes(1 << 20))
for n in range(1000):
    os.setxattr(f"/srv/many/{n}", "user.noise", b"x" * 3000)
"""
# As much again for what reads single files, and for what commands say.
ENORMOUS = """
open("/srv/records/report.yml", "a").write("x: 1\\n" * 2000000)
open("/etc/sudoers.d/noise", "w").write("# nothing\\n" * 1000000)
open("/etc/cron.d/noise", "w").write("# nothing\\n" * 1000000)
open("/etc/ssh/sshd_config.d/99-noise.conf", "w").write("# nothing\\n" * 1000000)
open("/home/reviewer/.ssh/authorized_keys", "a").write("# nothing\\n" * 1000000)
open("/etc/hosts", "a").write("192.0.2.1 name\\n" * 1000000)
open("/usr/local/bin/nightly", "w").write("#!/bin/sh\\nexec yes\\n")
secret = open("/srv/secret.txt").read()
os.mkdir("/srv/copies")
for n in range(3000): open(f"/srv/copies/{n}", "w").write(secret)
open("/srv/dense", "w").write(secret * 200000)
"""


def cost(fort: Fort) -> tuple[list[int], set[str], float]:
    """Peak memory of grader and worker in KiB, what passed, and the seconds of a grading of its own."""
    argv = [sys.executable, "-c", GRADING, str(fort.lab.folder), fort.trainee]
    start = time.monotonic()
    said = subprocess.run(argv, env=dict(os.environ), capture_output=True, check=False)
    assert said.returncode == 0, said.stderr.decode()
    usage, passed = json.loads(said.stdout)
    return usage, set(passed), time.monotonic() - start


def test_a_heavy_lab_costs_the_grader_little_memory_and_bounded_time(fort: Fort) -> None:
    """100,000 files (one after the other, with a right fix): tests/hostile/test_files.py."""
    probe = fort.installation.probe_container()
    fort.fix()
    plain, passed, _ = cost(fort)
    assert passed == ALL
    made = fort.box.run("/usr/bin/python3", "-c", HEAVY, seconds=180)
    assert made.exit_code == 0, made.stderr
    heavy, passed, seconds = cost(fort)
    assert passed == ALL
    assert [more - less < MOST_MEMORY for more, less in zip(heavy, plain, strict=True)] == [True, True], heavy
    assert seconds < MOST_SECONDS
    fort.box.sh("rm -r /srv/many /srv/large")
    made = fort.box.run("/usr/bin/python3", "-c", "import os\n" + ENORMOUS, seconds=180)
    assert made.exit_code == 0, made.stderr
    heavy, passed, seconds = cost(fort)
    assert passed <= {"flag"}, NOTHING
    assert [more - less < MOST_MEMORY for more, less in zip(heavy, plain, strict=True)] == [True, True], heavy
    assert seconds < MOST_SECONDS
    assert fort.installation.probe_container() == probe, "the probe died of it"
