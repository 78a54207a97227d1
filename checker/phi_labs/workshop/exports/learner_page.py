"""A learner's training record, to be printed: who, why, what, result, assurance, record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from phi_labs.model.citations import citation
from phi_labs.model.cohort import AttemptRecord, Cohort, LabResult, LearnerRecord
from phi_labs.model.entity import ENTITY_NAMES
from phi_labs.model.scorecard import ObjectiveScore
from phi_labs.workshop.exports import facts
from phi_labs.workshop.exports.chart import Line, Point, score_chart
from phi_labs.workshop.exports.pages import COUNT_RULES, NONE, TRIGGERS, drawing, minute, page

Rows = list[tuple[str, str]]
MESSAGES = 3  # per objective
RETENTION = ("164.316(b)(2)(i)", "164.530(j)")
DELIVERY = "hands-on lab on a machine of the learner's own, over SSH; graded by checks from outside"


def learner_page(cohort: Cohort, record: LearnerRecord) -> str:
    """HTML without anything from elsewhere."""
    results = _all_results(cohort, record)
    return page(
        "learner.html",
        cohort,
        learner=record.learner,
        score=facts.total(cohort, record),
        available=facts.available(cohort),
        passed=sum(result.passed for result in results),
        finished=facts.finished(cohort, record),
        pass_mark=cohort.pass_mark,
        who=_who(record),
        why=_why(cohort),
        labs=[_lab(cohort, result) for result in results],
        chart=_chart(cohort, record),
        assurance=_assurance(cohort, record),
        adjustments=[_adjustment(item) for item in record.adjustments],
        record=_record(cohort),
    )


def _all_results(cohort: Cohort, record: LearnerRecord) -> list[LabResult]:
    """The scenario's labs, then what was graded besides: kept, not hidden."""
    more = [result for result in record.results if result.lab not in cohort.labs]
    return [*facts.assigned(cohort, record), *more]


def _who(record: LearnerRecord) -> Rows:
    learner = record.learner
    entity = next((name for key, name in ENTITY_NAMES.items() if key == learner.entity), learner.entity)
    return [
        ("Name", learner.full_name),
        ("Learner id", learner.name),
        ("E-mail", learner.email),
        ("Role", learner.role),
        ("Works for", f"a {entity}" if entity else ""),
        ("Employment", learner.employment),
        ("Manager", learner.manager),
        ("Hired", learner.hired),
        ("Access since", learner.access_since),
        ("Role changed", learner.role_changed),
    ]


def _why(cohort: Cohort) -> Rows:
    return [
        ("Training", f"{cohort.title} ({cohort.scenario}), workshop {cohort.workshop}"),
        ("Trigger", TRIGGERS.get(cohort.trigger, cohort.trigger)),
        ("Workshop", f"{minute(cohort.opened_at)} to {minute(cohort.closed_at) or 'still open'}"),
    ]


def _lab(cohort: Cohort, result: LabResult) -> dict[str, Any]:
    shown = result.counted or (result.attempts[-1] if result.attempts else None)
    return {
        "id": result.lab,
        "title": f"{shown.scorecard.title} ({result.lab})" if shown else result.lab,
        "trigger": TRIGGERS.get(result.trigger, result.trigger),
        "assigned": minute(result.assigned_at),
        "due": minute(result.due_at),
        "started": minute(result.started_at),
        "standing": f"{result.standing}{', excepted' if result.exempt else ''}",
        "score": _score(cohort, result),
        "what": _what(result, shown),
        "attempts": [_attempt(attempt) for attempt in result.attempts],
        "shown": _shown(result, shown),
        "objectives": [_objective(item) for item in shown.scorecard.objectives] if shown else [],
        "failed_guards": [guard.title for guard in shown.scorecard.failed_guards] if shown else [],
    }


def _score(cohort: Cohort, result: LabResult) -> str:
    if result.score is None:
        return NONE
    star = " *" if result.overridden else ""
    return f"{result.score} of {cohort.points.get(result.lab, 100)}{star}"


