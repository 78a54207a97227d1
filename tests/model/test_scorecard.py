"""Points: what is earned, withheld and spent, and that nothing but a passed check earns."""

from __future__ import annotations

import dataclasses
import json
import random

import pytest

from phi_labs.errors import PhiLabsError, UserError
from phi_labs.model.lab import Lab
from phi_labs.model.scorecard import About, CheckOutcome, CheckStatus, ExpectedCheck, Scorecard, score

EXPECTED = (
    ExpectedCheck("test_live", "todays-log"),
    ExpectedCheck("test_open_sessions", "todays-log"),
    ExpectedCheck("test_gz", "older-logs"),
    ExpectedCheck("test_record", "record"),
    ExpectedCheck("test_reviewer", "reviewer-reads"),
    ExpectedCheck("test_daemon", "ehr-still-logs"),
)
BUILT_IN = ("machine-comes-up", "captured-whole", "repaired-already")


def outcomes(**changed: CheckStatus) -> list[CheckOutcome]:
    keys = [(item.check, item.target) for item in EXPECTED] + [(name, name) for name in BUILT_IN]
    return [
        CheckOutcome(
            check, target, changed.get(check.replace("-", "_"), CheckStatus.PASSED), f"{check} saw this"
        )
        for check, target in keys
    ]


def test_everything_passed_is_a_hundred(lab: Lab) -> None:
    card = score(lab, EXPECTED, outcomes())
    assert (card.points, card.earned, card.withheld, card.score, card.passed) == (100, 100, 0, 100, True)
    assert card.statement == "earned 100"
    assert card.stamps == ("practice",)
    assert not any(item.messages for item in card.objectives)


@pytest.mark.parametrize("status", [status for status in CheckStatus if status is not CheckStatus.PASSED])
def test_one_check_that_did_not_pass_costs_the_whole_objective(lab: Lab, status: CheckStatus) -> None:
    card = score(lab, EXPECTED, outcomes(test_live=status))
    assert [item.earned for item in card.objectives] == [0, 35, 20]
    assert card.objectives[0].messages == ("test_live saw this",)
    assert card.objectives[0].expected == "IT-07 lets reviewers read, nobody else."
    assert not card.passed


def test_a_check_that_did_not_answer_is_missing(lab: Lab) -> None:
    card = score(lab, EXPECTED, [item for item in outcomes() if item.check != "test_gz"])
    assert card.objectives[1].earned == 0
    assert card.objectives[1].messages == ("no check answered",)


def test_a_check_that_answered_twice_does_not_pass(lab: Lab) -> None:
    card = score(lab, EXPECTED, [*outcomes(), outcomes()[2]])
    assert card.objectives[1].checks[0].status is CheckStatus.DUPLICATE
    assert card.objectives[1].earned == 0


def test_a_check_that_nobody_expected_does_not_help(lab: Lab) -> None:
    extra = CheckOutcome("test_forged", "older-logs", CheckStatus.PASSED)
    card = score(lab, EXPECTED, [*outcomes(), extra])
    assert card.objectives[1].messages == ("a check answered that was not expected",)
    assert card.objectives[1].earned == 0


def test_an_objective_or_guard_without_checks_never_passes(lab: Lab) -> None:
    kept = {"test_live", "test_open_sessions", "test_gz", "test_reviewer"}
    expected = [item for item in EXPECTED if item.check in kept]
    card = score(lab, expected, [item for item in outcomes() if item.check in {*kept, *BUILT_IN}])
    assert card.objectives[2].earned == 0
    assert [guard.id for guard in card.failed_guards] == ["ehr-still-logs"]
    assert card.score == 0


@pytest.mark.parametrize("built_in", BUILT_IN)
def test_built_in_guards_are_always_expected(lab: Lab, built_in: str) -> None:
    card = score(lab, EXPECTED, [item for item in outcomes() if item.check != built_in])
    assert (card.earned, card.withheld, card.passed) == (100, 100, False)


def test_a_failing_guard_withholds_the_points_it_names(lab: Lab) -> None:
    card = score(lab, EXPECTED, outcomes(test_reviewer=CheckStatus.FAILED))
    assert (card.earned, card.withheld, card.score, card.passed) == (100, 80, 20, False)
    assert card.statement == "earned 100, 80 withheld: test_reviewer saw this"
    assert card.objectives[0].withheld_by == ("reviewer-reads",)
    assert card.objectives[2].withheld_by == ()


