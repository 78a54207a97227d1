"""What is going on, told on standard error: a spinner on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.status import Status
from rich.text import Text


@dataclass
class Progress:
    """Where progress goes.

    Attributes:
        console: standard error.
        seconds: how long the last ``busy`` took.
    """

    console: Console
    seconds: float = 0.0
    _status: Status | None = field(default=None, init=False)
    _doing: str = field(default="", init=False)

    def tell(self, line: str) -> None:
        """One line of progress; ``Installation.tell``."""
        if self._status is not None:
            self._status.update(_line(f"{self._doing}: {line}" if self._doing else line))
        else:
            self.console.print(_line(f"phi-labs: {line}"), soft_wrap=True)

    @contextmanager
    def busy(self, doing: str) -> Iterator[Callable[[str], None]]:
        """Show ``doing`` while the block runs; yields ``tell``."""
        began = time.perf_counter()
        self._doing = doing
        try:
            if self.console.is_terminal and self._status is None:
                with self.console.status(_line(doing)) as self._status:
                    yield self.tell
            else:
                self.tell(doing)
                yield self.tell
        finally:
            self._status, self._doing = None, ""
            self.seconds = time.perf_counter() - began


def _line(text: str) -> Text:
    """Engine output is not markup, and stays on one line."""
    return Text(" ".join(text.split()), overflow="ellipsis")
