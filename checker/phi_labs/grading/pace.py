"""How much slower a busy computer is: deadlines are made for a quiet one."""

from __future__ import annotations

import os
from pathlib import Path

LONGEST = 4.0
LOAD = Path("/proc/loadavg")


def pace() -> float:
    """How many times longer things may take now: 1 on a quiet computer, 4 at most.

    Tasks that want to run, for each core, now and over the last minute. Whoever makes the computer busy to
    win time wins four times the usual time at most.
    """
    return _pace(*_wanting_to_run(), os.cpu_count() or 1)


def _pace(now: float, last_minute: float, cores: int) -> float:
    return min(max(now, last_minute, cores) / cores, LONGEST)


def _wanting_to_run() -> tuple[float, float]:
    last_minute, _, _, tasks, _ = LOAD.read_text(encoding="ascii").split()
    return float(tasks.partition("/")[0]), float(last_minute)
