"""Pristine containers that wait for the next grading, and the tidying that nobody waits for.

A spare is an idle pristine container of a lab's image, the same for every trainee; its first
process are hands that wait for somebody to talk to. A grading
claims spares by renaming them under a lock, and holds a lock of its own as long as it lives,
so that what a killed grading left behind can be told from what is in use.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from phi_labs.engine.docker import LABEL_PREFIX
from phi_labs.errors import EngineError
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.machines import host_spec
from phi_labs.model.lab import Host, Lab
from phi_labs.probe.hands_client import hands_command, hands_version

SPARE = "phi-labs-spare-"
TAKEN = "phi-labs-taken-"
ABANDONED = 3600.0  # seconds: far longer than any grading takes
# What an interpreter needs to lay out files with their owners; nothing else.
INTERPRETER_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER")
KINDS: Mapping[str, tuple[str, ...] | None] = {"clone": None, "interpreter": INTERPRETER_CAPABILITIES}


@dataclass
class Lease:
    """Containers that one grading uses; ``containers`` are removed when it ends."""

    id: str
    containers: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)


@contextlib.contextmanager
def lease(installation: Installation, *, later: bool = False) -> Iterator[Lease]:
    """Hold a lease for the time of one grading; its containers go afterwards.

    Args:
        later: leave the removal to ``request_spares`` (nobody waits for it); the lease's lock is
            released, which is what tells housekeeping that they may go.
    """
    held = Lease(secrets.token_hex(6))
    with installation.state.lock(_lease_lock(held.id)):
        try:
            yield held
        except BaseException:
            end_lease(installation, held)
            raise
        if not later:
            end_lease(installation, held)
    if not later:
        installation.state.lock_file(_lease_lock(held.id)).unlink(missing_ok=True)


def end_lease(installation: Installation, held: Lease) -> None:
    """Remove what a lease holds."""
    while held.containers:
        installation.engine.remove(held.containers.pop())
    while held.networks:
        installation.engine.remove_network(held.networks.pop())


def take(  # noqa: PLR0913 - what decides a container
    installation: Installation,
    lab: Lab,
    host: Host,
    image: str,
    held: Lease,
    *,
    kind: str,
) -> str:
    """A running, idle, pristine container of ``image``: a spare if one waits, else a new one.

    It has no network; ``Engine.join`` gives it one.
    """
    name = f"{TAKEN}{held.id}-{secrets.token_hex(4)}"
    with installation.state.lock("pool"):
        for summary in _spares(installation, host, image, kind):
            installation.engine.rename(summary, name)
            held.containers.append(summary)
            return summary
    container = _create(installation, lab, host, image, kind, name)
    held.containers.append(container)
    installation.engine.start(container)
    return container


def network_for(installation: Installation, held: Lease) -> str:
    """A network for the clones of a lab with several hosts, removed with the lease."""
    labels = {"kind": "lease", "install": installation.state.install}
    name = f"{TAKEN}{held.id}-{secrets.token_hex(4)}"
    network = installation.engine.create_network(name, {LABEL_PREFIX + key: labels[key] for key in labels})
    held.networks.append(network)
    return network


def make_spares(installation: Installation, lab: Lab, host: Host, image: str, *, count: int = 1) -> None:
    """See to it that what ``count`` gradings take of a host waits for them."""
    for kind in KINDS:
        wanted = count * (2 if kind == "clone" and host.pristine else 1)
        for _ in range(wanted - len(_spares(installation, host, image, kind))):
            name = f"{SPARE}{secrets.token_hex(6)}"
            container = _create(installation, lab, host, image, kind, f"{name}-new")
            installation.engine.start(container)
            installation.engine.rename(container, name)


def remove_spares(installation: Installation) -> None:
    """Remove every spare, and every taken container whose grading is gone."""
    _sweep(installation, spares=True)


def tidy(installation: Installation, lab: Lab | None, *, count: int = 1) -> None:
    """Remove what ended gradings left; keep spares of a lab that is run, for ``count`` gradings."""
    _sweep(installation, spares=False)
    installation.state.drop_abandoned_attempts(ABANDONED)
    if lab is None:
        return
    images = images_in_use(installation, lab)
    _remove_spares_of(installation, lab.id, but=images)
    for name, image in images:
        make_spares(installation, lab, lab.host(name), image, count=count)
        _know_baseline(installation, lab.host(name), image)


def images_in_use(installation: Installation, lab: Lab) -> set[tuple[str, str]]:
    """(host, image id) of what runs of a lab were started from; a rebuilt lab may have several."""
    labels = {"kind": "run", "lab": lab.id, "install": installation.state.install}
    runs = installation.engine.containers(labels)
    known = {host.name for host in lab.hosts}
    return {(run.label("host"), run.label("image")) for run in runs if run.label("host") in known}


def request_spares(installation: Installation, lab: Lab) -> None:
    """Tidy up and prepare spares in the background; the caller does not wait.

    PHI_LABS_SPARES=0 turns waiting spares off (their containers use about 1 MiB each).
    """
    argv = [sys.executable, "-I", "-m", "phi_labs.lifecycle.housekeeping", lab.id]
    environment = {**os.environ, "PHI_LABS_STATE": str(installation.state.root)}
    if installation.content is not None:
        environment["PHI_LABS_CONTENT"] = str(installation.content)
    with contextlib.suppress(OSError):
        process = subprocess.Popen(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        # A process that lives on (a workshop, verify) must not collect zombies.
        threading.Thread(target=process.wait, daemon=True).start()


def spares_wanted() -> bool:
    """Whether spares are to be kept."""
    return os.environ.get("PHI_LABS_SPARES", "1") != "0"


def _create(  # noqa: PLR0913, PLR0917 - what decides a container
    installation: Installation, lab: Lab, host: Host, image: str, kind: str, name: str
) -> str:
    spec = host_spec(
        host,
        image,
        kind=kind,
        labels={"install": installation.state.install, "lab": lab.id, "hands": hands_version()},
        command=hands_command(),
        capabilities=KINDS[kind],
    )
    return installation.engine.create(replace(spec, name=name, joins_later=len(lab.hosts) > 1))


def _spares(installation: Installation, host: Host, image: str, kind: str) -> list[str]:
    """Two hosts may share an image, but not a name: a spare is one host's."""
    mine = {"install": installation.state.install, "hands": hands_version()}
    labels = {"kind": kind, "host": host.name, "image": image, **mine}
    found = installation.engine.containers(labels, running_only=True)
    return [item.id for item in found if item.name.startswith(SPARE) and not item.name.endswith("-new")]


