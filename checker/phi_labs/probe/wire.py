"""JSON lines and length-prefixed chunks over an exec stream, each answer under a deadline."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

from phi_labs.engine.stream import ExecStream
from phi_labs.errors import ProbeError, ProbeGone, ProbeTimeout

Json = dict[str, Any]
LONGEST_LINE = 64 * 1024 * 1024
_COPY = 256 * 1024


class Wire:
    """A conversation with a program of ours at the other end of an exec stream.

    An answer that was not heard to its end (a time-out, a check broken off in the middle) ends the
    conversation: the next question would get the answer to the last one.

    Args:
        name: how errors call the other end.
        broken: what is raised when it is gone or makes no sense.
        late: what is raised when it does not answer in time.
        longest: bytes of the longest answer that is taken.
    """

    def __init__(
        self,
        stream: ExecStream,
        name: str,
        *,
        broken: type[ProbeError] = ProbeGone,
        late: type[ProbeError] = ProbeTimeout,
        longest: int = LONGEST_LINE,
    ) -> None:
        self._stream = stream
        self._name = name
        self._broken = broken
        self._late = late
        self._longest = longest
        self._buffer = bytearray()
        self._unheard = False

    def say(self, message: Json) -> None:
        """Send one request line.

        Raises:
            ProbeError: the other end is gone, or an earlier answer was never heard to its end.
        """
        if self._unheard:
            raise self._broken(f"the conversation with {self._name} is out of step: an answer was not heard")
        self._unheard = True
        try:
            self._stream.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        except OSError as error:
            raise self._broken(f"{self._name} is gone: {error}", self._last_words()) from error

    def hear(self, seconds: float) -> Json:
        """The next answer line.

        Raises:
            ProbeTimeout: no answer within ``seconds``.
            ProbeError: the other end died.
        """
        self._unheard = True
        until = time.monotonic() + seconds
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > self._longest:
                raise self._broken(f"{self._name} sent an answer that does not end")
            self._more(until)
        try:
            answer = json.loads(self._buffer[:end])
        except (ValueError, RecursionError) as error:
            raise self._broken(f"{self._name} makes no sense: {type(error).__name__}") from error
        if not isinstance(answer, dict):
            raise self._broken(f"{self._name} makes no sense")
        del self._buffer[: end + 1]
        self._unheard = False
        return answer

    def send_chunks(self, source: BinaryIO) -> None:
        """Send a whole file as chunks, then the empty chunk that ends it."""
        while data := source.read(_COPY):
            self._send(struct.pack(">I", len(data)) + data)
        self._send(struct.pack(">I", 0))

    def chunks(self, seconds: float) -> Iterator[bytes]:
        """The chunks of an archive up to the empty one, all within ``seconds``; an answer follows."""
        self._unheard = True
        until = time.monotonic() + seconds
        while True:
            (length,) = struct.unpack(">I", self._exactly(4, until))
            if length == 0:
                return
            yield self._exactly(length, until)

    def close(self) -> None:
        """End the conversation; the other end sees end of file and leaves."""
        self._stream.close()

    def _send(self, data: bytes) -> None:
        try:
            self._stream.sendall(data)
        except OSError as error:
            raise self._broken(f"{self._name} is gone: {error}", self._last_words()) from error

    def _exactly(self, size: int, until: float) -> bytes:
        while len(self._buffer) < size:
            self._more(until)
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _more(self, until: float) -> None:
        left = until - time.monotonic()
        if left <= 0:
            raise self._late(f"{self._name} did not answer in time", self._last_words())
        self._stream.settimeout(left)
        try:
            data = self._stream.recv()
        except TimeoutError as error:
            raise self._late(f"{self._name} did not answer in time", self._last_words()) from error
        except OSError as error:
            raise self._broken(f"{self._name} is gone: {error}", self._last_words()) from error
        if not data:
            raise self._broken(f"{self._name} ended in the middle of a conversation", self._last_words())
        self._buffer += data

    def _last_words(self) -> str:
        words = self._stream.stderr.decode(errors="replace").strip().splitlines()
        return "its last words: " + words[-1] if words else ""
