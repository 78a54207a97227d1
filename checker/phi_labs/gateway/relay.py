"""A door joined to a session in the lab: bytes, window sizes, signals and exit codes, both ways."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable

import asyncssh

from phi_labs.gateway.door import Door, Kind, Nobody, TermSize

_LANG = re.compile(rb"^[A-Za-z0-9_.@-]{1,64}$")
_ENTERS, _LEAVES = b"\x1b[?1049h", b"\x1b[?1049l"  # full-screen programs: vim, less, top
_QUIET = 0.3  # seconds without output, after which a line is as finished as it will be
_PATIENCE = 20  # times _QUIET


class Relay(asyncssh.SSHClientSession[bytes], Nobody):
    """The lab's side of a door, and the door's sink."""

    def __init__(self, door: Door, touch: Callable[[], None], *, stays: bool = False) -> None:
        self._door, self._touch, self._stays = door, touch, stays
        self.chan: asyncssh.SSHClientChannel[bytes]
        self._open = False
        self._ending: Callable[[], None] | None = None
        self.done = asyncio.Event()

    # -- from the lab ------------------------------------------------------------------------

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """The lab's channel is open."""
        self.chan, self._open = chan, True

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Pass it on."""
        self._touch()
        self._door.write(data, stderr=datatype == asyncssh.EXTENDED_DATA_STDERR)

    def eof_received(self) -> bool:
        """Pass it on; the other direction stays open."""
        if not self._stays:
            self._door.write_eof()
        return True

    def exit_status_received(self, status: int) -> None:
        """Keep it until everything that was said before is passed on."""
        self._ending = lambda: self._door.exit(status)

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        """Keep it until everything that was said before is passed on."""
        self._ending = lambda: self._door.exit_by_signal(signal, core_dumped, msg, lang)

    def connection_lost(self, exc: Exception | None) -> None:
        """The lab's channel is gone."""
        self._open = False
        self.done.set()

    def pause_writing(self) -> None:
        """The lab is slow: read no more from the client."""
        with contextlib.suppress(OSError):
            self._door.chan.pause_reading()

    def resume_writing(self) -> None:
        """The lab has caught up."""
        with contextlib.suppress(OSError):
            self._door.chan.resume_reading()

    # -- from the client ---------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Pass it on."""
        if self._open:
            with contextlib.suppress(OSError):
                self.chan.write(data)

    def end(self) -> None:
        """Pass it on."""
        if self._open:
            with contextlib.suppress(OSError):
                self.chan.write_eof()

    def resized(self, size: TermSize) -> None:
        """Pass it on."""
        if self._open:
            self.chan.change_terminal_size(*size)

    def signalled(self, name: str) -> None:
        """Pass it on."""
        if self._open:
            self.chan.send_signal(name)

    def broken(self, milliseconds: int) -> None:
        """Pass it on."""
        if self._open:
            self.chan.send_break(milliseconds)

    def slow(self) -> None:
        """Read no more from the lab."""
        if self._open:
            self.chan.pause_reading()

    def go_on(self) -> None:
        """Read from the lab again."""
        if self._open:
            self.chan.resume_reading()

    def gone(self) -> None:
        """Hang up on the lab."""
        if self._open:
            self.chan.close()
        self.done.set()

    # -- the end -----------------------------------------------------------------------------

    def tell_ending(self) -> None:
        """End the door as the lab's session ended."""
        if self._ending is not None:
            self._ending()
        else:
            self._door.close()


class Announcer:
    """Writes messages into a shell's terminal: between lines, and never into a full-screen program.

    Sits between relay and door, since only what was written last says where the cursor is.
    """

    def __init__(self, door: Door) -> None:
        self._door = door
        self._loop = asyncio.get_running_loop()
        self._waiting: list[str] = []
        self._tries = 0
        self._timer: asyncio.TimerHandle | None = None
        self._full_screen = False
        self._at_start = True
        self._said_at = 0.0
        self._tail = b""

    def watch(self, data: bytes) -> None:
        """Note what the lab just wrote."""
        self._at_start = data.endswith((b"\n", b"\r"))
        self._said_at = self._loop.time()
        window = self._tail + data
        enters, leaves = window.rfind(_ENTERS), window.rfind(_LEAVES)
        if enters != leaves:
            self._full_screen = enters > leaves
        self._tail = window[-len(_ENTERS) + 1 :]
        if self._waiting and leaves > enters:
            self._soon()

    def __call__(self, text: str) -> None:
        """Show a message as soon as that spoils nothing."""
        self._waiting.append(text)
        self._tries = 0
        self._show_if_quiet()

    def stop(self) -> None:
        """No more messages."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _soon(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(_QUIET, self._show_if_quiet)

    def _show_if_quiet(self) -> None:
        if not self._waiting or self._door.closed or self._full_screen:
            return
        self._tries += 1
        busy = not self._at_start and self._loop.time() - self._said_at < _QUIET
        if busy and self._tries < _PATIENCE:
            self._soon()
            return
        for text in self._waiting:
            self._door.say(f"\n{text}\n")
        self._waiting.clear()


class ShellRelay(Relay):
    """A relay whose terminal also shows messages."""

    def __init__(self, door: Door, touch: Callable[[], None], *, stays: bool = False) -> None:
        super().__init__(door, touch, stays=stays)
        self.announcer = Announcer(door)

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Pass it on, and note where the cursor is. What a lab prints does not keep a session alive."""
        self._door.write(data)
        self.announcer.watch(data)


