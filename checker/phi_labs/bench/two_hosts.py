"""Grading a lab of two hosts whose repair runs twice, in copies, and whose backups are all restored."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from phi_labs.bench.report import Figure, figure
from phi_labs.errors import UserError
from phi_labs.grading.grade import grade_run
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.pool import tidy
from phi_labs.lifecycle.runs import start_run, stop_run
from phi_labs.model.lab import Lab

LAB = "backup-encryption"
REPAIR = "reference"
ROUNDS = 5
SETTLE = 0.7  # the engine goes on removing behind our back
TARGET = 2.5


def measure_two_hosts(installation: Installation, lab: Lab, trainee: str) -> Figure:
    """A warm grading of the repaired lab, with pristine machines that wait.

    Raises:
        UserError: the repair is not graded as whole: less would be measured.
    """
    start_run(installation, lab, trainee, spares=False)
    _repair(installation, lab, trainee)
    grade_run(installation, lab, trainee, later=False)
    samples = [_graded(installation, lab, trainee) for _ in range(ROUNDS)]
    stop_run(installation, lab.id, trainee)
    return figure("warm grade of two hosts, clones waiting", samples, "s", TARGET)


def _graded(installation: Installation, lab: Lab, trainee: str) -> float:
    tidy(installation, lab)
    time.sleep(SETTLE)
    began = time.perf_counter()
    graded = grade_run(installation, lab, trainee, later=True, background=False)
    seconds = time.perf_counter() - began
    if not graded.scorecard.passed:
        raise UserError(
            f"the repaired {lab.id} has {graded.scorecard.score} points", "phi-labs verify says why"
        )
    return seconds


def _repair(installation: Installation, lab: Lab, trainee: str) -> None:
    """As a process of its own: what applies attempts is no part of what measures."""
    environment = {**os.environ, "PHI_LABS_STATE": str(installation.state.root)}
    argv = [sys.executable, "-P", "-m", "phi_labs", "attempt", lab.id, REPAIR, "--trainee", trainee]
    done = subprocess.run(argv, env=environment, capture_output=True, check=False, timeout=120)
    if done.returncode != 0:
        raise UserError("phi-labs attempt failed: " + done.stderr.decode(errors="replace")[-400:])
