"""This terminal, joined to one elsewhere: raw mode, window size, and back again whatever happens."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Protocol

_CHUNK = 256 * 1024


class Remote(Protocol):
    """The other end: an exec stream with a terminal, or a paramiko channel."""

    def fileno(self) -> int:
        """Readable when there is something to receive."""

    def recv(self, size: int, /) -> bytes:
        """What came; empty at the end."""

    def sendall(self, data: bytes, /) -> object:
        """Send all of it."""


Resize = Callable[[int, int], object]


def window() -> tuple[int, int]:
    """Rows and columns of this terminal."""
    size = shutil.get_terminal_size()
    return size.lines, size.columns


def interact(remote: Remote, resize: Resize) -> None:
    """Pass keys and output until the other end closes.

    Args:
        resize: called with rows and columns, at first and whenever the window changes.
    """
    with _raw_mode(), _resizing(resize):
        resize(*window())
        sources: list[int | Remote] = [sys.stdin.fileno(), remote]
        while True:
            ready, _, _ = select.select(sources, [], [])
            if remote in ready:
                data = remote.recv(_CHUNK)
                if not data:
                    return
                _write_all(sys.stdout.fileno(), data)
            if sys.stdin.fileno() in ready:
                typed = os.read(sys.stdin.fileno(), _CHUNK)
                if typed:
                    remote.sendall(typed)
                else:
                    sources.remove(sys.stdin.fileno())


@contextlib.contextmanager
def _raw_mode() -> Iterator[None]:
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _resizing(resize: Resize) -> Iterator[None]:
    def changed(_number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(Exception):  # a window size is not worth a session
            resize(*window())

    before = signal.signal(signal.SIGWINCH, changed)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def _write_all(sink: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(sink, view) :]
