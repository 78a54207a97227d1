"""The control: an untouched machine of the same seed, to tell the trainee's fault from ours."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from phi_labs.grading.clone import Machine
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.machines import BOOT, host_spec, image_accounts, start_with, wait_for_ssh
from phi_labs.lifecycle.pool import TAKEN, Lease, network_for
from phi_labs.lifecycle.runs import planted
from phi_labs.model.lab import Lab
from phi_labs.model.run import Run
from phi_labs.probe.client import Probe
from phi_labs.probe.hands_client import Hands, hands_command


@contextmanager
def control_machines(
    installation: Installation, lab: Lab, run: Run, probe: Probe, held: Lease
) -> Iterator[dict[str, Machine]]:
    """Start an untouched copy of a run: planted, booted, never touched by anybody.

    Raises:
        EngineError: not even that comes up.
    """
    engine = installation.engine
    containers = {}
    network = network_for(installation, held) if len(lab.hosts) > 1 else None
    for host in lab.hosts:
        labels = {"install": installation.state.install, "lab": lab.id}
        spec = host_spec(
            host,
            run.images[host.name],
            kind="clone",
            labels=labels,
            command=[BOOT, "--stay"],
            network=network,
        )
        name = f"{TAKEN}{held.id}-{secrets.token_hex(4)}"
        containers[host.name] = engine.create(replace(spec, name=name))
        held.containers.append(containers[host.name])
    accounts = {name: image_accounts(installation, run.images[name], containers[name]) for name in containers}
    planting = planted(installation, lab, run, accounts)
    machines = {}
    for name, container in containers.items():
        start_with(engine, container, planting.archive(name))
    for name, container in containers.items():
        wait_for_ssh(engine, container).close()
        pid = engine.inspect(container).pid
        probe.check_root(pid)
        machines[name] = Machine(
            name, container, pid, run.images[name], Hands(engine.exec_stream(container, hands_command()))
        )
    try:
        yield machines
    finally:
        for machine in machines.values():
            machine.close()
