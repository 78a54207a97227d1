"""What is looked after every minute while a workshop is open, and at every start.

Each chore stands for itself: trouble with one is told and hinders no other. Only what carries this
installation's labels and belongs to somebody on the roster is touched.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from phi_labs.errors import PhiLabsError, UserError
from phi_labs.lifecycle.pool import spares_wanted, tidy
from phi_labs.lifecycle.runs import list_runs
from phi_labs.model.run import RunState
from phi_labs.records.event import Kind
from phi_labs.workshop.provision import Step
from phi_labs.workshop.workshop import AT_THE_OPENING, Workshop

MEBIBYTE = 1024 * 1024
DISK_EVERY = 5  # rounds: the engine walks a machine's files to say how much it wrote
TIME_OVER = "time"
DISK_OVER = "disk"


class Janitor:
    """Looks after an open workshop.

    Args:
        tell: called with one line about everything that was done or went wrong.
    """

    def __init__(self, workshop: Workshop, tell: Callable[[str], None] = lambda _line: None) -> None:
        self._workshop = workshop
        self._tell = tell
        self._rounds = 0

    def tick(self) -> None:
        """One round."""
        chores: list[Callable[[], None]] = [
            self.end_what_is_over,
            self.reconcile,
            self.pause_what_is_idle,
            self._workshop.prepare,
            self.keep_spares,
        ]
        if self._rounds % DISK_EVERY == 0:
            chores.append(self.guard_disks)
        self._rounds += 1
        for chore in chores:
            if self._workshop.closing:
                return
            try:
                chore()
            except PhiLabsError as error:
                self._tell(f"janitor: {chore.__name__.replace('_', ' ')}: {error.message}")

    def end_what_is_over(self) -> None:
        """Time limits end in a final grade, never in lost work."""
        now = self._workshop.now()
        for place in list(self._workshop.board.places.values()):
            if place.due_at is not None and place.due_at <= now and not place.finished and place.started_at:
                try:
                    self._workshop.grade(place.learner, place.lab, final=TIME_OVER, first=True)
                except UserError as error:
                    self._tell(f"janitor: {place.learner} {place.lab}: {error.message}")

    def reconcile(self) -> None:
        """Board, queue and engine agree again: what a reboot stopped comes up, what is gone is told."""
        workshop = self._workshop
        there = {
            (run.trainee, run.lab): run.state
            for run in list_runs(workshop.installation)
            if run.trainee in workshop.board.learners and run.lab in workshop.labs
        }
        for key, state in there.items():
            order = workshop.provisioner.order(*key)
            if state is RunState.STOPPED and order is not None and order.step is Step.READY:
                if not workshop.place(*key).finished:
                    workshop.provisioner.forget(*key)
                    workshop.provisioner.want(*key, urgency=AT_THE_OPENING)
                    self._tell(f"janitor: {key[1]} of {key[0]} was stopped from outside and is started again")
            elif order is None and workshop.installation.state.load_run(*key) is not None:
                workshop.provisioner.ready(*key)
        for place in list(workshop.board.places.values()):
            key = (place.learner, place.lab)
            order = workshop.provisioner.order(*key)
            if order is not None and order.step is Step.READY and key not in there:
                workshop.provisioner.forget(*key)
                place.started_at = None
                workshop.note(Kind.SESSION, place.learner, what="machine-gone", lab=place.lab)
                self._tell(
                    f"janitor: {place.lab} of {place.learner} is gone and is made afresh when asked for"
                )

    def pause_what_is_idle(self) -> None:
        """Labs in which nobody has been for a while rest; contact wakes them."""
        workshop = self._workshop
        limit = workshop.now() - timedelta(minutes=workshop.settings.idle_minutes)
        engine = workshop.installation.engine
        for run in list_runs(workshop.installation):
            key = (run.trainee, run.lab)
            if run.state is not RunState.READY or key not in workshop.board.places:
                continue
            place = workshop.place(*key)
            seen = workshop.presence.seen.get(key) or place.contacted_at or place.started_at
            if workshop.presence.sessions[key] or seen is None or seen > limit:
                continue
            saved = workshop.installation.state.load_run(*key)
            if key in workshop.graders.under_way or saved is None:
                continue
            for container in saved.containers.values():
                if engine.inspect(container).status == "running":
                    engine.pause(container)

    def keep_spares(self) -> None:
        """Untouched machines wait for the next gradings; what ended gradings left goes."""
        if spares_wanted():
            for lab in self._workshop.loaded.labs:
                tidy(self._workshop.installation, lab, count=self._workshop.settings.graders)
        else:
            tidy(self._workshop.installation, None)

    def guard_disks(self) -> None:
        """A lab that outgrows its limit is handed in and stopped, before it fills everybody's disk."""
        workshop = self._workshop
        limit = workshop.settings.disk_limit * MEBIBYTE
        for run in list_runs(workshop.installation):
            key = (run.trainee, run.lab)
            saved = workshop.installation.state.load_run(*key)
            if key not in workshop.board.places or saved is None or workshop.place(*key).finished:
                continue
            engine = workshop.installation.engine
            written = sum(engine.written(container) for container in saved.containers.values())
            if written > limit:
                self._tell(
                    f"janitor: {run.lab} of {run.trainee} wrote {written // MEBIBYTE} MiB and is ended"
                )
                workshop.grade(*key, final=DISK_OVER, first=True)
