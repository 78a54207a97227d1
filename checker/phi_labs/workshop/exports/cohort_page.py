"""A cohort's record, to be printed: the whole roster, those who did not finish, the trend."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from phi_labs.model.cohort import Cohort, LabResult, LearnerRecord
from phi_labs.model.entity import ENTITY_NAMES
from phi_labs.model.scorecard import ObjectiveScore
from phi_labs.workshop.exports import facts
from phi_labs.workshop.exports.chart import Line, Point, score_chart
from phi_labs.workshop.exports.pages import COUNT_RULES, NONE, TRIGGERS, drawing, minute, page


def cohort_page(cohort: Cohort) -> str:
    """HTML without anything from elsewhere."""
    rows = [_row(cohort, record) for record in cohort.records]
    return page(
        "cohort.html",
        cohort,
        heads=facts.heads(cohort),
        about=_about(cohort),
        labs=[_lab(cohort, lab) for lab in cohort.labs],
        rows=rows,
        missing=[row for row in rows if row["lacks"]],
        chart=_chart(cohort),
    )


def _about(cohort: Cohort) -> list[tuple[str, str]]:
    entity = next((name for key, name in ENTITY_NAMES.items() if key == cohort.entity), "")
    return [
        ("Workshop", cohort.workshop),
        ("Scenario", cohort.scenario),
        ("Taken as staff of", f"a {entity}" if entity else "their own employer, by the roster"),
        ("Trigger", TRIGGERS.get(cohort.trigger, cohort.trigger)),
        ("Trainer", cohort.trainer),
        ("Opened", minute(cohort.opened_at)),
        ("Closed", minute(cohort.closed_at) or "still open: figures may change"),
        ("Pass mark", f"{cohort.pass_mark} of 100 points of a lab"),
        ("Score of record", COUNT_RULES.get(cohort.count_rule, cohort.count_rule)),
        ("Retain at least until", facts.retain_until(facts.last_day(cohort))),
    ]


def _results(cohort: Cohort, lab: str) -> list[LabResult]:
    place = cohort.labs.index(lab)
    return [facts.assigned(cohort, record)[place] for record in cohort.records]


def _lab(cohort: Cohort, lab: str) -> dict[str, Any]:
    results = _results(cohort, lab)
    scores = [result.score for result in results if result.score is not None]
    cards = [result.counted.scorecard for result in results if result.counted]
    return {
        "id": lab,
        "title": cards[0].title if cards else lab,
        "roster": len(results),
        "attempted": sum(bool(result.attempts) for result in results),
        "passed": sum(result.passed for result in results),
        "exempt": sum(result.exempt and not result.passed for result in results),
        "mean": f"{sum(scores) / len(results):.0f}" if results else NONE,
        "median": f"{statistics.median(scores):.0f}" if scores else NONE,
        "objectives": [_objective(results, item) for item in cards[0].objectives] if cards else [],
    }


def _objective(results: list[LabResult], item: ObjectiveScore) -> dict[str, Any]:
    reached = sum(
        entry.id == item.id and entry.passed and not entry.withheld
        for result in results
        if result.counted
        for entry in result.counted.scorecard.objectives
    )
    return {
        "title": item.title,
        "reached": reached,
        "citations": [str(source) for source in item.citations],
    }


def _row(cohort: Cohort, record: LearnerRecord) -> dict[str, Any]:
    results = facts.assigned(cohort, record)
    lacking = [f"{result.lab} ({result.standing})" for result in results if not facts.settled(result)]
    return {
        "name": record.learner.name,
        "full_name": record.learner.full_name,
        "role": record.learner.role,
        "entity": record.learner.entity.upper(),
        "scores": [_cell(result) for result in results],
        "total": facts.total(cohort, record),
        "finished": "no" if lacking else "yes",
        "lacks": ", ".join(lacking),
    }


def _cell(result: LabResult) -> str:
    if result.score is None:
        score = "°" if result.attempts else NONE
    else:
        score = f"{result.score}{'*' if result.overridden else ''}"
    return f"{score} x" if result.exempt else score


# -- the chart -------------------------------------------------------------------------------


def _chart(cohort: Cohort) -> Any:
    lines = [Line(lab, tuple(_trend(cohort, lab))) for lab in cohort.labs]
    described = "Mean score of the whole roster over time, a line for each lab"
    return drawing(score_chart(lines, cohort.pass_mark, described, marks=False))


def _trend(cohort: Cohort, lab: str) -> Iterator[Point]:
    """The mean of everybody's latest score, at each grading; it begins at 0 when the workshop opens."""
    gradings = sorted(
        (facts.moment(attempt.graded_at), number, attempt.scorecard.score)
        for number, result in enumerate(_results(cohort, lab))
        for attempt in result.attempts
    )
    if gradings:
        yield Point(min(facts.moment(cohort.opened_at), gradings[0][0]), 0)
    latest = [0] * len(cohort.records)
    total = 0
    for when, number, score in gradings:
        yield Point(when, total / len(latest))  # a step: nothing changes in between
        total += score - latest[number]
        latest[number] = score
        yield Point(when, total / len(latest))
