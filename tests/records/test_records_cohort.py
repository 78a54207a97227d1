"""The cohort is the fold of its events: which attempt counts, deadlines, overrides, and nobody is lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.records.samples import OPENED, graded

from phi_labs.errors import UserError
from phi_labs.model.cohort import AttemptRecord, Cohort, LabResult, LearnerRecord, Standing
from phi_labs.model.scorecard import Scorecard
from phi_labs.records.cohort import fold, read_cohort
from phi_labs.records.counting import CountRule, counted
from phi_labs.records.event import Event, Kind
from phi_labs.records.store import Records

DUE = "2026-03-02T10:00:00+00:00"
IN_TIME = "2026-03-02T09:30:00+00:00"
TOO_LATE = "2026-03-02T10:05:00+00:00"


class Log:
    """Events of the workshop ``march``; ana is enrolled and has log-access until ten."""

    def __init__(self, **opened: Any) -> None:
        self.events: list[Event] = []
        self.add(Kind.WORKSHOP_OPENED, **{**OPENED, **opened})
        self.add(Kind.ENROLLED, "ana", full_name="Ana Ruíz", email="ana@x.example.org", entity="ce")
        self.add(Kind.LAB_ASSIGNED, "ana", lab="log-access", due_at=DUE, trigger="hire")

    def add(self, kind: Kind, subject: str = "", /, **data: Any) -> Event:
        at = f"2026-03-02T08:{len(self.events):02d}:00.000000+00:00"
        event = Event(len(self.events) + 1, at, kind, "march", subject, "sam", data, "", "")
        self.events.append(event)
        return event

    def graded(self, points: int, **more: Any) -> Event:
        number = 1 + sum(event.kind == Kind.GRADED for event in self.events)
        return self.add(Kind.GRADED, "ana", **graded(number, points, **more))

    @property
    def cohort(self) -> Cohort:
        found = fold("march", self.events)
        assert found is not None
        return found

    @property
    def ana(self) -> LearnerRecord:
        return next(record for record in self.cohort.records if record.learner.name == "ana")

    @property
    def result(self) -> LabResult:
        return self.ana.results[0]


def test_a_workshop_says_what_it_is() -> None:
    log = Log(trigger="annual")
    cohort = log.cohort
    assert (cohort.scenario, cohort.title, cohort.entity, cohort.trainer) == (
        "ce-it",
        "CE IT foundations",
        "ce",
        "sam",
    )
    assert (cohort.labs, cohort.points) == (("log-access", "temp-phi"), {"log-access": 100, "temp-phi": 100})
    assert (cohort.pass_mark, cohort.count_rule, cohort.trigger) == (70, "last", "annual")
    assert (cohort.opened_at, cohort.closed_at) == (log.events[0].at, "")
    closed = log.add(Kind.WORKSHOP_CLOSED)
    assert log.cohort.closed_at == closed.at
    log.add(Kind.WORKSHOP_OPENED, **OPENED)
    assert (log.cohort.opened_at, log.cohort.closed_at) == (log.events[0].at, "")


def test_the_whole_roster_is_there_in_its_order_whether_they_began_or_not() -> None:
    log = Log()
    for name in ("zoe", "ben"):
        log.add(Kind.ENROLLED, name, full_name=name.title())
    assert [record.learner.name for record in log.cohort.records] == ["ana", "zoe", "ben"]
    untouched = log.cohort.records[1].results
    assert [result.standing for result in untouched] == [Standing.NOT_STARTED] * 2
    assert [result.score for result in untouched] == [None, None]


def test_a_changed_row_keeps_what_it_does_not_name() -> None:
    log = Log()
    log.add(Kind.CHANGED, "ana", role="team lead", role_changed="2026-03-01", shoe_size=41, manager=None)
    learner = log.ana.learner
    assert (learner.full_name, learner.role, learner.role_changed) == ("Ana Ruíz", "team lead", "2026-03-01")


def test_who_was_never_enrolled_is_not_lost() -> None:
    log = Log()
    log.add(Kind.GRADED, "stranger", **graded(1, 80))
    stranger = log.cohort.records[-1]
    assert (stranger.learner.name, stranger.learner.entity) == ("stranger", "ce")
    assert stranger.results[0].score == 80


def test_a_lab_that_is_not_in_the_scenario_is_kept_and_comes_last() -> None:
    log = Log()
    log.add(Kind.GRADED, "ana", **graded(1, 80, lab="extra"))
    assert [result.lab for result in log.ana.results] == ["log-access", "temp-phi", "extra"]


def test_standing_goes_from_not_started_to_passed() -> None:
    log = Log()
    seen = [log.result.standing]
    log.add(Kind.LAB_STARTED, "ana", lab="log-access")  # its machine waits for her
    seen.append(log.result.standing)
    started = log.add(Kind.SESSION, "ana", what="first-contact", lab="log-access")
    seen.append(log.result.standing)
    log.add(Kind.SESSION, "ana", what="first-contact", lab="log-access")
    log.graded(69)
    seen.append(log.result.standing)
    log.graded(70)
    assert [*seen, log.result.standing] == [
        Standing.NOT_STARTED, Standing.NOT_STARTED, Standing.STARTED, Standing.ATTEMPTED, Standing.PASSED,
    ]  # fmt: skip
    assert (log.result.started_at, log.result.due_at, log.result.trigger) == (started.at, DUE, "hire")
    assert [attempt.scorecard.score for attempt in log.result.attempts] == [69, 70]


# -- which attempt counts ----------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "number", "score"), [("last", 3, 60), ("best", 2, 90), ("first", 1, 40)])
def test_the_scenario_s_rule_chooses_the_attempt(rule: str, number: int, score: int) -> None:
    log = Log(count_rule=rule)
    for points in (40, 90, 60):
        log.graded(points)
    assert log.result.counted is not None
    assert (log.result.counted.number, log.result.score) == (number, score)
    assert len(log.result.attempts) == 3


@pytest.mark.parametrize("rule", list(CountRule))
@pytest.mark.parametrize("more", [{"late": True, "graded_at": TOO_LATE}, {"assurance": "practice"}])
def test_late_attempts_and_practice_are_kept_and_never_count(rule: str, more: dict[str, Any]) -> None:
    log = Log(count_rule=rule)
    log.graded(100, **more)
    assert (log.result.score, log.result.passed, log.result.standing) == (None, False, Standing.ATTEMPTED)
    log.graded(50)
    log.graded(100, **more)
    assert (log.result.score, len(log.result.attempts)) == (50, 3)


def test_the_earlier_of_two_best_ones_counts() -> None:
    log = Log(count_rule="best")
    for _ in range(2):
        log.graded(90)
    assert log.result.counted is not None
    assert log.result.counted.number == 1


def test_a_regrade_stands_in_the_place_of_what_it_graded_again() -> None:
    log = Log(count_rule="first")
    log.graded(40)
    log.graded(80)
    log.graded(75, regrade_of=1, late=True, graded_at=TOO_LATE)  # what was handed in was in time
    assert log.result.score == 75
    log.graded(20, regrade_of=3)  # of the regrade, which is of the first one
    assert log.result.score == 20
    assert Log(count_rule="last").result.score is None


def test_a_regrade_makes_neither_practice_of_what_was_supervised_nor_the_reverse() -> None:
    log = Log()
    log.graded(40)
    log.graded(60, regrade_of=1, assurance="practice")
    assert log.result.score == 60
    other = Log()
    other.graded(40, assurance="practice")
    other.graded(60, regrade_of=1)
    assert other.result.score is None


def test_a_regrade_of_an_earlier_attempt_does_not_become_the_last_one() -> None:
    log = Log()
    log.graded(40)
    log.graded(80)
    log.graded(100, regrade_of=1)
    assert log.result.score == 80


@settings(max_examples=60, deadline=None, database=None)
@given(
    st.lists(st.tuples(st.integers(0, 100), st.booleans(), st.booleans()), max_size=6),
    st.sampled_from(list(CountRule)),
)
def test_what_counts_is_always_one_that_may(made: list[tuple[int, bool, bool]], rule: CountRule) -> None:
    card = Scorecard.from_data(graded(1, 50)["scorecard"])
    attempts = [
        AttemptRecord(number, number, "x", IN_TIME, card, "supervised" if fine else "practice", late=late)
        for number, (_, fine, late) in enumerate(made, 1)
    ]
    found = counted(attempts, rule)
    eligible = [attempt for attempt in attempts if attempt.assurance == "supervised" and not attempt.late]
    assert (found in eligible) if eligible else found is None


# -- deadlines ---------------------------------------------------------------------------------


def test_an_extension_moves_the_deadline() -> None:
    log = Log()
    log.add(Kind.EXTENDED, "ana", lab="log-access", minutes=20)
    assert log.result.due_at == "2026-03-02T10:20:00+00:00"
    log.add(Kind.EXTENDED, "ana", lab="", minutes=10)
    assert log.result.due_at == "2026-03-02T10:30:00+00:00"
    log.add(Kind.EXTENDED, "ana", lab="log-access", minutes=5, until="2026-03-03T10:00:00+00:00")
    assert log.result.due_at == "2026-03-03T10:00:00+00:00"
    assert log.ana.results[1].due_at == ""  # no deadline stays none


def test_an_extension_that_is_granted_afterwards_makes_an_attempt_timely() -> None:
    log = Log()
    log.graded(90, late=True, graded_at=TOO_LATE)
    before = log.result
    log.add(Kind.EXTENDED, "ana", lab="log-access", minutes=20)
    after = log.result
    assert (before.score, before.attempts[0].late) == (None, True)
    assert (after.score, after.attempts[0].late) == (90, False)


def test_the_final_grade_at_the_deadline_is_not_late_for_being_graded_after_it() -> None:
    log = Log()
    log.graded(90, late=False, graded_at=TOO_LATE)
    assert log.result.score == 90


# -- hints, rescue -----------------------------------------------------------------------------


def test_hints_are_counted_by_objective_and_begin_anew_with_another_machine() -> None:
    log = Log()
    log.add(Kind.LAB_STARTED, "ana", lab="log-access", retry=0)
    for number in (1, 2):
        log.add(Kind.HINT_TAKEN, "ana", lab="log-access", objective="old-logs", number=number)
    log.add(Kind.LAB_STARTED, "ana", lab="log-access", retry=0)
    assert log.result.hints == {"old-logs": 2}
    log.add(Kind.LAB_STARTED, "ana", lab="log-access", retry=1)
    log.add(Kind.RESCUE_USED, "ana", lab="log-access")
    assert (log.result.hints, log.result.rescued) == ({}, True)


# -- what people decide ------------------------------------------------------------------------


def test_an_override_counts_until_it_is_lifted_and_hides_no_attempt() -> None:
    log = Log()
    attempt = log.graded(40)
    event = log.add(
        Kind.OVERRIDE, "ana", lab="log-access", event=attempt.number, score=80, reason="appeal upheld"
    )
    assert (log.result.score, log.result.passed, log.result.overridden) == (80, True, True)
    assert log.result.counted is not None
    assert log.result.counted.scorecard.score == 40
    (told,) = log.ana.adjustments
    assert (told.event, told.kind, told.actor, told.reason, told.score) == (
        event.number, "override", "sam", "appeal upheld", 80,
    )  # fmt: skip
    log.graded(90)
    assert log.result.score == 80
    log.add(Kind.OVERRIDE, "ana", lab="log-access", score=0, reason="was copied")
    assert (log.result.score, log.result.passed) == (0, False)
    log.add(Kind.OVERRIDE, "ana", lab="log-access", score=None, reason="mistake")
    assert (log.result.score, log.result.overridden, len(log.ana.adjustments)) == (90, False, 3)


def test_an_exception_exempts_and_scores_nothing() -> None:
    log = Log()
    log.add(Kind.EXCEPTION, "ana", lab="temp-phi", reason="on leave", approver="privacy officer")
    assert [result.exempt for result in log.ana.results] == [False, True]
    log.add(Kind.EXCEPTION, "ana", lab="", reason="left", approver="privacy officer")
    assert [result.exempt for result in log.ana.results] == [True, True]
    assert [result.score for result in log.ana.results] == [None, None]


def test_appeals_and_attestations_are_told_and_change_no_score() -> None:
    log = Log()
    log.graded(40)
    log.add(Kind.APPEAL, "ana", lab="log-access", event=4, reason="the auditor can read")
    log.add(Kind.ATTESTATION, "ana", statement="I saw her work alone")
    assert [(item.kind, item.reason) for item in log.ana.adjustments] == [
        ("appeal", "the auditor can read"),
        ("attestation", "I saw her work alone"),
    ]
    assert log.result.score == 40


def test_trouble_of_ours_is_no_attempt() -> None:
    log = Log()
    log.add(Kind.NOT_GRADED, "ana", lab="log-access", reason="the engine died")
    assert (log.result.attempts, log.result.score) == ((), None)


# -- from the store ----------------------------------------------------------------------------


def test_a_cohort_is_read_from_the_store_with_its_head(either: str) -> None:
    with Records(either) as records:
        records.append(Kind.WORKSHOP_OPENED, workshop="march", actor="sam", data=OPENED)
        records.append(Kind.ENROLLED, workshop="march", actor="sam", subject="ana", data={"full_name": "Ana"})
        records.append(Kind.GRADED, workshop="march", actor="sam", subject="ana", data=graded(1, 85))
        records.append(Kind.WORKSHOP_OPENED, workshop="april", actor="sam", data=OPENED)
        cohort = read_cohort(records, "march")
        head = records.head()
        assert cohort.head == (head.hash, 4)
        assert cohort.records[0].results[0].score == 85
        assert read_cohort(records, "april").records == ()
        with pytest.raises(UserError, match="no workshop 'marsh'") as caught:
            read_cohort(records, "marsh")
        assert "march" in caught.value.hint
