"""The cohort that a workshop's events tell of: a fold, so that it can be made anew at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any

from phi_labs.errors import UserError
from phi_labs.model.cohort import (
    Adjustment,
    AttemptRecord,
    Cohort,
    LabResult,
    Learner,
    LearnerRecord,
    Standing,
)
from phi_labs.model.nearest import did_you_mean
from phi_labs.model.scorecard import Scorecard
from phi_labs.records.counting import CountRule, counted
from phi_labs.records.event import FIRST_CONTACT, Event, Kind
from phi_labs.records.store import Records

_LEARNER = frozenset(item.name for item in fields(Learner))


def read_cohort(records: Records, workshop: str) -> Cohort:
    """The cohort of a workshop as its events tell it now.

    Raises:
        UserError: there is no such workshop.
    """
    head = records.head()
    found = fold(workshop, records.events(workshop), (head.hash, head.count))
    if found is None:
        known = records.workshops()
        hint = did_you_mean(workshop, known) or f"there are: {', '.join(known) or 'none yet'}"
        raise UserError(f"the records know no workshop {workshop!r}", hint)
    return found


def fold(workshop: str, events: Iterable[Event], head: tuple[str, int] = ("", 0)) -> Cohort | None:
    """The cohort after these events of one workshop; None when it was never opened."""
    tale = _Tale()
    for event in events:
        step = _STEPS.get(event.kind)
        if step is not None:
            step(tale, event)
    return tale.cohort(workshop, head) if tale.opened else None


@dataclass
class _Place:
    """One learner's events in one lab, as far as they have been read."""

    attempts: list[AttemptRecord] = field(default_factory=list)
    assigned_at: str = ""
    started_at: str = ""
    due_at: str = ""
    trigger: str = ""
    retry: int = 0
    hints: dict[str, int] = field(default_factory=dict)
    rescued: bool = False
    override: int | None = None
    exempt: bool = False


@dataclass
class _Person:
    """One learner's events."""

    learner: Learner
    places: dict[str, _Place] = field(default_factory=dict)
    adjustments: list[Adjustment] = field(default_factory=list)
    exempt: bool = False

    def place(self, event: Event) -> _Place:
        return self.places.setdefault(event.data["lab"], _Place())


@dataclass
class _Tale:
    """What has been told so far."""

    opened: Mapping[str, Any] = field(default_factory=dict)
    opened_at: str = ""
    closed_at: str = ""
    people: dict[str, _Person] = field(default_factory=dict)

    def person(self, event: Event) -> _Person:
        """Nobody is lost, not even who was never enrolled."""
        nobody = Learner(event.subject, event.subject, "", self.opened.get("entity", ""))
        return self.people.setdefault(event.subject, _Person(nobody))

    @property
    def points(self) -> dict[str, int]:
        return {lab["id"]: int(lab.get("points", 100)) for lab in self.opened["labs"]}

    def cohort(self, workshop: str, head: tuple[str, int]) -> Cohort:
        scenario = self.opened["scenario"]
        known = scenario if isinstance(scenario, Mapping) else {"id": scenario}
        rule, mark = CountRule(self.opened["count_rule"]), int(self.opened["pass_mark"])
        labs = tuple(self.points)
        return Cohort(
            workshop=workshop,
            scenario=str(known.get("id", "")),
            title=str(known.get("title", known.get("id", ""))),
            entity=self.opened["entity"],
            trainer=self.opened["trainer"],
            labs=labs,
            points=self.points,
            pass_mark=mark,
            opened_at=self.opened_at,
            closed_at=self.closed_at,
            records=tuple(_record(person, labs, rule, mark) for person in self.people.values()),
            trigger=self.opened.get("trigger", ""),
            head=head,
            count_rule=rule.value,
        )


def _record(person: _Person, labs: tuple[str, ...], rule: CountRule, mark: int) -> LearnerRecord:
    # What was graded without being part of the scenario comes last; it is kept, not hidden.
    more = tuple(lab for lab in person.places if lab not in labs)
    results = tuple(_result(person, lab, rule, mark) for lab in (*labs, *more))
    return LearnerRecord(person.learner, results, tuple(person.adjustments))


def _result(person: _Person, lab: str, rule: CountRule, mark: int) -> LabResult:
    place = person.places.get(lab, _Place())
    # By number: one that was kept when the program was killed may be recorded after later ones.
    in_order = sorted(place.attempts, key=lambda attempt: attempt.number)
    attempts = tuple(_with_lateness(attempt, place.due_at) for attempt in in_order)
    best = counted(attempts, rule)
    score = place.override if place.override is not None else best.scorecard.score if best else None
    passed = score is not None and score >= mark
    return LabResult(
        lab=lab,
        standing=_standing(place, passed=passed),
        attempts=attempts,
        counted=best,
        score=score,
        passed=passed,
        started_at=place.started_at,
        due_at=place.due_at,
        hints=place.hints,
        rescued=place.rescued,
        assigned_at=place.assigned_at,
        trigger=place.trigger,
        overridden=place.override is not None,
        exempt=place.exempt or person.exempt,
    )


