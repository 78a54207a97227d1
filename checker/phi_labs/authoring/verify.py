"""Proving a lab's grader: every attempt must get exactly the verdict its author wrote down.

Each attempt is tried on the seeds that a plan says, entities taking turns, on runs of an installation of
its own whose master key is fixed: the same seeds every time, and nothing of the user's is touched.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from phi_labs.authoring.attempts import HalfWay, apply_attempt
from phi_labs.authoring.plan import WORKERS, WRONG, Plan, trials
from phi_labs.errors import PhiLabsError
from phi_labs.grading.expected import expected_checks
from phi_labs.grading.grade import grade_run
from phi_labs.grading.job import Terms
from phi_labs.grading.readers import Readers
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.runs import start_run, stop_run
from phi_labs.lifecycle.scratch import scratch_installation
from phi_labs.lifecycle.state import State
from phi_labs.model.content import find_lab
from phi_labs.model.entity import Entity
from phi_labs.model.lab import WITHOUT_SCRIPT, Lab, Verdict, load_verdicts
from phi_labs.model.scorecard import Scorecard

UNTOUCHED = "untouched"
MASTER_KEY = b"phi-labs verify".hex().ljust(64, "0")
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """One attempt on one seed as one entity."""

    lab: str
    attempt: str
    seed: int
    entity: Entity

    @property
    def trainee(self) -> str:
        """Whose run it is; no two jobs of a verification share one."""
        return f"{self.attempt} seed {self.seed}"

    def apply(self, installation: Installation, lab: Lab) -> None:
        """Do to the run what is to be graded."""
        if self.attempt != UNTOUCHED:
            apply_attempt(installation, lab, self.trainee, self.attempt)


@dataclass(frozen=True)
class Row:
    """How one job went.

    Attributes:
        expected: objectives that the verdict says are earned, before guards withhold.
        expected_guards: guards that the verdict says fail.
        got, got_guards: what the grader said; empty after an error.
        error: why there is no verdict at all; ``half_way`` when the script itself failed.
        messages: target -> what the grader saw, of everything that did not pass.
    """

    job: Job
    expected: tuple[str, ...]
    expected_guards: tuple[str, ...]
    got: tuple[str, ...] = ()
    got_guards: tuple[str, ...] = ()
    score: int = 0
    error: str = ""
    half_way: bool = False
    seconds: float = 0.0
    messages: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the grader said exactly what the verdict says."""
        same = set(self.got) == set(self.expected) and set(self.got_guards) == set(self.expected_guards)
        return same and not self.error

    @property
    def differences(self) -> list[str]:
        """What is not as the verdict says, in words."""
        if self.error:
            return [self.error]
        told = [f"{name} passed, but should not" for name in self.got if name not in self.expected]
        told += [f"{name} did not pass: {self._why(name)}" for name in self.expected if name not in self.got]
        told += [
            f"guard {name} failed: {self._why(name)}"
            for name in self.got_guards
            if name not in self.expected_guards
        ]
        told += [
            f"guard {name} held, but should not"
            for name in self.expected_guards
            if name not in self.got_guards
        ]
        return told

    def _why(self, name: str) -> str:
        return "; ".join(self.messages.get(name, ("no message",)))


@dataclass(frozen=True)
class Summary:
    """One lab's part of a matrix in figures.

    Attributes:
        right, wrong: attempts tried that must, and must not, reach full score (those without script apart).
        seconds_per_job: on average, of one worker's time.
    """

    lab: str
    right: int
    wrong: int
    seeds: int
    exact: int
    tried: int
    not_done: int
    seconds_per_job: float


@dataclass(frozen=True)
class Matrix:
    """All rows of a verification, the jobs that no time was left for, and by which plan it was made."""

    rows: tuple[Row, ...]
    seconds: float
    not_done: tuple[Job, ...] = ()
    plan: Plan = Plan.FULL
    turn: int = 0

    @property
    def exact(self) -> bool:
        """Whether every row that was tried is as its verdict says."""
        return all(row.ok for row in self.rows)

    @property
    def ok(self) -> bool:
        """Whether there are rows, all of them exact, and none missing: what was not tried is not proven."""
        return bool(self.rows) and self.exact and not self.not_done

    @property
    def summaries(self) -> tuple[Summary, ...]:
        """A summary of each lab, in order."""
        labs = dict.fromkeys([row.job.lab for row in self.rows] + [job.lab for job in self.not_done])
        return tuple(self._summary(lab) for lab in labs)

    def _summary(self, lab: str) -> Summary:
        rows = [row for row in self.rows if row.job.lab == lab]
        names = {row.job.attempt for row in rows} - set(WITHOUT_SCRIPT)
        wrong = {name for name in names if name.startswith(WRONG)}
        return Summary(
            lab,
            right=len(names - wrong),
            wrong=len(wrong),
            seeds=len({row.job.seed for row in rows}),
            exact=sum(row.ok for row in rows),
            tried=len(rows),
            not_done=sum(job.lab == lab for job in self.not_done),
            seconds_per_job=round(sum(row.seconds for row in rows) / max(1, len(rows)), 2),
        )

    def to_data(self) -> dict[str, Any]:
        """JSON-able."""
        rows = [{**asdict(row), "ok": row.ok, "differences": row.differences} for row in self.rows]
        return {
            "ok": self.ok,
            "plan": str(self.plan),
            "turn": self.turn,
            "seconds": round(self.seconds, 1),
            "labs": [asdict(summary) for summary in self.summaries],
            "not_done": [asdict(job) for job in self.not_done],
            "rows": rows,
        }


