"""What one grading works with: its machines, its helpers, its stop-watch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from phi_fixtures.manifest import Manifest
from phi_labs.engine.docker import Engine
from phi_labs.errors import MissingObject, ProbeError
from phi_labs.grading.clone import Machine, fresh_machine
from phi_labs.grading.expected import Check
from phi_labs.grading.readers import Readers
from phi_labs.interrupts import held
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.pool import Lease, network_for, take
from phi_labs.model.lab import Lab
from phi_labs.model.run import Run
from phi_labs.model.scorecard import Assurance, ExpectedCheck
from phi_labs.probe.client import Probe

WORKER = "worker"
STEPS = ("clones", "pristines", "interpreters", "worker", "imports")
SHORT_MOMENT = 0.03  # seconds; claiming a waiting machine takes 15 ms, making one 280


@dataclass
class Stages:
    """A stop-watch for the stages of one grading."""

    seconds: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.perf_counter)

    def done(self, stage: str) -> None:
        """The stage that began with the last call is over."""
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 4)
        self._last = now


@dataclass(frozen=True)
class Circumstances:
    """What a scorecard says beside what the checks saw, as it was when the submission was taken.

    Attributes:
        hints: objective id -> how many of its hints were taken.
        rescue: whether the root console was used.
        assurance: supervised or practice.
    """

    hints: dict[str, int] = field(default_factory=dict)
    rescue: bool = False
    assurance: Assurance = "practice"


@dataclass(frozen=True)
class Terms:
    """On which terms a grading is made.

    Attributes:
        assurance: what the scorecard says of its worth; a run that a prepared attempt was applied to stays
            practice.
        hints_cost: whether hints cost the points that the lab says.
        readers: interpreters that serve many gradings, for an author's own attempts.
    """

    assurance: Assurance = "practice"
    hints_cost: bool = True
    readers: Readers | None = None


PRACTICE = Terms()


@dataclass
class Job:
    """Everything one grading works with."""

    installation: Installation
    lab: Lab
    run: Run
    manifest: Manifest
    checks: list[Check]
    probe: Probe
    held: Lease
    stages: Stages
    machines: dict[str, Machine] = field(default_factory=dict)
    live: dict[str, Machine] = field(default_factory=dict)
    interpreters: dict[str, Machine] = field(default_factory=dict)
    pristines: dict[str, Machine] = field(default_factory=dict)
    expected: list[ExpectedCheck] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)
    circumstances: Circumstances = field(default_factory=Circumstances)
    regrade_of: int = 0
    readers: Readers | None = None  # None: interpreters of its own
    second_try: bool = False  # the probe died in the first: what now kills it again is the submission

    @property
    def engine(self) -> Engine:
        """The container engine."""
        return self.installation.engine

    def close(self) -> None:
        """End the conversations with its own machines."""
        own = [*self.machines.values(), *self.pristines.values()]
        if self.readers is None:
            own += self.interpreters.values()
        for machine in own:
            machine.close()


class Helpers:
    """Steps that run beside the main line, each with engine connections of its own."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._threads: dict[str, threading.Thread] = {}
        self._trouble: dict[str, BaseException] = {}

    def begin(self, step: str, work: Callable[[Installation], object]) -> None:
        """Start a step."""
        thread = threading.Thread(target=self._do, args=(step, work), daemon=True)
        with held():  # one that is on the list, and not quite begun, could not be joined
            self._threads[step] = thread
            self._job.threads.append(thread)
            thread.start()

    @property
    def all_done(self) -> bool:
        """Whether every step has ended, for a short moment more."""
        until = time.monotonic() + SHORT_MOMENT
        return all(self._ended(thread, until) for thread in self._threads.values())

    @staticmethod
    def _ended(thread: threading.Thread, until: float) -> bool:
        thread.join(max(until - time.monotonic(), 0))
        return not thread.is_alive()

    def need(self, step: str) -> None:
        """Wait for a step; its trouble is raised here."""
        self._threads[step].join()
        if step in self._trouble:
            raise self._trouble[step]

    def _do(self, step: str, work: Callable[[Installation], object]) -> None:
        try:
            beside = self._job.installation.beside()
            try:
                work(beside)
            finally:
                beside.engine.close()
        except BaseException as error:  # raised again by the thread that needs the step
            self._trouble[step] = error


def make_clones(job: Job, installation: Installation) -> None:
    """Pristine machines with hands in them."""
    network = network_for(installation, job.held) if len(job.run.images) > 1 else None
    for name, image in job.run.images.items():
        container = take(installation, job.lab, job.lab.host(name), image, job.held, kind="clone")
        if network is not None:
            installation.engine.join(container, network, name)
        job.machines[name] = fresh_machine(installation.engine, name, container, image)


def make_pristines(job: Job, installation: Installation) -> None:
    """Untouched machines, without a network, on which checks may try things."""
    for host in job.lab.pristine_hosts:
        image = job.run.images[host.name]
        container = take(installation, job.lab, host, image, job.held, kind="clone")
        job.pristines[host.name] = fresh_machine(installation.engine, host.name, container, image)


def make_interpreters(job: Job, installation: Installation) -> None:
    """Throw-away machines without privileges, for reading configuration."""
    for name, image in job.run.images.items():
        if job.readers is not None:
            job.interpreters[name] = job.readers.machine(installation, job.lab, name, image)
            continue
        container = take(installation, job.lab, job.lab.host(name), image, job.held, kind="interpreter")
        job.interpreters[name] = fresh_machine(installation.engine, name, container, image)


def know_images(job: Job, helpers: Helpers) -> None:
    """Have the probe know every image, by walking a pristine clone where it does not yet."""
    for name, image in job.run.images.items():
        if not job.probe.baseline(image):
            helpers.need("clones")
            job.probe.baseline(image, job.machines[name].pid)


def _import_what_the_worker_needs() -> None:
    """In a fresh process these imports take 150 ms, most of which the main line waits for the engine."""
    import paramiko  # noqa: F401, PLC0415

    import phi_labs.grading.reporter  # noqa: F401, PLC0415


def begin(job: Job) -> Helpers:
    """Start making clones and interpreters; return when the probe knows the images."""
    helpers = Helpers(job)
    helpers.begin("clones", lambda beside: make_clones(job, beside))
    helpers.begin("pristines", lambda beside: make_pristines(job, beside))
    helpers.begin("interpreters", lambda beside: make_interpreters(job, beside))
    helpers.begin("worker", lambda _beside: job.installation.begin_probe(WORKER))
    helpers.begin("imports", lambda _beside: _import_what_the_worker_needs())
    know_images(job, helpers)
    job.stages.done("prepare")
    return helpers


def look_at_live(job: Job) -> None:
    for name, container in job.run.containers.items():
        pid = job.engine.inspect(container).pid
        job.live[name] = Machine(name, container, pid, job.run.images[name])


def living_probe(installation: Installation) -> Probe:
    """A conversation with the probe; a probe that died in this moment is replaced once."""
    try:
        probe = installation.probe()
        probe.ask("hello")
    except (ProbeError, MissingObject):
        installation.drop_probe()
        probe = installation.probe()
        probe.ask("hello")
    return probe
