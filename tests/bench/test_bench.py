"""What the bench may be asked for, what it counts, and that it leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from phi_labs.bench.report import BenchReport, compared, figure
from phi_labs.bench.resident import KIB, Processes, container_processes, shares
from phi_labs.bench.run import GROUPS, Choice
from phi_labs.bench.workshop import TRAINEES, Sizes, measure_grading, measure_opening
from phi_labs.cli.bench_view import bench_view
from phi_labs.errors import UserError
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.state import State
from phi_labs.model.content import find_lab


def test_all_groups_are_measured_unless_some_are_named() -> None:
    assert Choice.of(()).groups == tuple(GROUPS)
    assert Choice.of(["records", "labs"]).groups == ("labs", "records")
    with pytest.raises(UserError, match="no group 'openin'") as told:
        Choice.of(["openin"])
    assert "opening" in told.value.hint


def test_half_of_the_learners_are_opened_at_once_and_graded() -> None:
    assert (Sizes().half, Sizes().few) == (TRAINEES // 2, 10)
    assert (Sizes(8).half, Sizes(8).few) == (4, 4)


def test_a_report_says_with_what_it_was_measured() -> None:
    from rich.console import Console  # noqa: PLC0415

    report = BenchReport(
        (), {}, {"cores": 2, "engine": "20", "storage": "o", "load": 0.0}, ("8 instead of 200",)
    )
    console = Console(width=100, record=True, file=Path(os.devnull).open("w"))  # noqa: SIM115
    console.print(bench_view(report))
    assert "8 instead of 200" in console.export_text()
    assert report.to_data()["remarks"] == ["8 instead of 200"]
    console.file.close()


def test_a_ratio_is_of_the_medians() -> None:
    found = compared("a", [1.0, 9.0, 3.0], "s", "b", [2.0], 1.5)
    assert (found.value, found.ratio, found.met) == (3.0, 1.5, True)
    assert not figure("a", [1.6], "s", 1.5).met


@pytest.fixture
def child() -> Iterator[int]:
    """A process that holds 64 MiB of its own, and has a child."""
    script = "import subprocess, sys; data = bytearray(b'x' * (64 << 20)); "
    script += (
        "other = subprocess.Popen(['sleep', '60']); print('up', flush=True); sys.stdin.read(); other.kill()"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    yield process.pid
    process.communicate(b"")


def test_memory_counts_what_a_process_has_for_itself_and_its_children(child: int) -> None:
    now = Processes()
    family = now.below(child)
    assert {now.names[pid] for pid in family} >= {"sleep"}
    assert 64 * KIB * KIB < shares(family) < 128 * KIB * KIB
    assert now.parents[child] == os.getpid()


def test_a_container_is_everything_below_the_shim_that_started_it(child: int) -> None:
    now = Processes()
    sleeper = next(pid for pid in now.below(child) if now.names[pid] == "sleep")
    assert container_processes(now, [sleeper]) == now.below(child)  # its parent counts as its shim


def test_a_process_that_ended_weighs_nothing() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert shares([gone.pid]) == 0


@pytest.mark.docker
@pytest.mark.slow
def test_a_small_workshop_gives_every_row_and_leaves_nothing(tmp_path: Path) -> None:
    installation = Installation(State(tmp_path / "state"))
    before = {item.id for item in installation.engine.containers({})}
    told: list[str] = []
    lab = find_lab("log-access", None)
    rows = [*measure_opening(installation, lab, Sizes(4), told.append)]
    rows += measure_grading(installation, lab, Sizes(4), told.append)
    mine = [item for item in installation.engine.containers({}) if item.id not in before]
    assert not [item for item in mine if item.label("install").startswith("bench-")]
    assert [row.name for row in rows] == [
        "a workshop of 2 opened",
        "opening, each of 4",
        "memory of 4 idle labs",
        "workshop status, 4 labs",
        "grading, 2 runs",
        "grading, each of 2",
    ]
    assert all(row.value > 0 for row in rows)
    assert told
