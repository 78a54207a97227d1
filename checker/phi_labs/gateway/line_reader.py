"""Lines typed at a terminal, with as little as every terminal can do: echo, backspace, Ctrl-C, Ctrl-D."""

from __future__ import annotations

import asyncio
import codecs
import unicodedata
from collections import deque
from enum import Enum, auto

from phi_labs.gateway.door import Door, Nobody

LENGTH = 1000  # characters
_KEPT = 4096  # typed ahead
_ESCAPE, _CTRL_C, _CTRL_D, _CTRL_U, _CTRL_W = "\x1b", "\x03", "\x04", "\x15", "\x17"
_BACKSPACES = {"\x7f", "\x08"}


class _Escape(Enum):
    """How far into an escape sequence (an arrow key) the input is."""

    NONE = auto()
    BEGUN = auto()
    INSIDE = auto()


class LineReader(Nobody):
    """The sink of a door while the menu has it."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._ahead: deque[str] = deque(maxlen=_KEPT)
        self._escape = _Escape.NONE
        self._prompt = self._text = ""
        self._waiting: asyncio.Future[str | None] | None = None
        self._over = False
        self.interrupted = asyncio.Event()

    async def line(self, prompt: str) -> str | None:
        """The next line; None when there will be none (Ctrl-D, or the client is gone)."""
        self._prompt, self._text = prompt, ""
        self._waiting = asyncio.get_running_loop().create_future()
        self._door.say(prompt)
        self._work()
        try:
            return await self._waiting
        finally:
            self._waiting = None

    def announce(self, text: str) -> None:
        """Show a message, and the line that is being typed again below it."""
        if self._waiting is None:
            self._door.say(f"\n{text}\n")
        else:
            self._door.say(f"\n{text}\n{self._prompt}{self._text}")

    def feed(self, data: bytes) -> None:
        """What was typed. Ctrl-C counts at once, the rest when a line is wanted."""
        text = self._decoder.decode(data)
        if self._waiting is None and _CTRL_C in text:
            self.interrupted.set()
            self._ahead.clear()
            text = text.rpartition(_CTRL_C)[2]
        self._ahead.extend(text)
        self._work()

    def end(self) -> None:
        """No more input."""
        self._over = True
        self._work()

    def gone(self) -> None:
        """The client is gone."""
        self._over = True
        self.interrupted.set()
        self._work()

    def signalled(self, name: str) -> None:
        """Ctrl-C from clients that send it as a signal."""
        if name == "INT":
            self.feed(_CTRL_C.encode())

    def _work(self) -> None:
        while self._waiting is not None and not self._waiting.done():
            if not self._ahead:
                if self._over:
                    self._finish(None)
                return
            self._key(self._ahead.popleft())

    def _key(self, key: str) -> None:
        if self._escape is not _Escape.NONE:
            self._skip(key)
        elif key == _ESCAPE:
            self._escape = _Escape.BEGUN
        elif key in "\r\n":
            self._drop_second_half(key)
            self._door.say("\n")
            self._finish(self._text)
        elif key in _BACKSPACES:
            self._erase(1)
        elif key == _CTRL_U:
            self._erase(len(self._text))
        elif key == _CTRL_W:
            self._erase(len(self._text) - len(self._text.rstrip().rpartition(" ")[0]))
        elif key == _CTRL_C:
            self._door.say(f"^C\n{self._prompt}")
            self._text = ""
        elif key == _CTRL_D:
            if not self._text:
                self._door.say("\n")
                self._finish(None)
        elif key.isprintable() and len(self._text) < LENGTH:
            self._text += key
            self._door.say(key)

    def _drop_second_half(self, key: str) -> None:
        """A pasted line may end in both."""
        if key == "\r" and self._ahead and self._ahead[0] == "\n":
            self._ahead.popleft()

    def _skip(self, key: str) -> None:
        """Arrow and function keys: ESC [ ... letter, or ESC O letter."""
        if self._escape is _Escape.BEGUN and key in "[O":
            self._escape = _Escape.INSIDE
        elif self._escape is _Escape.BEGUN or "@" <= key <= "~":
            self._escape = _Escape.NONE

    def _erase(self, letters: int) -> None:
        if letters <= 0 or not self._text:
            return
        gone, self._text = self._text[-letters:], self._text[:-letters]
        self._door.say("\b \b" * sum(_width(letter) for letter in gone))

    def _finish(self, line: str | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(line)


def _width(letter: str) -> int:
    """Columns that a letter takes."""
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
