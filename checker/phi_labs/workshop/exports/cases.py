"""A cohort as test cases, for formats that were made for tests: one for each learner, lab and objective."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from phi_labs.model.cohort import Cohort, LabResult
from phi_labs.model.scorecard import ObjectiveScore, Scorecard
from phi_labs.workshop.exports import facts


class Outcome(StrEnum):
    """How a case ended; nothing that counts was handed in: skipped."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Case:
    """One objective of one learner. ``seconds`` is what its checks took."""

    name: str
    outcome: Outcome
    message: str = ""
    score: int = 0
    points: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Suite:
    """One lab of one learner. ``graded_at`` is empty where nothing counts."""

    learner: str
    lab: str
    cases: tuple[Case, ...]
    graded_at: str = ""
    facts: tuple[tuple[str, str], ...] = field(default=())


def suites(cohort: Cohort) -> Iterator[Suite]:
    """The whole roster times the scenario's labs."""
    for record in cohort.records:
        for result in facts.assigned(cohort, record):
            yield suite(cohort, record.learner.name, result)


def suite(cohort: Cohort, learner: str, result: LabResult) -> Suite:
    """One lab of one learner; a lab where nothing counts is a single case that was skipped."""
    known = (("standing", str(result.standing)), ("score", _score(cohort, result)), *_marks(result))
    if result.counted is None:
        case = Case(
            f"{result.lab} as a whole", Outcome.SKIPPED, why_nothing(result), 0, cohort.points[result.lab]
        )
        return Suite(learner, result.lab, (case,), "", known)
    card = result.counted.scorecard
    cases = tuple(_case(card, item) for item in card.objectives)
    return Suite(learner, result.lab, cases, result.counted.graded_at, known)


def _case(card: Scorecard, item: ObjectiveScore) -> Case:
    passed = item.passed and not item.withheld
    message = "" if passed else "\n".join(_messages(card, item))
    seconds = sum(check.duration for check in item.checks)
    outcome = Outcome.PASSED if passed else Outcome.FAILED
    return Case(f"{item.id}: {item.title}", outcome, message, item.score, item.points, seconds)


def _messages(card: Scorecard, item: ObjectiveScore) -> Iterator[str]:
    if item.withheld:
        held_back = [guard for guard in card.guards if guard.id in item.withheld_by]
        for guard in held_back:
            yield f"{item.withheld} points withheld: {guard.title}: {'; '.join(guard.messages)}"
    yield from item.messages


def why_nothing(result: LabResult) -> str:
    """Why no attempt of a lab counts."""
    if result.exempt:
        return "an exception covers this lab"
    if not result.attempts:
        return "not attempted"
    return "no attempt counts: all of them were late or practice"


def _score(cohort: Cohort, result: LabResult) -> str:
    return "" if result.score is None else f"{result.score} of {cohort.points[result.lab]}"


def _marks(result: LabResult) -> Iterator[tuple[str, str]]:
    if result.counted:
        yield "attempt", str(result.counted.number)
        yield "assurance", result.counted.assurance
    if result.overridden:
        yield "overridden", "a person set the score"
    if result.rescued:
        yield "rescue", "the rescue console was used"
