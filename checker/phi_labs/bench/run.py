"""What is measured, in groups; and the figures of one lab: start, grade, a property, memory, reset."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from phi_labs.bench.gateway import measure_gateway
from phi_labs.bench.records import measure_records
from phi_labs.bench.report import BenchReport, Figure, compared, figure
from phi_labs.bench.roster import measure_roster
from phi_labs.bench.sweep import measure_sweep
from phi_labs.bench.synthetic import measure_synthetic
from phi_labs.bench.two_hosts import LAB as TWO_HOSTS
from phi_labs.bench.two_hosts import measure_two_hosts
from phi_labs.bench.workshop import TRAINEES, Sizes, measure_grading, measure_opening
from phi_labs.errors import UserError
from phi_labs.grading.clone import Machine
from phi_labs.grading.grade import grade_run
from phi_labs.grading.host import Host
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.machines import BOOT, host_spec
from phi_labs.lifecycle.pool import remove_spares, tidy
from phi_labs.lifecycle.runs import need_live_run, reset_run, start_run, stop_run
from phi_labs.lifecycle.scratch import scratch_installation
from phi_labs.model.content import find_lab
from phi_labs.model.lab import Lab
from phi_labs.model.nearest import did_you_mean

Tell = Callable[[str], None]

LAB = "log-access"
TRAINEE = "bench"
ROUNDS = 7
PROPERTIES = 30
MIB = 1024 * 1024
SETTLE_DEADLINE = 10.0
SETTLE = 0.7


@dataclass(frozen=True)
class Choice:
    """What is measured.

    Attributes:
        groups: keys of ``GROUPS``.
        trainees: learners of the largest workshop; fewer for slow machines.
    """

    groups: tuple[str, ...]
    trainees: int = TRAINEES

    @classmethod
    def of(cls, names: Sequence[str], trainees: int = TRAINEES) -> Choice:
        """The named groups, all of them when none is named; UserError for others."""
        for name in names:
            if name not in GROUPS:
                raise UserError(
                    f"bench has no group {name!r}",
                    did_you_mean(name, list(GROUPS)) or f"its groups: {', '.join(GROUPS)}",
                )
        return cls(tuple(name for name in GROUPS if name in names or not names), trainees)


@dataclass
class Found:
    """What was measured so far."""

    figures: list[Figure] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)


def bench(installation: Installation, tell: Tell, choice: Choice | None = None) -> BenchReport:
    """Measure; everything takes about six minutes. Nothing of the user's is touched.

    Raises:
        UserError: pytest-testinfra, the peer, is not installed.
    """
    choice, found = choice or Choice.of(()), Found()
    for name in choice.groups:
        GROUPS[name](installation, choice, found, tell)
    smaller = choice.trainees != TRAINEES and {"opening", "grading"} & {*choice.groups}
    remarks = (
        [f"workshops were measured with {choice.trainees} learners instead of {TRAINEES}"] if smaller else []
    )
    return BenchReport(tuple(found.figures), found.stages, _machine(installation), tuple(remarks))


def _measure_labs(installation: Installation, _choice: Choice, found: Found, tell: Tell) -> None:
    """One lab of one trainee."""
    testinfra = _need_testinfra()
    lab = _lab(installation)
    figures = found.figures
    with scratch_installation(installation, "bench") as scratch:
        grade_warm_up(scratch, lab)
        tell(f"start, beside bare create and start, {ROUNDS} times")
        figures.append(measure_start(scratch, lab))
        start_run(scratch, lab, TRAINEE, spares=False)
        tell("memory of an idle lab")
        figures.append(measure_memory(scratch, lab))
        tell(f"a property, {PROPERTIES} of them, beside pytest-testinfra")
        figures.append(measure_property(scratch, lab, testinfra))
        tell("grading: warm, without a waiting clone, cold")
        warm, found.stages = measure_grade(scratch, lab, waiting=True)
        figures += [warm, measure_grade(scratch, lab, waiting=False)[0], measure_cold_grade(scratch, lab)]
        tell("reset")
        figures.append(measure_reset(scratch, lab))
        tell("a key through the gateway, beside ssh with connect")
        figures += measure_gateway(scratch, lab, TRAINEE)
        tell("a sweep, beside ripgrep")
        figures += measure_sweep(scratch)


def _measure_two_hosts(installation: Installation, _choice: Choice, found: Found, tell: Tell) -> None:
    """A lab of two hosts."""
    lab = find_lab(TWO_HOSTS, installation.content)
    for host in lab.hosts:
        installation.image_of(lab, host.name)
    with scratch_installation(installation, "bench") as scratch:
        tell("grading a lab of two hosts")
        found.figures.append(told(measure_two_hosts(scratch, lab, TRAINEE), tell))


def _measure_opening(installation: Installation, choice: Choice, found: Found, tell: Tell) -> None:
    for item in measure_opening(installation, _lab(installation), Sizes(choice.trainees), tell):
        found.figures.append(told(item, tell))


def _measure_grading(installation: Installation, choice: Choice, found: Found, tell: Tell) -> None:
    for item in measure_grading(installation, _lab(installation), Sizes(choice.trainees), tell):
        found.figures.append(told(item, tell))


def told(item: Figure, tell: Tell) -> Figure:
    """Say a figure as soon as it is known: the next one may take minutes."""
    beside = f"; {item.peer}: {item.peer_value:.3g} {item.unit}" if item.peer else ""
    tell(f"{item.name}: {item.value:.3g} {item.unit}{beside}")
    return item


def _measure_synthetic(_installation: Installation, _choice: Choice, found: Found, tell: Tell) -> None:
    found.figures += measure_synthetic(tell)


def _measure_roster(_installation: Installation, _choice: Choice, found: Found, tell: Tell) -> None:
    found.figures += measure_roster(tell)


def _measure_records(installation: Installation, _choice: Choice, found: Found, tell: Tell) -> None:
    found.figures += measure_records(find_lab(LAB, installation.content), tell)


GROUPS: Mapping[str, Callable[[Installation, Choice, Found, Tell], None]] = {
    "labs": _measure_labs,
    "two-hosts": _measure_two_hosts,
    "opening": _measure_opening,
    "grading": _measure_grading,
    "synthetic": _measure_synthetic,
    "roster": _measure_roster,
    "records": _measure_records,
}


def _lab(installation: Installation) -> Lab:
    """The lab that is measured, its image there."""
    lab = find_lab(LAB, installation.content)
    installation.image_of(lab, lab.hosts[0].name)
    return lab


def grade_warm_up(installation: Installation, lab: Lab) -> None:
    """Start, grade and stop once: imports, caches, the probe's baseline."""
    start_run(installation, lab, TRAINEE, spares=False)
    grade_run(installation, lab, TRAINEE, later=False)
    stop_run(installation, lab.id, TRAINEE)


