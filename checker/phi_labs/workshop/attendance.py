"""Who is in which lab: entering, leaving, time that runs from the first contact, rest for what is idle."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from phi_labs.errors import MissingObject, UserError
from phi_labs.records.event import FIRST_CONTACT, Kind, NewEvent
from phi_labs.workshop.board import Place
from phi_labs.workshop.footing import Footing
from phi_labs.workshop.ledger import Key, Ledger
from phi_labs.workshop.preparing import AT_THE_DOOR, Preparing
from phi_labs.workshop.provision import Order, Step

PATIENCE = 60.0  # seconds at the door


@dataclass
class Presence:
    """Who is in which lab at this moment: sessions and when somebody was last seen there."""

    sessions: Counter[Key] = field(default_factory=Counter)
    seen: dict[Key, datetime] = field(default_factory=dict)


class Attendance:
    """Lets learners in to their labs, and lets labs rest in which nobody is."""

    def __init__(self, ledger: Ledger, preparing: Preparing, footing: Footing) -> None:
        self.presence = Presence()
        self._ledger = ledger
        self._preparing = preparing
        self._footing = footing
        self._resting: set[Key] = set()
        self._turns: defaultdict[Key, threading.Lock] = defaultdict(threading.Lock)

    def enter(self, learner: str, lab: str, *, patience: float = PATIENCE) -> None:
        """Somebody wants to work in a lab: it is started or woken, and with the first contact time runs.

        Raises:
            UserError: it is finished, others come first, or it is not ready yet (and where it waits).
        """
        order = self.ask(learner, lab)
        order.done.wait(patience)
        while (more := self.step_in(order)) is not None:
            order = more
            order.done.wait(patience)

    def ask(self, learner: str, lab: str) -> Order:
        """Ask to be let in; how the lab's preparation goes, for whoever waits for it."""
        ledger = self._ledger
        ledger.known(learner, lab)
        place = ledger.place(learner, lab)
        if ledger.closing or place.finished:
            raise UserError(
                f"{lab} is finished ({place.finished or 'closing'})", "the debrief can still be read"
            )
        if missing := ledger.lacking(learner, lab):
            raise UserError(f"{', '.join(missing)} come first", "the menu lists your labs in order")
        if self._footing.trouble:
            raise unreachable(self._footing.trouble)
        return self._preparing.provisioner.want(learner, lab, urgency=AT_THE_DOOR)

    def step_in(self, order: Order) -> Order | None:
        """Go in, once ``order`` was waited for; another to wait for if machines have to be made anew."""
        learner, lab = order.wanted.key
        if not order.done.is_set():
            raise UserError(f"{lab} is not ready yet{self._waits(learner, lab)}", "come back in a minute")
        if order.step is Step.FAILED:
            raise UserError(f"{lab} could not be started: {order.reason}", "tell your trainer")
        if not self._wake(learner, lab):  # stopped from outside or gone: it is brought up, or made, again
            if order.again:
                raise UserError(f"the machines of {lab} do not stay up", "tell your trainer")
            more = self._preparing.again(learner, lab, urgency=AT_THE_DOOR)
            more.again = True
            return more
        try:
            self._first_contact(self._ledger.place(learner, lab))
        except BaseException:
            self.leave(learner, lab)
            raise
        return None

    def leave(self, learner: str, lab: str) -> None:
        """One session ended."""
        key = (learner, lab)
        with self._turn(key):
            self.presence.sessions[key] = max(0, self.presence.sessions[key] - 1)
            self.presence.seen[key] = self._ledger.now()

    def rest(self, learner: str, lab: str, *, unseen_since: datetime) -> bool:
        """Pause a lab's machines if nobody is there and nobody was since; whether they rest now."""
        key = (learner, lab)
        saved = self._ledger.installation.state.load_run(*key)
        with self._turn(key):  # nobody enters between the look and the pause
            if saved is None or self.presence.sessions[key] or self._last_seen(key) > unseen_since:
                return False
            engine = self._ledger.beside().engine
            for container in saved.containers.values():
                if engine.inspect(container).status == "running":
                    engine.pause(container)
            self._resting.add(key)
        return True

    def rest_again(self, learner: str, lab: str) -> None:
        """A lab that rested was woken for a grading, not by its learner."""
        if (learner, lab) in self._resting:
            self.rest(learner, lab, unseen_since=self._ledger.now())

    def _last_seen(self, key: Key) -> datetime:
        place = self._ledger.place(*key)
        return self.presence.seen.get(key) or place.contacted_at or place.started_at or self._ledger.now()

    @contextmanager
    def _turn(self, key: Key) -> Iterator[None]:
        with self._ledger.lock:
            turn = self._turns[key]
        with turn:
            yield

    def _waits(self, learner: str, lab: str) -> str:
        view = self._preparing.provisioner.view()
        if (learner, lab) in view.waiting:
            place = view.waiting.index((learner, lab)) + 1
            held = f"; {view.held_by}" if view.held_by else ""
            return f": {place}. in the queue, about {view.seconds_left:.0f} s{held}"
        return ""

    def _wake(self, learner: str, lab: str) -> bool:
        """Have the machines run; False when one was stopped or removed from outside."""
        key = (learner, lab)
        run = self._ledger.installation.state.load_run(*key)
        if run is None:
            return False
        engine = self._ledger.beside().engine
        with self._turn(key):
            try:
                states = {
                    container: engine.inspect(container).status for container in run.containers.values()
                }
            except MissingObject:
                return False
            if not set(states.values()) <= {"running", "paused"}:
                return False
            for container, status in states.items():
                # In the middle of a grading it is the grading's pause: the directory waits for its end.
                if status == "paused" and key in self._resting:
                    engine.unpause(container)
            self._resting.discard(key)
            self.presence.sessions[key] += 1
            self.presence.seen[key] = self._ledger.now()
        return True

    # -- time --------------------------------------------------------------------------------

    def _first_contact(self, place: Place) -> None:
        ledger = self._ledger
        with ledger.lock:
            if place.contacted_at is not None:
                return
            due = self._due(place.learner, place.lab)
            data = {"due_at": due.isoformat(timespec="seconds")} if due else {}
            contact = {"what": FIRST_CONTACT, "lab": place.lab}
            assigned = {"lab": place.lab, "trigger": ledger.loaded.scenario.trigger, **data}
            workshop, trainer = ledger.settings.id, ledger.settings.trainer
            ledger.note_all(
                [
                    NewEvent(Kind.SESSION, workshop, trainer, place.learner, contact),
                    NewEvent(Kind.LAB_ASSIGNED, workshop, trainer, place.learner, assigned),
                ]
            )

    def _due(self, learner: str, lab: str) -> datetime | None:
        """The lab's own limit, or that for all labs, which runs from the learner's very first contact."""
        scenario, now = self._ledger.loaded.scenario, self._ledger.now()
        ends = []
        if minutes := scenario.step(lab).minutes:
            ends.append(now + timedelta(minutes=minutes))
        if scenario.minutes:
            places = (self._ledger.place(learner, other) for other in self._ledger.labs)
            began = min((place.contacted_at for place in places if place.contacted_at), default=now)
            ends.append(began + timedelta(minutes=scenario.minutes))
        return min(ends, default=None)


def unreachable(trouble: str) -> UserError:
    """What a learner is told while the engine is away."""
    return UserError(
        f"the labs cannot be reached at the moment: {trouble.partition(' (')[0]}",
        "nothing you did is lost; they go on by themselves once it is back",
    )
