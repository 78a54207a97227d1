"""Labs for many: bounded, retried, held back while there is no room, and one failure stops nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from phi_labs.errors import EngineError
from phi_labs.workshop import provision
from phi_labs.workshop.provision import Order, Provisioner, Step

Make = Callable[..., Provisioner]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr(provision, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(provision, "RECHECK", 0.01)
    made: list[Provisioner] = []

    def provisioner(*arguments: object, **options: object) -> Provisioner:
        made.append(Provisioner(*arguments, **options))  # type: ignore[arg-type]
        return made[-1]

    yield provisioner
    for item in made:
        item.close()


def test_starts_are_bounded_and_everybody_gets_a_lab(make: Make) -> None:
    running, most = set(), []
    lock = threading.Lock()

    def start(learner: str, lab: str) -> None:
        with lock:
            running.add((learner, lab))
            most.append(len(running))
        time.sleep(0.002)
        with lock:
            running.remove((learner, lab))

    work = make(start, workers=3)
    for number in range(30):
        work.want(f"l{number}", "log-access", urgency=2, order=number)
    assert work.wait(10)
    assert work.count(Step.READY) == 30
    assert 1 < max(most) <= 3
    assert len(most) == 30


def test_who_waits_at_the_door_comes_first_and_the_order_of_the_roster_counts_otherwise(make: Make) -> None:
    gate, started = threading.Event(), []

    def start(learner: str, _lab: str) -> None:
        gate.wait(5)
        started.append(learner)

    work = make(start, workers=1)
    work.want("busy", "log-access", urgency=0)
    while work.count(Step.STARTING) == 0:
        time.sleep(0.001)
    for number, learner in enumerate(["cho", "ana", "ben"]):
        work.want(learner, "log-access", urgency=2, order=number)
    work.want("ben", "log-access", urgency=0)
    assert [learner for learner, _ in work.view().waiting] == ["ben", "cho", "ana"]
    gate.set()
    assert work.wait(5)
    assert started == ["busy", "ben", "cho", "ana"]


def test_a_start_that_fails_is_tried_again_with_longer_pauses_and_then_told(make: Make) -> None:
    times: list[float] = []
    told: list[Order] = []

    def start(learner: str, _lab: str) -> None:
        if learner == "ana":
            times.append(time.monotonic())
            raise EngineError("no space left on device")

    work = make(start, workers=2, told=told.append)
    broken = work.want("ana", "log-access", urgency=1)
    for number in range(10):
        work.want(f"l{number}", "log-access", urgency=2)
    assert work.wait(5)
    assert work.count(Step.READY) == 10
    assert (broken.step, broken.reason, broken.tries) == (
        Step.FAILED,
        "no space left on device",
        provision.TRIES,
    )
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert all(pause >= 0.01 * 2**number for number, pause in enumerate(pauses))
    assert [order.wanted.learner for order in told if order.step is Step.FAILED] == ["ana"]
    assert work.want("ana", "log-access", urgency=1) is not broken  # asked anew, tried anew


def test_a_bug_in_one_start_ends_no_worker(make: Make) -> None:
    def start(learner: str, _lab: str) -> None:
        if learner == "ana":
            raise ZeroDivisionError("oops")

    work = make(start, workers=1)
    broken = work.want("ana", "x", urgency=0)
    fine = work.want("ben", "x", urgency=1)
    assert work.wait(5)
    assert (broken.step, fine.step) == (Step.FAILED, Step.READY)
    assert "ZeroDivisionError: oops" in broken.reason


def test_nothing_starts_while_there_is_no_room_and_the_reason_can_be_seen(make: Make) -> None:
    room = threading.Event()
    work = make(lambda _learner, _lab: None, admit=lambda lab: "" if room.is_set() else f"no room for {lab}")
    order = work.want("ana", "log-access", urgency=1)
    while not work.view().held_by:
        time.sleep(0.001)
    assert (order.step, order.reason) == (Step.WAITING, "no room for log-access")
    room.set()
    assert work.wait(5)
    assert (order.step, order.reason, work.view().held_by) == (Step.READY, "", "")


def test_asking_twice_starts_once_and_what_is_there_is_not_started(make: Make) -> None:
    started: list[str] = []
    work = make(lambda learner, _lab: started.append(learner), workers=1)
    work.ready("ana", "x")
    assert work.want("ana", "x", urgency=0).done.is_set()
    first = work.want("ben", "x", urgency=2)
    assert work.want("ben", "x", urgency=1) is first
    assert work.wait(5)
    assert started == ["ben"]


def test_what_is_forgotten_while_it_waits_is_never_started(make: Make) -> None:
    gate, started = threading.Event(), []

    def start(learner: str, _lab: str) -> None:
        gate.wait(5)
        started.append(learner)

    work = make(start, workers=1)
    work.want("busy", "x", urgency=0)
    work.want("ana", "x", urgency=2)
    work.forget("ana", "x")
    gate.set()
    assert work.wait(5)
    assert started == ["busy"]
    assert work.order("ana", "x") is None


def test_the_estimate_rests_on_the_last_starts(make: Make) -> None:
    gate = threading.Event()
    gate.set()

    def start(_learner: str, _lab: str) -> None:
        gate.wait(5)
        time.sleep(0.02)

    work = make(start, workers=2)
    for number in range(4):
        work.want(f"l{number}", "x", urgency=1)
    assert work.wait(5)
    gate.clear()
    for number in range(22):
        work.want(f"m{number}", "x", urgency=1)
    while work.count(Step.STARTING) < 2:
        time.sleep(0.001)
    view = work.view()
    assert len(view.waiting) == 20
    assert 0.1 <= view.seconds_left <= 1.0
    gate.set()


def test_closing_waits_for_what_starts_and_starts_nothing_more(make: Make) -> None:
    begun, gate, started = threading.Event(), threading.Event(), []

    def start(learner: str, _lab: str) -> None:
        begun.set()
        gate.wait(5)
        started.append(learner)

    work = make(start, workers=1)
    work.want("ana", "x", urgency=0)
    work.want("ben", "x", urgency=1)
    assert begun.wait(5)
    threading.Timer(0.02, gate.set).start()
    work.close()
    assert started == ["ana"]


def test_tries_that_had_nothing_to_stand_on_are_not_counted(make: Make) -> None:
    lost, tries = threading.Event(), []

    def start(learner: str, _lab: str) -> None:
        tries.append(learner)
        if lost.is_set():
            raise EngineError("no answer")

    lost.set()
    work = make(start, excused=lost.is_set)
    order = work.want("ana", "x", urgency=0)
    while len(tries) <= 2 * provision.TRIES:
        time.sleep(0.001)
    lost.clear()
    assert work.wait(5)
    assert (order.step, order.tries) == (Step.READY, 1)


def test_a_start_that_is_forgotten_while_it_fails_is_not_tried_again(make: Make) -> None:
    begun, gate, tries = threading.Event(), threading.Event(), []

    def start(learner: str, _lab: str) -> None:
        tries.append(learner)
        begun.set()
        gate.wait(5)
        raise EngineError("no answer")

    work = make(start, workers=1)
    work.want("ana", "x", urgency=0)
    assert begun.wait(5)
    work.forget("ana", "x")
    gate.set()
    fine = work.want("ben", "y", urgency=1)
    while fine.tries < 2:
        time.sleep(0.001)
    assert tries.count("ana") == 1
