"""Whose fault is it? The same step on an untouched machine of the same seed, at that moment, decides.

If it works there, the submission is at fault and fails; if not, the trouble is ours, no attempt is
counted and no zero is given. Breaking a lab is no way to stall.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from phi_labs.errors import NotGraded, PhiLabsError, ProbeError, ProbeGone
from phi_labs.grading.asking import fixtures_of
from phi_labs.grading.control import control_machines
from phi_labs.grading.job import WORKER, Helpers, Job, living_probe, make_interpreters, make_pristines
from phi_labs.grading.submission import HostCapture, Submission
from phi_labs.grading.worker import TOOK_TOO_LONG, Answers, start_checks
from phi_labs.model.lab import BUILT_IN_GUARDS
from phi_labs.model.scorecard import CheckOutcome, CheckStatus, ExpectedCheck

COMES_UP, WHOLE, REPAIRED = (guard.id for guard in BUILT_IN_GUARDS)
AT_FAULT = "this could not be checked on your machine, while it works on an untouched one"
NOT_COUNTED = "no attempt was counted; try again, then look at phi-labs doctor"
PROBE_GONE = f"{ProbeGone.__module__}.{ProbeGone.__qualname__}"


def unreadable(job: Job, helpers: Helpers, folder: Path, trouble: ProbeError) -> Submission:
    """The second probe in a row died over this machine's files: refused, if it can read an untouched one's.

    Raises:
        NotGraded: the reader fails on untouched machines, too.
    """
    helpers.need("clones")
    job.installation.drop_probes()
    job.probe = living_probe(job.installation)
    try:
        for machine in job.machines.values():
            job.probe.baseline(machine.image, machine.pid)
            job.probe.capture(machine.pid, machine.image, io.BytesIO())
    except ProbeError as error:
        raise NotGraded(f"the grader's own reader failed: {error.message}", NOT_COUNTED) from trouble
    refused = "the reader fails over its files, while it reads an untouched machine's"
    return Submission(
        folder, {name: HostCapture(image, refused=refused) for name, image in job.run.images.items()}
    )


def captured_whole(problems: list[str]) -> CheckOutcome:
    text = "not everything could be handed in: " + "; ".join(problems[:4])
    return outcome(WHOLE, text if problems else "")


def refused(job: Job, problems: list[str]) -> list[CheckOutcome]:
    """Nothing could be captured: the machine shows what is not its own, or hides what is."""
    message = "the machine could not be handed in: " + "; ".join(problems)
    return [outcome(WHOLE, message), outcome(COMES_UP, ""), outcome(REPAIRED, ""), *all_failed(job, message)]


def did_not_come_up(job: Job, reason: str) -> list[CheckOutcome]:
    """The machine's own fault if an untouched one comes up in this moment, else ours."""
    try:
        with control_machines(job.installation, job.lab, job.run, living_probe(job.installation), job.held):
            message = f"the machine does not come up after a restart: {reason}"
    except PhiLabsError as error:
        raise NotGraded(f"not even an untouched machine came up: {error.message}", NOT_COUNTED) from error
    return [outcome(COMES_UP, message), outcome(REPAIRED, ""), *all_failed(job, message)]


def all_failed(job: Job, message: str) -> list[CheckOutcome]:
    return [CheckOutcome(check.id, check.target, CheckStatus.FAILED, message) for check in job.checks]


def outcome(guard: str, problem: object) -> CheckOutcome:
    status = CheckStatus.FAILED if problem else CheckStatus.PASSED
    return CheckOutcome(guard, guard, status, str(problem or ""))


def settled(job: Job, answers: Answers) -> list[CheckOutcome]:
    """Outcomes with every error settled: the submission's fault, or NotGraded."""
    job.expected = [ExpectedCheck(name, target) for name, target in answers.collected.items()]
    unsettled = answers.unsettled
    if not unsettled:
        return [answer.outcome for answer in answers.answers]
    if not job.second_try and any(answers.detail(name).startswith(PROBE_GONE) for name in unsettled):
        raise ProbeGone("the probe died while the checks asked it")
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
    probe = living_probe(job.installation)
    job.installation.probe(WORKER)
    with control_machines(job.installation, job.lab, job.run, probe, job.held) as machines:
        control = replace(
            job, probe=probe, machines=machines, live={}, interpreters={}, pristines={}, readers=None
        )
        make_interpreters(control, job.installation)
        make_pristines(control, job.installation)
        asking = start_checks(job.lab.folder / "checks", job.checks, fixtures_of(control), only=names)
        asking.release()
        said = asking.finish()
        control.close()
    job.installation.drop_probe(WORKER)
    fine = {item.outcome.check for item in said.answers if item.outcome.status is not CheckStatus.ERROR}
    broken = [name for name in names if name not in fine]
    if broken:
        raise NotGraded(f"check {broken[0]} does not work: {answers.detail(broken[0])}", NOT_COUNTED)