def _with_lateness(attempt: AttemptRecord, due_at: str) -> AttemptRecord:
    """An extension that was granted afterwards makes an attempt timely; nothing makes one late afterwards."""
    if not attempt.late or not due_at or _time(attempt.graded_at) > _time(due_at):
        return attempt
    return AttemptRecord(**{**vars(attempt), "late": False})


def _standing(place: _Place, *, passed: bool) -> Standing:
    if passed:
        return Standing.PASSED
    if place.attempts:
        return Standing.ATTEMPTED
    return Standing.STARTED if place.started_at else Standing.NOT_STARTED


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


# -- one step for each kind ----------------------------------------------------------------


def _opened(tale: _Tale, event: Event) -> None:
    tale.opened, tale.closed_at = event.data, ""
    tale.opened_at = tale.opened_at or event.at


def _closed(tale: _Tale, event: Event) -> None:
    tale.closed_at = event.at


def _enrolled(tale: _Tale, event: Event) -> None:
    person = tale.person(event)
    told = {name: str(value) for name, value in event.data.items() if name in _LEARNER and value is not None}
    person.learner = Learner(**{**vars(person.learner), **told, "name": event.subject})


def _assigned(tale: _Tale, event: Event) -> None:
    place = tale.person(event).place(event)
    place.assigned_at = place.assigned_at or event.at
    place.due_at = event.data.get("due_at") or ""
    place.trigger = event.data.get("trigger") or place.trigger


def _session(tale: _Tale, event: Event) -> None:
    """A learner starts when they first enter a lab; its machines may have waited for them for hours."""
    if event.data["what"] == FIRST_CONTACT and event.data.get("lab"):
        place = tale.person(event).place(event)
        place.started_at = place.started_at or event.at


def _prepared(tale: _Tale, event: Event) -> None:
    place = tale.person(event).place(event)
    retry = int(event.data.get("retry") or 0)
    if retry != place.retry:  # another machine: hints are counted anew
        place.retry, place.hints = retry, {}


def _hint(tale: _Tale, event: Event) -> None:
    hints = tale.person(event).place(event).hints
    objective = event.data["objective"]
    hints[objective] = max(hints.get(objective, 0), int(event.data["number"]))


def _rescue(tale: _Tale, event: Event) -> None:
    tale.person(event).place(event).rescued = True


def _graded(tale: _Tale, event: Event) -> None:
    said = event.data
    tale.person(event).place(event).attempts.append(
        AttemptRecord(
            event=event.number,
            number=int(said["number"]),
            lab=said["lab"],
            graded_at=said["graded_at"],
            scorecard=Scorecard.from_data(said["scorecard"]),
            assurance=said["assurance"],
            submission=said.get("submission") or "",
            seed=said.get("seed") or "",
            lab_version=said.get("lab_version") or "",
            checker_version=said.get("checker_version") or "",
            regrade_of=int(said.get("regrade_of") or 0),
            late=bool(said.get("late")),
        )
    )


def _extended(tale: _Tale, event: Event) -> None:
    person, said = tale.person(event), event.data
    places = [person.place(event)] if said["lab"] else list(person.places.values())
    for place in places:
        if not place.due_at:  # no deadline was set: there is nothing to move
            continue
        until = said.get("until") if said["lab"] else None
        moved = _time(place.due_at) + timedelta(minutes=int(said["minutes"]))
        place.due_at = until or moved.isoformat()


def _adjusted(tale: _Tale, event: Event) -> None:
    person, said = tale.person(event), event.data
    score, lab = said.get("score"), said.get("lab") or ""
    reason = said.get("statement") or said.get("reason") or ""
    person.adjustments.append(
        Adjustment(event.number, str(event.kind), event.at, event.actor, reason, lab, score)
    )
    if event.kind == Kind.OVERRIDE:
        person.place(event).override = score  # None lifts an earlier one
    elif event.kind == Kind.EXCEPTION and lab:
        person.place(event).exempt = True
    elif event.kind == Kind.EXCEPTION:
        person.exempt = True


_STEPS: dict[str, Callable[[_Tale, Event], None]] = {
    Kind.WORKSHOP_OPENED: _opened,
    Kind.WORKSHOP_CLOSED: _closed,
    Kind.ENROLLED: _enrolled,
    Kind.CHANGED: _enrolled,
    Kind.LAB_ASSIGNED: _assigned,
    Kind.LAB_STARTED: _prepared,
    Kind.SESSION: _session,
    Kind.HINT_TAKEN: _hint,
    Kind.RESCUE_USED: _rescue,
    Kind.GRADED: _graded,
    Kind.EXTENDED: _extended,
    Kind.APPEAL: _adjusted,
    Kind.OVERRIDE: _adjusted,
    Kind.EXCEPTION: _adjusted,
    Kind.ATTESTATION: _adjusted,
}
