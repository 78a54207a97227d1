"""Grading: capture -> clone -> question -> score -> record.

Whose fault is it when something does not work? A failed expectation is the trainee's. When a
check errs, or a machine does not come up, the same step is tried on an untouched machine of the
same seed at that moment: if that works, the submission is at fault and fails; if not, the
trouble is ours, no attempt is counted and no zero is given.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from phi_fixtures.manifest import Manifest
from phi_labs.engine.docker import Engine
from phi_labs.errors import HandsError, MissingObject, NotGraded, PhiLabsError, ProbeError, UserError
from phi_labs.grading.clone import BootFailedError, Machine, boot, bring_to, fresh_machine
from phi_labs.grading.control import control_machines
from phi_labs.grading.expected import Check, expected_checks
from phi_labs.grading.host import Host
from phi_labs.grading.interpreter import Interpreter
from phi_labs.grading.planted import planted_for
from phi_labs.grading.record import read_record
from phi_labs.grading.submission import Submission, capture_run, load_submission
from phi_labs.grading.worker import TOOK_TOO_LONG, WITHOUT_CLONE, Answers, CheckRun, start_checks
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.pool import Lease, lease, network_for, request_spares, take
from phi_labs.lifecycle.runs import need_live_run, organisation_of
from phi_labs.lifecycle.state import AttemptFolder
from phi_labs.model.lab import BUILT_IN_GUARDS, Lab
from phi_labs.model.run import Run
from phi_labs.model.scorecard import About, CheckOutcome, CheckStatus, ExpectedCheck, Scorecard, score
from phi_labs.probe.client import Probe

COMES_UP, WHOLE = (guard.id for guard in BUILT_IN_GUARDS)
CIRCUMSTANCES = "circumstances.json"
WORKER = "worker"
STEPS = ("clones", "interpreters", "worker")
SHORT_MOMENT = 0.03  # seconds; claiming a waiting machine takes 15 ms, making one 280
AT_FAULT = "this could not be checked on your machine, while it works on an untouched one"


@dataclass(frozen=True)
class Graded:
    """A finished grading.

    Attributes:
        number: of the attempt, counted per trainee and lab.
        folder: where scorecard, submission and manifest are kept.
        seconds: how long each stage took.
    """

    scorecard: Scorecard
    number: int
    folder: Path
    seconds: Mapping[str, float]


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
    """

    hints: dict[str, int] = field(default_factory=dict)
    rescue: bool = False


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
    expected: list[ExpectedCheck] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)
    circumstances: Circumstances = field(default_factory=Circumstances)
    regrade_of: int = 0

    @property
    def engine(self) -> Engine:
        """The container engine."""
        return self.installation.engine

    def close(self) -> None:
        """End the conversations with its own machines."""
        for machine in (*self.machines.values(), *self.interpreters.values()):
            machine.close()


def grade_run(
    installation: Installation, lab: Lab, trainee: str, *, later: bool = True, background: bool = True
) -> Graded:
    """Grade the current state of a trainee's run; the trainee keeps working.

    Args:
        later: leave the removal of clones to somebody else.
        background: with ``later``, have it done by a process in the background, at once.

    Raises:
        UserError: there is no run, or one of its machines is not up.
        NotGraded: our trouble; no attempt was counted.
    """
    stages = Stages()
    checks = expected_checks(lab)
    run = need_live_run(installation, lab.id, trainee)
    manifest = installation.state.load_manifest(trainee, lab.id)
    with (
        _attempt(installation, run) as attempt,
        _job(installation, lab, run, manifest, checks, stages, later) as job,
    ):
        job.circumstances = _circumstances(installation, run)
        _look_at_live(job)
        with Asking(job, _begin(job)) as asking:
            submission = _captured(job, attempt.submission)
            outcomes = _questioned(job, submission, asking)
        card = _scored(job, outcomes)
        kept = _kept(job, submission, attempt, card)
        stages.done("score and keep")
    if later and background:
        request_spares(installation, lab)
    return Graded(kept[1], kept[0].number, kept[0].path, stages.seconds)


