"""What is known of an open workshop, and how it becomes known: an event first, then the board."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from phi_labs.errors import UserError
from phi_labs.lifecycle.installation import Installation
from phi_labs.model.cohort import Learner
from phi_labs.model.entity import Entity, parse_entity
from phi_labs.model.lab import Lab
from phi_labs.model.nearest import did_you_mean
from phi_labs.records.event import Event, Kind, NewEvent
from phi_labs.records.store import Records
from phi_labs.workshop.board import Board, Place
from phi_labs.workshop.scenario import LoadedScenario
from phi_labs.workshop.settings import Settings

Now = Callable[[], datetime]
Tell = Callable[[str], None]
Key = tuple[str, str]  # (learner, lab)


def wall_clock() -> datetime:
    """The machine's time, UTC."""
    return datetime.now(UTC)


def steady(since: datetime, wall: Now = wall_clock, elapsed: Callable[[], float] = time.monotonic) -> Now:
    """A clock that is right when it is made and never jumps afterwards, whatever is done to the machine's.

    Args:
        since: the time of the last event on record. A clock that was set back behind it while no process
            held the workshop goes on from there.
    """
    began, start = max(wall(), since), elapsed()
    return lambda: began + timedelta(seconds=elapsed() - start)


def last_moment(records: Records) -> datetime:
    """The time of the last event on record, of whatever workshop."""
    for event in records.events(after=records.head().count - 1):
        return datetime.fromisoformat(event.at).astimezone(UTC)
    return datetime.min.replace(tzinfo=UTC)


class Ledger:
    """A workshop's events and their fold.

    Threads of starters, graders, gateway and janitor all note through here.

    Args:
        installation: whose runs it has.
        records: where events go.
        now: the time, UTC; must not jump while the workshop is open (see ``steady``).
        tell: called with one line at a time for the workshop's log.
    """

    def __init__(  # noqa: PLR0913 - what a workshop is made of
        self,
        installation: Installation,
        records: Records,
        settings: Settings,
        loaded: LoadedScenario,
        *,
        now: Now = wall_clock,
        tell: Tell = print,
    ) -> None:
        self.installation = installation
        self.records = records
        self.settings = settings
        self.loaded = loaded
        self.labs = {lab.id: lab for lab in loaded.labs}
        self.now = now
        self.tell = tell
        self.closing = False
        self.lock = threading.RLock()
        self.board = Board.read(settings.id, records.events(settings.id))
        self._local = threading.local()
        self._besides: list[Installation] = []

    # -- events ---------------------------------------------------------------------------

    def note(self, kind: Kind, subject: str = "", *, actor: str = "", **data: Any) -> Event:
        """Record an event and take it in; it is on the disk when this returns."""
        new = NewEvent(kind, self.settings.id, actor or self.settings.trainer, subject, data)
        return self.note_all([new])[0]

    def note_all(self, new: list[NewEvent]) -> list[Event]:
        """Record events, all of them or none."""
        if not new:  # no transaction for nothing
            return []
        with self.lock:
            events = self.records.append_all(new)
            for event in events:
                self.board.apply(event)
        return events

    # -- asking ---------------------------------------------------------------------------

    def known(self, learner: str, lab: str = "") -> None:
        """UserError with the nearest names when the workshop has no such learner or lab."""
        if learner not in self.board.learners:
            raise UserError(
                f"{learner!r} is not on the roster of {self.settings.id}",
                did_you_mean(learner, list(self.board.learners))
                or "phi-labs workshop status lists everybody",
            )
        if lab and lab not in self.labs:
            raise UserError(
                f"{self.settings.id} has no lab {lab!r}",
                did_you_mean(lab, list(self.labs)) or f"its labs: {', '.join(self.labs)}",
            )

    def learner(self, name: str) -> Learner:
        """Somebody on the roster, as the log says now."""
        return Learner(**{key: str(value) for key, value in self.board.learners[name].items()})

    def entity_of(self, learner: str) -> Entity:
        """As whose staff a learner takes the labs."""
        return self.loaded.entity_of(parse_entity(self.learner(learner).entity))

    def place(self, learner: str, lab: str) -> Place:
        """Where a learner is in a lab."""
        return self.board.place(learner, lab)

    def lab(self, lab: str) -> Lab:
        """One of its labs."""
        return self.labs[lab]

    def plan(self) -> list[Key]:
        """Every (learner, lab), everybody's first lab first."""
        return [(learner, lab) for lab in self.labs for learner in self.board.learners]

    def lacking(self, learner: str, lab: str) -> list[str]:
        """Labs that must come first and did not yet."""
        scenario = self.loaded.scenario
        enough = scenario.pass_mark if scenario.prerequisite == "passed" else 0
        return [
            other
            for other in scenario.step(lab).after
            if not (place := self.place(learner, other)).attempts or place.best < enough
        ]

    # -- the engine -------------------------------------------------------------------------

    def beside(self) -> Installation:
        """This thread's own installation: engine connections, and a conversation with the probe."""
        if not hasattr(self._local, "installation"):
            self._local.installation = self.installation.beside()
            self._besides.append(self._local.installation)
        found: Installation = self._local.installation
        return found

    def disconnect(self) -> None:
        """Give back every connection to the engine, once nobody works any more."""
        for installation in (self.installation, *self._besides):
            installation.drop_probes()
            installation.engine.close()
