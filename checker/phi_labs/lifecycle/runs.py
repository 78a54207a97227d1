"""A trainee's copy of a lab: start, find, reset, stop. What runs is read from the engine's labels."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from phi_labs.engine.docker import LABEL_PREFIX, ContainerSummary
from phi_labs.errors import EngineError, MachineDown, MissingObject, UserError
from phi_labs.interrupts import held
from phi_labs.lifecycle.accounts import Accounts
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.machines import (
    BOOT,
    host_spec,
    image_accounts,
    send_along,
    sshd_listens,
    start_with,
    wait_for_ssh,
)
from phi_labs.lifecycle.plant import Planting, host_key, plant, trainee_key
from phi_labs.lifecycle.pool import request_spares
from phi_labs.lifecycle.ssh_config import ssh_files
from phi_labs.model.entity import Entity
from phi_labs.model.lab import Lab
from phi_labs.model.organisation import Organisation, load_organisation
from phi_labs.model.run import Run, RunState
from phi_labs.model.trainee import slug


@dataclass(frozen=True)
class Started:
    """How ``start_run`` went; ``resumed`` says that the run was there already."""

    run: Run
    resumed: bool


def start_run(  # noqa: PLR0913 - what decides a run
    installation: Installation,
    lab: Lab,
    trainee: str,
    *,
    entity: Entity | None = None,
    organisation: Path | None = None,
    retry: bool = False,
    spares: bool = True,
) -> Started:
    """Start a trainee's run of a lab, or resume the one that is there.

    Args:
        entity: ce or ba; by default that of the run, else the lab's first.
        retry: move on to a new seed first (other patients, other details).
        spares: have pristine machines for the first grading prepared in the background.

    Raises:
        UserError: the lab is not made for that entity, or another entity's run is there.
        EngineError: it could not be started; nothing of it is left behind.
    """
    with _run_lock(installation, lab.id, trainee):
        known = installation.state.load_run(trainee, lab.id)
        if known is not None and not retry:
            _same_entity(known, entity)
            if _resume(installation, known):
                return Started(replace(known, state=RunState.READY), resumed=True)
        _remove(installation, trainee, lab.id)
        number = (
            installation.state.next_retry(trainee, lab.id)
            if retry
            else installation.state.retry_of(trainee, lab.id)
        )
        run = _new_run(
            installation, lab, trainee, entity or (known.entity if known else None), number, organisation
        )
        run = _make(installation, lab, run)
    if spares:
        request_spares(installation, lab)
    return Started(run, resumed=False)


def reset_run(installation: Installation, lab: Lab, trainee: str) -> Run:
    """Start the run afresh, with the same seed; attempts and hints stay."""
    with _run_lock(installation, lab.id, trainee):
        known = need_run(installation, lab.id, trainee)
        _remove_containers(installation, trainee, lab.id)
        path = Path(known.organisation) if known.organisation else None
        run = _new_run(installation, lab, trainee, known.entity, known.retry, path)
        return _make(installation, lab, run)


def stop_run(installation: Installation, lab: str, trainee: str) -> bool:
    """Remove a run's containers and secrets; attempts stay. False when there was none."""
    with _run_lock(installation, lab, trainee):
        known = installation.state.load_run(trainee, lab)
        found = _remove(installation, trainee, lab)
    return found or known is not None


def remove_everything(installation: Installation, *, probe: bool = False) -> None:
    """Remove every container and network of this installation, its probe only if asked; attempts stay."""
    mine = {"install": installation.state.install}
    for summary in installation.engine.containers(mine):
        if probe or summary.label("kind") != "probe":
            installation.engine.remove(summary.id)
    for network, _, _ in installation.engine.networks(mine):
        installation.engine.remove_network(network)
    for run in installation.state.runs():
        installation.state.forget_run(run.trainee, run.lab)


def need_run(installation: Installation, lab: str, trainee: str) -> Run:
    """The saved run; UserError when there is none."""
    run = installation.state.load_run(trainee, lab)
    if run is None:
        raise UserError(f"{trainee} has no run of {lab}", f"start one: phi-labs start {lab}")
    return run


def need_live_run(installation: Installation, lab: str, trainee: str) -> Run:
    """The run, with all its machines up (a paused one is resumed).

    Raises:
        UserError: there is none, or a machine was removed from outside.
        MachineDown: a machine was stopped.
    """
    run = need_run(installation, lab, trainee)
    for host, container in run.containers.items():
        try:
            state = installation.engine.inspect(container)
        except MissingObject as error:
            raise _removed_from_outside(lab, host) from error
        if state.status == "paused":
            installation.engine.unpause(container)
        elif not state.running:
            reason = "ran out of memory" if state.oom_killed else "was stopped from outside"
            raise MachineDown(
                f"machine {host} of your run of {lab} {reason}",
                f"phi-labs start {lab} starts it again with everything you changed",
            )
    return run


