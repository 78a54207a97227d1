"""Strings in files: as they stand, in archives, compressed, in base64, in UTF-16."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from phi_labs.probe.agent.kernel import READ, extents, open_inside
from phi_labs.probe.agent.memory import Held, Memory
from phi_labs.probe.agent.patterns import Patterns
from phi_labs.probe.agent.stream import Json
from phi_labs.probe.agent.unpacking import HEAD, Damaged, Stream, kind_of

CHUNK = 1 << 20
HELD_LIMIT = 100_000
PATTERNS_LIMIT = 8
NOTES_LIMIT = 200
NESTING = 8
# What one file may expand to: more than honest files do, and little enough for many bombs.
EXPANDED_LEAST = 64 << 20
EXPANDED_FOLD = 60
UNREAD = "could not be looked into to its end: "
# Letters of base64 become A, all others stay out: then a run is found by a plain search.
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_IS_LETTER = bytes(0x41 if byte in _LETTERS else 0x20 for byte in range(256))
_RUN = re.compile(rb"[A-Za-z0-9+/]+(?:(?:\r?\n[ \t>]*|(?:\\r)?\\n)[A-Za-z0-9+/]+)*")
_NO_LETTER = re.compile(rb"[^A-Za-z0-9+/]+")
_DIGEST = re.compile(rb"[0-9a-f]+|[0-9A-F]+")
SHORT_RUN = 12
LONG_RUN = 32
RUN_TAIL = 1 << 16
ENCODED_LIMIT = 32 << 20


class Unread(Exception):
    """A file is not read any further; the text says why."""


@dataclass
class Budget:
    """How much a sweep may still read, and until when."""

    left: int
    until: float

    def spend(self, size: int) -> None:
        """Count bytes; ``Unread`` when there are none left, or no time."""
        self.left -= size
        if self.left < 0:
            raise Unread("the sweep's limit of bytes was reached")
        if time.monotonic() > self.until:
            raise Unread("the sweep's time was up")


@dataclass
class Layer:
    """Something that holds bytes: a file, or what is inside of one. Collects what was found in it."""

    names: tuple[str, ...] = ()
    found: dict[tuple[str, ...], set[int]] = field(default_factory=dict)

    def inside(self, *names: str) -> Layer:
        return Layer((*self.names, *names), self.found)

    def add(self, number: int, *names: str) -> None:
        self.found.setdefault((*self.names, *names), set()).add(number)


class Sweep:
    """Looks for strings in files, within bounds of bytes, time, memory and nesting."""

    def __init__(self, patterns: Patterns, limit_bytes: int, seconds: float) -> None:
        self._patterns = patterns
        self._budget = Budget(limit_bytes, time.monotonic() + seconds)
        # In UTF-16 a form takes twice its length.
        self._overlap = 2 * patterns.longest + 64
        self._expanded = 0
        self._path = ""
        self.notes: list[list[str]] = []

    def path(self, root: int, path: str) -> Held:
        """(container, numbers of the strings found) for each layer of the file at a path."""
        try:
            fd = open_inside(root, path, READ | os.O_NOFOLLOW)
        except OSError as error:
            self.notes.append([path, os.strerror(error.errno or 0)])
            return []
        try:
            return self.file(fd, path) if stat.S_ISREG(os.fstat(fd).st_mode) else []
        finally:
            os.close(fd)

    def file(self, fd: int, path: str) -> Held:
        """(container, numbers of the strings found) for each layer of one file."""
        self._path = path
        self._expanded = max(EXPANDED_LEAST, EXPANDED_FOLD * os.fstat(fd).st_size)
        layer = Layer()
        try:
            self._look(data_of(fd), layer)
        except Unread as reason:
            self._note(str(reason))
        return [("+".join(names) or "plain", sorted(numbers)) for names, numbers in layer.found.items()]

    def _note(self, reason: str) -> None:
        note = [self._path, UNREAD + reason]
        if note not in self.notes[-20:]:
            self.notes.append(note)

    def _look(self, chunks: Iterator[bytes], layer: Layer) -> None:
        """Search a layer while whatever opens it reads it; then its rest."""
        stream = Stream(self._searched(chunks, layer))
        opener = kind_of(stream.peek(HEAD))
        if opener is not None:
            if len(layer.names) >= NESTING:
                raise Unread(f"archives nested deeper than {NESTING}")
            try:
                for name, inside in opener(stream):
                    self._look(self._expanding(inside), layer.inside(name))
            except Damaged as damage:
                self._note(str(damage))
        stream.drain()

    def _expanding(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._expanded -= len(chunk)
            if self._expanded < 0:
                raise Unread("it expands to far more than its size, like a bomb")
            yield chunk

    # -- one layer's bytes ---------------------------------------------------------------------

    def _searched(self, chunks: Iterator[bytes], layer: Layer) -> Iterator[bytes]:
        """Pass a layer's chunks on, each searched together with the end of the one before.

        A chunk waits for the next one: what touches the end of the data is judged by what follows.
        """
        held, first = b"", True
        try:
            for chunk in self._undamaged(chunks):
                self._budget.spend(len(chunk))
                if held:
                    self._search(held, layer, first=first, last=False)
                    first = False
                    held = held[-self._kept(held) :]
                held += chunk
                yield chunk
        finally:
            if held:
                self._search(held, layer, first=first, last=True)

    def _undamaged(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from chunks
        except Damaged as damage:
            self._note(str(damage))

    def _kept(self, data: bytes) -> int:
        """How much of a searched chunk's end is searched again with the next one."""
        return self._overlap

    def _search(self, data: bytes, layer: Layer, *, first: bool, last: bool) -> None:
        for form in self._patterns.found(data, first=first, last=last):
            layer.add(form.number, *(() if form.edges else ("base64",)))
        if data.count(0) > 2 * 3:
            self._search_wide(data, layer, first=first, last=last)
        self._search_encoded(data, layer)

    def _search_wide(self, data: bytes, layer: Layer, *, first: bool, last: bool) -> None:
        """UTF-16 of either kind, wherever it begins: without its zeros it is as any text."""
        known = layer.found.get(layer.names, set())
        for form in self._patterns.found(data.replace(b"\0", b""), first=first, last=last):
            if form.number not in known and b"\0".join(map(_byte, form.literal)) in data:
                layer.add(form.number, "utf-16")

    def _search_encoded(self, data: bytes, layer: Layer) -> None:
        """Runs of base64, over lines: decoded, they are searched and opened as a layer of their own."""
        shortest = LONG_RUN if self._patterns.much else SHORT_RUN
        small = []
        for run in encoded_runs(data, shortest):
            if len(run) <= ENCODED_LIMIT:
                pieces = list(decoded(run))
                small += [piece for piece in pieces if kind_of(piece[:HEAD]) is None]
                for piece in pieces:
                    if kind_of(piece[:HEAD]) is not None:
                        self._look(iter([piece]), layer.inside("base64"))
            else:
                self._note("more base64 in one piece than is decoded")
        if small:
            self._search_decoded(b"\n\n".join(small), layer.inside("base64"))

    def _search_decoded(self, data: bytes, layer: Layer) -> None:
        self._budget.spend(0)
        for form in self._patterns.found(data):
            if form.edges:
                layer.add(form.number)
        if data.count(0) > 2 * 3:
            self._search_wide(data, layer, first=True, last=True)


