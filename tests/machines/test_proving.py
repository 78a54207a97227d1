"""Proving on real machines: what is left out is noticed or told, and nothing is begun when time is up."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tiny_lab import CHECKS, FIX, write_tiny_lab

from phi_labs.authoring.mutate import mutate
from phi_labs.authoring.verify import verify
from phi_labs.lifecycle.installation import Installation
from phi_labs.model.lab import Lab

pytestmark = pytest.mark.docker

VERDICTS = """\
untouched: {earns: [], guards_fail: []}
reference: {earns: all, guards_fail: []}
generated-emptied: {why: gone, earns: [closed], guards_fail: [kept]}
generated-moved: {why: out of reach, earns: [closed], guards_fail: []}
"""


@pytest.fixture
def proven(installation: Installation, tmp_path: Path) -> tuple[Installation, Lab]:
    """The tiny lab with its reference, and an installation that finds it."""
    lab = write_tiny_lab(tmp_path, checks=CHECKS)
    attempts = lab.folder / "attempts"
    lines = FIX.splitlines()
    lines[1] = f"cd /\n{lines[1]}"
    lines.append("date  # phi-labs: unnoticed because it only shows the time")
    (attempts / "reference.sh").write_text("set -eu\n" + "\n".join(lines) + "\n")
    (attempts / "verdicts.yml").write_text(VERDICTS)
    return Installation(installation.state, content=tmp_path), lab


@pytest.mark.slow
def test_each_command_of_a_right_way_is_left_out_once(proven: tuple[Installation, Lab]) -> None:
    losses = mutate(proven[0], [proven[1]], workers=1)
    told = {loss.text.split()[0]: loss for loss in losses.losses}
    assert told["chmod"].noticed_by == ("closed",)
    assert told["printf"].noticed_by == ("flag",)
    assert told["/etc/init.d/flag"].noticed_by == ("flag",)
    assert told["echo"].noticed_by == ("record",)
    assert (told["cd"].fate, told["date"].fate) == ("unnoticed", "accepted")
    assert [loss.line for loss in losses.unnoticed] == [3]
    assert not losses.ok


@pytest.mark.slow
def test_what_was_planted_is_emptied_and_moved_away_by_the_harness(proven: tuple[Installation, Lab]) -> None:
    matrix = verify(proven[0], [proven[1]], seeds=1, workers=1)
    assert matrix.ok, [(row.job.attempt, row.differences) for row in matrix.rows if not row.ok]
    (summary,) = matrix.summaries
    assert (summary.right, summary.wrong, summary.tried, summary.exact) == (1, 0, 4, 4)


def test_what_there_is_no_time_for_is_not_proven(proven: tuple[Installation, Lab]) -> None:
    matrix = verify(proven[0], [proven[1]], seeds=20, workers=1, budget=0.0)
    assert not matrix.ok
    assert len(matrix.not_done) + len(matrix.rows) == 80
    assert len(matrix.not_done) >= 70