def _shown(result: LabResult, shown: AttemptRecord | None) -> str:
    if shown is None:
        return ""
    return f"Attempt {shown.number}, {'which counts' if result.counted else 'the latest; none counts'}"


def _what(result: LabResult, shown: AttemptRecord | None) -> Rows:
    if shown is None:
        return [("Result", "excepted" if result.exempt else "not attempted")]
    images = shown.scorecard.about.images
    hints = ", ".join(f"{objective}: {number}" for objective, number in sorted(result.hints.items()))
    return [
        ("Policy", shown.scorecard.policy),
        ("Lab version", shown.lab_version),
        ("Checker version", shown.checker_version),
        ("Images", ", ".join(f"{host} {image}" for host, image in sorted(images.items()))),
        ("Seed", shown.seed),
        ("Started, finished", f"{minute(result.started_at) or 'not recorded'}, {minute(shown.graded_at)}"),
        ("Hints taken", hints or "none"),
        ("Rescue console", "used" if result.rescued else "not used"),
    ]


def _attempt(attempt: AttemptRecord) -> dict[str, Any]:
    card = attempt.scorecard
    marks = [attempt.assurance]
    marks += ["late"] if attempt.late else []
    marks += [f"attempt {attempt.regrade_of} graded again"] if attempt.regrade_of else []
    return {
        "number": attempt.number,
        "graded": minute(attempt.graded_at),
        "score": card.score,
        "earned": card.earned,
        "withheld": card.withheld,
        "hints": card.hint_cost,
        "assurance": ", ".join(marks),
        "submission": attempt.submission,
    }


def _objective(item: ObjectiveScore) -> dict[str, Any]:
    result = "reached" if item.passed else "not reached"
    if item.withheld:
        result = f"reached; {item.withheld} points withheld"
    if item.hint_cost:
        result += f"; {item.hint_cost} spent on hints"
    return {
        "title": item.title,
        "points": item.points,
        "score": item.score,
        "good": item.passed and not item.withheld,
        "result": result,
        "messages": item.messages[:MESSAGES],
        "citations": [str(source) for source in item.citations],
    }


def _assurance(cohort: Cohort, record: LearnerRecord) -> Rows:
    told = [item for item in record.adjustments if item.kind == "attestation"]
    return [
        ("Trainer", cohort.trainer),
        ("Delivery", DELIVERY),
        ("Score of record", COUNT_RULES.get(cohort.count_rule, cohort.count_rule)),
        ("Attestation", "; ".join(f"{item.reason} ({item.actor}, {minute(item.at)})" for item in told)),
    ]


def _adjustment(item: Any) -> dict[str, Any]:
    return {
        "at": minute(item.at),
        "kind": item.kind,
        "lab": item.lab,
        "actor": item.actor,
        "reason": item.reason,
        "score": "" if item.score is None else item.score,
    }


def _record(cohort: Cohort) -> Rows:
    hash_, count = cohort.head
    until = facts.retain_until(facts.last_day(cohort))
    return [
        ("Retain at least until", f"{until} (six years from creation or last effective date, the later one)"),
        ("Why so long", "; for a covered entity also ".join(str(citation(item)) for item in RETENTION)),
        ("Event log", f"{count} events, head {hash_}" if hash_ else ""),
    ]


# -- the chart -------------------------------------------------------------------------------


def _chart(cohort: Cohort, record: LearnerRecord) -> Any:
    lines = [Line(result.lab, tuple(_points(result))) for result in _all_results(cohort, record)]
    return drawing(score_chart(lines, cohort.pass_mark, "Scores over time, a line for each lab"))


def _points(result: LabResult) -> Iterator[Point]:
    for attempt in sorted(result.attempts, key=lambda item: facts.moment(item.graded_at)):
        counts = attempt.assurance == "supervised" and not attempt.late
        yield Point(facts.moment(attempt.graded_at), attempt.scorecard.score, counts)