def measure_start(installation: Installation, lab: Lab) -> Figure:
    """start_run until SSH greets, in turn with bare create + start of the same image."""
    ours, bare = [], []
    for _ in range(ROUNDS):
        ours.append(_timed(lambda: start_run(installation, lab, TRAINEE, spares=False)))
        stop_run(installation, lab.id, TRAINEE)
        bare.append(_bare_start(installation, lab))
    return compared("start to SSH", ours, "s", "bare create + start", bare, 1.5)


def _bare_start(installation: Installation, lab: Lab) -> float:
    host, engine = lab.hosts[0], installation.engine
    labels = {"install": installation.state.install, "lab": lab.id}
    spec = host_spec(
        host, installation.image_of(lab, host.name), kind="bare", labels=labels, command=[BOOT, "--stay"]
    )
    began = time.perf_counter()
    container = engine.create(spec)
    engine.start(container)
    seconds = time.perf_counter() - began
    engine.remove(container)
    return seconds


def measure_memory(installation: Installation, lab: Lab) -> Figure:
    """Memory of the whole lab when it idles, page cache that nobody uses left out."""
    run = need_live_run(installation, lab.id, TRAINEE)
    engine = installation.engine
    samples: list[float] = []
    until = time.monotonic() + SETTLE_DEADLINE
    while len(samples) < ROUNDS and time.monotonic() < until:
        samples.append(sum(engine.memory(container) for container in run.containers.values()) / MIB)
    return figure("memory of an idle lab", samples, "MiB", 8.0)