def regrade(installation: Installation, lab: Lab, trainee: str, number: int) -> Graded:
    """Grade a kept submission again, with today's checks; kept as a new attempt.

    The running machine of then cannot be asked again: a check that looked at it keeps a failure it
    had, and otherwise looks at the clone.

    Raises:
        UserError: there is no such attempt, or its image is gone.
    """
    stages = Stages()
    checks = expected_checks(lab)
    old = next((item for item in installation.state.attempts(trainee, lab.id) if item.number == number), None)
    if old is None:
        raise UserError(
            f"{trainee} has no attempt {number} of {lab.id}", f"phi-labs grade {lab.id} makes one"
        )
    run = Run.from_json((old.path / "run.json").read_text(encoding="utf-8"))
    manifest = Manifest.from_json(old.manifest.read_text(encoding="utf-8"))
    before = Scorecard.from_json(old.scorecard.read_text(encoding="utf-8"))
    with (
        _attempt(installation, run) as attempt,
        _job(installation, lab, run, manifest, checks, stages, False) as job,
    ):
        job.circumstances, job.regrade_of = _read_circumstances(old), number
        _need_images(job)
        shutil.copytree(old.submission, attempt.submission, dirs_exist_ok=True)
        submission = load_submission(attempt.submission)
        with Asking(job, _begin(job)) as asking:
            outcomes = _with_old_live_failures(_questioned(job, submission, asking), job, before)
        card = _scored(job, outcomes)
        kept = _kept(job, submission, attempt, card)
    return Graded(kept[1], kept[0].number, kept[0].path, stages.seconds)


# -- the steps ---------------------------------------------------------------------------


@contextmanager
def _attempt(installation: Installation, run: Run) -> Iterator[AttemptFolder]:
    """A folder that is dropped unless it became an attempt."""
    attempt = installation.state.new_attempt(run.trainee, run.lab)
    try:
        yield attempt
    finally:
        installation.state.drop_attempt(attempt)


@contextmanager
def _job(  # noqa: PLR0913, PLR0917 - the facts of one grading
    installation: Installation,
    lab: Lab,
    run: Run,
    manifest: Manifest,
    checks: list[Check],
    stages: Stages,
    later: bool,
) -> Iterator[Job]:
    """Probe and lease of one grading, given back at its end; one grading of a run at a time."""
    with installation.state.lock(f"grade-{run.id}", wait=False) as free:
        if not free:
            raise UserError(
                f"your run of {lab.id} is being graded at this moment",
                "wait for that result, then grade again",
            )
        try:
            with lease(installation, later=later) as held:
                job = Job(installation, lab, run, manifest, checks, _probe(installation), held, stages)
                try:
                    yield job
                finally:
                    for thread in job.threads:  # what they still make must be on the lease before it ends
                        thread.join()
                    job.close()
        except ProbeError as error:
            installation.drop_probe()
            raise NotGraded(f"the grader's own reader failed: {error.message}", _NOT_COUNTED) from error
    installation.state.lock_file(f"grade-{run.id}").unlink(missing_ok=True)


_NOT_COUNTED = "no attempt was counted; try again, then look at phi-labs doctor"


def _probe(installation: Installation) -> Probe:
    """A conversation with the probe; a probe that died in this moment is replaced once."""
    try:
        probe = installation.probe()
        probe.ask("hello")
    except (ProbeError, MissingObject):
        installation.drop_probe()
        probe = installation.probe()
        probe.ask("hello")
    return probe


