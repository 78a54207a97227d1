"""Grading for many: resident processes, each with everything imported and its conversations open."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from phi_labs.errors import PhiLabsError
from phi_labs.workshop.fair_queue import FairQueue

ORPHAN_CHECK = 0.1  # seconds
DEADLINE = 600.0  # seconds; a grading's own deadlines end it long before


@dataclass(frozen=True)
class Outcome:
    """How one grading ended.

    Attributes:
        number: of the attempt; 0 when there is none.
        scorecard: as data (``Scorecard.to_data``); None when it could not be graded.
        submission: SHA-256 over the kept archives.
        seed: fingerprint of the run's seed.
        reason: why there is no verdict; ``ours`` says whether that is the grader's or engine's trouble.
    """

    number: int = 0
    scorecard: dict[str, Any] | None = None
    submission: str = ""
    seed: str = ""
    seconds: float = 0.0
    reason: str = ""
    ours: bool = False


def submission_hash(folder: Path) -> str:
    """SHA-256 over names and contents of a submission's files, in order."""
    total = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            total.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


@dataclass
class Ticket:
    """A grading that was asked for; several who ask for the same one share it."""

    learner: str
    lab: str
    done: threading.Event = field(default_factory=threading.Event)
    outcome: Outcome | None = None
    broken: int = 0  # how often the process under it was killed


Finished = Callable[[Ticket, Outcome], bool]


class Graders:
    """Grades runs in processes of its own, fair between trainees; each run at most once at a time.

    Args:
        state, content: of the installation whose runs are graded.
        workers: processes; grading is bound by the processor.
        finished: called with every outcome, in a thread of the pool, before whoever waits is told; says
            whether it is to be done once more.
        hints_cost: whether hints cost the points that the lab says.
    """

    def __init__(
        self,
        state: Path,
        content: Path | None,
        *,
        workers: int,
        finished: Finished,
        hints_cost: bool = True,
    ) -> None:
        self._arguments = (state, content)
        self._hints_cost = hints_cost
        self._workers = workers
        self._finished = finished
        self._lock = threading.Condition()
        self._queue: FairQueue[str, str] = FairQueue()
        self._tickets: dict[tuple[str, str], Ticket] = {}
        self._busy: set[tuple[str, str]] = set()
        self._held = ""
        self._parked: list[Ticket] = []
        self._ended = False
        self._pool = self._fresh_pool()

    def ask(self, learner: str, lab: str, *, first: bool = False) -> Ticket:
        """Have a run graded. One that waits is not queued again; one under way is graded once more."""
        with self._lock:
            ticket = self._tickets.get((learner, lab))
            if ticket is None:
                ticket = self._tickets[learner, lab] = Ticket(learner, lab)
            self._queue.put(learner, lab, first=first)
        self._hand_out()
        return ticket

    def hold(self, reason: str) -> None:
        """Begin nothing for that reason; with none, go on: what was cut off is done once more."""
        with self._lock:
            self._held = reason
            parked = [] if reason else self._parked
            self._parked = self._parked if reason else []
        for ticket in parked:
            self._begin(ticket)
        self._hand_out()

    def position(self, learner: str, lab: str) -> int:
        """How many gradings come first; -1 when it does not wait."""
        with self._lock:
            return self._queue.position(learner, lab)

    @property
    def waiting(self) -> int:
        """How many wait."""
        with self._lock:
            return len(self._queue)

    @property
    def under_way(self) -> list[tuple[str, str]]:
        """What is graded at this moment."""
        with self._lock:
            return sorted(self._busy)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing waits or is graded; False when the time is up."""
        with self._lock:
            return self._lock.wait_for(lambda: not len(self._queue) and not self._busy, seconds)

    def close(self) -> None:
        """Begin no more; wait for what is graded; end the processes. What is held is not waited for."""
        with self._lock:
            self._ended = True
            parked, self._parked = self._parked, []
        for ticket in parked:
            self._end(ticket, Outcome(reason=f"not graded: {self._held}", ours=True))
        with self._lock:
            self._lock.wait_for(lambda: not self._busy, DEADLINE)
        self._pool.shutdown(wait=True, cancel_futures=True)

    # -- working --------------------------------------------------------------------------

    def _fresh_pool(self) -> ProcessPoolExecutor:
        # Spawned, not forked: a grading forks again, which threads of ours must not see.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._workers, context, _prepare, self._arguments)

    def _hand_out(self) -> None:
        while (ticket := self._next()) is not None:
            self._begin(ticket)

    def _begin(self, ticket: Ticket) -> None:
        pool = self._pool
        try:
            future = self._submit(ticket)
        except BrokenProcessPool:
            with self._lock:
                if self._pool is pool:
                    self._pool = self._fresh_pool()
            future = self._submit(ticket)
        future.add_done_callback(partial(self._done, ticket))

    def _submit(self, ticket: Ticket) -> Future[Outcome]:
        return self._pool.submit(
            grade_one, *self._arguments, ticket.learner, ticket.lab, hints_cost=self._hints_cost
        )

    def _next(self) -> Ticket | None:
        """The next that may be graded now: a run that is being graded waits for its end."""
        with self._lock:
            if self._ended or self._held or len(self._busy) >= self._workers:
                return None
            for key in list(self._queue):
                if key not in self._busy:
                    self._queue.drop(*key)
                    self._busy.add(key)
                    return self._tickets.pop(key)
        return None

    def _done(self, ticket: Ticket, future: Future[Outcome]) -> None:
        try:
            outcome = future.result()
        except BrokenProcessPool:
            if ticket.broken == 0:  # a process that dies takes the others of its pool along
                ticket.broken += 1
                self._begin(ticket)
                return
            outcome = Outcome(reason="the grading process was killed", ours=True)
        except Exception as error:  # whatever it is, whoever waits must hear of it
            outcome = Outcome(reason=f"{type(error).__name__}: {error}", ours=True)
        again = False
        try:
            again = self._finished(ticket, outcome)
        finally:
            if not again or not self._repeated(ticket):
                self._end(ticket, outcome)

    def _repeated(self, ticket: Ticket) -> bool:
        """Have it done once more, now or when nothing is held; False when nothing more is begun."""
        with self._lock:
            if self._ended:
                return False
            if self._held:
                self._parked.append(ticket)
                return True
        self._begin(ticket)
        return True

    def _end(self, ticket: Ticket, outcome: Outcome) -> None:
        with self._lock:
            self._busy.discard((ticket.learner, ticket.lab))
            self._lock.notify_all()
        ticket.outcome = outcome
        ticket.done.set()
        self._hand_out()


# -- in a process of the pool ----------------------------------------------------------------


def _prepare(state: Path, content: Path | None) -> None:
    """Import everything a grading needs and begin the conversations, before somebody waits for it."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    import paramiko  # noqa: F401, PLC0415

    import phi_labs.grading.reporter  # noqa: F401, PLC0415

    installation = _installation(state, content)
    installation.probe()
    installation.begin_probe("worker")


