"""The board is the fold of a workshop's events: the same before and after a kill."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from phi_labs.records.event import Event, Kind
from phi_labs.workshop.board import Board

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
OPENED: dict[str, Any] = {"labs": [{"id": "log-access", "minutes": 45}, {"id": "temp-phi", "minutes": 60}]}


class Log:
    """Events of one workshop, a minute apart unless told otherwise."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.now = START
        self.add(Kind.WORKSHOP_OPENED, **OPENED)
        self.add(Kind.ENROLLED, "ana", full_name="Ana")

    def add(self, kind: Kind, subject: str = "", *, workshop: str = "w", after: int = 1, **data: Any) -> None:
        self.now += timedelta(minutes=after)
        self.events.append(
            Event(
                len(self.events) + 1, self.now.isoformat(), kind, workshop, subject, "trainer", data, "", ""
            )
        )

    def graded(self, score: int, **more: Any) -> None:
        number = 1 + sum(event.kind == Kind.GRADED for event in self.events)
        self.add(Kind.GRADED, "ana", lab="log-access", number=number, scorecard={"score": score}, **more)

    @property
    def board(self) -> Board:
        return Board.read("w", self.events)


def test_a_workshop_knows_its_labs_and_learners_and_nothing_of_others() -> None:
    log = Log()
    log.add(Kind.ENROLLED, "ben", workshop="other")
    board = log.board
    assert (board.labs, list(board.learners), board.minutes["temp-phi"]) == (
        ("log-access", "temp-phi"),
        ["ana"],
        60,
    )
    assert (board.opened_at, board.closed_at) == (START + timedelta(minutes=1), None)


def test_points_attempts_and_failed_ones_are_counted_since_the_last_gain() -> None:
    log = Log()
    for score in (0, 40, 40, 15):
        log.graded(score)
    place = log.board.place("ana", "log-access")
    assert (place.score, place.best, place.attempts, place.failed) == (15, 40, 4, 2)
    assert place.numbers == {1, 2, 3, 4}


def test_who_gains_nothing_for_long_is_stuck_and_who_has_passed_is_not() -> None:
    log = Log()
    quarter = timedelta(minutes=15)
    log.add(Kind.SESSION, "ana", what="first-contact", lab="log-access")
    place = log.board.place("ana", "log-access")
    assert not place.stuck(log.now + timedelta(minutes=14), quarter)
    assert place.stuck(log.now + quarter, quarter)
    log.graded(40)
    assert not log.board.place("ana", "log-access").stuck(log.now + timedelta(minutes=14), quarter)
    log.graded(100)
    assert not log.board.place("ana", "log-access").stuck(log.now + 9 * quarter, quarter)
    assert not log.board.place("ana", "temp-phi").stuck(log.now + 9 * quarter, quarter)  # never entered


def test_time_runs_from_the_first_contact_and_more_can_be_given() -> None:
    log = Log()
    due = START + timedelta(minutes=45)
    log.add(Kind.LAB_ASSIGNED, "ana", lab="log-access", due_at=due.isoformat())
    log.graded(40, final="time")
    assert log.board.place("ana", "log-access").finished == "time"
    log.add(Kind.EXTENDED, "ana", lab="", minutes=20)
    place = log.board.place("ana", "log-access")
    assert (place.finished, place.due_at) == ("", due + timedelta(minutes=20))
    log.graded(40, final="closed")
    log.add(Kind.EXTENDED, "ana", lab="log-access", minutes=20)
    assert log.board.place("ana", "log-access").finished == "closed"


def test_trouble_stays_until_there_is_a_verdict() -> None:
    log = Log()
    log.add(Kind.NOT_GRADED, "ana", lab="log-access", reason="the engine does not answer")
    assert log.board.place("ana", "log-access").trouble == "the engine does not answer"
    log.graded(10)
    assert log.board.place("ana", "log-access").trouble == ""


def test_hints_rescue_messages_resets_and_the_end_are_remembered() -> None:
    log = Log()
    log.add(Kind.LAB_STARTED, "ana", lab="log-access")
    log.add(Kind.HINT_TAKEN, "ana", lab="log-access", objective="todays-log", number=1)
    log.add(Kind.RESCUE_USED, "ana", lab="log-access")
    log.add(Kind.MESSAGE_SENT, "ana", text="five minutes left")
    place = log.board.place("ana", "log-access")
    assert (place.hints, place.rescued, place.started_at) == (1, True, START + timedelta(minutes=3))
    log.add(Kind.RESET, "ana", lab="log-access")
    log.add(Kind.WORKSHOP_CLOSED)
    board = log.board
    assert board.place("ana", "log-access").started_at is None
    assert [(to, text) for _, to, text in board.messages] == [("ana", "five minutes left")]
    assert board.closed_at == log.now


def test_kinds_of_a_newer_program_are_passed_over() -> None:
    log = Log()
    log.events.append(Event(9, log.now.isoformat(), "from-the-future", "w", "ana", "x", {}, "", ""))
    assert list(log.board.learners) == ["ana"]
