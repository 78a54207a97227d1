"""labs, brief, debrief and hint."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Result, World

Call = Callable[..., "Result"]


def test_labs_are_listed_with_what_comes_next(call: Call) -> None:
    said = call("labs")
    assert said.code == 0
    assert "small  A small lab  45 minutes, IT-07" in said.out
    assert "phi-labs brief LAB" in said.out


def test_a_broken_lab_is_told_and_the_others_are_listed(call: Call, world: World) -> None:
    broken = world.content / "labs" / "broken"
    broken.mkdir()
    (broken / "lab.yml").write_text("id: broken\n")
    said = call("labs", "--json")
    assert said.code == 0
    assert [lab["id"] for lab in json.loads(said.out)] == ["small"]
    assert "broken cannot be used" in said.err


def test_a_brief_speaks_to_the_entity(call: Call) -> None:
    assert "covered entity" in call("brief", "small").out
    assert "business associate" in call("brief", "small", "--entity", "BA").out
    assert json.loads(call("brief", "small", "--json").out)["markdown"].startswith("# A small lab")


def test_an_unknown_entity_is_refused(call: Call) -> None:
    said = call("brief", "small", "--entity", "clinic")
    assert said.code == 2
    assert "ce (covered entity)" in said.err


def test_a_brief_read_before_the_start_leaves_details_open(call: Call, world: World) -> None:
    (world.content / "labs" / "small" / "brief.md").write_text("Ticket {{ ticket }}\n")
    said = call("brief", "small")
    assert said.out.strip() == "Ticket (...)"
    assert "phi-labs start small" in said.err
    world.save_run()
    manifest = world.state.load_manifest("anna", "small")
    manifest.variables["ticket"] = "INC-1"
    world.state.write(world.state.run_folder("anna", "small").manifest, manifest.to_json())
    assert call("brief", "small").out.strip() == "Ticket INC-1"


def test_a_brief_that_does_not_render_names_file_and_line(call: Call, world: World) -> None:
    (world.content / "labs" / "small" / "brief.md").write_text("fine\n{{ lab.nothing }}\n{% oops %}\n")
    said = call("brief", "small")
    assert said.code == 2
    assert "brief.md:3" in said.err


def test_the_debrief_opens_after_an_attempt_or_by_force(call: Call, world: World) -> None:
    said = call("debrief", "small")
    assert said.code == 2
    assert "gives solutions away" in said.err
    assert "The group was wrong" in call("debrief", "small", "--force").out
    world.state.keep_attempt("anna", "small", world.state.new_attempt("anna", "small"), lambda number: "{}")
    assert "The group was wrong" in call("debrief", "small").out


# -- hints -----------------------------------------------------------------------------------


def taken(world: World) -> dict[str, int]:
    return world.state.hints("anna", "small", 0)


def test_the_first_hint_is_free_and_tells_the_price_of_the_next(call: Call, world: World) -> None:
    world.save_run()
    said = call("hint", "small", "todays-log")
    assert said.code == 0
    assert "Who is in the group?" in said.out
    assert "The next one costs 10" in said.out
    assert "Look at the mode" not in said.out
    assert taken(world) == {"todays-log": 1}


def test_a_hint_that_costs_is_not_taken_without_a_yes(call: Call, world: World) -> None:
    world.save_run()
    call("hint", "small", "todays-log")
    said = call("hint", "small", "todays-log")
    assert said.code == 2
    assert "costs 10 of its 60 points" in said.err
    assert "--yes" in said.err
    assert taken(world) == {"todays-log": 1}


@pytest.mark.parametrize(("answer", "had"), [("y\n", 2), ("\n", 1), ("", 1)])
def test_a_hint_that_costs_asks_first(
    call: Call, world: World, monkeypatch: pytest.MonkeyPatch, answer: str, had: int
) -> None:
    world.save_run()
    call("hint", "small", "todays-log")
    monkeypatch.setattr("sys.stdin", Keyboard(answer))
    assert call("hint", "small", "todays-log").code == 0
    assert taken(world) == {"todays-log": had}


def test_hints_that_were_paid_for_are_shown_again_for_nothing(call: Call, world: World) -> None:
    world.save_run()
    for _ in range(4):
        said = call("hint", "small", "todays-log", "--yes", "--json")
    assert taken(world) == {"todays-log": 2}
    assert [item["cost"] for item in json.loads(said.out)["hints"]] == [0, 10]
    assert json.loads(said.out)["next_cost"] is None


def test_where_a_workshop_gives_hints_for_nothing_no_price_is_named(call: Call, world: World) -> None:
    world.save_run()
    listed = call("hint", "small", "--free").out
    first = call("hint", "small", "todays-log", "--free").out
    second = call("hint", "small", "todays-log", "--free")
    assert second.code == 0  # nobody is asked whether they want to pay
    assert taken(world) == {"todays-log": 2}
    assert "The next one is free" in first
    for text in (listed, first, second.out):
        assert "free" in text
        assert "cost" not in text


def test_without_an_objective_hints_are_listed_with_prices(call: Call, world: World) -> None:
    world.save_run()
    call("hint", "small", "todays-log")
    lines = call("hint", "small").out.splitlines()
    assert lines[1].split() == ["todays-log", "60", "1", "of", "2", "costs", "10", "points"]
    assert lines[2].split() == ["older-logs", "40", "0", "of", "0", "-"]
    assert json.loads(call("hint", "small", "--json").out)[0]["next_cost"] == 10


def test_an_objective_without_hints_says_so(call: Call, world: World) -> None:
    world.save_run()
    assert "no hints" in call("hint", "small", "older-logs").out
    assert taken(world) == {}


def test_an_unknown_objective_names_the_nearest(call: Call, world: World) -> None:
    world.save_run()
    said = call("hint", "small", "todays-lag")
    assert said.code == 2
    assert "todays-log" in said.err


class Keyboard:
    """Somebody who types one answer."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self.answer