def _end_with(parent: int) -> None:
    """An orphan would write an attempt that nobody records: end within a moment of the parent."""
    while os.getppid() == parent:
        time.sleep(ORPHAN_CHECK)
    os._exit(1)


@cache
def _installation(state: Path, content: Path | None) -> Any:
    from phi_labs.lifecycle.installation import Installation  # noqa: PLC0415 - only in the pool
    from phi_labs.lifecycle.state import State  # noqa: PLC0415

    return Installation(State(state), content=content)


def fingerprint(seed: bytes) -> str:
    """Tells seeds apart, and gives none away: keys of machines and personas derive from them."""
    return hashlib.sha256(b"seed " + seed).hexdigest()[:16]


def grade_one(
    state: Path, content: Path | None, learner: str, lab_id: str, *, hints_cost: bool = True
) -> Outcome:
    """Grade one run; trouble becomes the outcome's reason."""
    from phi_labs.errors import MachineDown, StateUnwritable, UserError  # noqa: PLC0415
    from phi_labs.grading.grade import grade_run  # noqa: PLC0415 - pytest, paramiko
    from phi_labs.grading.job import Terms  # noqa: PLC0415
    from phi_labs.lifecycle.runs import resume_run  # noqa: PLC0415
    from phi_labs.model.content import find_lab  # noqa: PLC0415

    began = time.monotonic()
    installation = _installation(state, content)
    try:
        lab = find_lab(lab_id, content)
        terms = Terms(assurance="supervised", hints_cost=hints_cost)
        try:
            graded = grade_run(installation, lab, learner, background=False, terms=terms)
        except MachineDown:  # by an engine that was restarted, a reboot: everybody's work is still there
            resume_run(installation, lab_id, learner)
            graded = grade_run(installation, lab, learner, background=False, terms=terms)
        run = installation.state.load_run(learner, lab_id)
        return Outcome(
            number=graded.number,
            scorecard=graded.scorecard.to_data(),
            submission=submission_hash(graded.folder / "submission"),
            seed=fingerprint(installation.state.seed(learner, lab_id, run.retry)) if run else "",
            seconds=round(time.monotonic() - began, 3),
        )
    except StateUnwritable as error:  # nobody's mistake who is graded
        return Outcome(reason=error.message, ours=True, seconds=round(time.monotonic() - began, 3))
    except UserError as error:
        return Outcome(reason=error.message, seconds=round(time.monotonic() - began, 3))
    except OSError as error:
        reason = f"cannot write what was handed in: {error.strerror}"
        return Outcome(reason=reason, ours=True, seconds=round(time.monotonic() - began, 3))
    except PhiLabsError as error:
        return Outcome(reason=error.message, ours=True, seconds=round(time.monotonic() - began, 3))
