"""What was graded is on record once, in the order in which it was handed in, whatever came between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from tests.workshop.desk import Desk

from phi_labs.errors import EngineError, RecordsError
from phi_labs.records.cohort import read_cohort
from phi_labs.records.event import Kind
from phi_labs.workshop.attendance import Attendance
from phi_labs.workshop.footing import ENGINE, Footing
from phi_labs.workshop.graders import Outcome, Ticket
from phi_labs.workshop.gradings import Gradings
from phi_labs.workshop.ledger import Ledger


class Resting:
    """Stands in for attendance: which labs were let rest again."""

    def __init__(self) -> None:
        self.rested: list[str] = []

    def rest_again(self, learner: str, _lab: str) -> None:
        self.rested.append(learner)


class Ground:
    """Stands in for the engine: there, or not."""

    def __init__(self) -> None:
        self.there = True

    def __call__(self) -> None:
        if not self.there:
            raise EngineError("no answer", "start it")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path, minutes=45)
    desk.started()
    yield desk
    desk.close()


@pytest.fixture
def ground() -> Ground:
    return Ground()


@pytest.fixture
def gradings(desk: Desk, ground: Ground) -> Iterator[Gradings]:
    made = over(desk, desk.ledger, ground)
    yield made
    made.graders.close()


def over(desk: Desk, ledger: Ledger, ground: Ground) -> Gradings:
    return Gradings(ledger, cast("Attendance", Resting()), Footing({ENGINE: ground}, desk.clock))


def numbers(desk: Desk) -> list[int]:
    return [event.data["number"] for event in desk.records.events("day", Kind.GRADED)]


def finished(gradings: Gradings, card: Any) -> bool:
    return gradings._graded(
        Ticket("ana", "tiny"), Outcome(card.about.attempt, card.to_data(), "hash", "seed")
    )


def failed(gradings: Gradings, reason: str = "the engine broke", *, ours: bool = True) -> bool:
    return gradings._graded(Ticket("ana", "tiny"), Outcome(reason=reason, ours=ours))


def test_an_attempt_of_a_grader_that_was_killed_is_recorded_before_later_ones(
    desk: Desk, gradings: Gradings
) -> None:
    desk.keep(earned=["closed"])  # kept, and its grader was killed
    desk.clock.move(minutes=1)
    finished(gradings, desk.keep())  # the repetition, and the last word
    assert numbers(desk) == [1, 2]
    place = desk.ledger.place("ana", "tiny")
    assert (place.score, place.best, place.attempts) == (0, 45, 2)
    first, second = desk.records.events("day", Kind.GRADED)
    assert first.data["recovered"] is True
    assert "recovered" not in second.data
    assert len(first.data["seed"]) == 16
    assert len(first.data["submission"]) == 64


def test_the_score_of_record_goes_by_the_order_of_attempts_not_of_their_events(
    desk: Desk, gradings: Gradings
) -> None:
    # As a log may have it from before, or from a program whose lower attempt came to light later.
    first, last = desk.keep(), desk.keep(earned=["closed", "flag"])
    for card in (last, first):
        outcome = Outcome(card.about.attempt, card.to_data(), "h", "s")
        desk.ledger.note_all([gradings._event("ana", "tiny", outcome, late=False)])
    assert numbers(desk) == [2, 1]
    result = read_cohort(desk.records, "day").records[0].results[0]
    assert [attempt.number for attempt in result.attempts] == [1, 2]
    assert result.score == 80
    place = desk.ledger.place("ana", "tiny")
    assert (place.score, place.numbers) == (80, {1, 2})


def test_who_takes_the_workshop_up_records_what_was_kept_once(desk: Desk, ground: Ground) -> None:
    desk.keep(earned=["closed"])
    for _ in range(2):
        gradings = over(desk, desk.opened(), ground)
        gradings.settle()
        gradings.graders.close()
    assert numbers(desk) == [1]


def test_attempts_from_before_the_workshop_are_none_of_it_even_if_the_clock_was_set_back(
    tmp_path: Path, ground: Ground
) -> None:
    desk = Desk(tmp_path)
    desk.keep()  # by themselves, at home
    desk.clock.move(hours=-3)
    desk.started(before=1)
    desk.keep(earned=["closed"])
    gradings = over(desk, desk.ledger, ground)
    gradings.settle()
    assert numbers(desk) == [2]
    gradings.graders.close()
    desk.close()


def test_our_trouble_is_tried_once_more_and_a_learners_is_not(desk: Desk, gradings: Gradings) -> None:
    assert not failed(gradings, "there is no run", ours=False)
    assert failed(gradings)
    assert not failed(gradings)
    assert failed(gradings)  # asked for anew, tried anew


def test_while_the_engine_is_away_a_grading_is_neither_given_up_nor_counted(
    desk: Desk, gradings: Gradings, ground: Ground
) -> None:
    gradings._finals["ana", "tiny"] = "time"
    ground.there = False
    assert all(failed(gradings) for _ in range(5))
    assert desk.ledger.place("ana", "tiny").finished == ""
    ground.there = True
    finished(gradings, desk.keep())
    assert desk.ledger.place("ana", "tiny").finished == "time"


def test_what_cannot_be_recorded_is_recorded_once_it_can_with_its_final_word(
    desk: Desk, gradings: Gradings, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradings._finals["ana", "tiny"] = "closed"

    def full(_new: object) -> None:
        raise RecordsError("the records are full", "free space there")

    with monkeypatch.context() as patch:
        patch.setattr(desk.records, "append_all", full)
        assert not finished(gradings, desk.keep(earned=["closed"]))
        assert "the records are full; free space there" in desk.told[-1]
        with pytest.raises(RecordsError):
            gradings.settle()
    assert numbers(desk) == []
    gradings.settle()
    gradings.settle()
    assert numbers(desk) == [1]
    assert desk.ledger.place("ana", "tiny").finished == "closed"


def test_a_grading_is_late_by_the_workshops_clock_not_by_the_machines(desk: Desk, gradings: Gradings) -> None:
    due = desk.clock().isoformat()
    desk.clock.move(minutes=-10)
    desk.ledger.note(Kind.LAB_ASSIGNED, "ana", lab="tiny", trigger="hire", due_at=due)
    card = desk.keep()
    about = replace(card.about, graded_at="2026-03-02T23:00:00+00:00")  # the machine's clock is hours ahead
    finished(gradings, card.about_run(about))
    desk.clock.move(minutes=11)
    finished(gradings, desk.keep())
    assert [event.data["late"] for event in desk.records.events("day", Kind.GRADED)] == [False, True]
