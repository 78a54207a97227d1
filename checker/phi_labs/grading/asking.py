"""Asking the checks: the worker's fixtures, and when it starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from phi_labs.errors import UserError
from phi_labs.grading.clone import Machine
from phi_labs.grading.host import Connect, Host
from phi_labs.grading.interpreter import Interpreter
from phi_labs.grading.job import STEPS, WORKER, Helpers, Job
from phi_labs.grading.planted import planted_for
from phi_labs.grading.record import read_record
from phi_labs.grading.worker import WITHOUT_CLONE, CheckRun, start_checks
from phi_labs.lifecycle.runs import organisation_of
from phi_labs.model.lab import Lab
from phi_labs.probe.client import Probe


class Asking:
    """The worker that asks the checks: started as soon as all that it needs is there."""

    def __init__(self, job: Job, helpers: Helpers) -> None:
        self._job = job
        self._helpers = helpers
        self._run: CheckRun | None = None

    def __enter__(self) -> Self:
        return self

    def begin_if_ready(self) -> None:
        """If machines were waiting, the worker starts now, beside the capture; else when they are made."""
        if self._helpers.all_done:
            self.running()

    def __exit__(self, *_error: object) -> None:
        if self._run is not None and self._run.under_way:
            self._run.abort()
            self._job.installation.drop_probe(WORKER)  # the answer it waited for is still to come
            if self._job.readers is not None:
                self._job.readers.drop()

    def running(self) -> CheckRun:
        """The worker, started now if it was not."""
        if self._run is None:
            for step in STEPS:
                self._helpers.need(step)
            for machine in (*self._job.machines.values(), *self._job.pristines.values()):
                machine.wait_ready()  # before the fork: two processes must not wait for one answer
            self._run = start_checks(
                self._job.lab.folder / "checks",
                self._job.checks,
                fixtures_of(self._job),
                # Of a kept submission nothing runs: there the clone is also what ``live`` looks at.
                early=WITHOUT_CLONE if self._job.live else WITHOUT_CLONE - {"live", "lives"},
            )
        return self._run


def fixtures_of(job: Job) -> Callable[[str], Any]:
    """What the worker hands to its checks, made when first asked for; connections are its own."""
    makers: dict[str, Callable[[], Any]] = {
        "hosts": lambda: {name: _host(job, machine) for name, machine in job.machines.items()},
        "host": lambda: value("hosts")[job.lab.hosts[0].name],
        "lives": lambda: {name: _live(job, machine) for name, machine in job.live.items()} or value("hosts"),
        "live": lambda: value("lives")[job.lab.hosts[0].name],
        "pristines": lambda: {name: _pristine(job, machine) for name, machine in job.pristines.items()},
        "pristine": lambda: _first_pristine(job.lab, value("pristines")),
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


def _first_pristine(lab: Lab, pristines: dict[str, Host]) -> Host:
    if not pristines:
        raise UserError(f"no host of {lab.id} is offered untouched", "say `pristine: true` for one")
    return next(iter(pristines.values()))


def _pristine(job: Job, machine: Machine) -> Host:
    return Host(machine, _worker_probe(job), known=job.manifest.identifiers())


def _live(job: Job, machine: Machine) -> Host:
    """The running machine: looked at, and knocked at by those whom it must refuse."""
    probe = _worker_probe(job)
    return Host(
        machine,
        probe,
        known=job.manifest.identifiers(),
        live=True,
        interpreter=Interpreter(job.interpreters[machine.name], probe),
        connect=_connect(job),
    )


def _host(job: Job, machine: Machine) -> Host:
    probe = _worker_probe(job)
    return Host(
        machine,
        probe,
        known=job.manifest.identifiers(),
        interpreter=Interpreter(job.interpreters[machine.name], probe),
        freeze=lambda: job.engine.reconnected().frozen(machine.container),
        connect=_connect(job),
    )


def _connect(job: Job) -> Connect:
    return lambda container: job.engine.reconnected().exec_stream(
        container, ["/bin/nc", "-N", "127.0.0.1", "22"]
    )


def _worker_probe(job: Job) -> Probe:
    """The worker's own conversation: the parent is in the middle of its own."""
    return job.installation.probe(WORKER)
