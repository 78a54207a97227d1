"""What all work stands on: the engine answers, and there is room to write.

Asked now and then, and at once when something went wrong. While it is lost nothing is begun and nothing is
given up: starts and gradings wait, and go on by themselves when it is back.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from phi_labs.errors import EngineError, PhiLabsError, UserError
from phi_labs.workshop.admission import room_of

ANSWER_DEADLINE = 5.0  # seconds for the smallest question there is
ROOM = 4 * 1024 * 1024  # bytes; most submissions take less
ENGINE = "the engine does not answer"
DISK = "nothing can be written"
ENGINE_DISK = "the engine's disk is full"
ENGINE_ROOM = 64 * 1024 * 1024  # bytes: new labs are held back long before that

Ask = Callable[[], object]
Told = Callable[[str], None]


class Footing:
    """Knows whether there is something to stand on.

    Args:
        asks: what is wrong, in words -> asks whether it is; raises ``PhiLabsError`` if so.
        now: the time, UTC.
    """

    def __init__(self, asks: Mapping[str, Ask], now: Callable[[], datetime]) -> None:
        self._asks = asks
        self._now = now
        self._lock = threading.Lock()
        self._listeners: list[Told] = []
        self.trouble = ""  # what is wrong and since when; empty while all is well

    def listen(self, told: Told) -> None:
        """Have ``told`` called with ``trouble`` whenever it begins, and with nothing when it is over."""
        self._listeners.append(told)

    def is_lost(self) -> bool:
        """Ask now; whether something is wrong."""
        with self._lock:
            before, now = self.trouble, self._look()
            if bool(now) != bool(before):
                self.trouble = now
                for told in self._listeners:
                    told(now)
        return bool(self.trouble)

    def _look(self) -> str:
        for what, ask in self._asks.items():
            try:
                ask()
            except PhiLabsError as error:
                return f"{what} since {self._now():%H:%M:%S} UTC ({error.hint or error.message})"
        return ""


def engine_room(root: str) -> None:
    """Raise EngineError when next to nothing is left where the engine keeps its data, if that is here."""
    left = room_of(root).disk
    if left is not None and left < ENGINE_ROOM:
        raise EngineError(f"{root} is full", f"{root}: free space there, and it goes on by itself")


def room_in(folder: Path) -> None:
    """Raise UserError unless a file of some size can be written there."""
    path = folder / f".room-{os.getpid()}"
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, ROOM)
    except OSError as error:
        raise UserError(f"cannot write in {folder}: {error.strerror}", _room_hint(folder, error)) from error
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _room_hint(folder: Path, error: OSError) -> str:
    return f"{folder}: {error.strerror}; free space there, or make it writable, and it goes on by itself"
