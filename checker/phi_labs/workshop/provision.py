"""Preparing labs for many: bounded workers, admission, retries with back-off, a queue that can be looked at.

One lab that cannot be started never stops the others: it is tried again after 2, 4, 8, ... seconds, a few
times, and then told as failed, with the reason.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from phi_labs.errors import PhiLabsError

TRIES = 4
FIRST_PAUSE = 2.0  # seconds, doubled with every try
RECHECK = 2.0  # seconds until admission is asked again
REMEMBERED = 20  # starts that the estimate rests on


class Step(StrEnum):
    """Where a lab stands on its way to a trainee."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    RETRYING = "retrying"
    FAILED = "failed"


@dataclass(frozen=True, order=True)
class Wanted:
    """A lab for a trainee; the smaller ``urgency``, the sooner: 0 is somebody who waits at the door."""

    urgency: int
    order: int
    learner: str = field(compare=False)
    lab: str = field(compare=False)

    @property
    def key(self) -> tuple[str, str]:
        """(learner, lab)."""
        return self.learner, self.lab


@dataclass
class Order:
    """How one lab's preparation goes.

    Attributes:
        reason: why it waits or failed, in words; empty when all is well.
        seconds: how long its start took.
        again: whether it stands for one whose machines were not what they should be.
    """

    wanted: Wanted
    step: Step = Step.WAITING
    tries: int = 0
    reason: str = ""
    not_before: float = 0.0
    seconds: float = 0.0
    again: bool = False
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class QueueView:
    """The queue as a trainer sees it: what starts, what waits and in which order, and until when about."""

    starting: tuple[tuple[str, str], ...]
    waiting: tuple[tuple[str, str], ...]
    seconds_left: float
    held_by: str


Start = Callable[[str, str], None]
Admit = Callable[[str], str]
Told = Callable[[Order], None]


