"""A byte stream into a process that the engine runs for us (``docker exec``), shaped like a socket.

The engine multiplexes stdout and stderr of an exec without a terminal into frames with an
8-byte header (stream type, three zero bytes, big-endian length). Standard library only: the
ssh bridge ``phi-labs connect`` must start fast.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import Protocol, Self

_HEADER = 8
_STDERR = 2
_STDERR_KEPT = 64 * 1024
_CHUNK = 256 * 1024


class Closeable(Protocol):
    """Something that holds on to the socket until it is closed."""

    def close(self) -> None:
        """Let go."""


class ExecStream:
    """Standard input and output of an exec'd process; usable as paramiko's socket.

    ``recv`` returns standard output only; standard error is kept (the first 64 KiB) in
    ``stderr``. Closing does not end the process: it ends when it reads end of file.
    """

    def __init__(
        self, sock: socket.socket, exec_id: str, *, raw: bool = False, owner: Closeable | None = None
    ) -> None:
        self._sock = sock
        self.exec_id = exec_id
        self._raw = raw
        self._owner = owner  # an HTTP response that the socket belongs to; it shares the descriptor
        self._returned = b""
        self._pending = bytearray()
        self._left_in_frame = 0
        self._frame_is_stderr = False
        self._stderr = bytearray()
        self._closed = False

    @property
    def stderr(self) -> bytes:
        """What the process wrote to standard error so far, as far as it was read."""
        return bytes(self._stderr)

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called on this side."""
        return self._closed

    def fileno(self) -> int:
        """The socket's file descriptor, for select."""
        return self._sock.fileno()

    def settimeout(self, seconds: float | None) -> None:
        """Bound every later send and recv; ``TimeoutError`` when it passes."""
        self._sock.settimeout(seconds)

    def gettimeout(self) -> float | None:
        """The bound set by ``settimeout``."""
        return self._sock.gettimeout()

    def send(self, data: bytes) -> int:
        """Send some of ``data``; return how many bytes went."""
        return self._sock.send(data)

    def sendall(self, data: bytes | memoryview) -> None:
        """Send all of ``data`` to the process's standard input."""
        self._sock.sendall(data)

    def end_input(self) -> None:
        """Signal end of file on the process's standard input."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            # The process (or the engine) is gone already: there is no input left to end.
            return

    def close(self) -> None:
        """Close this side; a process that reads its input sees end of file."""
        if not self._closed:
            self._closed = True
            self._sock.close()
            if self._owner is not None:  # until it lets go, too, the other end sees no end
                self._owner.close()

    def recv(self, size: int = _CHUNK) -> bytes:
        """Return up to ``size`` bytes of standard output, ``b""`` at its end.

        Raises:
            TimeoutError: nothing came within the time given to ``settimeout``.
        """
        if self._returned:
            data, self._returned = self._returned[:size], self._returned[size:]
            return data
        while True:
            if self._raw and self._pending:
                return self._take(size)
            framed = None if self._raw else self._from_frame(size)
            if framed is not None:
                return framed
            if not self._fill():
                return b""

    def put_back(self, data: bytes) -> Self:
        """Let the next ``recv`` return ``data`` first."""
        self._returned = data + self._returned
        return self

    def read_until_end(self, *, limit: int, deadline: float) -> bytes:
        """Collect standard output to its end, at most ``limit`` bytes.

        Args:
            limit: bytes after which reading stops (the rest is left unread).
            deadline: ``time.monotonic()`` value after which ``TimeoutError`` is raised.
        """
        out = bytearray()
        while len(out) < limit:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the process did not end its output in time")
            self.settimeout(left)
            data = self.recv(min(_CHUNK, limit - len(out)))
            if not data:
                break
            out += data
        return bytes(out)

    def _take(self, size: int) -> bytes:
        data = bytes(self._pending[:size])
        del self._pending[:size]
        return data

    def _from_frame(self, size: int) -> bytes | None:
        """Standard output that is already buffered, or None when more must be read."""
        while True:
            if self._left_in_frame == 0:
                if len(self._pending) < _HEADER:
                    return None
                kind, self._left_in_frame = struct.unpack_from(">BxxxI", self._pending)
                self._frame_is_stderr = kind == _STDERR
                del self._pending[:_HEADER]
                continue
            if not self._pending:
                return None
            data = self._take(min(self._left_in_frame, size))
            self._left_in_frame -= len(data)
            if not self._frame_is_stderr:
                return data
            room = _STDERR_KEPT - len(self._stderr)
            self._stderr += data[: max(room, 0)]

    def _fill(self) -> bool:
        try:
            data = self._sock.recv(_CHUNK)
        except ConnectionResetError:
            return False
        self._pending += data
        return bool(data)
