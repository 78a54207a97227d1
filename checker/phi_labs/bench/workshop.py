"""A workshop of many: opening, memory, status and grading, beside what bare containers take.

Workshops of ten learners are held, and one of the whole size, so that what one learner costs can be compared.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from phi_labs.bench.cohort import NAME, Cohort
from phi_labs.bench.report import Figure, compared, figure
from phi_labs.bench.resident import Processes, container_processes, engine_processes, shares
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.machines import BOOT, host_spec
from phi_labs.lifecycle.scratch import scratch_installation
from phi_labs.model.lab import Lab
from phi_labs.records.address import records_url
from phi_labs.records.event import Kind
from phi_labs.records.store import Records

TRAINEES = 200
FEW = 10
THREADS = 4
SHOWN = 9
GIB = 1024**3
# Targets: times the bare starts; gradings a second; times the cost among few; seconds; GiB for TRAINEES labs.
OPENING, GRADING, FLAT, STATUS, MEMORY = 1.5, 2.0, 1.15, 0.3, 4.0
FEW_ROUNDS = 3
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Sizes:
    """How many learners each part has; ``trainees`` is the largest workshop."""

    trainees: int = TRAINEES

    @property
    def half(self) -> int:
        """As many are opened at once, and graded."""
        return max(1, self.trainees // 2)

    @property
    def few(self) -> int:
        """As many are in the small workshop."""
        return min(FEW, self.half)


def measure_opening(installation: Installation, lab: Lab, sizes: Sizes, tell: Tell) -> Iterator[Figure]:
    """A workshop opened, beside bare containers; what it weighs, and how fast it tells how it is."""
    tell(f"a workshop of {sizes.few} opened, {FEW_ROUNDS} times")
    few = [_opening_of_few(installation, lab, sizes.few) for _ in range(FEW_ROUNDS)]
    half, whole = sizes.half, sizes.trainees
    with _cohort(installation, lab) as (scratch, cohort):
        tell(
            f"{half} bare create and start, {THREADS} at a time; between them a workshop of {half} is opened"
        )
        bare = bare_starts(scratch, lab, half - half // 2)
        daemons = shares(engine_processes(Processes()))
        opened = cohort.open(half)
        bare += bare_starts(scratch, lab, half // 2)
        peer = f"bare create + start, {THREADS} threads"
        yield compared(f"a workshop of {half} opened", [opened], "s", peer, [bare], OPENING)
        tell(f"{whole} idle labs: memory, status")
        cohort.grow(whole)
        each = _seconds_each(scratch, whole - half)
        yield compared(f"opening, each of {whole}", [each], "s", f"each of {sizes.few}", few, FLAT)
        memory = (_memory(scratch, cohort) - daemons) / GIB
        yield figure(f"memory of {whole} idle labs", [memory], "GiB", MEMORY * whole / TRAINEES)
        shown = [cohort.shown() for _ in range(SHOWN)]
        yield figure(f"workshop status, {whole} labs", shown, "s", STATUS)


def _opening_of_few(installation: Installation, lab: Lab, few: int) -> float:
    """Ten labs take two seconds, in which much may happen on a busy machine: measured several times."""
    with _cohort(installation, lab) as (scratch, cohort):
        cohort.open(few)
        return _seconds_each(scratch, few)


def measure_grading(installation: Installation, lab: Lab, sizes: Sizes, tell: Tell) -> Iterator[Figure]:
    """Half of a large workshop is graded while all its labs are up, and a small workshop, several times."""
    half, whole = sizes.half, sizes.trainees
    tell(f"a workshop of {sizes.few} graded, {FEW_ROUNDS} times")
    with _cohort(installation, lab) as (_, cohort):
        cohort.open(sizes.few)
        few = _graded(cohort, sizes.few, FEW_ROUNDS)
    with _cohort(installation, lab) as (_, cohort):
        tell(f"{half} of {whole} learners log in, and are graded")
        cohort.open(whole)
        many = _graded(cohort, half, 1)
    yield replace(figure(f"grading, {half} runs", [1 / many[0]], "a second", GRADING), at_least=True)
    yield compared(f"grading, each of {half}", many, "s", f"each of {sizes.few}", few, FLAT)


def _graded(cohort: Cohort, learners: int, rounds: int) -> list[float]:
    """Seconds for each of so many gradings, the graders' processes being there."""
    cohort.log_in(learners)
    cohort.grade_one()
    return [cohort.grade_all() / learners for _ in range(rounds)]


@contextmanager
def _cohort(installation: Installation, lab: Lab) -> Iterator[tuple[Installation, Cohort]]:
    with (
        scratch_installation(installation, "bench") as scratch,
        tempfile.TemporaryDirectory(prefix="phi-labs-bench-") as folder,
        Cohort(scratch, lab, Path(folder)) as cohort,
    ):
        yield scratch, cohort


def bare_starts(installation: Installation, lab: Lab, count: int) -> float:
    """Seconds that so many create + start of the lab's bare image take, with its limits; they go again."""
    image = installation.image_of(lab, lab.hosts[0].name)
    labels = {"install": installation.state.install, "lab": lab.id}
    engines = [installation.engine.reconnected() for _ in range(THREADS)]

    def share(number: int) -> None:
        for _ in range(number, count, THREADS):
            spec = host_spec(lab.hosts[0], image, kind="bare", labels=labels, command=[BOOT, "--stay"])
            # Ours wait for what is planted before they boot; without an input these boot, as the image does.
            engines[number].start(engines[number].create(replace(spec, attachable=False)))

    with ThreadPoolExecutor(THREADS) as pool:
        began = time.perf_counter()
        list(pool.map(share, range(THREADS)))
        seconds = time.perf_counter() - began
    for engine in engines:
        engine.close()
    for made in installation.engine.containers({"kind": "bare", "install": installation.state.install}):
        installation.engine.remove(made.id)
    return seconds


def _seconds_each(scratch: Installation, last: int) -> float:
    """Seconds for each of the ``last`` labs, from the moment in which their learners were enrolled."""
    with Records(records_url(scratch.state.root), read_only=True) as records:
        enrolled = [event.at for event in records.events(NAME, Kind.ENROLLED)]
        started = [event.at for event in records.events(NAME, Kind.LAB_STARTED)]
    return (datetime.fromisoformat(started[-1]) - datetime.fromisoformat(enrolled[-1])).total_seconds() / last


def _memory(scratch: Installation, cohort: Cohort) -> int:
    """Of every process in the workshop's containers, of their shims, the engine, and the workshop's own."""
    engine = scratch.engine
    mine = engine.containers({"install": scratch.state.install})
    first = [engine.inspect(container.id).pid for container in mine]
    now = Processes()
    return shares(container_processes(now, first) | engine_processes(now) | now.below(cohort.process))
