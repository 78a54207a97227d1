"""What is inside of databases and their dumps."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from phi_labs.probe.agent.pieces import CHUNK, Damaged, Inside, Stream, unpacked

SQLITE_LIMIT = 64 << 20
TABLE_LEAF, INDEX_LEAF = 13, 10
FIRST_PAGE_HEADER = 100
RECORD_LIMIT = 1 << 20
INTEGER_SIZES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
FIXED_SIZES = {**INTEGER_SIZES, 0: 0, 7: 8, 8: 0, 9: 0, 10: 0, 11: 0}


def sqlite(stream: Stream) -> Inside:
    """The rows of a SQLite file, each value on a line; freed pages, too.

    Read here and not by SQLite: values stand in a file without anything between them, and a library
    in C is no reader for files of a hostile machine.
    """
    data = b"".join(stream.pieces(SQLITE_LIMIT))
    yield "sqlite", _Sqlite(data).rows()
    if stream.peek(1):
        raise Damaged("a database of more than 64 MiB")


class _Sqlite:
    """The leaf pages of one database."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        size = int.from_bytes(data[16:18], "big")
        self._page = 65536 if size == 1 else size
        if self._page < 512 or self._page & (self._page - 1):
            raise Damaged("a damaged database")
        self._usable = self._page - data[20]

    def rows(self) -> Iterator[bytes]:
        """The rows of each leaf page, whether a table still has the page or not."""
        for start in range(0, len(self._data), self._page):
            lines = [b"\n".join(row) for row in self._rows_of(start)]
            if lines:
                yield b"\n\n".join(lines) + b"\n\n"

    def _rows_of(self, start: int) -> Iterator[list[bytes]]:
        page = self._data[start : start + self._page]
        header = 0 if start else FIRST_PAGE_HEADER
        if len(page) < self._page or page[header] not in (TABLE_LEAF, INDEX_LEAF):
            return
        (count,) = struct.unpack_from(">H", page, header + 3)
        for number in range(min(count, self._page // 4)):
            try:
                (cell,) = struct.unpack_from(">H", page, header + 8 + 2 * number)
                yield _values(self._payload(page, cell, table=page[header] == TABLE_LEAF))
            except (IndexError, struct.error):
                continue  # what was a page once and is something else now

    def _payload(self, page: bytes, at: int, *, table: bool) -> bytes:
        size, at = _varint(page, at)
        if table:
            _, at = _varint(page, at)
        local = self._local(size, table=table)
        payload = page[at : at + local]
        if local < size:
            (following,) = struct.unpack_from(">I", page, at + local)
            payload += self._overflow(following, min(size, RECORD_LIMIT) - local)
        return payload

    def _local(self, size: int, *, table: bool) -> int:
        """How much of a record of that size its page holds (the file format's own formula)."""
        usable = self._usable
        most = usable - 35 if table else (usable - 12) * 64 // 255 - 23
        if size <= most:
            return size
        least = (usable - 12) * 32 // 255 - 23
        kept = least + (size - least) % (usable - 4)
        return kept if kept <= most else least

    def _overflow(self, page: int, left: int) -> bytes:
        """What follows on other pages; a chain that runs in a circle ends with what is left."""
        parts = []
        while page and left > 0:
            start = (page - 1) * self._page
            part = self._data[start + 4 : start + self._usable][:left]
            if not part:
                break
            parts.append(part)
            left -= len(part)
            page = int.from_bytes(self._data[start : start + 4], "big")
        return b"".join(parts)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for count in range(9):
        byte = data[at + count]
        if count == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + count + 1
    raise IndexError


def _values(record: bytes) -> list[bytes]:
    """A record's columns as text: what is text or bytes as it is, integers in decimal digits."""
    end, at = _varint(record, 0)
    body, found = end, []
    while at < end:
        kind, at = _varint(record, at)
        size = FIXED_SIZES[kind] if kind in FIXED_SIZES else (kind - 12) // 2
        value = record[body : body + size]
        found.append(
            str(int.from_bytes(value, "big", signed=True)).encode() if kind in INTEGER_SIZES else value
        )
        body += size
    return found


# -- PostgreSQL's custom dumps -------------------------------------------------------------------


def pg_dump(stream: Stream) -> Inside:
    """The compressed tables of pg_dump's custom format: zlib streams, cut into blocks with lengths.

    The table of contents has many versions and is not needed: a table is told by its first block,
    whose length stands before it, and by zlib's own beginning.
    """
    window = b""
    while data := stream.some():
        window += data
        at = _zlib_block(window)
        while at is not None:
            stream.back(window[at:])
            yield "pg_dump", _pg_table(stream)
            window = stream.some()
            at = _zlib_block(window)
        window = window[-8:]


def _zlib_block(data: bytes) -> int | None:
    """Where a block's length stands before something that begins like zlib."""
    at = data.find(b"\x78", 5)
    while at >= 0:
        begins = data[at + 1 : at + 2] in (b"\x01", b"\x5e", b"\x9c", b"\xda")
        if begins and data[at - 5] == 0 and 8 <= int.from_bytes(data[at - 4 : at], "little") <= CHUNK:
            return at - 5
        at = data.find(b"\x78", at + 1)
    return None


def _pg_table(stream: Stream) -> Iterator[bytes]:
    yield from unpacked(Stream(_pg_blocks(stream)), zlib.decompressobj(), "dump")


def _pg_blocks(stream: Stream) -> Iterator[bytes]:
    while len(head := stream.take(5)) == 5:
        length = int.from_bytes(head[1:], "little")
        if head[0] != 0 or not 0 < length <= CHUNK:
            return
        yield stream.take(length)