class Helpers:
    """Steps that run beside the main line, each with engine connections of its own."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._threads: dict[str, threading.Thread] = {}
        self._trouble: dict[str, BaseException] = {}

    def begin(self, step: str, work: Callable[[Installation], object]) -> None:
        """Start a step."""
        thread = threading.Thread(target=self._do, args=(step, work), daemon=True)
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


def _make_clones(job: Job, installation: Installation) -> None:
    """Pristine machines with hands in them."""
    hosts = list(job.run.images)
    network = network_for(installation, job.held) if len(hosts) > 1 else None
    for name in hosts:
        image = job.run.images[name]
        container = take(
            installation, job.lab, job.lab.host(name), image, job.held, kind="clone", network=network
        )
        job.machines[name] = fresh_machine(installation.engine, name, container, image)


def _make_interpreters(job: Job, installation: Installation) -> None:
    """Throw-away machines without privileges, for reading configuration."""
    for name, image in job.run.images.items():
        container = take(installation, job.lab, job.lab.host(name), image, job.held, kind="interpreter")
        job.interpreters[name] = fresh_machine(installation.engine, name, container, image)


def _know_images(job: Job, helpers: Helpers) -> None:
    """Have the probe know every image, by walking a pristine clone where it does not yet."""
    for name, image in job.run.images.items():
        if not job.probe.baseline(image):
            helpers.need("clones")
            job.probe.baseline(image, job.machines[name].pid)


def _begin(job: Job) -> Helpers:
    """Start making clones and interpreters; return when the probe knows the images."""
    helpers = Helpers(job)
    helpers.begin("clones", lambda beside: _make_clones(job, beside))
    helpers.begin("interpreters", lambda beside: _make_interpreters(job, beside))
    helpers.begin("worker", lambda _beside: job.installation.begin_probe(WORKER))
    _know_images(job, helpers)
    job.stages.done("prepare")
    return helpers


def _look_at_live(job: Job) -> None:
    for name, container in job.run.containers.items():
        pid = job.engine.inspect(container).pid
        job.live[name] = Machine(name, container, pid, job.run.images[name])


def _captured(job: Job, folder: Path) -> Submission:
    pids = {name: machine.pid for name, machine in job.live.items()}
    submission = capture_run(job.engine, job.probe, job.run, pids, folder)
    job.stages.done("capture")
    return submission


class Asking:
    """The worker that asks the checks: started as soon as all that it needs is there."""

    def __init__(self, job: Job, helpers: Helpers) -> None:
        self._job = job
        self._helpers = helpers
        self._run: CheckRun | None = None

    def __enter__(self) -> Self:
        """If machines were waiting, the worker starts beside the capture, else when they are made."""
        if self._helpers.all_done:
            self.running()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._run is not None and self._run.under_way:
            self._run.abort()
            self._job.installation.drop_probe(WORKER)  # the answer it waited for is still to come

    def running(self) -> CheckRun:
        """The worker, started now if it was not."""
        if self._run is None:
            for step in STEPS:
                self._helpers.need(step)
            for machine in self._job.machines.values():
                machine.wait_ready()  # before the fork: two processes must not wait for one answer
            self._run = start_checks(
                self._job.lab.folder / "checks",
                self._job.checks,
                _fixtures(self._job),
                # Of a kept submission nothing runs: there the clone is also what ``live`` looks at.
                early=WITHOUT_CLONE if self._job.live else WITHOUT_CLONE - {"live"},
            )
        return self._run


def _questioned(job: Job, submission: Submission, asking: Asking) -> list[CheckOutcome]:
    """Bring the clones up and run the checks; the built-in guards' outcomes included."""
    problems = submission.problems
    if any(host.refused for host in submission.hosts.values()):
        return _refused(job, problems)
    running = asking.running()
    job.stages.done("clone ready")
    try:
        problems += [text for machine in job.machines.values() for text in bring_to(machine, submission)]
        job.stages.done("unpack")
        for machine in job.machines.values():
            boot(machine, job.probe)
        job.stages.done("boot")
    except (BootFailedError, HandsError) as error:
        return [_whole(problems), *_did_not_come_up(job, str(error))]
    running.release()
    answers = running.finish()
    job.stages.done("checks")
    return [_whole(problems), _outcome(COMES_UP, ""), *_settled(job, answers)]