def test_points_that_were_not_earned_cannot_be_withheld(lab: Lab) -> None:
    failed = CheckStatus.FAILED
    card = score(lab, EXPECTED, outcomes(test_gz=failed, test_live=failed, test_reviewer=failed))
    assert (card.earned, card.withheld, card.score) == (20, 0, 20)
    assert card.statement == "earned 20"
    assert not card.passed


def test_hints_reduce_earned_points_by_half_at_most(lab: Lab) -> None:
    card = score(lab, EXPECTED, outcomes(), hint_costs={"todays-log": 10, "older-logs": 99})
    assert [item.hint_cost for item in card.objectives] == [10, 17, 0]
    assert (card.earned, card.score, card.passed) == (100, 73, True)
    assert card.statement == "earned 100, 27 spent on hints"


def test_hints_cost_nothing_where_nothing_is_left(lab: Lab) -> None:
    changed = outcomes(test_gz=CheckStatus.FAILED, test_reviewer=CheckStatus.FAILED)
    card = score(lab, EXPECTED, changed, hint_costs={"todays-log": 10, "older-logs": 10})
    assert (card.hint_cost, card.score) == (0, 20)


def test_a_target_that_the_lab_does_not_have_is_our_error(lab: Lab) -> None:
    with pytest.raises(PhiLabsError, match="'nothing', which lab small does not have") as caught:
        score(lab, [ExpectedCheck("test_x", "nothing")], [])
    assert caught.value.exit_code == 3


def test_messages_carry_no_control_characters_and_have_an_end(lab: Lab) -> None:
    told = CheckOutcome(
        "test_gz", "older-logs", CheckStatus.FAILED, "a\x1b[2J\u202eb\n  c\t\udcff" + "x" * 5000
    )
    card = score(lab, EXPECTED, [told if item.check == "test_gz" else item for item in outcomes()])
    (message,) = card.objectives[1].messages
    assert message.startswith("a?[2J?b\n  c ")
    assert "?xx" in message
    assert len(message) == 2000


def test_a_scorecard_survives_json(lab: Lab) -> None:
    about = About("Ada Ünal", "ba", "run-1", 3, "2026-11-21T10:00:00Z", {"ehr1": "sha256:00"})
    card = score(
        lab,
        EXPECTED,
        outcomes(test_reviewer=CheckStatus.ERROR),
        hint_costs={"record": 3},
        assurance="supervised",
        rescue_used=True,
        about=about,
    )
    assert Scorecard.from_json(card.to_json()) == card
    assert card.stamps == ("supervised", "rescue console used")
    data = json.loads(card.to_json())
    assert (data["schema_version"], data["score"], data["about"]["trainee"]) == (1, card.score, "Ada Ünal")
    assert data["objectives"][0]["citations"][0]["status"] == "standard"


def test_a_scorecard_is_frozen(lab: Lab) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        score(lab, EXPECTED, outcomes()).lab = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schema_version", 99, "format 99"),
        ("score", 100, "contradicts itself"),
        ("objectives", 7, "no scorecard"),
        ("guards", [{}], "no scorecard"),
        ("extra", 1, "contradicts itself"),
    ],
)
def test_a_spoiled_scorecard_is_refused(lab: Lab, key: str, value: object, message: str) -> None:
    data = score(lab, EXPECTED, outcomes(test_gz=CheckStatus.FAILED)).to_data()
    with pytest.raises(UserError, match=message):
        Scorecard.from_json(json.dumps({**data, key: value}))


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "{"])
def test_what_is_no_scorecard_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="no scorecard"):
        Scorecard.from_json(text)


def test_points_stay_within_bounds_whatever_happens(lab: Lab) -> None:
    rng = random.Random("bounds")  # noqa: S311 - the same cases every time
    for _ in range(60):
        told = [dataclasses.replace(item, status=rng.choice(list(CheckStatus))) for item in outcomes()]
        told = [item for item in told for _ in range(rng.choice([0, 1, 1, 1, 1, 2]))]
        costs = {name: rng.randrange(60) for name in lab.objective_ids}
        card = score(lab, EXPECTED, told, hint_costs=costs)
        for item in card.objectives:
            assert item.earned in (0, item.points)
            assert 0 <= item.hint_cost <= item.points // 2
            assert 0 <= item.score <= item.earned
        assert card.score == card.earned - card.withheld - card.hint_cost
        assert card.passed == (card.earned == 100 and card.withheld == 0)
        assert Scorecard.from_json(card.to_json()) == card
