"""One workshop while it is open: what is known of it, and everything that may happen to it.

What happens becomes an event first, and the board is their fold (``ledger``): a program that was killed takes
up where the log ends. Preparing labs, letting people in, and grading are rooms of their own.
"""

from __future__ import annotations

import contextlib

from phi_labs.engine.docker import Engine
from phi_labs.errors import PhiLabsError, UserError
from phi_labs.lifecycle.installation import Installation
from phi_labs.records.event import Kind
from phi_labs.records.store import Records
from phi_labs.workshop.attendance import Attendance
from phi_labs.workshop.footing import (
    ANSWER_DEADLINE,
    DISK,
    ENGINE,
    ENGINE_DISK,
    Footing,
    engine_room,
    room_in,
)
from phi_labs.workshop.gradings import Gradings
from phi_labs.workshop.ledger import Ledger, Now, Tell, wall_clock
from phi_labs.workshop.opening import note_opening, note_roster
from phi_labs.workshop.preparing import Preparing
from phi_labs.workshop.roster import Roster
from phi_labs.workshop.scenario import LoadedScenario
from phi_labs.workshop.settings import Settings

PROGRAM = "phi-labs"  # who speaks
AWAY = "The labs cannot be reached at the moment. Nothing you did is lost; they go on by themselves."
BACK = "The labs can be reached again. Gradings that waited are done now."


class Workshop(Ledger):
    """A workshop at work.

    Attributes:
        footing: whether the engine answers and there is room to write.
        preparing, attendance, gradings: what is done with labs; ``provisioner``, ``presence`` and ``graders``
            are what each of them looks after.
    """

    def __init__(  # noqa: PLR0913 - what a workshop is made of
        self,
        installation: Installation,
        records: Records,
        settings: Settings,
        loaded: LoadedScenario,
        roster: Roster,
        *,
        now: Now = wall_clock,
        tell: Tell = print,
    ) -> None:
        super().__init__(installation, records, settings, loaded, now=now, tell=tell)
        self._roster = roster
        self._smallest = installation.engine.reconnected(deadline=ANSWER_DEADLINE)
        engine_root = str(installation.engine.info().get("DockerRootDir", ""))
        asks = {
            ENGINE: lambda: _answers(self._smallest),
            ENGINE_DISK: lambda: engine_room(engine_root),
            DISK: lambda: room_in(installation.state.root),
        }
        self.footing = Footing(asks, now)
        self.preparing = Preparing(self, self.footing, engine_root)
        self.provisioner = self.preparing.provisioner
        self.attendance = Attendance(self, self.preparing, self.footing)
        self.presence = self.attendance.presence
        self.gradings = Gradings(self, self.attendance, self.footing)
        self.graders = self.gradings.graders
        self.footing.listen(self._tell_everybody)

    def open(self) -> None:
        """Open it, or take it up again where it stopped.

        Raises:
            UserError: it was closed.
        """
        note_opening(self, self._roster)
        self.gradings.settle()
        self.preparing.adopt()
        self.preparing.prepare()

    def let_go(self) -> None:
        """Begin nothing more; what is being started or graded is finished, and on record."""
        self.closing = True
        self.provisioner.close()
        self.graders.close()
        self.disconnect()
        self._smallest.close()

    # -- what a trainer does -------------------------------------------------------------------

    def take_roster(self, roster: Roster) -> int:
        """A roster that was changed in the middle: who is new takes part, what failed is tried again."""
        self._roster = roster
        changed = note_roster(self, roster)
        self.preparing.prepare(again=True)
        return changed

    def extend(self, learner: str, minutes: int, lab: str = "", *, actor: str = "") -> None:
        """Give more time, in one lab or in all."""
        self.known(learner, lab)
        self.note(Kind.EXTENDED, learner, actor=actor, lab=lab, minutes=minutes)

    def message(self, to: str, text: str, *, actor: str = "") -> None:
        """Say something to one learner or, with ``to`` empty, to all."""
        if to:
            self.known(to)
        if not text.strip():
            raise UserError("an empty message says nothing", "give the text in quotes")
        self.note(Kind.MESSAGE_SENT, to, actor=actor, text=text)

    def reset(self, learner: str, lab: str, *, actor: str = "") -> None:
        """Give a learner the lab afresh, with the same seed; attempts stay."""
        self.known(learner, lab)
        if self.place(learner, lab).finished:
            raise UserError(
                f"{lab} is finished for {learner}", "give more time first: phi-labs workshop extend"
            )
        self.preparing.reset(learner, lab, actor=actor)

    def _tell_everybody(self, trouble: str) -> None:
        """Learners at work hear why nothing moves, and when it goes on."""
        self.tell(trouble or "all is well again")
        if self.board.closed_at is not None:  # nothing comes after the head
            return
        with contextlib.suppress(PhiLabsError):  # where nothing can be written there is no message either
            self.note(Kind.MESSAGE_SENT, "", actor=PROGRAM, text=AWAY if trouble else BACK)


def _answers(engine: Engine) -> None:
    """Over a connection of its own: an engine that is going down still answers on those that it has."""
    engine.close()
    engine.version()