def _whole(problems: list[str]) -> CheckOutcome:
    text = "not everything could be handed in: " + "; ".join(problems[:4])
    return _outcome(WHOLE, text if problems else "")


def _refused(job: Job, problems: list[str]) -> list[CheckOutcome]:
    """Nothing could be captured: the machine shows what is not its own, or hides what is."""
    message = "the machine could not be handed in: " + "; ".join(problems)
    return [_outcome(WHOLE, message), _outcome(COMES_UP, ""), *_all_failed(job, message)]


def _did_not_come_up(job: Job, reason: str) -> list[CheckOutcome]:
    """The machine's own fault if an untouched one comes up in this moment, else ours."""
    try:
        with control_machines(job.installation, job.lab, job.run, _probe(job.installation), job.held):
            message = f"the machine does not come up after a restart: {reason}"
    except PhiLabsError as error:
        raise NotGraded(f"not even an untouched machine came up: {error.message}", _NOT_COUNTED) from error
    return [_outcome(COMES_UP, message), *_all_failed(job, message)]


def _all_failed(job: Job, message: str) -> list[CheckOutcome]:
    return [CheckOutcome(check.id, check.target, CheckStatus.FAILED, message) for check in job.checks]


def _outcome(guard: str, problem: object) -> CheckOutcome:
    status = CheckStatus.FAILED if problem else CheckStatus.PASSED
    return CheckOutcome(guard, guard, status, str(problem or ""))


# -- questions -----------------------------------------------------------------------------


def _fixtures(job: Job) -> Callable[[str], Any]:
    """What the worker hands to its checks, made when first asked for; connections are its own."""
    makers: dict[str, Callable[[], Any]] = {
        "hosts": lambda: {name: _host(job, machine) for name, machine in job.machines.items()},
        "host": lambda: value("hosts")[job.lab.hosts[0].name],
        "lives": lambda: {name: _live(job, machine) for name, machine in job.live.items()} or value("hosts"),
        "live": lambda: value("lives")[job.lab.hosts[0].name],
        "planted": lambda: planted_for(
            job.manifest, job.lab.personas, job.run.entity, organisation_of(job.run)
        ),
        "record": lambda: read_record(value("host"), job.lab.record) if job.lab.record else None,
    }
    made: dict[str, Any] = {}

    def value(name: str) -> Any:
        if name not in made:
            made[name] = makers[name]()
        return made[name]

    return value


def _live(job: Job, machine: Machine) -> Host:
    return Host(machine, _worker_probe(job), known=job.manifest.identifiers(), live=True)


def _host(job: Job, machine: Machine) -> Host:
    probe = _worker_probe(job)
    return Host(
        machine,
        probe,
        known=job.manifest.identifiers(),
        interpreter=Interpreter(job.interpreters[machine.name], probe),
        connect=lambda container: job.engine.reconnected().exec_stream(
            container, ["/bin/nc", "-N", "127.0.0.1", "22"]
        ),
    )


def _worker_probe(job: Job) -> Probe:
    """The worker's own conversation: the parent is in the middle of its own."""
    return job.installation.probe(WORKER)


def _settled(job: Job, answers: Answers) -> list[CheckOutcome]:
    """Outcomes with every error settled: the submission's fault, or NotGraded."""
    job.expected = [ExpectedCheck(name, target) for name, target in answers.collected.items()]
    unsettled = answers.unsettled
    if not unsettled:
        return [answer.outcome for answer in answers.answers]
    _need_control_to_work(job, unsettled, answers)
    blamed = [
        CheckOutcome(name, answers.collected[name], CheckStatus.FAILED, _blame(answers.detail(name)))
        for name in unsettled
    ]
    return [item.outcome for item in answers.answers if item.outcome.check not in unsettled] + blamed


