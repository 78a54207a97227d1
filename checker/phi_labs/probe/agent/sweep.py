"""Strings in files, plain and compressed."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
import zlib
from collections.abc import Iterator
from typing import Any

from phi_labs.probe.agent.kernel import READ, extents, open_inside
from phi_labs.probe.agent.memory import Memory
from phi_labs.probe.agent.stream import Json

CHUNK = 1 << 20
HELD_LIMIT = 100_000
GZIP = b"\x1f\x8b"


def trie_pattern(words: list[bytes]) -> bytes:
    """One expression for many literals, as a trie, longest first: far faster than an alternation."""
    trie: dict[int, Any] = {}
    for word in words:
        node = trie
        for byte in word:
            node = node.setdefault(byte, {})
        node[-1] = {}

    def render(node: dict[int, Any]) -> bytes:
        branches = [
            re.escape(bytes([byte])) + render(child) for byte, child in sorted(node.items()) if byte >= 0
        ]
        if not branches:
            return b""
        body = branches[0] if len(branches) == 1 else b"(?:" + b"|".join(branches) + b")"
        return b"(?:" + body + b")?" if -1 in node else body

    return render(trie)


def data_of(fd: int) -> Iterator[bytes]:
    """The data of a file in chunks; holes hold no identifiers and are not read."""
    for start, length in extents(fd, os.fstat(fd).st_size):
        at, end = start, start + length
        while at < end and (data := os.pread(fd, min(CHUNK, end - at), at)):
            yield data
            at += len(data)


class Sweep:
    """Looks for exact strings in files, plain and gzip, within bounds of bytes and time."""

    def __init__(self, strings: list[str], limit_bytes: int, seconds: float) -> None:
        self._words = [os.fsencode(text) for text in strings]
        self._number = {word: index for index, word in enumerate(self._words)}
        self._pattern = re.compile(trie_pattern(self._words)) if self._words else None
        self._overlap = max((len(word) for word in self._words), default=1) - 1
        self.left = limit_bytes
        self.until = time.monotonic() + seconds
        self.notes: list[list[str]] = []

    def path(self, root: int, path: str) -> list[tuple[str, list[int]]]:
        """(container, numbers of the strings found) for each layer of the file at a path."""
        if time.monotonic() > self.until:
            self.notes.append([path, "the sweep's time was up here"])
            return []
        try:
            fd = open_inside(root, path, READ | os.O_NOFOLLOW)
        except OSError as error:
            self.notes.append([path, os.strerror(error.errno or 0)])
            return []
        try:
            return list(self.file(fd, path)) if stat.S_ISREG(os.fstat(fd).st_mode) else []
        finally:
            os.close(fd)

    def file(self, fd: int, path: str) -> Iterator[tuple[str, list[int]]]:
        """(container, numbers of the strings found) for each layer of one file."""
        head = os.pread(fd, 2, 0)
        found = self._scan(data_of(fd), path)
        if found:
            yield "plain", sorted(found)
        if head == GZIP:
            os.lseek(fd, 0, os.SEEK_SET)
            found = self._scan(self._gunzip(fd, path), path)
            if found:
                yield "gz", sorted(found)

    def _scan(self, chunks: Iterator[bytes], path: str) -> set[int]:
        found: set[int] = set()
        tail = b""
        for chunk in chunks:
            self.left -= len(chunk)
            if self.left < 0 or time.monotonic() > self.until:
                self.notes.append([path, "the sweep's limit was reached here"])
                break
            data = tail + chunk
            if self._pattern is not None:
                found.update(self._number[match] for match in self._pattern.findall(data))
            tail = data[-self._overlap :] if self._overlap else b""
        return found

    def _gunzip(self, fd: int, path: str) -> Iterator[bytes]:
        """Decompressed chunks of every member, bounded; damage is a note, not an error."""
        data, ended, unpacker = b"", False, None
        try:
            while True:
                if len(data) < len(GZIP) and not ended:  # a member's first two bytes may be cut apart
                    more = os.read(fd, CHUNK)
                    data, ended = data + more, not more
                    continue
                if unpacker is None:
                    if not data.startswith(GZIP):
                        return  # the end, or padding, which gzip itself passes over
                    unpacker = zlib.decompressobj(31)
                if not data:
                    self.notes.append([path, "damaged gzip data: it ends early"])
                    yield unpacker.flush()
                    return
                yield unpacker.decompress(data, CHUNK)
                data = unpacker.unconsumed_tail
                if unpacker.eof:
                    data, unpacker = unpacker.unused_data, None
        except zlib.error as error:
            self.notes.append([path, f"damaged gzip data: {error}"])


def answer_sweep(memory: Memory, question: Json) -> Json:
    """Find strings in the regular files of a machine.

    ``key``: only what changed since that image; without it everything. ``live``: also what a
    restart would not keep, such as /run and /dev/shm.
    """
    root, found = memory.roots[question["pid"]], memory.changed(question)
    strings = question["strings"]
    sweep = Sweep(strings, question["limit_bytes"], question["within"])
    asked = hashlib.sha256("\0".join(strings).encode(errors="surrogateescape")).digest()
    hits: list[list[Any]] = []
    files = 0
    for path, _, status in found.items:
        if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
            continue
        files += 1
        identity = (asked, status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size)
        held = memory.held.get(identity)
        if held is None:
            noted = len(sweep.notes)
            held = sweep.path(root, path)
            if len(sweep.notes) == noted:  # what was not read to its end is read again the next time
                memory.held[identity] = held
        hits += [["/" + path, layer, numbers] for layer, numbers in held]
    if len(memory.held) > HELD_LIMIT:
        memory.held.clear()
    return {"hits": hits, "files": files, "notes": (sweep.notes + found.trouble)[:200]}