def _removed_from_outside(lab: str, host: str) -> UserError:
    return UserError(
        f"machine {host} of your run of {lab} was removed from outside",
        f"phi-labs reset {lab} makes a fresh one (what you changed on it is gone; attempts are kept)",
    )


def resume_run(installation: Installation, lab: str, trainee: str) -> Run:
    """Bring a run's own machines up again as they are; never a fresh one.

    Raises:
        UserError: there is no run, or a machine was removed.
    """
    with _run_lock(installation, lab, trainee):
        run = need_run(installation, lab, trainee)
        if not _resume(installation, run):
            raise _removed_from_outside(lab, next(iter(run.containers), "one"))
    return run


def is_gone(installation: Installation, lab: str, trainee: str) -> bool:
    """Whether a machine of a saved run was removed from outside; False while somebody works on the run."""
    with installation.state.lock(_run_lock_name(lab, trainee), wait=False) as free:
        known = installation.state.load_run(trainee, lab)
        if not free or known is None:
            return False
        try:
            for container in known.containers.values():
                installation.engine.inspect(container)
        except MissingObject:
            return True
    return False


@dataclass(frozen=True)
class RunStatus:
    """One line of ``phi-labs status``."""

    lab: str
    trainee: str
    entity: str
    state: RunState
    machines: int
    since: int


def list_runs(installation: Installation) -> list[RunStatus]:
    """Every run of this installation, from one listing of the engine."""
    by_run: dict[str, list[ContainerSummary]] = {}
    for summary in installation.engine.containers({"kind": "run", "install": installation.state.install}):
        by_run.setdefault(summary.label("run"), []).append(summary)
    found = [_status(machines) for machines in by_run.values()]
    return sorted(found, key=lambda status: (status.trainee, status.lab))


def _status(machines: list[ContainerSummary]) -> RunStatus:
    states = {machine.status for machine in machines}
    state = RunState.STOPPED
    if states == {"running"}:
        state = RunState.READY
    elif states <= {"running", "paused"}:
        state = RunState.PAUSED
    first = machines[0]
    return RunStatus(
        lab=first.label("lab"),
        trainee=first.label("trainee"),
        entity=first.label("entity"),
        state=state,
        machines=len(machines),
        since=min(machine.created for machine in machines),
    )


# -- making ------------------------------------------------------------------------------


def _new_run(  # noqa: PLR0913, PLR0917 - what decides a run
    installation: Installation,
    lab: Lab,
    trainee: str,
    entity: Entity | None,
    retry: int,
    organisation: Path | None,
) -> Run:
    chosen = entity or lab.entities[0]
    if chosen not in lab.entities:
        raise UserError(f"lab {lab.id} is not made for {chosen}", f"use one of: {', '.join(lab.entities)}")
    return Run(
        id=secrets.token_hex(6),
        lab=lab.id,
        trainee=trainee,
        entity=chosen,
        retry=retry,
        block=installation.state.block_of(trainee, lab.id, retry),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        organisation=str(organisation.absolute()) if organisation else "",
    )


def _make(installation: Installation, lab: Lab, run: Run) -> Run:
    """Create, plant, start, wait and record; on any failure remove what was made."""
    try:
        return _made(installation, lab, run)
    except BaseException:  # Ctrl-C, too, must leave nothing behind
        _clean_up_after_failure(installation, run)
        raise


