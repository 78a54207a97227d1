"""Whether there is room for one more lab: memory and disk of the machine that the engine runs on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

MEBIBYTE = 1024 * 1024
# An idle lab takes 6 MiB (measured); few of those that are worked in come near their limit at one time.
SHARE_OF_LIMIT = 0.25
MEMORY_KEPT_FREE = 512 * MEBIBYTE
DISK_KEPT_FREE = 2048 * MEBIBYTE
MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class Room:
    """What is left; None where it cannot be known (an engine on another machine)."""

    memory: int | None
    disk: int | None


def room_of(engine_root: str, meminfo: Path = MEMINFO) -> Room:
    """What is left on this machine.

    Args:
        engine_root: the data directory that the engine names; one that is not here is another machine's.
    """
    if not engine_root or not Path(engine_root).is_dir():
        return Room(None, None)
    return Room(_available(meminfo), shutil.disk_usage(engine_root).free)


def _available(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    words = fields.get("MemAvailable", "").split()
    return int(words[0]) * 1024 if words else None


class Admission:
    """Says in words why a lab may not start now.

    Args:
        limits: lab id -> memory limits of its hosts in bytes, together.
        capacity: labs that may be there at once; ``live`` counts them.
        room: asked before each start.
        footing: what everything lacks at the moment, in words; nothing while all is well.
    """

    def __init__(
        self,
        limits: Mapping[str, int],
        *,
        capacity: int,
        live: Callable[[], int],
        room: Callable[[], Room],
        footing: Callable[[], str] = lambda: "",
    ) -> None:
        self._limits = limits
        self._capacity = capacity
        self._live = live
        self._room = room
        self._footing = footing

    def __call__(self, lab: str) -> str:
        """Empty when the lab may start."""
        if trouble := self._footing():
            return trouble
        if (live := self._live()) >= self._capacity:
            return f"{live} labs are up, as many as the scenario allows (capacity)"
        room = self._room()
        wanted = MEMORY_KEPT_FREE + int(self._limits.get(lab, 0) * SHARE_OF_LIMIT)
        if room.memory is not None and room.memory < wanted:
            return _lacks("memory", room.memory, wanted)
        if room.disk is not None and room.disk < DISK_KEPT_FREE:
            return _lacks("disk", room.disk, DISK_KEPT_FREE)
        return ""


def _lacks(what: str, free: int, wanted: int) -> str:
    return f"{what} is short: {free // MEBIBYTE} MiB free, {wanted // MEBIBYTE} MiB needed"
