"""Figures that several exports need, and the words that all of them use."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from phi_labs.model.cohort import AttemptRecord, Cohort, LabResult, LearnerRecord, Standing

STATEMENT = (
    "This record supports evidence of training. It certifies nobody, says nothing about anybody's "
    "compliance, and no agency has approved it."
)
RETENTION_YEARS = 6  # 164.316(b)(2)(i); 164.530(j) for a covered entity


@dataclass(frozen=True)
class Heads:
    """How many learners; ``learners`` is the whole roster, and the others add up to it."""

    learners: int
    finished: int
    unfinished: int
    not_started: int


def settled(result: LabResult) -> bool:
    """Whether nothing is left to do: passed, or an exception covers it."""
    return result.passed or result.exempt


def assigned(cohort: Cohort, record: LearnerRecord) -> list[LabResult]:
    """The learner's results in the scenario's labs, in order; labs graded besides are left out."""
    by_lab = {result.lab: result for result in record.results}
    return [by_lab.get(lab, LabResult(lab, Standing.NOT_STARTED)) for lab in cohort.labs]


def finished(cohort: Cohort, record: LearnerRecord) -> bool:
    """Whether every lab of the scenario is passed or excepted."""
    return all(settled(result) for result in assigned(cohort, record))


def begun(record: LearnerRecord) -> bool:
    """Whether the learner did anything."""
    return any(result.standing is not Standing.NOT_STARTED for result in record.results)


def heads(cohort: Cohort) -> Heads:
    """The whole roster, counted."""
    done = sum(finished(cohort, record) for record in cohort.records)
    idle = sum(not finished(cohort, record) and not begun(record) for record in cohort.records)
    return Heads(len(cohort.records), done, len(cohort.records) - done - idle, idle)


def total(cohort: Cohort, record: LearnerRecord) -> int:
    """Points that count in all labs of the scenario; what was not attempted gives none."""
    return sum(result.score or 0 for result in assigned(cohort, record))


def available(cohort: Cohort) -> int:
    """Points that could be had in all labs of the scenario."""
    return sum(cohort.points[lab] for lab in cohort.labs)


def attempts(records: Iterable[LearnerRecord]) -> Iterator[AttemptRecord]:
    """Every kept grading."""
    for record in records:
        for result in record.results:
            yield from result.attempts


def last_day(cohort: Cohort) -> str:
    """The latest time that the cohort tells of."""
    times = [cohort.opened_at, cohort.closed_at]
    times += [attempt.graded_at for attempt in attempts(cohort.records)]
    times += [item.at for record in cohort.records for item in record.adjustments]
    return max(times, key=moment)


def moment(text: str) -> float:
    """Seconds since 1970 of a UTC time in ISO 8601; 0 for none."""
    if not text:
        return 0.0
    parsed = datetime.datetime.fromisoformat(text)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=datetime.UTC)).timestamp()


def retain_until(text: str) -> str:
    """The day, six years after that time, until which the record is kept at least; empty for none."""
    if not text:
        return ""
    day = datetime.date.fromisoformat(text[:10])
    leap = day.month == 2 and day.day == 29
    return (day.replace(day=28) if leap else day).replace(year=day.year + RETENTION_YEARS).isoformat()
