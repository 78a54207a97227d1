"""Possible matches of learners' verdicts and known wrong ways: counted, ties told, nobody named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.workshop.cohorts import attempt, card, card_of, cohort, learner, mixed_cohort, record, result

from phi_labs.model.cohort import Cohort
from phi_labs.model.content import find_lab, lab_ids
from phi_labs.model.lab import Lab, Verdicts, load_verdicts
from phi_labs.workshop.exports import export_cohort
from phi_labs.workshop.exports.misconception_report import misconception_report
from phi_labs.workshop.misconceptions import LabMisconceptions, Match, known_ways, misconceptions

LAB = """\
id: small
title: A small lab
summary: One host.
policy: IT-07
minutes: 45
hosts:
  - {name: ehr1, login: itops}
objectives:
  - {id: live, title: Live, points: 40, citations: ["164.312(b)"], expected: Live.}
  - {id: old, title: Old, points: 30, citations: ["164.312(b)"], expected: Old.}
  - {id: next, title: Next, points: 20, citations: ["164.312(b)"], expected: Next.}
  - {id: door, title: Door, points: 10, citations: ["164.312(b)"], expected: Door.}
guards:
  - {id: reads, title: Still reads, protects: all}
  - {id: logs, title: Still logs, protects: all}
"""
VERDICTS = """\
untouched: {earns: [], guards_fail: []}
reference: {earns: all, guards_fail: []}
wrong-live-only: {why: Older logs stay open., earns: [live, door], guards_fail: []}
wrong-root-only: {why: Locked out., earns: all, guards_fail: [reads]}
wrong-nologin: {why: Nobody logs in., earns: all, guards_fail: [reads]}
wrong-nothing: {why: Changed nothing that counts., earns: [], guards_fail: []}
wrong-ba-only: {why: Told the wrong office., earns: [live, old, next], guards_fail: [logs], entities: [ba]}
generated-emptied: {why: All was emptied., earns: [live, old], guards_fail: [reads, logs]}
generated-moved: {why: All was moved., earns: [live, old], guards_fail: [reads]}
"""


@pytest.fixture
def small(tmp_path: Path) -> tuple[Lab, Verdicts]:
    folder = tmp_path / "labs" / "small"
    (folder / "ehr1").mkdir(parents=True)
    (folder / "ehr1" / "Dockerfile").write_text("FROM phi-labs/base\n")
    (folder / "attempts").mkdir()
    for name in (
        "reference",
        "wrong-live-only",
        "wrong-root-only",
        "wrong-nologin",
        "wrong-nothing",
        "wrong-ba-only",
    ):
        (folder / "attempts" / f"{name}.sh").write_text("true\n")
    (folder / "attempts" / "verdicts.yml").write_text(VERDICTS)
    (folder / "lab.yml").write_text(LAB)
    lab = find_lab("small", tmp_path)
    return lab, load_verdicts(lab)


Told = tuple[Iterable[str], Iterable[str]]  # earned, failed guards


def told(lab: Lab, *people: list[Told], entity: str = "ce") -> Cohort:
    """A cohort in which each person has these verdicts, one after the other."""
    records = []
    for number, verdicts in enumerate(people):
        attempts = [
            attempt(card(lab, earned, guards), place, 10 * place)
            for place, (earned, guards) in enumerate(verdicts, 1)
        ]
        records.append(record(learner(f"person{number}", entity=entity), result(lab.id, attempts)))
    return cohort(*records, labs=(lab.id,))


def found(small: tuple[Lab, Verdicts], *people: list[Told], entity: str = "ce") -> LabMisconceptions:
    (lab,) = misconceptions(told(small[0], *people, entity=entity), {"small": small})
    return lab


def names(match: Match) -> list[str]:
    return [way.name for way in match.ways]


LIVE_ONLY: Told = (["live", "door"], [])
LOCKED: Told = (["live", "old", "next", "door"], ["reads"])
WHOLE: Told = (["live", "old", "next", "door"], [])
NOTHING: Told = ([], [])


def test_a_verdict_that_a_wrong_way_has_is_a_match(small: tuple[Lab, Verdicts]) -> None:
    lab = found(small, [LIVE_ONLY], [LIVE_ONLY], [WHOLE], [])
    assert (lab.roster, lab.attempted, lab.reached) == (4, 3, 1)
    (match,) = lab.matches
    assert (names(match), match.now, match.ever, match.near) == (["wrong-live-only"], 2, 2, 0)


def test_wrong_ways_that_look_alike_are_told_together(small: tuple[Lab, Verdicts]) -> None:
    (match,) = found(small, [LOCKED]).matches
    assert names(match) == ["wrong-root-only", "wrong-nologin"]
    assert match.learners == 1


def test_who_got_over_it_is_counted_under_ever_only_and_once(small: tuple[Lab, Verdicts]) -> None:
    lab = found(small, [LIVE_ONLY, LIVE_ONLY, WHOLE])
    (match,) = lab.matches
    assert (match.now, match.ever, lab.reached) == (0, 1, 1)


def test_an_untouched_machine_is_no_misconception(small: tuple[Lab, Verdicts]) -> None:
    lab = found(small, [NOTHING])
    assert (lab.untouched, lab.matches) == (1, ())  # although wrong-nothing has the same verdict


def test_a_near_verdict_is_compared_with_the_nearest(small: tuple[Lab, Verdicts]) -> None:
    (match,) = found(small, [(["live", "old", "next", "door"], ["reads", "logs"])]).matches
    assert (names(match)[0], match.now, match.near, match.tied) == ("wrong-root-only", 0, 1, 0)


def test_a_tie_is_counted_under_each_and_said(small: tuple[Lab, Verdicts]) -> None:
    # One guard from generated-emptied (logs failed) and one from generated-moved (reads failed).
    lab = found(small, [(["live", "old"], ["reads", "captured-whole", "logs"])], [(["live", "old"], [])])
    by_name = {names(match)[0]: match for match in lab.matches}
    assert by_name["generated-emptied"].near == 1
    tied = found(small, [(["live", "old", "door"], [])]).matches
    assert {names(match)[0]: (match.near, match.tied) for match in tied} == {"wrong-live-only": (1, 0)}
    both = found(small, [(["live", "old", "next"], ["reads"])]).matches
    assert {names(match)[0]: (match.near, match.tied) for match in both} == {
        "wrong-root-only": (1, 1),
        "generated-moved": (1, 1),
    }


def test_a_verdict_that_is_like_nothing_is_said_to_be(small: tuple[Lab, Verdicts]) -> None:
    lab = found(small, [(["next"], ["machine-comes-up", "captured-whole"])])
    assert (lab.unlike, lab.matches) == (1, ())


def test_ways_of_the_other_entity_are_no_match(small: tuple[Lab, Verdicts]) -> None:
    told_office: Told = (["live", "old", "next"], ["logs"])
    (match,) = found(small, [told_office], entity="ba").matches
    assert (names(match), match.now) == (["wrong-ba-only"], 1)
    assert not [match for match in found(small, [told_office]).matches if match.now]


def test_the_most_frequent_comes_first(small: tuple[Lab, Verdicts]) -> None:
    lab = found(small, [LOCKED], [LIVE_ONLY], [LIVE_ONLY])
    assert [match.now for match in lab.matches] == [2, 1]


# -- the report ------------------------------------------------------------------------------


def test_the_report_speaks_of_possible_matches_and_names_nobody(small: tuple[Lab, Verdicts]) -> None:
    people = told(small[0], [LIVE_ONLY], [LIVE_ONLY, LOCKED], [WHOLE], [])
    text = misconception_report(people, misconceptions(people, {"small": small}))
    assert "possible matches, not diagnoses" in text
    assert "Of 4 on the roster 3 attempted it, 1 did not." in text
    assert "**1 of 3 may match: live only: Older logs stay open.** (now 1, ever 2, near 0)" in text
    assert "which look alike" in text
    assert "person" not in text.replace("persona", "")


def test_the_export_names_nobody(tmp_path: Path) -> None:
    people = mixed_cohort()
    for path in export_cohort(people, "misconceptions", tmp_path):
        text = path.read_text().lower()
        for item in people.records:
            assert not re.search(rf"\b{item.learner.name}\b", text)
            assert item.learner.full_name.lower() not in text
    data = json.loads((tmp_path / "misconceptions.json").read_text())
    assert [lab["lab"] for lab in data["labs"]] == ["log-access", "temp-phi"]


def test_a_lab_without_content_is_left_out(small: tuple[Lab, Verdicts]) -> None:
    assert misconceptions(told(small[0], [LIVE_ONLY]), {}) == ()


@pytest.mark.parametrize("lab_id", lab_ids())
def test_every_wrong_way_of_a_real_lab_is_its_own_match(lab_id: str) -> None:
    people = cohort(labs=(lab_id,))
    ((lab, verdicts),) = known_ways(people).values()
    for name, verdict in verdicts.items():
        if verdict.why is None:
            continue
        entity = verdict.entities[0] if verdict.entities else "ce"
        person = record(learner(entity=entity), result(lab_id, [attempt(card_of(lab, verdict))]))
        (told_lab,) = misconceptions(cohort(person, labs=(lab_id,)), {lab_id: (lab, verdicts)})
        matched = [way.name for match in told_lab.matches if match.now for way in match.ways]
        assert name in matched or told_lab.untouched, name
