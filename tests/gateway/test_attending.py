"""What a workshop makes of a learner's commands."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from phi_labs.errors import UserError
from phi_labs.gateway.attending import WorkshopDirectory
from phi_labs.gateway.commands import Speaker, parse_command
from phi_labs.gateway.directory import Request, Verb
from phi_labs.gateway.errands import Errands
from phi_labs.gateway.holding import Holding
from phi_labs.gateway.local import InstallationDirectory
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.state import State
from phi_labs.model.content import find_lab
from phi_labs.workshop.board import Place
from phi_labs.workshop.graders import Outcome, Ticket
from phi_labs.workshop.provision import Order, Wanted
from phi_labs.workshop.scenario import load_scenario
from phi_labs.workshop.workshop import Workshop

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


SCENARIO = """\
id: autumn
title: Autumn
summary: Two labs.
trigger: annual
entity: ce
story: |
  # A week at {{ party.name }}
  Begin with {{ labs[0].title }}.
labs:
  - {id: log-access, minutes: 45}
  - {id: temp-phi, after: [log-access]}
minutes: 90
"""


def directory_of(tmp_path: Path, trouble: str = "") -> WorkshopDirectory:
    """The directory of a workshop in which nobody has begun anything."""
    path = tmp_path / "autumn.yml"
    path.write_text(SCENARIO)
    loaded = load_scenario(path, None)
    workshop: Any = SimpleNamespace(
        installation=Installation(State(tmp_path / "state")),
        settings=SimpleNamespace(organisation=""),
        loaded=loaded,
        entity_of=lambda _user: "ce",
        place=Place,
        lacking=lambda _user, lab: ["log-access"] if lab == "temp-phi" else [],
        provisioner=SimpleNamespace(order=lambda *_: None),
        footing=SimpleNamespace(trouble=trouble),
    )
    return WorkshopDirectory(workshop, lambda _card, _request: "")


def told(directory: WorkshopDirectory, *lines: str) -> str:
    """What a learner reads after these commands."""
    said: list[str] = []

    async def run() -> None:
        for line in lines:
            command = parse_command(line)
            assert command is not None
            await Speaker(directory, "anna", said.append).run(command)
        await directory.close()

    asyncio.run(run())
    return "".join(said)


def test_learners_read_the_story_that_the_scenario_tells(tmp_path: Path) -> None:
    said = told(directory_of(tmp_path), "story")
    assert said == "# A week at Mercy Valley Health\nBegin with Close the EHR access log.\n"


def test_a_limit_that_does_not_run_yet_is_no_time_without_limit(tmp_path: Path) -> None:
    said = told(directory_of(tmp_path), "time", "labs")
    assert "log-access: 45 min once you log in" in said
    assert "temp-phi: 90 min once you log in" in said  # the limit of all labs
    assert "no time limit" not in said


def test_grading_somebody_who_is_at_work_nowhere_is_a_mistake_and_grading_all_of_nobody_is_none() -> None:
    places = {("ben", "log-access"): Place("ben", "log-access")}
    workshop = SimpleNamespace(known=lambda *_: None, board=SimpleNamespace(places=places))
    holding: Any = SimpleNamespace(_workshop=workshop)
    with pytest.raises(UserError, match="ben is at work in no lab log-access"):
        Holding._to_grade(holding, "ben", "log-access")
    assert Holding._to_grade(holding, "", "") == []


def test_while_the_labs_cannot_be_reached_the_menu_says_so(tmp_path: Path) -> None:
    said = told(directory_of(tmp_path, "the engine does not answer since 09:00:00 UTC (start it)"), "labs")
    assert "not started, cannot be reached at the moment" in said
    assert "after log-access, cannot" not in said


def test_who_waits_at_a_door_or_for_a_grade_keeps_nobody_else_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = Order(Wanted(0, 0, "class", "log-access"))  # a lab that takes its time
    ready = Order(Wanted(0, 0, "anna", "log-access"))
    ready.done.set()
    ticket = Ticket("class", "log-access")
    entered: list[str] = []

    def step_in(order: Order) -> None:
        entered.append(order.wanted.learner)

    workshop = SimpleNamespace(
        installation=Installation(State(tmp_path / "state")),
        attendance=SimpleNamespace(
            ask=lambda user, _lab: ready if user == "anna" else waiting,
            step_in=step_in,
            leave=lambda *_: None,
        ),
        gradings=SimpleNamespace(ask=lambda *_: ticket),
        graders=SimpleNamespace(position=lambda *_: 0),
        footing=SimpleNamespace(trouble=""),
    )
    directory = WorkshopDirectory(cast("Workshop", workshop), lambda _card, _request: "")

    async def contact(_self: object, _user: str, _lab: str) -> None:
        return None

    monkeypatch.setattr(InstallationDirectory, "on_contact", contact)

    async def day() -> None:
        grade = Request(Verb.GRADE, "log-access")
        crowd: list[asyncio.Future[Any]] = []
        crowd += [asyncio.ensure_future(directory.on_contact("class", "log-access")) for _ in range(40)]
        crowd += [asyncio.ensure_future(directory.act("class", grade, lambda _: None)) for _ in range(40)]
        await asyncio.sleep(0)
        await asyncio.wait_for(directory.on_contact("anna", "log-access"), 20)
        assert entered == ["anna"]
        waiting.done.set()
        ticket.outcome = Outcome(reason="it was nothing")
        ticket.done.set()
        ends = await asyncio.gather(*crowd, return_exceptions=True)
        assert [str(end) for end in ends] == ["None"] * 40 + ["it was nothing"] * 40
        await directory.close()

    asyncio.run(day())
    assert entered == ["anna", *["class"] * 40]
