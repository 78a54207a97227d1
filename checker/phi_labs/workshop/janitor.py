"""What is looked after every minute while a workshop is open, and at every start.

Each chore stands for itself: trouble with one is told and hinders no other. Only what carries this
installation's labels and belongs to somebody on the roster is touched.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta

from phi_labs.errors import PhiLabsError, UserError
from phi_labs.lifecycle.pool import spares_wanted, tidy
from phi_labs.lifecycle.runs import is_gone, list_runs, stop_run
from phi_labs.model.run import Run, RunState
from phi_labs.records.event import Kind
from phi_labs.workshop.board import DISK_OVER, MACHINE_GONE, TIME_OVER
from phi_labs.workshop.ledger import Key
from phi_labs.workshop.provision import Step
from phi_labs.workshop.workshop import Workshop

MEBIBYTE = 1024 * 1024
HANDED_IN = 60.0  # seconds that a round waits for a grading; the next one looks again
DISK_EVERY = 5  # rounds: the engine walks a machine's files to say how much it wrote


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
            self._workshop.gradings.settle,
            self.end_what_is_over,
            self.reconcile,
            self.pause_what_is_idle,
            self._workshop.preparing.prepare,
            self.stop_what_outgrew_its_limit,
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
                    self._workshop.gradings.ask(place.learner, place.lab, final=TIME_OVER, first=True)
                except UserError as error:
                    self._tell(f"janitor: {place.learner} {place.lab}: {error.message}")

    def reconcile(self) -> None:
        """Board, queue and engine agree again: what a reboot stopped comes up, what is gone is told."""
        workshop = self._workshop
        ready = self._ready()  # before the listing: what becomes ready meanwhile is not missed in it
        there = {
            (run.trainee, run.lab): run.state
            for run in list_runs(workshop.installation)
            if run.trainee in workshop.board.learners and run.lab in workshop.labs
        }
        for key, state in there.items():
            order = workshop.provisioner.order(*key)
            if state is RunState.STOPPED and key in ready and not workshop.place(*key).finished:
                workshop.preparing.again(*key)
                self._tell(f"janitor: {key[1]} of {key[0]} was stopped from outside and is started again")
            elif order is None and workshop.installation.state.load_run(*key) is not None:
                workshop.provisioner.ready(*key)
        for learner, lab in ready - there.keys():
            if is_gone(workshop.installation, lab, learner):
                workshop.provisioner.forget(learner, lab)
                workshop.note(Kind.SESSION, learner, what=MACHINE_GONE, lab=lab)
                self._tell(f"janitor: {lab} of {learner} is gone and is made afresh when asked for")

    def _ready(self) -> set[Key]:
        workshop = self._workshop
        orders = {key: workshop.provisioner.order(*key) for key in workshop.plan()}
        return {key for key, order in orders.items() if order is not None and order.step is Step.READY}

    def pause_what_is_idle(self) -> None:
        """Labs in which nobody has been for a while rest; contact wakes them."""
        workshop = self._workshop
        limit = workshop.now() - timedelta(minutes=workshop.settings.idle_minutes)
        for run in list_runs(workshop.installation):
            key = (run.trainee, run.lab)
            here = run.state is RunState.READY and key in workshop.board.places
            if here and key not in workshop.graders.under_way:
                workshop.attendance.rest(*key, unseen_since=limit)

    def stop_what_outgrew_its_limit(self) -> None:
        """What was handed in because it wrote too much goes, with what it wrote; the submission stays."""
        workshop = self._workshop
        for place in list(workshop.board.places.values()):
            if place.finished == DISK_OVER and place.started_at is not None:
                stop_run(workshop.installation, place.lab, place.learner)
                workshop.provisioner.forget(place.learner, place.lab)
                workshop.note(Kind.SESSION, place.learner, what=MACHINE_GONE, lab=place.lab)

    def keep_spares(self) -> None:
        """Untouched machines wait for the next gradings; what ended gradings left goes."""
        if spares_wanted():
            for lab in self._workshop.loaded.labs:
                tidy(self._workshop.installation, lab, count=self._workshop.settings.graders)
        else:
            tidy(self._workshop.installation, None)

    def guard_disks(self) -> None:
        """A lab that outgrows its limit is frozen and handed in, before it fills everybody's disk."""
        workshop = self._workshop
        limit, tickets = workshop.settings.disk_limit * MEBIBYTE, []
        for run in list_runs(workshop.installation):
            key = (run.trainee, run.lab)
            saved = workshop.installation.state.load_run(*key)
            if key not in workshop.board.places or saved is None or workshop.place(*key).finished:
                continue
            written = self._written(saved, limit)
            if written > limit:
                self._tell(
                    f"janitor: {run.lab} of {run.trainee} wrote {written // MEBIBYTE} MiB and is ended"
                )
                more = f"{run.lab} wrote more than {limit // MEBIBYTE} MiB"
                workshop.message(run.trainee, f"{more}: it is handed in as it is, and ended")
                tickets.append(workshop.gradings.ask(*key, final=DISK_OVER, first=True))
        for ticket in tickets:
            ticket.done.wait(HANDED_IN)
        self.stop_what_outgrew_its_limit()

    def _written(self, run: Run, limit: int) -> int:
        """Bytes that a run's machines wrote; asked precisely only of one that seems to be above its limit.

        The engine counts a file's length, holes included: a sparse file harms nobody.
        """
        installation = self._workshop.installation
        written = {host: installation.engine.written(container) for host, container in run.containers.items()}
        if sum(written.values()) > limit:
            for host, container in run.containers.items():
                with contextlib.suppress(PhiLabsError):  # a decoy: the engine's figure counts
                    pid = installation.engine.inspect(container).pid
                    exact = installation.probe().occupied(pid, run.images[host])
                    written[host] = written[host] if exact is None else exact
        return sum(written.values())
