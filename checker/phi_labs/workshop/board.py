"""Where everybody is in an open workshop: folded from its events, kept in memory, asked by ``status``.

The same fold serves a workshop that is open and one that is taken up again after a kill: what is not in an
event did not happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from phi_labs.records.event import FIRST_CONTACT, Event, Kind

MACHINE_GONE = "machine-gone"
TIME_OVER = "time"
DISK_OVER = "disk"


@dataclass
class Place:
    """One learner in one lab.

    Attributes:
        started_at, contacted_at, due_at: when its machines came up, when the learner first entered, when the
            time is over; None where that has not happened or has no end.
        score: of the last attempt, None before the first; ``best`` of the best one.
        gained_at: when the last new points came.
        failed: attempts since then.
        trouble: why the last grading gave no verdict; empty after one that did.
        finished: why no more is graded ("time", "closed", ...); empty while it goes on.
        attempts_before: highest number of an attempt when its machines first came up; None before that.
    """

    learner: str
    lab: str
    started_at: datetime | None = None
    contacted_at: datetime | None = None
    due_at: datetime | None = None
    score: int | None = None
    best: int = 0
    gained_at: datetime | None = None
    attempts: int = 0
    failed: int = 0
    hints: int = 0
    rescued: bool = False
    trouble: str = ""
    finished: str = ""
    attempts_before: int | None = None
    numbers: set[int] = field(default_factory=set)

    def stuck(self, now: datetime, after: timedelta) -> bool:
        """Whether nothing was gained for so long although the learner is at work and has not passed."""
        since = self.gained_at or self.contacted_at
        return since is not None and not self.finished and self.best < 100 and now - since >= after


@dataclass
class Board:
    """All places of a workshop, by (learner, lab).

    Attributes:
        labs: ids in the scenario's order.
        learners: names in the roster's order.
        closed_at: None while it is open.
        messages: (at, to whom ("" is everybody), text).
    """

    workshop: str
    labs: tuple[str, ...] = ()
    minutes: dict[str, int] = field(default_factory=dict)
    learners: dict[str, Mapping[str, str]] = field(default_factory=dict)
    places: dict[tuple[str, str], Place] = field(default_factory=dict)
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    messages: list[tuple[datetime, str, str]] = field(default_factory=list)

    @classmethod
    def read(cls, workshop: str, events: Iterable[Event]) -> Board:
        """The board after these events."""
        board = cls(workshop)
        for event in events:
            board.apply(event)
        return board

    def place(self, learner: str, lab: str) -> Place:
        """A learner's place in a lab, made when first asked for."""
        return self.places.setdefault((learner, lab), Place(learner, lab))

    def apply(self, event: Event) -> None:
        """Take one more event in."""
        fold = _FOLDS.get(event.kind)
        if fold is not None and event.workshop == self.workshop:
            fold(self, event, datetime.fromisoformat(event.at).astimezone(UTC))


def _opened(board: Board, event: Event, at: datetime) -> None:
    board.opened_at, board.closed_at = board.opened_at or at, None
    labs = event.data["labs"]
    board.labs = tuple(lab["id"] for lab in labs)
    board.minutes = {lab["id"]: int(lab.get("minutes", 0)) for lab in labs}


def _enrolled(board: Board, event: Event, _at: datetime) -> None:
    board.learners[event.subject] = event.data


def _place(board: Board, event: Event) -> Place:
    return board.place(event.subject, event.data["lab"])


def _assigned(board: Board, event: Event, _at: datetime) -> None:
    place, due = _place(board, event), event.data.get("due_at")
    if due:
        place.due_at = datetime.fromisoformat(due).astimezone(UTC)


def _started(board: Board, event: Event, at: datetime) -> None:
    place = _place(board, event)
    place.started_at = at
    if place.attempts_before is None:
        place.attempts_before = event.data.get("attempts_before")


def _session(board: Board, event: Event, at: datetime) -> None:
    if not event.data.get("lab"):
        return
    place = _place(board, event)
    if event.data["what"] == FIRST_CONTACT:
        place.contacted_at = place.contacted_at or at
    elif event.data["what"] == MACHINE_GONE:
        place.started_at = None


def _hint(board: Board, event: Event, _at: datetime) -> None:
    _place(board, event).hints += 1


def _rescue(board: Board, event: Event, _at: datetime) -> None:
    _place(board, event).rescued = True


def _graded(board: Board, event: Event, at: datetime) -> None:
    place = _place(board, event)
    score = int(event.data["scorecard"]["score"])
    number = int(event.data["number"])
    if number > max(place.numbers, default=0):  # one that was found late is not the last one
        place.score, place.trouble = score, ""
    place.numbers.add(number)
    place.attempts += 1
    if score > place.best:
        place.best, place.gained_at, place.failed = score, at, 0
    else:
        place.failed += 1
    place.finished = event.data.get("final", "") or place.finished


def _not_graded(board: Board, event: Event, _at: datetime) -> None:
    place = _place(board, event)
    place.trouble = event.data["reason"]
    place.finished = event.data.get("final", "") or place.finished


def _extended(board: Board, event: Event, _at: datetime) -> None:
    labs = [event.data["lab"]] if event.data.get("lab") else board.labs
    for lab in labs:
        place = board.place(event.subject, lab)
        if place.due_at is not None:
            place.due_at += timedelta(minutes=int(event.data["minutes"]))
        if place.finished in {TIME_OVER, DISK_OVER}:
            place.finished = ""


def _reset(board: Board, event: Event, _at: datetime) -> None:
    place = _place(board, event)
    place.started_at, place.trouble = None, ""


def _message(board: Board, event: Event, at: datetime) -> None:
    board.messages.append((at, event.subject, event.data["text"]))


def _closed(board: Board, _event: Event, at: datetime) -> None:
    board.closed_at = at


_FOLDS: dict[str, Callable[[Board, Event, datetime], None]] = {
    Kind.WORKSHOP_OPENED: _opened,
    Kind.ENROLLED: _enrolled,
    Kind.CHANGED: _enrolled,
    Kind.LAB_ASSIGNED: _assigned,
    Kind.LAB_STARTED: _started,
    Kind.SESSION: _session,
    Kind.HINT_TAKEN: _hint,
    Kind.RESCUE_USED: _rescue,
    Kind.GRADED: _graded,
    Kind.NOT_GRADED: _not_graded,
    Kind.EXTENDED: _extended,
    Kind.RESET: _reset,
    Kind.MESSAGE_SENT: _message,
    Kind.WORKSHOP_CLOSED: _closed,
}
