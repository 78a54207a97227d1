"""What ``doctor`` looks at: one function per question, each answer with its remedy."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phi_labs.errors import EngineError, UserError

if TYPE_CHECKING:
    from phi_labs.engine.docker import ContainerSummary, Engine
    from phi_labs.lifecycle.installation import Installation

OLDEST_ENGINE = (20, 10)
PARALLEL_REMOVALS = (23, 0)  # before it: moby#46661, and AF_VSOCK open to containers
DISK_WANTED = 3 * 2**30  # bytes: images 0.8 GB, layers of runs, submissions
MEMORY_WANTED = 512 * 2**20  # bytes free: a run, two spares, the probe
LOG_LINES = 5


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    MISSING = "missing"  # labs cannot work like this


@dataclass(frozen=True)
class Finding:
    """One answer: what was looked at, what was seen, and what to do about it."""

    topic: str
    level: Level
    seen: str
    fix: str = ""


def diagnose(make_installation: Callable[[], Installation]) -> Iterator[Finding]:
    """Every finding, in an order that makes sense to read."""
    yield _ssh_client()
    try:
        installation = make_installation()
    except UserError as error:
        yield Finding("state directory", Level.MISSING, error.message, error.hint)
        return
    yield _state(installation)
    try:
        engine = installation.engine
        info = engine.info()
    except EngineError as error:
        yield Finding("container engine", Level.MISSING, error.message, _engine_fix())
        yield from _mmdebstrap(None)
        return
    yield from _engine(info)
    yield from _storage(info)
    yield from _resources(info)
    yield from _images(engine)
    yield from _mmdebstrap(engine)
    yield from _leftovers(installation)
    yield from _log(installation)


# -- this machine ------------------------------------------------------------------------------


def _ssh_client() -> Finding:
    found = shutil.which("ssh")
    if found:
        return Finding("ssh client", Level.OK, found)
    return Finding(
        "ssh client",
        Level.NOTE,
        "not installed: phi-labs shell uses its own terminal, scp and editors do not work",
        "apt-get install openssh-client",
    )


def _state(installation: Installation) -> Finding:
    root = installation.state.root
    free = shutil.disk_usage(root).free
    text = f"{root}, {_size(free)} free"
    if not os.access(root, os.W_OK):
        return Finding("state directory", Level.MISSING, f"{root} is not writable", "PHI_LABS_STATE=/path")
    if free < MEMORY_WANTED:
        return Finding("state directory", Level.WARNING, text, "free space there; submissions are kept in it")
    return Finding("state directory", Level.OK, text)


def _size(number: float) -> str:
    return f"{number / 2**30:.1f} GiB"


# -- the engine --------------------------------------------------------------------------------


def _engine_fix() -> str:
    address = os.environ.get("DOCKER_HOST")
    if address:
        return f"start the engine that DOCKER_HOST={address} names, or unset DOCKER_HOST"
    return "start it (systemctl start docker), or ./phi-labs setup engine installs one"


def _engine(info: dict[str, Any]) -> Iterator[Finding]:
    text = str(info.get("ServerVersion", "unknown"))
    where = os.environ.get("DOCKER_HOST") or "the default socket"
    version = version_tuple(text)
    if version < OLDEST_ENGINE:
        yield Finding(
            "container engine",
            Level.MISSING,
            f"version {text} at {where}",
            "install Docker Engine 20.10 or newer",
        )
        return
    yield Finding("container engine", Level.OK, f"version {text} at {where}")
    if version < PARALLEL_REMOVALS:
        yield Finding(
            "engine before 23",
            Level.NOTE,
            "removals are done one by one (moby#46661); containers may open AF_VSOCK sockets, which matters "
            "on virtual machines whose host listens there",
            "a newer engine, where trainees are not trusted",
        )
    security = [str(item) for item in info.get("SecurityOptions") or []]
    if not any("seccomp" in item for item in security):
        yield Finding(
            "seccomp", Level.WARNING, "the engine applies no seccomp profile", "use its default profile"
        )


def version_tuple(text: str) -> tuple[int, int]:
    """``20.10.24+dfsg1`` as (20, 10); zeros where there are no numbers."""
    numbers = re.findall(r"\d+", text)[:2]
    major, minor = [*map(int, numbers), 0, 0][:2]
    return major, minor


def _storage(info: dict[str, Any]) -> Iterator[Finding]:
    driver = str(info.get("Driver", "unknown"))
    if driver.startswith("overlay"):
        yield Finding("storage driver", Level.OK, driver)
    else:
        yield Finding(
            "storage driver",
            Level.WARNING,
            f"{driver}; graders were tried with overlay2 only",
            "let the engine use overlay2",
        )
    root = Path(str(info.get("DockerRootDir", "")))
    try:
        free = shutil.disk_usage(root).free
    except OSError:
        return  # a remote engine, or a folder that this user may not look into
    level = Level.OK if free >= DISK_WANTED else Level.WARNING
    yield Finding(
        "engine's disk",
        level,
        f"{_size(free)} free at {root}",
        ""
        if level is Level.OK
        else f"{_size(DISK_WANTED)} are wanted: docker system prune, or a larger disk",
    )


def _resources(info: dict[str, Any]) -> Iterator[Finding]:
    total, free = int(info.get("MemTotal", 0)), _memory_available()
    text = f"{_size(total)}" + (f", {_size(free)} free" if free is not None else "")
    if free is not None and free < MEMORY_WANTED:
        yield Finding("memory", Level.WARNING, text, "stop something: phi-labs stop --all ends every lab")
    else:
        yield Finding("memory", Level.OK, text)
    cgroup = f"version {info.get('CgroupVersion', '1')}, {info.get('CgroupDriver', 'unknown')}"
    limits = {"memory": "MemoryLimit", "processes": "PidsLimit", "cpu": "CpuCfsQuota"}
    lacking = [name for name, key in limits.items() if info.get(key) is False]
    if lacking:
        yield Finding(
            "cgroups",
            Level.WARNING,
            f"{cgroup}; cannot limit: {', '.join(lacking)}",
            "enable these cgroup controllers, or a trainee can exhaust this machine",
        )
    else:
        yield Finding("cgroups", Level.OK, cgroup)


def _memory_available() -> int | None:
    """Of this machine; None with a remote engine or without /proc."""
    if os.environ.get("DOCKER_HOST", "unix://").startswith("unix://"):
        try:
            lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        except OSError:
            return None
        for line in lines:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


# -- images ------------------------------------------------------------------------------------


def _images(engine: Engine) -> Iterator[Finding]:
    from phi_labs.engine.images import base_recipe  # noqa: PLC0415 - the SDK

    if engine.image_id(base_recipe().tag):
        yield Finding("base image", Level.OK, base_recipe().tag)
    else:
        yield Finding("base image", Level.NOTE, "not built yet; the first start does it, in about a minute")


def _mmdebstrap(engine: Engine | None) -> Iterator[Finding]:
    from phi_labs.engine.images import BOOTSTRAPPED, DISTRIBUTION  # noqa: PLC0415 - the SDK

    if engine is not None and (engine.image_id(DISTRIBUTION) or engine.image_id(BOOTSTRAPPED)):
        return
    found = shutil.which("mmdebstrap")
    if found:
        yield Finding("mmdebstrap", Level.OK, found)
    else:
        yield Finding(
            "mmdebstrap",
            Level.NOTE,
            "not installed; it builds the base image where no registry can be reached",
            "apt-get install mmdebstrap, or ./phi-labs setup mmdebstrap",
        )


# -- what is left ------------------------------------------------------------------------------


def _leftovers(installation: Installation) -> Iterator[Finding]:
    mine, others = ours_and_others(installation)
    probes = [item for item in mine if item.label("kind") == "probe"]
    runs = [item for item in mine if item.label("kind") == "run"]
    lost = orphans(installation, runs)
    text = f"{len(runs)} machines of runs, {len(mine) - len(runs) - len(probes)} waiting, {len(probes)} probe"
    yield Finding("containers", Level.OK, text)
    if lost:
        yield Finding(
            "lost machines",
            Level.WARNING,
            f"{len(lost)} without files in the state directory: {', '.join(item.name for item in lost[:4])}",
            "phi-labs doctor --clean removes them",
        )
    if others:
        names = sorted({item.label("install") or "unknown" for item in others})
        yield Finding(
            "other installations",
            Level.NOTE,
            f"{len(others)} containers belong to {len(names)} other state directories on this engine",
            "if nobody uses those: phi-labs doctor --clean --other-installations",
        )


def ours_and_others(
    installation: Installation,
) -> tuple[list[ContainerSummary], list[ContainerSummary]]:
    """Containers of this installation, and of others on the same engine."""
    found = installation.engine.containers({})
    mine = [item for item in found if item.label("install") == installation.state.install]
    return mine, [item for item in found if item not in mine]


def orphans(installation: Installation, runs: list[ContainerSummary]) -> list[ContainerSummary]:
    """Machines of runs that the state directory knows nothing of."""
    known = {container for run in installation.state.runs() for container in run.containers.values()}
    return [item for item in runs if item.id not in known]


def _log(installation: Installation) -> Iterator[Finding]:
    path = installation.state.root / "housekeeping.log"
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    if lines:
        yield Finding(
            "housekeeping",
            Level.NOTE,
            "its last trouble:\n" + "\n".join(lines[-LOG_LINES:]),
            f"if that is mended: rm {path}",
        )
