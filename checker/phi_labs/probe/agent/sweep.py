"""Strings in files: as they stand, in archives, compressed, in base64, in UTF-16."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field

from phi_labs.probe.agent.base64_runs import AROUND, Runs, Spots, decoded
from phi_labs.probe.agent.kernel import READ, Refused, extents, open_inside
from phi_labs.probe.agent.memory import Held, Memory
from phi_labs.probe.agent.patterns import Patterns
from phi_labs.probe.agent.pieces import Damaged, Opener, Stream
from phi_labs.probe.agent.questions import lab_processes, look_of, looks
from phi_labs.probe.agent.stream import Json
from phi_labs.probe.agent.unpacking import HEAD, kind_of
from phi_labs.probe.agent.walking import shortened

CHUNK = 1 << 20
HELD_LIMIT = 100_000
PATTERNS_LIMIT = 8
NOTES_LIMIT = 200
BLOCKED_TOLD = 20
HITS_LIMIT = 20_000
LOOKS = 4
# A path leads elsewhere, or nowhere, since it was listed.
MOVED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
NOT_THERE = os.strerror(errno.ENOENT)
DELETED = " (deleted)"
NESTING = 8
# What one file may expand to: more than honest files do, and little enough for many bombs.
EXPANDED_LEAST = 64 << 20
EXPANDED_FOLD = 60
UNREAD = "could not be looked into to its end: "
FEWEST_ZEROS = 7
# Members of these lie in their container byte for byte.
AS_THEY_ARE = frozenset({"tar"})


class Unread(Exception):
    """A file is not read any further; the text says why."""


@dataclass
class Budget:
    """How much a sweep may still read, and until when.

    Our own processor time counts: on a busy machine nobody's files shall look like more than they are.
    """

    left: int
    until: float

    def spend(self, size: int) -> None:
        """Count bytes; ``Unread`` when there are none left, or no time."""
        self.left -= size
        if self.left < 0:
            raise Unread("the sweep's limit of bytes was reached")
        if time.process_time() > self.until:
            raise Unread("the sweep's time was up")


@dataclass
class Layer:
    """Something that holds bytes: a file, or what is inside of one. Collects what was found in it."""

    names: tuple[str, ...] = ()
    found: dict[tuple[str, ...], set[int]] = field(default_factory=dict)

    def inside(self, *names: str) -> Layer:
        return Layer((*self.names, *names), self.found)

    def known(self) -> set[int]:
        """What was found in this layer itself; grows with ``add``."""
        return self.found.setdefault(self.names, set())

    def add(self, number: int, *names: str) -> None:
        self.found.setdefault((*self.names, *names), set()).add(number)


class Sweep:
    """Looks for strings in files, within bounds of bytes, time, memory and nesting."""

    def __init__(self, patterns: Patterns, limit_bytes: int, seconds: float) -> None:
        patterns.begin()
        self._patterns = patterns
        self._budget = Budget(limit_bytes, time.process_time() + seconds)
        # In UTF-16 a form takes twice its length.
        self._overlap = 2 * patterns.longest + 4 * AROUND
        self._expanded = 0
        self._path = ""
        self.notes: list[list[str]] = []
        self.blocked: list[list[str]] = []
        self.gone: list[list[str]] = []

    def path(self, root: int, path: str) -> Held:
        """(container, numbers of the strings found) for each layer of the file at a path.

        What cannot be opened, and what the sweep's own limits leave out, is ``blocked``; what is there no
        more, or is something else by now, is ``gone``.
        """
        self._path = path
        try:
            self._budget.spend(0)
            fd = open_inside(root, path, READ | os.O_NOFOLLOW)
        except (OSError, Unread) as error:
            self._note(str(error))
            lost = isinstance(error, OSError) and error.errno in MOVED
            (self.gone if lost else self.blocked).append([path, str(error)])
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
            self.blocked.append([path, str(reason)])
        return [
            ("+".join(names) or "plain", sorted(numbers)) for names, numbers in layer.found.items() if numbers
        ]

    def _note(self, reason: str) -> None:
        note = [self._path, UNREAD + reason]
        if note not in self.notes[-20:]:
            self.notes.append(note)

    def _look(self, chunks: Iterator[bytes], layer: Layer) -> None:
        """Search a layer while whatever opens it reads it; then its rest."""
        with closing(self._searched(chunks, layer)) as searched:
            stream = Stream(searched)
            opener = kind_of(stream.peek(HEAD))
            if opener is not None:
                self._open(opener, stream, layer)
            stream.drain()

    def _open(self, opener: Opener, stream: Stream, layer: Layer) -> None:
        if len(layer.names) >= NESTING:
            self._note(f"archives nested deeper than {NESTING}")
            return
        try:
            for name, inside in opener(stream):
                if name in AS_THEY_ARE:
                    self._look_for_archives(inside, layer.inside(name))
                else:
                    self._look(self._expanding(inside), layer.inside(name))
        except Damaged as damage:
            self._note(str(damage))

    def _look_for_archives(self, chunks: Iterator[bytes], layer: Layer) -> None:
        """What lies in its container as it is was searched with it: only what it holds is new."""
        inner = Stream(chunks)
        opener = kind_of(inner.peek(HEAD))
        if opener is not None:
            self._open(opener, inner, layer)
        inner.drain()

    def _expanding(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._expanded -= len(chunk)
            if self._expanded < 0:
                raise Damaged("it expands to far more than its size, like a bomb")
            yield chunk

    # -- one layer's bytes ---------------------------------------------------------------------

    def _searched(self, chunks: Iterator[bytes], layer: Layer) -> Generator[bytes]:
        """Pass a layer's chunks on, each searched together with the end of the one before.

        A chunk waits for the next one: what touches the end of the data is judged by what follows.
        """
        held, first, runs = b"", True, Runs()
        try:
            for chunk in self._undamaged(chunks):
                self._budget.spend(len(chunk))
                if held:
                    self._search(held, layer, first=first, last=False)
                    first = first and len(held) <= self._overlap
                    held = held[-self._overlap :]
                held += chunk
                self._search_encoded(runs.feed(chunk, self._patterns), layer)
                yield chunk
        finally:
            self._search(held, layer, first=first, last=True)
            self._search_encoded(runs.feed(b"", self._patterns, last=True), layer)

    def _undamaged(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from chunks
        except Damaged as damage:
            self._note(str(damage))

    def _search(self, data: bytes, layer: Layer, *, first: bool = True, last: bool = True) -> None:
        encoded = Spots(data, last=last)
        known = layer.known()
        for form, start in self._patterns.found(data, known, first=first, last=last):
            if form.edges:
                layer.add(form.number)
            else:
                encoded.add(start)
        self._search_encoded(encoded.runs(), layer)
        if data.find(0) >= 0 and data.count(0) >= FEWEST_ZEROS:  # looking for one is ten times faster
            self._search_wide(data, layer, first=first, last=last)

    def _search_wide(self, data: bytes, layer: Layer, *, first: bool, last: bool) -> None:
        """UTF-16 of either kind, wherever it begins: without its zeros it is as any text."""
        known = layer.known()
        narrow = data.translate(None, b"\0")  # nine times as fast as replacing them
        for form in {form for form, _ in self._patterns.found(narrow, first=first, last=last)}:
            if form.edges and form.number not in known and b"\0".join(map(_byte, form.literal)) in data:
                layer.add(form.number, "utf-16")

    def _search_encoded(self, runs: Iterator[bytes], layer: Layer) -> None:
        """Base64, decoded, is a layer of its own; all that is no archive is searched at once."""
        pieces = []
        for run in runs:
            if len(layer.names) >= NESTING:
                self._note(f"base64 nested deeper than {NESTING}")
                return
            for number, piece in enumerate(decoded(run)):
                if number == 0 and kind_of(piece[:HEAD]) is not None:
                    self._look(iter([piece]), layer.inside("base64"))
                else:
                    pieces.append(piece)
        if pieces:
            text = b"\n\n".join(pieces)
            self._search(text, layer.inside("base64"))
            self._search_encoded(Runs().feed(text, self._patterns, last=True), layer.inside("base64"))


def _byte(value: int) -> bytes:
    return bytes((value,))


def data_of(fd: int) -> Iterator[bytes]:
    """The data of a file in chunks; holes hold no identifiers and are not read."""
    for start, length in extents(fd, os.fstat(fd).st_size):
        at, end = start, start + length
        while at < end and (data := os.pread(fd, min(CHUNK, end - at), at)):
            yield data
            at += len(data)


def answer_sweep(memory: Memory, question: Json) -> Json:
    """Find strings in the regular files of a machine.

    ``key``: only what changed since that image; without it everything. ``live``: also what a
    restart would not keep, such as /run and /dev/shm. ``also``: more spellings, as [text, number
    of the string]. ``known``: so many of the first strings are asked about again and again.

    The answer says which files could not be read at all (``blocked``) and how those looked that hold
    something (``seen``). When files were moved meanwhile, all is looked at again, a few times; ``moved``
    says that it was of no use.
    """
    asked, patterns = patterns_of(
        memory, question["strings"], question.get("also", []), question.get("known", 0)
    )
    sweep = Sweep(patterns, question["limit_bytes"], question["within"])
    for _ in range(LOOKS):
        sweep.gone.clear()
        answer, trouble = swept(memory, question, sweep, asked)
        if not sweep.gone:
            break
        memory.forget(question)
    if len(memory.held) > HELD_LIMIT:
        memory.held.clear()
    answer["moved"] = bool(sweep.gone) or churned(memory, question)
    blocked = sweep.blocked + sweep.gone + trouble
    answer["blocked"] = [[shortened(path), reason] for path, reason in blocked[:BLOCKED_TOLD]]
    answer["notes"] = told(sweep.notes + trouble)
    return answer


def answer_unlinked(memory: Memory, question: Json) -> Json:
    """Find strings in files that have no name any more and that a process of the machine still holds open.

    A path is what the kernel calls it: ``/tmp/extract.csv (deleted)``, ``/memfd:name (deleted)``.
    """
    _, patterns = patterns_of(memory, question["strings"], question.get("also", []))
    sweep = Sweep(patterns, question["limit_bytes"], question["within"])
    hits: list[list[object]] = []
    seen: set[tuple[int, int]] = set()
    for place in unlinked(question["pid"]):
        with suppress(OSError):  # it was closed while we looked
            fd = os.open(place, READ)
            try:
                status, path = os.fstat(fd), os.readlink(place)
                identity = (status.st_dev, status.st_ino)
                if stat.S_ISREG(status.st_mode) and status.st_size and identity not in seen:
                    seen.add(identity)
                    hits += [[path, layer, numbers] for layer, numbers in sweep.file(fd, path)]
            finally:
                os.close(fd)
    return {"hits": hits, "notes": told(sweep.notes)}


def unlinked(pid: int) -> Iterator[str]:
    """Where /proc shows the files without a name that processes beside ``pid`` hold open."""
    for name in lab_processes(pid):
        folder = f"/proc/{name}/fd"
        with suppress(OSError):  # it ended while we looked
            for number in os.listdir(folder):
                if os.readlink(f"{folder}/{number}").endswith(DELETED):
                    yield f"{folder}/{number}"


def churned(memory: Memory, question: Json) -> bool:
    """Whether names were made, moved or removed in any changed directory since it was listed."""
    root, found = memory.roots[question["pid"]], memory.changed(question)
    listed = [(path, status) for path, _, status in found.items if stat.S_ISDIR(status.st_mode)]
    now = looks(root, [[path, ""] for path, _ in listed])
    return any(look != look_of(status) for look, (_, status) in zip(now, listed, strict=True))


def swept(memory: Memory, question: Json, sweep: Sweep, asked: bytes) -> tuple[Json, list[list[str]]]:
    """One look at everything: what was found, and what the walk could not enter."""
    root, found = memory.roots[question["pid"]], memory.changed(question)
    hits: list[list[object]] = []
    seen: dict[str, list[int]] = {}
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
        if held:
            seen["/" + path] = look_of(status)
            hits += [["/" + path, layer, numbers] for layer, numbers in held]
        if len(hits) > HITS_LIMIT:
            raise Refused(f"there is something to be found in more than {HITS_LIMIT} places")
    sweep.gone += [item for item in found.trouble if item[1] == NOT_THERE]
    trouble = [item for item in found.trouble if item[1] != NOT_THERE]
    return {"hits": hits, "seen": seen, "files": files}, trouble


def patterns_of(
    memory: Memory, strings: list[str], also: list[tuple[str, int]], known_again: int = 0
) -> tuple[bytes, Patterns]:
    """The patterns of a question, compiled once in a conversation, and what tells them from others."""
    text = "\0".join([*strings, "", *(f"{number} {spelling}" for spelling, number in also)])
    asked = hashlib.sha256(text.encode(errors="surrogateescape")).digest()
    known = memory.patterns.get(asked)
    if known is None:
        if len(memory.patterns) >= PATTERNS_LIMIT:
            memory.patterns.clear()
        known = memory.patterns[asked] = Patterns(strings, also, again=known_again, shelf=memory.shelf)
    return asked, known


def told(notes: list[list[str]]) -> list[list[str]]:
    """The notes as far as one answer tells them, and how many more there are."""
    more = len(notes) - NOTES_LIMIT
    first = [[shortened(path), reason] for path, reason in notes[:NOTES_LIMIT]]
    return first + ([["", f"{more} more notes"]] if more > 0 else [])
