"""Bytes that others wrote, read piece by piece: little memory, however much there is."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

CHUNK = 1 << 20

Inside = Iterator[tuple[str, Iterator[bytes]]]
"""(label, chunks) of each thing inside of another."""
Opener = Callable[["Stream"], Inside]
"""Says what is inside; raises ``Damaged`` when the rest cannot be read."""


class Damaged(Exception):
    """The rest of something cannot be read; the text says why."""


class Stream:
    """Chunks of bytes, read piece by piece."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._ahead = b""

    def peek(self, size: int) -> bytes:
        """The next bytes, up to ``size``, which stay."""
        while len(self._ahead) < size and (more := next(self._chunks, b"")):
            self._ahead += more
        return self._ahead[:size]

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes; fewer only at the end."""
        taken = self.peek(size)
        self._ahead = self._ahead[len(taken) :]
        return taken

    def some(self) -> bytes:
        """Whatever comes next; empty at the end."""
        if self._ahead:
            taken, self._ahead = self._ahead, b""
            return taken
        return next(self._chunks, b"")

    def back(self, data: bytes) -> None:
        """Put bytes back in front."""
        self._ahead = data + self._ahead

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next ``size`` bytes in pieces."""
        while size > 0 and (data := self.some()):
            if len(data) > size:
                self.back(data[size:])
                data = data[:size]
            size -= len(data)
            yield data

    def skip(self, size: int) -> None:
        """Pass over bytes."""
        for _ in self.pieces(size):
            pass

    def drain(self) -> None:
        """Pass over the rest."""
        self._ahead = b""
        for _ in self._chunks:
            pass


class Decompressor(Protocol):
    """What zlib, bz2 and lzma have in common after ``unpacked`` made it so."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def unpacked(stream: Stream, unpacker: Decompressor | zlib._Decompress, what: str) -> Iterator[bytes]:
    """Decompressed pieces until the unpacker is at its end; what it did not use stays in the stream."""
    data, pending = b"", False
    while not unpacker.eof:
        if not data and not pending:
            data = stream.some()
            if not data:
                raise Damaged(f"damaged {what} data: it ends early")
        try:
            piece = unpacker.decompress(data, CHUNK)
        except (zlib.error, OSError, EOFError, lzma.LZMAError) as error:
            raise Damaged(f"damaged {what} data: {error}") from error
        # zlib gives back what it did not take; the others keep it and say whether they need more.
        data = getattr(unpacker, "unconsumed_tail", b"")
        pending = not getattr(unpacker, "needs_input", True)
        if piece:
            yield piece
    stream.back(unpacker.unused_data)