def _sweep(installation: Installation, *, spares: bool) -> None:
    for kind in KINDS:
        for item in installation.engine.containers({"kind": kind, "install": installation.state.install}):
            usable = item.status == "running" and item.label("hands") == hands_version()
            broken = not usable or item.name.endswith("-new")
            if item.name.startswith(SPARE):
                if spares or broken:
                    installation.engine.remove(item.id)
            else:
                _remove_if_orphan(installation, item.id, item.name)
    for network, name, _ in installation.engine.networks(
        {"kind": "lease", "install": installation.state.install}
    ):
        _remove_network_if_orphan(installation, network, name)


def _remove_if_orphan(installation: Installation, container: str, name: str) -> None:
    lease_id = name.removeprefix(TAKEN).split("-")[0]
    with installation.state.lock(_lease_lock(lease_id), wait=False) as free:
        if free:
            installation.engine.remove(container)
            installation.state.lock_file(_lease_lock(lease_id)).unlink(missing_ok=True)


def _remove_network_if_orphan(installation: Installation, network: str, name: str) -> None:
    lease_id = name.removeprefix(TAKEN).split("-")[0]
    with installation.state.lock(_lease_lock(lease_id), wait=False) as free:
        if free:
            with contextlib.suppress(EngineError):
                installation.engine.remove_network(network)
            installation.state.lock_file(_lease_lock(lease_id)).unlink(missing_ok=True)


def _remove_spares_of(installation: Installation, lab: str, *, but: Collection[tuple[str, str]]) -> None:
    for kind in KINDS:
        labels = {"kind": kind, "lab": lab, "install": installation.state.install}
        for item in installation.engine.containers(labels):
            if item.name.startswith(SPARE) and (item.label("host"), item.label("image")) not in but:
                installation.engine.remove(item.id)


def _know_baseline(installation: Installation, host: Host, image: str) -> None:
    """Have the probe walk a waiting pristine machine now, so that no grading has to."""
    waiting = _spares(installation, host, image, "clone")
    if waiting:
        installation.probe().baseline(image, installation.engine.inspect(waiting[0]).pid)


def _lease_lock(lease_id: str) -> str:
    return f"lease-{lease_id}"