class Provisioner:
    """Starts labs in threads of its own.

    Args:
        start: starts one (learner, lab); called in several threads at once.
        admit: asked with a lab id before each start; says in words what it lacks, nothing when it may start.
        workers: how many starts run side by side (starts are bound by the engine's processor: about 4).
        told: called when an order is ready or has failed, in the worker's thread.
        excused: asked when a start failed whether nothing could have been started; that try is not counted.
        clock: seconds, monotonic.
    """

    def __init__(  # noqa: PLR0913 - what decides a start
        self,
        start: Start,
        *,
        admit: Admit = lambda _lab: "",
        workers: int = 4,
        told: Told = lambda _order: None,
        excused: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start = start
        self._admit = admit
        self._told = told
        self._excused = excused
        self._clock = clock
        self._lock = threading.Condition()
        self._orders: dict[tuple[str, str], Order] = {}
        self._heap: list[Wanted] = []
        self._recent: deque[float] = deque(maxlen=REMEMBERED)
        self._held_by = ""
        self._ended = False
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    # -- asking ---------------------------------------------------------------------------

    def want(self, learner: str, lab: str, *, urgency: int, order: int = 0) -> Order:
        """Have a lab prepared; asking again only makes it more urgent. One that failed is tried anew."""
        with self._lock:
            known = self._orders.get((learner, lab))
            if known is not None and known.step in {Step.WAITING, Step.STARTING, Step.RETRYING, Step.READY}:
                if known.step in {Step.WAITING, Step.RETRYING} and urgency < known.wanted.urgency:
                    known.wanted = Wanted(urgency, order, learner, lab)
                    known.not_before = 0.0
                    self._push(known)
                return known
            fresh = Order(Wanted(urgency, order, learner, lab))
            self._orders[learner, lab] = fresh
            self._push(fresh)
            return fresh

    def ready(self, learner: str, lab: str) -> None:
        """A lab is there already, from before."""
        with self._lock:
            order = Order(Wanted(0, 0, learner, lab), step=Step.READY)
            order.done.set()
            self._orders[learner, lab] = order

    def forget(self, learner: str, lab: str) -> None:
        """A lab is gone or no longer wanted; a start under way ends by itself."""
        with self._lock:
            self._orders.pop((learner, lab), None)

    def order(self, learner: str, lab: str) -> Order | None:
        """How its preparation goes; None when nobody asked."""
        with self._lock:
            return self._orders.get((learner, lab))

    def count(self, *steps: Step) -> int:
        """How many orders are at one of these steps."""
        with self._lock:
            return sum(order.step in steps for order in self._orders.values())

    def view(self) -> QueueView:
        """The queue at this moment, with an estimate from the last starts."""
        with self._lock:
            orders = self._orders.values()
            starting = tuple(order.wanted.key for order in orders if order.step is Step.STARTING)
            waits = {Step.WAITING, Step.RETRYING}
            waiting = sorted(order.wanted for order in orders if order.step in waits)
            each = sum(self._recent) / len(self._recent) if self._recent else 0.0
            left = each * (len(waiting) + len(starting) / 2) / max(1, len(self._threads))
            return QueueView(starting, tuple(item.key for item in waiting), round(left, 1), self._held_by)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing is waiting or starting; False when the time is up."""
        busy = {Step.WAITING, Step.STARTING, Step.RETRYING}
        with self._lock:
            return self._lock.wait_for(
                lambda: all(order.step not in busy for order in self._orders.values()), seconds
            )

    def close(self) -> None:
        """Start nothing more; wait for what is starting."""
        with self._lock:
            self._ended = True
            self._lock.notify_all()
        for thread in self._threads:
            thread.join()

    # -- working --------------------------------------------------------------------------

    def _push(self, order: Order) -> None:
        heapq.heappush(self._heap, order.wanted)
        self._lock.notify_all()

    def _work(self) -> None:
        while (order := self._next()) is not None:
            began = self._clock()
            try:
                self._start(*order.wanted.key)
            except PhiLabsError as error:
                self._failed(order, error.message)
            except Exception as error:  # one lab's trouble must not end the worker
                self._failed(order, f"{type(error).__name__}: {error}")
            else:
                self._finished(order, self._clock() - began)
            if order.step in {Step.READY, Step.FAILED}:
                self._tell(order)

    def _tell(self, order: Order) -> None:
        try:
            self._told(order)
        except PhiLabsError as error:  # what cannot be told must not end the worker
            order.reason = order.reason or error.message

    def _next(self) -> Order | None:
        with self._lock:
            while not self._ended:
                wanted, pause = self._due()
                if wanted is not None:
                    self._held_by = self._admit(wanted.lab)
                    if not self._held_by:
                        order = self._orders[wanted.key]
                        order.step, order.reason = Step.STARTING, ""
                        order.tries += 1
                        return order
                    self._orders[wanted.key].reason = self._held_by
                    heapq.heappush(self._heap, wanted)
                    pause = RECHECK
                self._lock.wait(pause)
        return None

    def _due(self) -> tuple[Wanted | None, float | None]:
        """The most urgent order that may start now, taken off the heap; or how long to wait for one."""
        now, later, pause = self._clock(), [], None
        found = None
        while self._heap and found is None:
            wanted = heapq.heappop(self._heap)
            order = self._orders.get(wanted.key)
            if order is None or order.wanted is not wanted or order.step not in {Step.WAITING, Step.RETRYING}:
                continue  # forgotten, or asked for again more urgently
            if order.not_before > now:
                later.append(wanted)
                pause = min(pause or order.not_before - now, order.not_before - now)
            else:
                found = wanted
        for wanted in later:
            heapq.heappush(self._heap, wanted)
        return found, pause

    def _finished(self, order: Order, seconds: float) -> None:
        with self._lock:
            order.step, order.reason, order.seconds = Step.READY, "", seconds
            self._recent.append(seconds)
            order.done.set()
            self._lock.notify_all()

    def _failed(self, order: Order, reason: str) -> None:
        excused = self._excused()
        with self._lock:
            order.reason = reason
            order.tries -= excused
            if order.tries >= TRIES or self._ended:
                order.step = Step.FAILED
                order.done.set()
            else:
                order.step = Step.RETRYING
                order.not_before = self._clock() + FIRST_PAUSE * 2 ** max(0, order.tries - 1)
                if self._orders.get(order.wanted.key) is order:  # not forgotten meanwhile
                    heapq.heappush(self._heap, order.wanted)
            self._lock.notify_all()
