"""One shell, command or transfer of a trainee, seen from the gateway: what was asked, and both directions.

Whatever serves a door (a relay to the lab, the menu, a console) attaches itself as its ``Sink``; until then
nothing of what the client sends is lost, and no more is read than fits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

import asyncssh

SFTP = "sftp"
TermSize = tuple[int, int, int, int]


class Kind(Enum):
    """What a client asks of a session."""

    SHELL = auto()
    COMMAND = auto()
    SUBSYSTEM = auto()


@dataclass(frozen=True)
class Wish:
    """What was asked; ``text`` is the command line or the subsystem's name."""

    kind: Kind
    text: str = ""


class Sink(Protocol):
    """Whoever takes what comes from the client."""

    def feed(self, data: bytes) -> None:
        """Bytes that were typed or sent."""

    def end(self) -> None:
        """The client sends no more."""

    def resized(self, size: TermSize) -> None:
        """The window changed: columns, rows, and both in pixels."""

    def signalled(self, name: str) -> None:
        """The client asks for a signal (``INT``, ``TERM``)."""

    def broken(self, milliseconds: int) -> None:
        """The client sends a break."""

    def slow(self) -> None:
        """The client does not keep up: send it no more for now."""

    def go_on(self) -> None:
        """The client has caught up."""

    def gone(self) -> None:
        """The client is no more."""


class Nobody:
    """A sink that needs nothing; others override what they care about."""

    def feed(self, data: bytes) -> None:
        """Ignore it."""

    def end(self) -> None:
        """Ignore it."""

    def resized(self, size: TermSize) -> None:
        """Ignore it."""

    def signalled(self, name: str) -> None:
        """Ignore it."""

    def broken(self, milliseconds: int) -> None:
        """Ignore it."""

    def slow(self) -> None:
        """Ignore it."""

    def go_on(self) -> None:
        """Ignore it."""

    def gone(self) -> None:
        """Ignore it."""


class Door(asyncssh.SSHServerSession[bytes]):
    """A session channel of a trainee.

    Args:
        begin: called once it is known what is wanted.
        subsystems: whether sftp may be asked for here.
        touch: called whenever the client sends something.

    Attributes:
        wish: what was asked.
        terminal: the terminal's type, empty when there is none.
        closed: whether the client, or we, closed it.
        received, sent: bytes from and to the client.
        listens: for messages of the trainer; None where they would spoil what is transferred.
    """

    def __init__(self, begin: Callable[[Door], None], *, subsystems: bool, touch: Callable[[], None]) -> None:
        self._begin, self._subsystems, self._touch = begin, subsystems, touch
        self.chan: asyncssh.SSHServerChannel[bytes]
        self.wish = Wish(Kind.SHELL)
        self.terminal = ""
        self.closed = False
        self.received = self.sent = 0
        self.listens: Callable[[str], None] | None = None
        self._sink: Sink | None = None
        self._early = bytearray()
        self._ended = False
        self._size: TermSize = (80, 24, 0, 0)
        self._modes: dict[int, int] = {}

    # -- from the client ---------------------------------------------------------------------

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        """The channel is open; nothing was asked yet."""
        self.chan = chan

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is gone, whoever ended it."""
        self.closed = True
        self.listens = None
        if self._sink is not None:
            self._sink.gone()

    def pty_requested(self, term_type: str, term_size: TermSize, term_modes: Mapping[int, int]) -> bool:
        """A terminal: whatever it is called, it is printable."""
        self.terminal = "".join(letter for letter in term_type[:64] if letter.isprintable()) or "dumb"
        self._size, self._modes = term_size, dict(term_modes)
        return True

    def shell_requested(self) -> bool:
        """A shell, or the menu."""
        return True

    def exec_requested(self, command: str) -> bool:
        """One command."""
        self.wish = Wish(Kind.COMMAND, command)
        return True

    def subsystem_requested(self, subsystem: str) -> bool:
        """Only sftp, and only in a lab."""
        self.wish = Wish(Kind.SUBSYSTEM, subsystem)
        return self._subsystems and subsystem == SFTP

    def session_started(self) -> None:
        """What is wanted is known."""
        self._begin(self)

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Pass it on, or keep it until somebody takes it."""
        self.received += len(data)
        self._touch()
        if self._sink is not None:
            self._sink.feed(data)
        else:
            self._early += data
            self.chan.pause_reading()

    def eof_received(self) -> bool:
        """Our direction stays open."""
        self._ended = True
        if self._sink is not None:
            self._sink.end()
        return True

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        """Remember it and pass it on."""
        self._size = (width, height, pixwidth, pixheight)
        if self._sink is not None:
            self._sink.resized(self._size)

    def signal_received(self, signal: str) -> None:
        """Pass it on."""
        if self._sink is not None:
            self._sink.signalled(signal)

    def break_received(self, msec: int) -> bool:
        """Pass it on."""
        if self._sink is not None:
            self._sink.broken(msec)
        return True

    def pause_writing(self) -> None:
        """The client is slow."""
        if self._sink is not None:
            self._sink.slow()

    def resume_writing(self) -> None:
        """The client has caught up."""
        if self._sink is not None:
            self._sink.go_on()

    # -- for whoever serves it ---------------------------------------------------------------

    @property
    def size(self) -> TermSize:
        """The window: columns, rows, and both in pixels."""
        return self._size

    @property
    def modes(self) -> dict[int, int]:
        """The terminal modes that the client asked for."""
        return self._modes

    @property
    def columns(self) -> int:
        """Width for text: the window's, within reason."""
        return min(max(self._size[0], 40), 120) if self.terminal and self._size[0] else 100

    def environment(self, name: bytes) -> bytes:
        """A variable that the client sent, empty when it did not."""
        return self.chan.get_environment_bytes().get(name, b"")

    def attach(self, sink: Sink | None) -> None:
        """From now on ``sink`` takes what comes, what came before included; None: nobody, for a while."""
        self._sink = sink
        if sink is None:
            return
        if self._early:
            data, self._early = bytes(self._early), bytearray()
            sink.feed(data)
        if self._ended:
            sink.end()
        if self.closed:
            sink.gone()
        else:
            self.chan.resume_reading()

    def write(self, data: bytes, *, stderr: bool = False) -> None:
        """Send bytes; nothing happens when the client is gone."""
        if self.closed or not data:
            return
        self.sent += len(data)
        with contextlib.suppress(OSError):
            if stderr and not self.terminal:
                self.chan.write_stderr(data)
            else:
                self.chan.write(data)

    def say(self, text: str, *, stderr: bool = False) -> None:
        """Send text; a terminal gets its carriage returns."""
        if self.terminal:
            text = text.replace("\r\n", "\n").replace("\n", "\r\n")
        self.write(text.encode(errors="replace"), stderr=stderr)

    def write_eof(self) -> None:
        """We send no more."""
        with contextlib.suppress(OSError):
            if not self.closed:
                self.chan.write_eof()

    def exit(self, code: int) -> None:
        """End it with an exit code."""
        if not self.closed:
            with contextlib.suppress(OSError):
                self.chan.exit(code)

    def close(self) -> None:
        """End it without saying how: clients take that for trouble."""
        if not self.closed:
            self.chan.close()

    def exit_by_signal(self, signal: str, core: bool, text: str, lang: str) -> None:
        """End it as the command in the lab ended: by a signal."""
        if not self.closed:
            with contextlib.suppress(OSError):
                self.chan.exit_with_signal(signal, core, text, lang)
