"""What a workshop makes of a learner's commands."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from phi_labs.gateway.attending import WorkshopDirectory
from phi_labs.gateway.directory import Request, Verb
from phi_labs.gateway.errands import Errands
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.state import State
from phi_labs.model.content import find_lab

TAKES_A_HINT = """
import os, sys
from pathlib import Path
from phi_labs.lifecycle.state import State
State(Path(os.environ["PHI_LABS_STATE"])).take_hint("anna", sys.argv[2], 0, sys.argv[3])
print(" ".join(sys.argv[1:]))
"""


class Noted(list[dict[str, Any]]):
    """Events that were written."""

    def note(self, kind: str, subject: str, **data: Any) -> None:
        self.append({"kind": str(kind), "subject": subject, **data})


@pytest.mark.parametrize(("policy", "said_so"), [("free", True), ("priced", False)])
def test_where_hints_are_free_the_learner_is_told_no_price(
    tmp_path: Path, policy: str, said_so: bool
) -> None:
    lab = find_lab("log-access", None)
    objective = next(item for item in lab.objectives if len(item.hints) > 1)
    state, noted = State(tmp_path / "state"), Noted()
    workshop: Any = SimpleNamespace(
        installation=Installation(state),
        loaded=SimpleNamespace(scenario=SimpleNamespace(hints=policy)),
        lab=lambda _id: lab,
        note=noted.note,
    )
    said: list[str] = []

    async def ask() -> int:
        directory = WorkshopDirectory(workshop, lambda _card, _request: "")
        request = Request(Verb.HINT, lab.id, (objective.id,))
        program = [sys.executable, "-c", TAKES_A_HINT]
        directory._errands = Errands({"PHI_LABS_STATE": str(state.root)}, program)
        try:
            return sum([await directory.act("anna", request, said.append) for _ in range(2)])
        finally:
            await directory.close()

    assert asyncio.run(ask()) == 0
    assert ("--free" in "".join(said)) is said_so
    costs = [0, 0] if said_so else [hint.cost for hint in objective.hints[:2]]
    assert [(item["subject"], item["cost"]) for item in noted] == [("anna", cost) for cost in costs]
    assert said_so or costs[1] > 0