def _made(installation: Installation, lab: Lab, run: Run) -> Run:
    engine, state = installation.engine, installation.state
    labels = run_labels(installation, run)
    images = {host.name: installation.image_of(lab, host.name) for host in lab.hosts}
    network = ""
    if len(lab.hosts) > 1:
        with held():  # what is made after its caller has gone is missed by the clean-up
            network = engine.create_network(
                f"phi-labs-{run.id}", {LABEL_PREFIX + key: labels[key] for key in labels}
            )
    containers = {}
    for host in lab.hosts:
        spec = host_spec(
            host,
            images[host.name],
            kind="run",
            labels=labels,
            command=[BOOT, "--stay"],
            network=network or None,
        )
        with held():
            containers[host.name] = engine.create(spec)
    accounts = {host: image_accounts(installation, images[host], containers[host]) for host in containers}
    with ThreadPoolExecutor(max_workers=1) as beside:  # the engine needs 200 ms for a start, planting 25
        with held():  # an executor does not wait for a thread that was half started
            future = beside.submit(planted, installation, lab, run, accounts)
        for container in containers.values():
            engine.start(container)
        planting = future.result()
    for name, container in containers.items():
        send_along(engine, container, planting.archive(name))
    run = replace(run, images=images, containers=containers, network=network, state=RunState.READY)
    folder = state.run_folder(run.trainee, run.lab)
    hosts = {host.name: host_key(planting.seed, host.name).public for host in lab.hosts}
    files = ssh_files(lab, run, folder, trainee_key(planting.seed), hosts)
    for container in containers.values():
        _wait_until_up(installation, container)
    state.save_run(run, planting.manifest, files)
    return run


def _wait_until_up(installation: Installation, container: str) -> None:
    """Wait until sshd greets; if a conversation with the probe is open, until it listens (30 ms less)."""
    probe = installation.open_probe()
    if probe is None or not sshd_listens(installation.engine, container, probe):
        wait_for_ssh(installation.engine, container).close()


def planted(installation: Installation, lab: Lab, run: Run, accounts: dict[str, Accounts]) -> Planting:
    """What a run's seed plants, in memory."""
    planting = Planting(
        lab=lab,
        entity=run.entity,
        organisation=organisation_of(run),
        seed=installation.state.seed(run.trainee, run.lab, run.retry),
        block=run.block,
        accounts=accounts,
    )
    plant(planting)
    return planting


def organisation_of(run: Run) -> Organisation:
    """The organisation whose names the run prints."""
    return load_organisation(Path(run.organisation) if run.organisation else None)


def run_labels(installation: Installation, run: Run) -> dict[str, str]:
    """What the engine remembers of a run's objects, keys without the prefix."""
    return {
        "install": installation.state.install,
        "run": run.id,
        "lab": run.lab,
        "trainee": run.trainee,
        "entity": run.entity,
    }


def _clean_up_after_failure(installation: Installation, run: Run) -> None:
    try:
        _remove_objects(installation, {"run": run.id})
        installation.state.forget_run(run.trainee, run.lab)
    except EngineError as error:
        print(f"phi-labs: could not clean up: {error}", file=sys.stderr)


# -- finding and removing ------------------------------------------------------------------


def _run_lock(installation: Installation, lab: str, trainee: str) -> AbstractContextManager[bool]:
    return installation.state.lock(_run_lock_name(lab, trainee))


def _run_lock_name(lab: str, trainee: str) -> str:
    return f"run-{slug(trainee)}-{lab}"


def _same_entity(known: Run, entity: Entity | None) -> None:
    if entity is not None and entity != known.entity:
        raise UserError(
            f"your run of {known.lab} is already there as {known.entity}",
            f"stop it first: phi-labs stop {known.lab}",
        )


def _resume(installation: Installation, run: Run) -> bool:
    """Bring a run's own containers up again; False when one is gone."""
    engine = installation.engine
    try:
        states = {host: engine.inspect(container) for host, container in run.containers.items()}
    except MissingObject:
        return False
    if not states:
        return False
    for state in states.values():
        if state.status == "paused":
            engine.unpause(state.id)
        elif not state.running:
            # The only place where a root that a trainee changed is started by the engine: their
            # own machine after a power cut. Grading never does that, it starts pristine ones.
            start_with(engine, state.id, b"")
    for state in states.values():
        if state.status != "running":
            wait_for_ssh(engine, state.id).close()
    return True


def _remove(installation: Installation, trainee: str, lab: str) -> bool:
    found = _remove_containers(installation, trainee, lab)
    installation.state.forget_run(trainee, lab)
    return found


def _remove_containers(installation: Installation, trainee: str, lab: str) -> bool:
    return _remove_objects(
        installation, {"lab": lab, "trainee": trainee, "kind": "run"}, also=("lab", "trainee")
    )


def _remove_objects(
    installation: Installation, labels: dict[str, str], also: Iterable[str] | None = None
) -> bool:
    engine, mine = installation.engine, {"install": installation.state.install}
    found = engine.containers({**labels, **mine})
    for summary in found:
        engine.remove(summary.id)
    network_labels = {key: labels[key] for key in also} if also else labels
    for network, _, _ in engine.networks({**network_labels, **mine}):
        engine.remove_network(network)
    return bool(found)
