"""Grading: capture -> clone -> question -> score -> record.

Whose fault is it when something does not work? A failed expectation is the trainee's. When a
check errs, or a machine does not come up, the same step is tried on an untouched machine of the
same seed at that moment: if that works, the submission is at fault and fails; if not, the
trouble is ours, no attempt is counted and no zero is given.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from phi_fixtures.manifest import Manifest
from phi_labs.errors import HandsError, NotGraded, ProbeError, ProbeGone, UserError
from phi_labs.grading.asking import Asking
from phi_labs.grading.blame import (
    COMES_UP,
    NOT_COUNTED,
    REPAIRED,
    captured_whole,
    did_not_come_up,
    outcome,
    refused,
    settled,
    unreadable,
)
from phi_labs.grading.clone import BootFailedError, boot, bring_to
from phi_labs.grading.expected import Check, expected_checks
from phi_labs.grading.job import (
    PRACTICE,
    Circumstances,
    Helpers,
    Job,
    Stages,
    Terms,
    begin,
    living_probe,
    look_at_live,
)
from phi_labs.grading.restart import as_handed_in, changed_by_restart
from phi_labs.grading.submission import Submission, capture_run, load_submission
from phi_labs.grading.worker import function_of
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.pool import lease, request_spares
from phi_labs.lifecycle.runs import need_live_run
from phi_labs.lifecycle.state import AttemptFolder
from phi_labs.model.lab import Lab
from phi_labs.model.run import Run
from phi_labs.model.scorecard import About, Assurance, CheckOutcome, Scorecard, score

CIRCUMSTANCES = "circumstances.json"


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


def grade_run(  # noqa: PLR0913 - what decides a grading
    installation: Installation,
    lab: Lab,
    trainee: str,
    *,
    later: bool = True,
    background: bool = True,
    terms: Terms = PRACTICE,
) -> Graded:
    """Grade the current state of a trainee's run; the trainee keeps working.

    A probe that dies on the way is replaced, and everything is done once more.

    Args:
        terms: what the score is worth and what it takes into account.
        later: leave the removal of clones to somebody else.
        background: with ``later``, have it done by a process in the background, at once.

    Raises:
        UserError: there is no run, or one of its machines is not up.
        NotGraded: our trouble; no attempt was counted.
    """
    try:
        graded = _grade_once(installation, lab, trainee, terms, later=later, second_try=False)
    except NotGraded as error:
        if not isinstance(error.__cause__, ProbeGone):
            raise
        graded = _grade_once(installation, lab, trainee, terms, later=later, second_try=True)
    if later and background:
        request_spares(installation, lab)
    return graded


def _grade_once(  # noqa: PLR0913 - what decides a grading
    installation: Installation,
    lab: Lab,
    trainee: str,
    terms: Terms,
    *,
    later: bool,
    second_try: bool,
) -> Graded:
    stages = Stages()
    checks = expected_checks(lab)
    run = need_live_run(installation, lab.id, trainee)
    manifest = installation.state.load_manifest(trainee, lab.id)
    with (
        _attempt(installation, run) as attempt,
        _job(installation, lab, run, manifest, checks, stages, later) as job,
    ):
        job.circumstances, job.second_try = _circumstances(installation, run, terms), second_try
        job.readers = terms.readers
        look_at_live(job)
        helpers = begin(job)
        with Asking(job, helpers) as asking:
            submission = _captured(job, attempt.submission, helpers, asking)
            outcomes = _questioned(job, submission, asking)
        card = _scored(job, outcomes)
        kept = _kept(job, submission, attempt, card)
        stages.done("score and keep")
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
        with Asking(job, begin(job)) as asking:
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
                job = Job(installation, lab, run, manifest, checks, living_probe(installation), held, stages)
                try:
                    yield job
                finally:
                    for thread in job.threads:  # what they still make must be on the lease before it ends
                        thread.join()
                    job.close()
        except ProbeError as error:
            installation.drop_probes()
            raise NotGraded(f"the grader's own reader failed: {error.message}", NOT_COUNTED) from error
    installation.state.lock_file(f"grade-{run.id}").unlink(missing_ok=True)


def _captured(job: Job, folder: Path, helpers: Helpers, asking: Asking) -> Submission:
    """The submission; the checks of the running machine begin while it stands still, never before."""
    pids = {name: machine.pid for name, machine in job.live.items()}
    try:
        submission = capture_run(job.engine, job.probe, job.run, pids, folder, asking.begin_if_ready)
    except ProbeGone as error:
        if not job.second_try:
            raise
        submission = unreadable(job, helpers, folder, error)
    job.stages.done("capture")
    return submission


def _questioned(job: Job, submission: Submission, asking: Asking) -> list[CheckOutcome]:
    """Bring the clones up and run the checks; the built-in guards' outcomes included."""
    problems = submission.problems
    if any(host.refused for host in submission.hosts.values()):
        return refused(job, problems)
    running = asking.running()
    job.stages.done("clone ready")
    try:
        problems += [text for machine in job.machines.values() for text in bring_to(machine, submission)]
        job.stages.done("unpack")
        since = job.probe.must("hello")["now"]
        boot(job.machines.values(), job.probe)
        job.stages.done("boot")
    except (BootFailedError, HandsError) as error:
        return [captured_whole(problems), *did_not_come_up(job, str(error))]
    running.release()
    before = as_handed_in(submission)  # beside the checks, which are at work in a process of their own
    answers = running.finish()
    job.stages.done("checks")
    repaired = outcome(REPAIRED, changed_by_restart(job, submission, before, since))
    job.stages.done("compare")
    return [captured_whole(problems), outcome(COMES_UP, ""), repaired, *settled(job, answers)]


# -- scoring and keeping ---------------------------------------------------------------------


def _circumstances(installation: Installation, run: Run, terms: Terms) -> Circumstances:
    hints = installation.state.hints(run.trainee, run.lab, run.retry) if terms.hints_cost else {}
    flags = installation.state.flags(run.trainee, run.lab)
    worth: Assurance = "practice" if flags.get("attempt") else terms.assurance
    return Circumstances(hints, flags.get("rescue", False), worth)


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
        assurance=job.circumstances.assurance,
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
    about = About(
        trainee=run.trainee,
        entity=run.entity,
        run=run.id,
        graded_at=datetime.now(UTC).isoformat(timespec="seconds"),
        regrade_of=job.regrade_of,
        images=dict(run.images),
    )

    def numbered(number: int) -> Scorecard:
        return card.about_run(replace(about, attempt=number))

    kept = state.keep_attempt(run.trainee, run.lab, attempt, lambda number: numbered(number).to_json())
    return kept, numbered(kept.number)


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
        failed[item.check]
        if function_of(item.check) in live and item.check in failed and item.passed
        else item
        for item in outcomes
    ]
