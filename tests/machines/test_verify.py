"""Every lab's grader proves itself: each attempt gets exactly the verdict its author wrote down."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from phi_labs.authoring.plan import Plan
from phi_labs.authoring.verify import Matrix, verify
from phi_labs.cli.matrix_view import matrix_view
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.state import State
from phi_labs.model.content import all_labs
from phi_labs.model.lab import Lab, load_verdicts

pytestmark = [pytest.mark.docker, pytest.mark.slow]


SEEDS = 3


@pytest.mark.parametrize("lab", all_labs().labs, ids=lambda lab: lab.id)
@pytest.mark.usefixtures("installation")  # there is an engine, and spares are off
def test_every_attempt_gets_exactly_its_verdict_over_three_seeds_and_both_entities(
    state: State, lab: Lab
) -> None:
    # What this plan is sure to try, and that three turns of it are the full one: tests/authoring/test_plan.py
    matrix = verify(
        Installation(state), [lab], seeds=SEEDS, plan=Plan.COVERING
    )  # on the labs that came along

    assert matrix.ok, shown(matrix)
    assert {row.job.attempt for row in matrix.rows} == set(load_verdicts(lab).names)
    assert {row.job.seed for row in matrix.rows} == set(range(SEEDS))
    assert {row.job.entity for row in matrix.rows} == set(lab.entities)


def shown(matrix: Matrix) -> str:
    """The matrix as ``phi-labs verify`` prints it."""
    console = Console(file=io.StringIO(), width=100)
    console.print(matrix_view(matrix))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text
