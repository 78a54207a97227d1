"""Base64 in text: runs of its letters, over lines and over the borders of chunks, and what they mean."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from contextlib import suppress

from phi_labs.probe.agent.patterns import Patterns

# Letters of base64 become A, all others stay out: then a run is found by a plain search, at 0.7 GB/s.
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_IS_LETTER = bytes(0x41 if byte in _LETTERS else 0x20 for byte in range(256))
_BREAK = rb"(?:\r?\n[ \t>]*|(?:\\r)?\\n)"
_RUN = re.compile(rb"[A-Za-z0-9+/]+(?:" + _BREAK + rb"[A-Za-z0-9+/]+)*")
_GOES_ON = re.compile(_BREAK + rb"?\Z|\r\Z|\\\Z|\\r\\?\Z")
_BREAKS = re.compile(_BREAK)
# Digests, numbers and words are letters of base64, too; their decoded bytes mean nothing.
_NOT_BASE64 = b"0123456789abcdef"
LIMIT = 8 << 20
OVERLAP = 4096
EVERY_START = 1 << 14
AROUND = 120


class Runs:
    """The runs in a stream of chunks; the one at the end of a chunk waits for the next."""

    def __init__(self) -> None:
        self._open = b""

    def feed(self, chunk: bytes, wanted: Patterns, *, last: bool = False) -> Iterator[bytes]:
        """Runs of as many letters as ``wanted`` asks for that are complete now, without their line breaks.

        One of more than ``LIMIT`` comes in several parts, each of which begins with the end of the
        one before.
        """
        data, self._open = self._open + chunk, b""
        end = 0
        for start, end in _spans(data, wanted.shortest_run) if wanted.has_run(data) else ():
            if not last and _GOES_ON.match(data, end):
                yield from self._wait(data[start:])
                return
            yield from _told(data[start:end])
        if not last:
            self._open = data[max(end, len(data.rstrip(_LETTERS))) :][-LIMIT:]

    def _wait(self, run: bytes) -> Iterator[bytes]:
        if len(run) <= LIMIT:
            self._open = run
            return
        letters = _BREAKS.sub(b"", run)
        whole = len(letters) // 4 * 4
        self._open = letters[whole - OVERLAP :]
        yield from _told(letters[:whole])


class Spots:
    """Short runs, known by a place within them: what stands there must be decoded to be judged."""

    def __init__(self, data: bytes, *, last: bool) -> None:
        self._data = data
        self._last = last
        self._spans: set[tuple[int, int]] = set()

    def add(self, at: int) -> None:
        """Note the run around a place, as far as it matters; one that the data cuts off comes again."""
        before, behind = self._data[max(0, at - AROUND) : at], self._data[at : at + 2 * AROUND]
        start = at - len(before) + len(before.rstrip(_LETTERS))
        end = at + len(behind) - len(behind.lstrip(_LETTERS))
        if end < len(self._data) or self._last:
            self._spans.add((start, end))

    def runs(self) -> Iterator[bytes]:
        """The runs, each once."""
        for start, end in sorted(self._spans):
            yield self._data[start:end]


def _spans(data: bytes, shortest: int) -> Iterator[tuple[int, int]]:
    mask = data.translate(_IS_LETTER)
    needle = b"A" * shortest
    at = mask.find(needle)
    while at >= 0:
        end = at + shortest
        if data[at:end].strip(_NOT_BASE64):
            match = _RUN.match(data, at)
            end = match.end() if match else end
            yield at, end
        else:
            end = mask.find(b" ", end) if mask.find(b" ", end) >= 0 else len(data)
        at = mask.find(needle, end)


def _told(run: bytes) -> Iterator[bytes]:
    letters = _BREAKS.sub(b"", run)
    if letters != letters.lower():  # any three bytes of which the first is before "h" give a capital
        yield letters


def decoded(run: bytes) -> Iterator[bytes]:
    """A run's bytes, for each of the four places where base64 may begin in it; long runs from the first."""
    for start in range(4 if len(run) <= EVERY_START else 1):
        code = run[start:]
        if len(code) % 4 == 1:
            code = code[:-1]
        with suppress(binascii.Error):
            yield binascii.a2b_base64(code + b"=" * (-len(code) % 4))