def verify(  # noqa: PLR0913 - what decides a verification
    installation: Installation,
    labs: Sequence[Lab],
    *,
    seeds: int = 3,
    plan: Plan = Plan.FULL,
    turn: int = 0,
    entities: Sequence[Entity] | None = None,
    workers: int = WORKERS,
    only: Sequence[str] | None = None,
    budget: float | None = None,
    progress: Tell = lambda _line: None,
) -> Matrix:
    """Try every attempt of these labs and compare with verdicts.yml.

    Args:
        seeds: how many different trainees there are; entities take turns over them.
        plan: on which of them an attempt is tried; ``turn`` moves what tries only one on to another.
        entities: limits the entities; a verdict may limit them further.
        workers: processes that work side by side (starts are bound by the engine's processor).
        only: names of attempts; all when empty.
        budget: seconds after which no further job is begun; what is under way is finished.
        progress: called with a line for each finished row.
    """
    began = time.monotonic()
    blanks = []
    for lab in labs:
        expected_checks(lab)
        verdicts = dict(load_verdicts(lab).items())
        planned = trials(lab, list(verdicts.items()), seeds=seeds, entities=entities, plan=plan, turn=turn)
        blanks += [
            blank_row(lab, Job(lab.id, name, seed, entity), verdicts[name])
            for name, seed, entity in planned
            if not only or name in only
        ]
        for host in lab.hosts:
            installation.image_of(lab, host.name)

    def tell(finished: int, row: Row) -> None:
        word = "as expected" if row.ok else "DIFFERS"
        progress(f"{finished}/{len(blanks)} {row.job.lab} {row.job.attempt}: {word}")

    left = None if budget is None else began + budget
    rows, not_done = try_all(installation, blanks, workers=workers, deadline=left, tell=tell)
    return Matrix(rows, time.monotonic() - began, not_done, plan, turn)


def try_all(
    installation: Installation,
    blanks: Sequence[Row],
    *,
    workers: int,
    deadline: float | None,
    tell: Callable[[int, Row], None],
) -> tuple[tuple[Row, ...], tuple[Job, ...]]:
    """Fill rows in, side by side, on runs of their own; the rows in order, and the jobs not done in time.

    Args:
        deadline: on the monotonic clock; None for none.
        tell: called with how many are finished, and the row that just was.
    """
    with scratch_installation(installation, "verify", MASTER_KEY) as scratch:
        done: dict[Job, Row] = {}
        with closing(_work(scratch.state.root, installation.content, blanks, workers, deadline)) as work:
            for row in work:
                done[row.job] = row
                tell(len(done), row)
    rows = tuple(done[blank.job] for blank in blanks if blank.job in done)
    return rows, tuple(blank.job for blank in blanks if blank.job not in done)


def _work(
    root: Path, content: Path | None, blanks: Sequence[Row], workers: int, deadline: float | None
) -> Generator[Row, None, None]:
    """Rows as they are finished, none begun after the deadline; an interrupt ends the workers."""
    # Workers are spawned, not forked: each grading forks again, which threads of ours must not see.
    pool = ProcessPoolExecutor(max(1, workers), multiprocessing.get_context("spawn"), _prepare_worker)
    try:
        waiting: set[Future[Row]] = {pool.submit(try_attempt, root, content, blank) for blank in blanks}
        while waiting:
            limit = None if deadline is None else max(0.0, deadline - time.monotonic())
            done, waiting = wait(waiting, timeout=limit, return_when=FIRST_COMPLETED)
            if limit == 0:
                waiting = {future for future in waiting if not future.cancel()}
                deadline = None  # only what is under way is waited for
            for future in done:
                yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare_worker() -> None:
    """Everything a grading needs, imported once."""
    import paramiko  # noqa: F401, PLC0415


@cache
def _installation(root: Path, content: Path | None) -> Installation:
    """A worker's own; its conversations with the probe serve job after job (beginning one costs 0.1 s)."""
    installation = Installation(State(root), content=content)
    installation.probe()
    return installation


@cache
def _readers(_root: Path) -> Readers:
    """A worker's own interpreters."""
    return Readers()


def blank_row(lab: Lab, job: Job, verdict: Verdict) -> Row:
    """What a job must come to, before it is tried."""
    earned = verdict.earned(lab)
    return Row(job, tuple(name for name in lab.objective_ids if name in earned), verdict.guards_fail)


def try_attempt(root: Path, content: Path | None, blank: Row) -> Row:
    """One job from start to stop, in a worker; trouble becomes the row's error."""
    job, began = blank.job, time.monotonic()
    installation = _installation(root, content)
    try:
        lab = find_lab(job.lab, content)
        start_run(installation, lab, job.trainee, entity=job.entity, spares=False)
        job.apply(installation, lab)
        terms = Terms(readers=_readers(root))
        card = grade_run(installation, lab, job.trainee, later=False, terms=terms).scorecard
        row = _row(blank, card)
    except PhiLabsError as error:
        _readers(root).drop()  # it may have been in the middle of an answer
        said = f"{error.message} {error.hint}".strip()
        row = _changed(blank, error=said, half_way=isinstance(error, HalfWay))
    finally:
        with suppress(PhiLabsError):
            stop_run(installation, job.lab, job.trainee)
    return _changed(row, seconds=round(time.monotonic() - began, 2))


def _row(blank: Row, card: Scorecard) -> Row:
    messages = {item.id: item.messages for item in card.objectives if item.messages}
    messages |= {guard.id: guard.messages for guard in card.guards if guard.messages}
    return _changed(
        blank,
        got=tuple(item.id for item in card.objectives if item.passed),
        got_guards=tuple(guard.id for guard in card.failed_guards),
        score=card.score,
        messages=messages,
    )


def _changed(row: Row, **values: Any) -> Row:
    return Row(**{**{name: getattr(row, name) for name in Row.__dataclass_fields__}, **values})
