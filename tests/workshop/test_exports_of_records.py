"""From a file of a roster and a scenario, over events, to every export: the parts fit each other."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.workshop.cohorts import at, card
from tests.workshop.junit_reader import read_junit
from tests.workshop.keys import ed25519

from phi_labs.model.cohort import Cohort
from phi_labs.records.cohort import read_cohort
from phi_labs.records.event import Kind
from phi_labs.records.store import Records
from phi_labs.workshop.exports import FORMATS, export_cohort
from phi_labs.workshop.roster import read_roster
from phi_labs.workshop.scenario import LoadedScenario, find_scenario

WORKSHOP = "week-10"


def opened(records: Records, loaded: LoadedScenario, roster: Path) -> None:
    """The events that opening a workshop leaves."""
    scenario = loaded.scenario
    records.append(
        Kind.WORKSHOP_OPENED,
        workshop=WORKSHOP,
        actor="Tova Trainer",
        data={
            "scenario": scenario.model_dump(mode="json"),
            "entity": scenario.entity or "",
            "trainer": "Tova Trainer",
            "trigger": scenario.trigger,
            "pass_mark": scenario.pass_mark,
            "count_rule": scenario.count_rule,
            "labs": [{"id": lab.id, "version": "00", "points": 100, "minutes": 60} for lab in loaded.labs],
        },
    )
    for learner in read_roster(roster, scenario.entity).learners:
        records.append(
            Kind.ENROLLED, workshop=WORKSHOP, actor="Tova Trainer", subject=learner.name, data=asdict(learner)
        )


def graded(
    records: Records, loaded: LoadedScenario, learner: str, number: int, earned: tuple[str, ...]
) -> None:
    """The event of one grading of the first lab."""
    lab = loaded.labs[0]
    records.append(
        Kind.GRADED,
        workshop=WORKSHOP,
        actor="phi-labs",
        subject=learner,
        data={
            "lab": lab.id,
            "number": number,
            "graded_at": at(number * 10),
            "scorecard": card(lab, earned).to_data(),
            "assurance": "supervised",
            "submission": "ab" * 32,
            "seed": "cd" * 8,
        },
    )


@pytest.fixture
def recorded(tmp_path: Path) -> Cohort:
    """Two people of a roster, one of whom came."""
    roster = tmp_path / "roster.csv"
    rows = [f"{name},{name.title()},{name}@a.example.org,CE,{ed25519(len(name))}" for name in ("alice", "bo")]
    roster.write_text("\n".join(["login;full name;mail;ce/ba;key".replace(";", ","), *rows]))
    loaded = find_scenario("ce-it-foundations")
    with Records(f"sqlite:///{tmp_path / 'records.db'}") as records:
        opened(records, loaded, roster)
        graded(records, loaded, "alice", 1, loaded.labs[0].objective_ids[:1])
        graded(records, loaded, "alice", 2, loaded.labs[0].objective_ids)
        records.append(
            Kind.HINT_TAKEN,
            workshop=WORKSHOP,
            actor="alice",
            subject="alice",
            data={
                "lab": loaded.labs[0].id,
                "objective": loaded.labs[0].objective_ids[0],
                "number": 1,
                "cost": 0,
            },
        )
        records.append(Kind.WORKSHOP_CLOSED, workshop=WORKSHOP, actor="Tova Trainer")
        return read_cohort(records, WORKSHOP)


@pytest.mark.parametrize("kind", FORMATS)
def test_what_the_records_tell_can_be_exported(recorded: Cohort, kind: str, tmp_path: Path) -> None:
    assert export_cohort(recorded, kind, tmp_path / "out")


def test_scores_of_the_records_are_those_of_the_exports(recorded: Cohort, tmp_path: Path) -> None:
    export_cohort(recorded, "json", tmp_path)
    export_cohort(recorded, "junit", tmp_path)
    data = json.loads((tmp_path / "results.json").read_text())
    alice, bo = data["learners"]
    assert [lab["score"] for lab in alice["labs"]] == [100, None, None, None]
    assert alice["labs"][0]["counted"] == alice["labs"][0]["attempts"][1]["event"]
    assert bo["labs"][0]["standing"] == "not started"
    assert data["summary"] == {"learners": 2, "finished": 0, "unfinished": 1, "not_started": 1}
    assert data["workshop"]["head"] == {"hash": recorded.head[0], "count": recorded.head[1]}
    passed = [case for case in read_junit((tmp_path / "junit.xml").read_text()) if case.outcome == "passed"]
    assert {case.suite for case in passed} == {"shared-admin, alice"}