def environment(door: Door) -> dict[bytes | str, bytes | str]:
    """What of the client's environment goes into the lab: LANG. (TERM travels with the terminal.)"""
    lang = door.environment(b"LANG")
    return {"LANG": lang.decode()} if _LANG.match(lang) else {}


async def carry(
    lab: asyncssh.SSHClientConnection, door: Door, touch: Callable[[], None], *, from_menu: bool = False
) -> bool:
    """Join a door to a new session of the lab until either ends; False when the lab refused it.

    Args:
        from_menu: a shell, whatever the door was opened for; the door stays open afterwards.
    """
    shell = from_menu or door.wish.kind is Kind.SHELL
    kind = ShellRelay if shell and door.terminal else Relay
    relay = kind(door, touch, stays=from_menu)
    asked: dict[str, object] = {}
    if door.terminal:
        asked |= {"term_type": door.terminal, "term_size": door.size, "term_modes": door.modes}
    if not shell:
        asked |= {"command" if door.wish.kind is Kind.COMMAND else "subsystem": door.wish.text}
    try:
        await lab.create_session(
            lambda: relay,
            env=environment(door),
            request_pty="force" if door.terminal else False,
            encoding=None,
            **asked,  # type: ignore[arg-type]
        )
    except asyncssh.ChannelOpenError:
        return False
    if isinstance(relay, ShellRelay):
        door.listens = relay.announcer
    door.attach(relay)
    try:
        await relay.done.wait()
    finally:
        door.attach(None)
        door.listens = None
        if isinstance(relay, ShellRelay):
            relay.announcer.stop()
        relay.gone()
    if not from_menu:
        relay.tell_ending()
    return True


class Pipe(asyncssh.SSHTCPSession[bytes]):
    """One end of a forwarded connection; two of them, joined, make one."""

    def __init__(self, touch: Callable[[], None]) -> None:
        self._touch = touch
        self._chan: asyncssh.SSHTCPChannel[bytes] | None = None
        self._other: Pipe | None = None
        self._early = bytearray()  # what came before the other end was open
        self._ended = False
        self._paused_early = False

    def join(self, other: Pipe) -> Pipe:
        """Make the two ends know each other; returns this one."""
        self._other, other._other = other, self
        return self

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        """Open: the other end may say what it has kept."""
        self._chan = chan
        if self._other is not None:
            self._other._flush()

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """To the other end."""
        self._touch()
        self._early += data
        self._flush()

    def eof_received(self) -> bool:
        """To the other end; the way back stays open."""
        self._ended = True
        self._flush()
        return True

    def _flush(self) -> None:
        there = self._other._chan if self._other is not None else None
        if there is None:
            if self._chan is not None:
                self._paused_early = True
                self._chan.pause_reading()
            return
        data, self._early = bytes(self._early), bytearray()
        with contextlib.suppress(OSError):  # it closed in this moment
            if data:
                there.write(data)
            if self._ended:
                there.write_eof()
        if self._paused_early and self._chan is not None:
            self._paused_early = False
            self._chan.resume_reading()
        if self._ended and self._other is not None and self._other._ended and self._chan is not None:
            # Everything was said both ways. Either end may leave closing to the other, for ever.
            there.close()
            self._chan.close()

    def pause_writing(self) -> None:
        """The other end waits."""
        if self._other is not None and self._other._chan is not None:
            self._other._chan.pause_reading()

    def resume_writing(self) -> None:
        """The other end goes on."""
        if self._other is not None and self._other._chan is not None:
            self._other._chan.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """So is the other end."""
        other, self._other, self._chan = self._other, None, None
        if other is not None:
            other._other = None
            if other._chan is not None:
                other._chan.close()
