"""Scenarios: what is refused and where, and that those which come along hold together."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

from phi_labs.errors import UserError
from phi_labs.model.content import content_folder, lab_ids, scenario_ids
from phi_labs.model.organisation import load_organisation
from phi_labs.model.scenario import Capacity, Scenario, Step
from phi_labs.workshop.scenario import LoadedScenario, all_scenarios, find_scenario, load_scenario, story

DOCUMENTED = content_folder() / "docs" / "scenario-format.md"
LAB = """\
id: {id}
title: The {id}
summary: One host.
policy: IT-07
minutes: 45
entities: [{entities}]
hosts:
  - {{name: ehr1, login: itops}}
objectives:
  - {{id: all-of-it, title: Everything, points: 100, citations: ["164.312(b)"], expected: Everything.}}
"""
SCENARIO = """\
id: week
title: A week
summary: Two labs.
story: |
  # {{ party.name }}

  {{ labs | length }} labs, {{ notify.name }}
entity: ce
trigger: hire
labs:
  - id: first
    minutes: 30
  - id: second
    after: [first]
minutes: 60
"""
Spoil = Callable[[str, str], LoadedScenario]


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """A content folder with two labs and a scenario."""
    for name, entities in (("first", "ce, ba"), ("second", "ce")):
        folder = tmp_path / "labs" / name
        (folder / "ehr1").mkdir(parents=True)
        (folder / "ehr1" / "Dockerfile").write_text("FROM phi-labs/base\n")
        (folder / "lab.yml").write_text(LAB.format(id=name, entities=entities))
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "week.yml").write_text(SCENARIO)
    return tmp_path


@pytest.fixture
def spoiled(content: Path) -> Spoil:
    """Load the scenario with the only occurrence of a text replaced."""

    def load(old: str, new: str) -> LoadedScenario:
        path = content / "scenarios" / "week.yml"
        assert SCENARIO.count(old) == 1
        path.write_text(SCENARIO.replace(old, new))
        return load_scenario(path, content)

    return load


def test_a_scenario_is_loaded_with_its_labs_and_sane_defaults(content: Path) -> None:
    loaded = find_scenario("week", content)
    assert [lab.id for lab in loaded.labs] == ["first", "second"]
    scenario = loaded.scenario
    assert (scenario.count_rule, scenario.hints, scenario.pass_mark) == ("last", "priced", 80)
    assert (scenario.prerequisite, scenario.new_seeds) == ("attempted", False)
    assert scenario.capacity == Capacity(initial=None, reserved=2, capacity=200)
    assert scenario.step("second").after == ("first",)


def test_a_scenario_survives_being_kept_as_data(content: Path) -> None:
    scenario = find_scenario("week", content).scenario
    assert Scenario.model_validate(scenario.model_dump(mode="json")) == scenario


def test_a_file_may_be_named_instead_of_an_id(content: Path) -> None:
    named = find_scenario(str(content / "scenarios" / "week.yml"), content)
    assert named.scenario == find_scenario("week", content).scenario


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "- id: first",
            "- id: frist",
            r"week\.yml:11: labs\[0\]\.id: unknown lab 'frist'; did you mean first",
        ),
        ("id: week", "id: weak", r"week\.yml:1: id: 'weak' is not the name of its file, 'week'"),
        ("[first]", "[second]", r"week\.yml:14: labs\[1\]\.after\[0\]: 'second' does not stand before it"),
        ("[first]", "[first, first]", r"after\[1\]: 'first' is named twice"),
        ("- id: second", "- id: first", r"week\.yml:13: labs\[1\]\.id: 'first' is named twice"),
        ("minutes: 30", "minutes: 90", r"week\.yml:12: .*longer than the 60 minutes for all labs"),
        ("minutes: 60", "minutes: 60\ncapacity: {initial: 9, capacity: 8}", r"capacity\.initial: more than"),
        ("entity: ce", "entity: ba", r"second cannot be taken as staff of a business associate"),
        ("trigger: hire", "trigger: hired", r"week\.yml:9: trigger: must be 'hire', 'change'"),
        ("trigger: hire", "trigger: hire\npassmark: 3", r"passmark: unknown key; did you mean pass_mark"),
        ("title: A week", "title: HIPAA certified in a week", r"week\.yml:2: title: never say"),
        ("{{ notify.name }}", "{{ notify.nam }}", r"week\.yml:7: story: .*no attribute 'nam'"),
        ("{{ party.name }}", "{% if %}", r"week\.yml:5: story: "),
        ("{{ party.name }}", "{{ ''.__class__.__mro__ }}", r"week\.yml:5: story: "),
    ],
)
def test_what_is_wrong_is_told_with_file_line_and_key(
    spoiled: Spoil, old: str, new: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        spoiled(old, new)


def test_everything_wrong_is_told_at_once(spoiled: Spoil) -> None:
    with pytest.raises(UserError) as caught:
        spoiled("- id: first", "- id: frist")
    assert caught.value.message.count("\n") == 1  # no such lab, and nothing named first before the second


def test_a_lab_that_is_broken_itself_is_told_by_its_own_file(content: Path) -> None:
    (content / "labs" / "first" / "lab.yml").write_text("id: first\n")
    with pytest.raises(UserError, match=r"first/lab\.yml"):
        find_scenario("week", content)


def test_broken_scenarios_do_not_hide_the_others(content: Path) -> None:
    (content / "scenarios" / "other.yml").write_text("id: other\n")
    loaded, broken = all_scenarios(content)
    assert [item.scenario.id for item in loaded] == ["week"]
    assert [item.id for item in broken] == ["other"]


def test_a_scenario_for_both_is_taken_as_the_roster_says(content: Path, spoiled: Spoil) -> None:
    (content / "labs" / "second" / "lab.yml").write_text(LAB.format(id="second", entities="ce, ba"))
    loaded = spoiled("entity: ce\n", "")
    assert loaded.entity_of("ba") == "ba"
    organisation = load_organisation()
    assert story(loaded, organisation, "ba").startswith("# Corvid Clinical Hosting")
    assert story(loaded, organisation, "ce").endswith("2 labs, Ruth Adeyemi\n")


# -- those that come along -------------------------------------------------------------------

CURRICULUM = {  # order of the tracks, as far as labs exist
    "ce-it-foundations": ("shared-admin", "log-access", "backup-encryption", "temp-phi"),
    "ba-it-foundations": ("shared-admin", "log-access", "backup-encryption", "temp-phi"),
    "ba-engineer-foundations": ("log-access", "temp-phi"),
    "annual-refresher": ("log-access", "backup-encryption", "shared-admin", "temp-phi"),
}


def test_the_scenarios_of_the_curriculum_come_along() -> None:
    assert set(CURRICULUM) <= set(scenario_ids())


@pytest.mark.parametrize("name", CURRICULUM)
def test_a_scenario_that_comes_along_keeps_the_curriculums_order(name: str) -> None:
    loaded = find_scenario(name)
    assert loaded.scenario.lab_ids == CURRICULUM[name]
    assert set(loaded.scenario.lab_ids) <= set(lab_ids())
    assert loaded.scenario.new_seeds == (name == "annual-refresher")


@pytest.mark.parametrize("name", CURRICULUM)
def test_time_limits_leave_more_time_than_the_labs_plan(name: str) -> None:
    loaded = find_scenario(name)
    for lab in loaded.labs:
        limit = loaded.scenario.step(lab.id).minutes
        assert limit is None or limit >= 1.4 * lab.minutes, lab.id
    assert loaded.scenario.minutes
    assert loaded.scenario.minutes >= 1.2 * sum(lab.minutes for lab in loaded.labs)


# -- what is documented ----------------------------------------------------------------------


@pytest.mark.parametrize("model", [Scenario, Step, Capacity])
def test_every_key_is_documented_and_every_documented_key_exists(model: type[BaseModel]) -> None:
    sections = re.split(r"^#{2,3} (.+)$", DOCUMENTED.read_text(), flags=re.MULTILINE)
    table = sections[sections.index(model.__name__) + 1]
    rows = re.findall(r"^\| (`[^|]+) \|", table, flags=re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert documented == set(model.model_fields)
