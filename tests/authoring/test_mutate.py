"""What becomes of a command that was left out, in words and figures."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from phi_labs.authoring.mutate import Cut, CutJob, Fate, Loss, Losses, _loss
from phi_labs.authoring.verify import Row
from phi_labs.cli.losses_view import losses_view

CUT = Cut(3, "chmod 0640 f", "set -eu\n:\n", "")
JOB = CutJob("small", "reference", 0, "ce", CUT)
BLANK = Row(JOB, ("closed", "record"), (), ("closed", "record"))


@pytest.mark.parametrize(
    ("row", "fate", "by"),
    [
        (BLANK, "unnoticed", ()),
        (replace(BLANK, got=("record",)), "noticed", ("closed",)),
        (replace(BLANK, got_guards=("kept",)), "noticed", ("guard kept",)),
        (replace(BLANK, got=(), error="failed half-way", half_way=True), "half-way", ()),
        (replace(BLANK, got=(), error="the engine is gone"), "no verdict", ()),
        (replace(BLANK, job=replace(JOB, cut=replace(CUT, reason="a trial"))), "accepted", ()),
    ],
)
def test_what_became_of_it(row: Row, fate: Fate, by: tuple[str, ...]) -> None:
    loss = _loss(row)
    assert (loss.fate, loss.noticed_by, loss.line) == (fate, by, 3)


def loss(fate: Fate, *, reason: str = "", error: str = "") -> Loss:
    return Loss("small", "reference", 3, "chmod 0640 f", fate, reason=reason, error=error)


@pytest.mark.parametrize(
    ("fates", "not_done", "clear", "ok"),
    [
        (["noticed", "half-way", "accepted"], 0, True, True),
        (["noticed", "unnoticed"], 0, False, False),
        (["no verdict"], 0, False, False),
        (["noticed"], 2, True, False),
        ([], 0, True, False),
    ],
)
def test_only_what_is_noticed_or_accepted_is_fine(
    fates: list[Fate], not_done: int, clear: bool, ok: bool
) -> None:
    losses = Losses(tuple(map(loss, fates)), not_done, 1.0)
    assert (losses.clear, losses.ok) == (clear, ok)
    assert losses.to_data()["ok"] is ok


def test_a_remark_that_is_no_longer_true_is_told() -> None:
    stale = loss("noticed", reason="a trial")
    assert stale.stale
    assert "remove the remark" in shown(Losses((stale,), 0, 1.0))


def test_the_unnoticed_is_listed_with_line_and_advice() -> None:
    text = shown(Losses((loss("unnoticed"), loss("no verdict", error="the engine is gone")), 1, 1.0))
    assert "3  chmod 0640 f" in text
    assert "nobody" in text
    assert "the engine is gone" in text
    assert "of 2 commands left out: 1 unnoticed, 1 no verdict, 1 not done" in text
    assert "# phi-labs: unnoticed because" in text


def test_each_cut_has_a_run_and_a_seed_of_its_own_the_same_every_time() -> None:
    other = replace(JOB, cut=replace(CUT, script="set -eu\n: ;\n"))
    again = CutJob("small", "reference", 0, "ce", Cut(3, "chmod 0640 f", "set -eu\n:\n", ""))
    assert JOB.trainee == again.trainee != other.trainee


def shown(losses: Losses) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(losses_view(losses))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text