def _blame(detail: str) -> str:
    return AT_FAULT + (f" ({detail})" if detail == TOOK_TOO_LONG else "")


def _need_control_to_work(job: Job, names: list[str], answers: Answers) -> None:
    """Ask the same checks of an untouched machine; if one errs there too, the fault is ours."""
    job.installation.drop_probe(WORKER)  # the worker may have died in the middle of an answer
    probe = _probe(job.installation)
    job.installation.probe(WORKER)
    with control_machines(job.installation, job.lab, job.run, probe, job.held) as machines:
        control = replace(job, probe=probe, machines=machines, live={}, interpreters={})
        _make_interpreters(control, job.installation)
        asking = start_checks(job.lab.folder / "checks", job.checks, _fixtures(control), only=names)
        asking.release()
        said = asking.finish()
        control.close()
    job.installation.drop_probe(WORKER)
    fine = {item.outcome.check for item in said.answers if item.outcome.status is not CheckStatus.ERROR}
    broken = [name for name in names if name not in fine]
    if broken:
        raise NotGraded(f"check {broken[0]} does not work: {answers.detail(broken[0])}", _NOT_COUNTED)


# -- scoring and keeping ---------------------------------------------------------------------


def _circumstances(installation: Installation, run: Run) -> Circumstances:
    hints = installation.state.hints(run.trainee, run.lab, run.retry)
    return Circumstances(hints, installation.state.flags(run.trainee, run.lab).get("rescue", False))


def _read_circumstances(attempt: AttemptFolder) -> Circumstances:
    return Circumstances(**json.loads((attempt.path / CIRCUMSTANCES).read_text(encoding="utf-8")))


def _scored(job: Job, outcomes: list[CheckOutcome]) -> Scorecard:
    taken = job.circumstances.hints
    costs = {
        item.id: sum(hint.cost for hint in item.hints[: taken.get(item.id, 0)]) for item in job.lab.objectives
    }
    return score(
        job.lab,
        job.expected or [check.expected for check in job.checks],
        outcomes,
        hint_costs=costs,
        rescue_used=job.circumstances.rescue,
    )


def _kept(
    job: Job, submission: Submission, attempt: AttemptFolder, card: Scorecard
) -> tuple[AttemptFolder, Scorecard]:
    """Give the attempt its number and write all that it rests on."""
    state, run = job.installation.state, job.run
    submission.save()
    state.write(attempt.manifest, job.manifest.to_json())
    state.write(attempt.path / "run.json", run.to_json())
    state.write_json(attempt.path / CIRCUMSTANCES, asdict(job.circumstances))
    kept = state.keep_attempt(run.trainee, run.lab, attempt)
    about = About(
        trainee=run.trainee,
        entity=run.entity,
        run=run.id,
        attempt=kept.number,
        graded_at=datetime.now(UTC).isoformat(timespec="seconds"),
        regrade_of=job.regrade_of,
        images=dict(run.images),
    )
    final = card.about_run(about)
    state.write(kept.scorecard, final.to_json())
    return kept, final


def _need_images(job: Job) -> None:
    for name, image in job.run.images.items():
        if job.engine.image_id(image) is None:
            raise UserError(
                f"the image of {name} that attempt was made on is gone ({image[7:19]})",
                "a submission can only be graded on the image it was taken from",
            )


def _with_old_live_failures(outcomes: list[CheckOutcome], job: Job, before: Scorecard) -> list[CheckOutcome]:
    """A check that looks at the running machine keeps the failure it had then."""
    live = {check.id for check in job.checks if check.uses_live}
    said = [check for item in before.objectives for check in item.checks]
    said += [check for guard in before.guards for check in guard.checks]
    failed = {check.check: check for check in said if not check.passed}
    return [
        failed[item.check] if item.check in live and item.check in failed and item.passed else item
        for item in outcomes
    ]