def _byte(value: int) -> bytes:
    return bytes((value,))


def data_of(fd: int) -> Iterator[bytes]:
    """The data of a file in chunks; holes hold no identifiers and are not read."""
    for start, length in extents(fd, os.fstat(fd).st_size):
        at, end = start, start + length
        while at < end and (data := os.pread(fd, min(CHUNK, end - at), at)):
            yield data
            at += len(data)


def encoded_runs(data: bytes, shortest: int) -> Iterator[bytes]:
    """Runs of at least ``shortest`` letters of base64, with the lines that go on with it, joined."""
    mask = data.translate(_IS_LETTER)
    needle = b"A" * shortest
    at = mask.find(needle)
    while at >= 0:
        match = _RUN.match(data, at)
        end = match.end() if match else at + shortest
        run = _NO_LETTER.sub(b"", data[at:end].replace(b"\\r", b"").replace(b"\\n", b""))
        if not _DIGEST.fullmatch(run):
            yield run
        at = mask.find(needle, end)


def decoded(run: bytes) -> Iterator[bytes]:
    """A run as bytes, for each of the four places where base64 may begin in it; long ones from the first."""
    for start in range(4 if len(run) <= RUN_TAIL else 1):
        kept = (len(run) - start) // 4 * 4
        rest = run[start + kept :]
        with suppress(binascii.Error):
            yield base64.b64decode(
                run[start : start + kept]
                + (rest + b"==" if len(rest) > 1 else b"")[: 4 if len(rest) > 1 else 0]
            )


def answer_sweep(memory: Memory, question: Json) -> Json:
    """Find strings in the regular files of a machine.

    ``key``: only what changed since that image; without it everything. ``live``: also what a
    restart would not keep, such as /run and /dev/shm. ``also``: more spellings, as [text, number
    of the string].
    """
    root, found = memory.roots[question["pid"]], memory.changed(question)
    asked, patterns = patterns_of(memory, question["strings"], question.get("also", []))
    sweep = Sweep(patterns, question["limit_bytes"], question["within"])
    hits: list[list[object]] = []
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
    return {"hits": hits, "files": files, "notes": told(sweep.notes + found.trouble)}


def patterns_of(memory: Memory, strings: list[str], also: list[tuple[str, int]]) -> tuple[bytes, Patterns]:
    """The patterns of a question, compiled once in a conversation, and what tells them from others."""
    text = "\0".join([*strings, "", *(f"{number} {spelling}" for spelling, number in also)])
    asked = hashlib.sha256(text.encode(errors="surrogateescape")).digest()
    known = memory.patterns.get(asked)
    if known is None:
        if len(memory.patterns) >= PATTERNS_LIMIT:
            memory.patterns.clear()
        known = memory.patterns[asked] = Patterns(strings, also)
    return asked, known


def told(notes: list[list[str]]) -> list[list[str]]:
    """The notes as far as one answer tells them, and how many more there are."""
    more = len(notes) - NOTES_LIMIT
    return notes[:NOTES_LIMIT] + ([["", f"{more} more notes"]] if more > 0 else [])
