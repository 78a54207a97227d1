"""roster and scenarios."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Result, World

Call = Callable[..., "Result"]
ROSTER = (
    "name,full_name,email,entity,hierd\nalice,Alice,alice@a.example.org,CE,x\nbob,Bob,bob@a.example.org,ba,\n"
)


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    path = tmp_path / "roster.csv"
    path.write_text(ROSTER)
    return path


def test_a_sound_roster_is_summed_up(call: Call, world: World, roster: Path) -> None:
    said = call("roster", str(roster))
    assert said.code == 0
    assert "2 learners (1 CE, 1 BA); 2 without a public key; read as UTF-8; no problems" in said.out
    assert "the column 'hierd' is not read; did you mean hired?" in said.err


def test_problems_of_a_roster_are_the_users_to_mend(call: Call, world: World, roster: Path) -> None:
    said = call("roster", str(roster), "--entity", "ce")
    assert said.code == 2
    assert "row 3, column entity: is BA, but the scenario is for CE" in said.err
    data = json.loads(call("roster", str(roster), "--entity", "ce", "--json").out)
    assert data["problems"] == [
        {"row": 3, "column": "entity", "problem": "is BA, but the scenario is for CE"}
    ]
    assert call("roster", str(roster), "--entity", "ce", "--json").code == 2


def test_a_roster_that_is_not_there_is_told(call: Call, world: World, tmp_path: Path) -> None:
    said = call("roster", str(tmp_path / "none.csv"))
    assert said.code == 2
    assert "cannot be read" in said.err


SCENARIO = """\
id: first-week
title: The first week
summary: One small lab.
story: |
  # Welcome to {{ party.name }}
trigger: hire
labs:
  - id: small
    minutes: 30
minutes: 60
"""


@pytest.fixture
def scenario(world: World) -> Path:
    folder = world.content / "scenarios"
    folder.mkdir()
    path = folder / "first-week.yml"
    path.write_text(SCENARIO)
    return path


def test_scenarios_are_listed_and_a_broken_one_is_told(call: Call, scenario: Path) -> None:
    (scenario.parent / "other.yml").write_text(
        SCENARIO.replace("first-week", "other").replace("small", "smal")
    )
    said = call("scenarios")
    assert said.code == 0
    assert "first-week  The first week  1 lab, ce or ba" in said.out
    assert "other cannot be used" in said.err
    assert "did you mean small?" in said.err
    assert [item["id"] for item in json.loads(call("scenarios", "--json").out)] == ["first-week"]


def test_one_scenario_is_shown_with_its_rules(call: Call, scenario: Path) -> None:
    said = call("scenarios", "first-week", "--entity", "ba")
    assert said.code == 0
    assert "# Welcome to Corvid Clinical Hosting" in said.out
    assert "small: 30 minutes" in said.out
    assert "all labs: 60 minutes; 80 of 100 points pass a lab" in said.out
    assert "of several attempts the last before the deadline counts; hints: priced" in said.out
    data = json.loads(call("scenarios", str(scenario), "--json").out)
    assert data["markdown"] == "# Welcome to Mercy Valley Health\n"
    assert data["capacity"] == {"initial": None, "reserved": 2, "capacity": 200}


def test_an_unknown_scenario_names_the_nearest(call: Call, scenario: Path) -> None:
    said = call("scenarios", "first-weak")
    assert said.code == 2
    assert "did you mean first-week?" in said.err


def test_without_scenarios_something_is_said(call: Call, world: World) -> None:
    said = call("scenarios")
    assert said.code == 0
    assert "there are no scenarios here" in said.err
