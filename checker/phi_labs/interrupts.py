"""Ctrl-C, SIGTERM and SIGHUP end a command from wherever it is; at a few moments that would do harm."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def held() -> Iterator[None]:
    """Let no interrupt in here; one that came meanwhile is raised at the end.

    For a step that must be whole: a thread that is half started can neither be joined nor left alone,
    and what a call made is lost with its answer. Only the main thread is ever interrupted.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before: dict[signal.Signals, Callable[[int, FrameType | None], Any]] = {}
    try:
        for number in INTERRUPTS:
            handler = signal.getsignal(number)
            if callable(handler):  # what is ignored stays so, what kills cannot be held
                before[number] = handler
                signal.signal(number, lambda late, _frame: came.append(late))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
