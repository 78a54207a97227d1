"""One learner's training record: who, why, what, result, assurance, record.

It supports evidence of training; whether training was enough, the organisation decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from phi_labs.errors import UserError
from phi_labs.model.cohort import AttemptRecord, Cohort, LabResult, LearnerRecord
from phi_labs.model.nearest import did_you_mean
from phi_labs.model.scorecard import Scorecard
from phi_labs.records.cohort import read_cohort
from phi_labs.records.event import Event, Kind
from phi_labs.records.store import Records

RETENTION_YEARS = 6  # 164.316(b)(2)(i), and 164.530(j) for a covered entity
STATEMENT = "This record supports evidence of training. It is no statement about anybody's compliance."
NOTHING = "not recorded"


@dataclass(frozen=True)
class Section:
    """A heading, and (label, what is recorded) beneath it."""

    title: str
    lines: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class TrainingRecord:
    """What is recorded on one learner in one workshop."""

    learner: str
    workshop: str
    sections: tuple[Section, ...]
    statement: str = STATEMENT

    def to_data(self) -> dict[str, Any]:
        """JSON-able; labels may come again (an attempt's, an appeal's), so lines are pairs."""
        return {
            "learner": self.learner,
            "workshop": self.workshop,
            "statement": self.statement,
            "sections": [
                {"title": item.title, "lines": [list(line) for line in item.lines]} for item in self.sections
            ],
        }


def training_records(records: Records, name: str, workshop: str | None = None) -> list[TrainingRecord]:
    """The learner's records, one for each workshop that knows the name.

    Args:
        workshop: only this one.

    Raises:
        UserError: nobody of that name, no such workshop.
    """
    found, names = [], []
    for place in [workshop] if workshop is not None else records.workshops():
        events = list(records.events(place))
        if workshop is None and not any(event.kind == Kind.WORKSHOP_OPENED for event in events):
            continue
        cohort = read_cohort(records, place)
        names += [item.learner.name for item in cohort.records]
        found += [_record(cohort, item, events) for item in cohort.records if item.learner.name == name]
    if not found:
        hint = did_you_mean(name, names) or "phi-labs records show lists who is in the records"
        raise UserError(f"the records know no learner {name!r}", hint)
    return found


def retain_until(events: Iterable[Event]) -> str:
    """The day until which these events are to be kept at least: six years from the last of them."""
    last = max((event.at for event in events), default="")
    if not last:
        return ""
    day = datetime.fromisoformat(last).date()
    leap = day.month == 2 and day.day == 29  # the other years end that month a day earlier: keep one more
    later = day.replace(year=day.year + RETENTION_YEARS, month=3, day=1) if leap else None
    return (later or day.replace(year=day.year + RETENTION_YEARS)).isoformat()


def _record(cohort: Cohort, of: LearnerRecord, events: list[Event]) -> TrainingRecord:
    own = [event for event in events if event.subject == of.learner.name]
    labs = [Section(f"Lab {result.lab}", tuple(_filled(_lab(result, cohort, own)))) for result in of.results]
    sections = (
        Section("Who", tuple(_filled(_who(of)))),
        Section("Why and how", tuple(_filled(_why(cohort)))),
        *labs,
        Section("Assurance", tuple(_filled(_assurance(cohort, of)))),
        Section("Record", tuple(_filled(_keeping(cohort, own, events)))),
    )
    return TrainingRecord(of.learner.name, cohort.workshop, sections)


def _filled(lines: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    return ((label, text or NOTHING) for label, text in lines)


def _who(of: LearnerRecord) -> Iterator[tuple[str, str]]:
    learner = of.learner
    yield "learner", learner.name
    yield "name", learner.full_name
    yield "role", learner.role
    yield "entity", {"ce": "covered entity", "ba": "business associate"}.get(learner.entity, learner.entity)
    yield "employment", learner.employment
    yield "manager", learner.manager
    yield "hired", learner.hired
    yield "access since", learner.access_since
    yield "role changed", learner.role_changed


def _why(cohort: Cohort) -> Iterator[tuple[str, str]]:
    yield "workshop", cohort.workshop
    yield "scenario", f"{cohort.title} ({cohort.scenario})"
    yield "trigger", cohort.trigger
    yield "opened", cohort.opened_at
    yield "closed", cohort.closed_at or "still open"
    yield "pass mark", f"{cohort.pass_mark} points"
    yield "which attempt counts", f"the {cohort.count_rule} supervised one before the deadline"
    yield "delivery", "hands-on labs on servers with synthetic patient data, graded from outside"


def _lab(result: LabResult, cohort: Cohort, own: list[Event]) -> Iterator[tuple[str, str]]:
    mine = [event for event in own if event.data.get("lab") == result.lab]
    yield "standing", str(result.standing) + (", exempted" if result.exempt else "")
    yield "assigned", result.assigned_at
    yield "due", result.due_at
    yield "trigger", result.trigger or cohort.trigger
    yield "started", result.started_at
    yield "score that counts", _score(result, cohort)
    yield "hints", ", ".join(f"{name}: {count}" for name, count in result.hints.items()) or "none"
    yield "rescue console", "used" if result.rescued else "not used"
    yield "knowledge answers", ""
    graded = {event.number: event for event in mine if event.kind == Kind.GRADED}
    for attempt in result.attempts:
        yield f"attempt {attempt.number}", _attempt(attempt)
        yield "  objectives", _objectives(attempt.scorecard)
        yield "  graded with", _graded_with(attempt, graded[attempt.event])
    if result.attempts:
        yield "citations", _citations(result.attempts[-1].scorecard)
    else:
        yield "attempts", "none"


def _score(result: LabResult, cohort: Cohort) -> str:
    if result.score is None:
        return "none"
    source = "set by override" if result.overridden else ""
    if result.counted and not source:
        source = f"attempt {result.counted.number}"
    verdict = "passed" if result.passed else "not passed"
    return f"{result.score} of {cohort.points.get(result.lab, 100)}, {verdict} ({source})"


def _attempt(attempt: AttemptRecord) -> str:
    late = ", late" if attempt.late else ""
    again = f", attempt {attempt.regrade_of} graded again" if attempt.regrade_of else ""
    card = attempt.scorecard
    return f"{card.score} points, {attempt.assurance}{late}{again}, {attempt.graded_at}; {card.statement}"


def _objectives(card: Scorecard) -> str:
    return ", ".join(f"{item.id} {item.score}/{item.points}" for item in card.objectives)


def _graded_with(attempt: AttemptRecord, event: Event) -> str:
    images = event.data.get("images") or dict(attempt.scorecard.about.images)
    parts = {
        "seed": attempt.seed,
        "lab version": attempt.lab_version,
        "checker": attempt.checker_version,
        "policy": event.data.get("policy") or attempt.scorecard.policy,
        "submission": attempt.submission,
        "images": ", ".join(f"{host} {image}" for host, image in images.items()),
    }
    return "; ".join(f"{name} {text}" for name, text in parts.items() if text)


def _citations(card: Scorecard) -> str:
    cited = [source for item in card.objectives for source in item.citations]
    cited += [source for guard in card.guards for source in guard.citations]
    return "; ".join(dict.fromkeys(str(source) for source in cited))


def _assurance(cohort: Cohort, of: LearnerRecord) -> Iterator[tuple[str, str]]:
    yield "trainer", cohort.trainer
    for item in of.adjustments:
        about = f" {item.lab}" if item.lab else ""
        score = f", {item.score} points" if item.score is not None else ""
        yield f"{item.kind}{about}", f"{item.reason}{score} (by {item.actor}, {item.at}, event {item.event})"
    if not any(item.kind == Kind.ATTESTATION for item in of.adjustments):
        yield "attestation", ""


def _keeping(cohort: Cohort, own: list[Event], events: list[Event]) -> Iterator[tuple[str, str]]:
    holds = [event for event in events if event.kind == Kind.LEGAL_HOLD]
    holds = [event for event in holds if event.subject in {"", own[0].subject if own else ""}]
    held = holds[-1] if holds and holds[-1].data["held"] else None
    yield "legal hold", f"since {held.at}: {held.data['reason']}" if held else "none"
    yield "retain until", f"{retain_until(own)} at least (six years; longer under a legal hold)"
    yield "events", ", ".join(str(event.number) for event in own)
    yield "hash of the log", f"{cohort.head[0]} after {cohort.head[1]} events"
