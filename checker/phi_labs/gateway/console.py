"""A door joined to a root console: the rescue when SSH is locked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from phi_labs.gateway.directory import Console
from phi_labs.gateway.door import Door, Nobody, TermSize
from phi_labs.gateway.uplink import Deframer


class _Screen(asyncio.Protocol):
    """What the console says, on its way to the door."""

    def __init__(self, door: Door, framed: bool) -> None:
        self._door = door
        self._deframer = Deframer(self._hear) if framed else None
        self.transport: asyncio.Transport | None = None
        self.over = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The stream is ours."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - narrows the type
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        if self._deframer is not None:
            self._deframer.feed(data)
        else:
            self._door.write(data)

    def _hear(self, data: bytes, is_stderr: bool) -> None:
        self._door.write(data, stderr=is_stderr)

    def connection_lost(self, exc: Exception | None) -> None:
        """The console ended."""
        self.over.set()

    def pause_writing(self) -> None:
        """The console is slow."""
        with contextlib.suppress(OSError):
            self._door.chan.pause_reading()

    def resume_writing(self) -> None:
        """The console has caught up."""
        with contextlib.suppress(OSError):
            self._door.chan.resume_reading()


class _Keyboard(Nobody):
    """What the client sends, on its way to the console."""

    def __init__(self, console: Console, transport: asyncio.Transport, over: asyncio.Event) -> None:
        self._console, self._transport, self._over = console, transport, over
        self._resizing: set[asyncio.Task[None]] = set()

    def feed(self, data: bytes) -> None:
        """Pass it on."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def end(self) -> None:
        """Pass it on; a console with a terminal has no end of input but Ctrl-D."""
        if not self._transport.is_closing() and self._transport.can_write_eof():
            self._transport.write_eof()

    def resized(self, size: TermSize) -> None:
        """Pass it on."""
        task = asyncio.ensure_future(self._console.resize(size[1], size[0]))
        self._resizing.add(task)
        task.add_done_callback(self._resizing.discard)

    def slow(self) -> None:
        """Read no more."""
        with contextlib.suppress(RuntimeError):
            self._transport.pause_reading()

    def go_on(self) -> None:
        """Read again."""
        with contextlib.suppress(RuntimeError):
            self._transport.resume_reading()

    def gone(self) -> None:
        """The client is gone, and so is the console."""
        self._over.set()

    async def stop(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._resizing, return_exceptions=True)


async def carry_console(console: Console, door: Door, listen: Callable[[], None]) -> None:
    """Join a door to a console until either ends; the console is closed then.

    Args:
        listen: called when messages may be shown.
    """
    stream = console.stream
    screen = _Screen(door, stream.framed)
    try:
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: screen, sock=stream.sock)
    except BaseException:
        stream.sock.close()
        await console.close()
        raise
    keyboard = _Keyboard(console, transport, screen.over)
    try:
        listen()
        if door.terminal:
            keyboard.resized(door.size)
        door.attach(keyboard)
        await screen.over.wait()
    finally:
        door.attach(None)
        await keyboard.stop()
        transport.abort()
        await console.close()