def measure_property(installation: Installation, lab: Lab, testinfra: Any) -> Figure:
    """Mode, owner and size of files, asked of the probe and, on the same container, of testinfra."""
    run = need_live_run(installation, lab.id, TRAINEE)
    container = next(iter(run.containers.values()))
    image = next(iter(run.images.values()))
    machine = Machine(lab.hosts[0].name, container, installation.engine.inspect(container).pid, image)
    peer = testinfra.get_host(f"docker://{container}")
    # A path of its own for each: nothing is answered from memory.
    paths = [f"/usr/bin/{name}" for name in Host(machine, installation.probe()).listing("/usr/bin")]
    names = ("exists", "mode", "uid", "gid", "size", "is_file")
    properties = [(path, names[number % len(names)]) for number, path in enumerate(paths[:PROPERTIES])]
    hosts = [Host(machine, installation.probe()) for _ in range(ROUNDS)]
    ours = [_timed(partial(_ask, host, properties)) / PROPERTIES * 1000 for host in hosts]
    theirs = [_timed(partial(_ask, peer, properties)) / PROPERTIES * 1000 for _ in range(2)]
    return compared("a property", ours, "ms", "testinfra, docker backend", theirs, 150, at_least=True)


def _ask(host: Any, properties: list[tuple[str, str]]) -> None:
    for path, name in properties:
        getattr(host.file(path), name)


def measure_grade(installation: Installation, lab: Lab, *, waiting: bool) -> tuple[Figure, dict[str, float]]:
    """A warm grading, with or without pristine machines that wait; also the median of each stage."""
    samples: list[float] = []
    stages: list[Mapping[str, float]] = []
    for _ in range(ROUNDS):
        if waiting:
            tidy(installation, lab)
        else:
            remove_spares(installation)
        time.sleep(SETTLE)  # the engine goes on removing behind our back; a trainee grades minutes later
        began = time.perf_counter()
        graded = grade_run(installation, lab, TRAINEE, later=True, background=False)
        samples.append(time.perf_counter() - began)
        stages.append(graded.seconds)
    name = "warm grade, a clone waiting" if waiting else "warm grade, no clone waiting"
    medians = {stage: round(statistics.median(item[stage] for item in stages), 4) for stage in stages[0]}
    return figure(name, samples, "s", 0.6 if waiting else 1.0), medians


def measure_cold_grade(installation: Installation, lab: Lab) -> Figure:
    """``phi-labs grade`` as a process of its own, from start to end."""
    samples = []
    environment = {**os.environ, "PHI_LABS_STATE": str(installation.state.root), "PHI_LABS_SPARES": "0"}
    argv = [sys.executable, "-P", "-m", "phi_labs", "grade", lab.id, "--trainee", TRAINEE, "--json"]
    for _ in range(ROUNDS):
        tidy(installation, lab)
        time.sleep(SETTLE)  # as above
        began = time.perf_counter()
        done = subprocess.run(argv, env=environment, capture_output=True, check=False, timeout=120)
        samples.append(time.perf_counter() - began)
        if done.returncode not in (0, 1):
            raise UserError("phi-labs grade failed: " + done.stderr.decode(errors="replace")[-400:])
    return figure("cold phi-labs grade", samples, "s", 1.6)


def measure_reset(installation: Installation, lab: Lab) -> Figure:
    """reset_run until SSH greets again."""
    samples = [_timed(lambda: reset_run(installation, lab, TRAINEE)) for _ in range(ROUNDS)]
    return figure("reset", samples, "s", 1.5)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _need_testinfra() -> Any:
    try:
        import testinfra  # noqa: PLC0415 - only here, and not part of a plain installation
    except ImportError as error:
        raise UserError(
            "the bench measures beside pytest-testinfra, which is not installed",
            "./phi-labs setup test (in a checkout), or pip install pytest-testinfra",
        ) from error
    return testinfra


def _machine(installation: Installation) -> dict[str, Any]:
    info = installation.engine.info()
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(info.get("MemTotal", 0) / 1024**3, 1),
        "engine": info.get("ServerVersion"),
        "storage": info.get("Driver"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }
