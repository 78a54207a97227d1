"""Finding many strings in a piece of data: with little data by ``re``, with much by vectorscan."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from phi_labs.probe.agent import vectorscan
from phi_labs.probe.agent.shelf import Shelf
from phi_labs.probe.agent.spelling import Form, encoded_forms, forms_of, stands_alone

PREFIX = 3
# Shorter runs of base64 are found among much data by what base64 makes of each string.
SHORT_RUN, LONG_RUN = 12, 44
# Compiling for vectorscan takes about as long as ``re`` needs for so many bytes for each literal.
WORTH_COMPILING = 256
LEAST = 1 << 18
MOST = 2 << 20
# Beside strings that are compiled already, so few literals are compiled without a thought (5 ms).
FEW = 500
_NOTHING: Mapping[int, dict[bytes, list[Form]]] = {}


class Patterns:
    """The strings of one sweep in all their forms.

    Args:
        again: so many of the first strings are asked about by many sweeps: they are compiled by themselves.
        shelf: where what other sweeps compiled lies, and where this one leaves its own.

    Attributes:
        longest: length of the longest form.
    """

    def __init__(
        self,
        strings: list[str],
        also: Iterable[tuple[str, int]] = (),
        *,
        again: int = 0,
        shelf: Shelf | None = None,
    ) -> None:
        self._strings = strings
        self._again = again
        self._shelf = shelf
        self.forms = forms_of(strings, also)
        self.longest = max((len(form.literal) for form in self.forms), default=0)
        self._seen = 0

    @cached_property
    def _many(self) -> list[tuple[list[Form], vectorscan.Database]] | None:
        """The two groups of forms, compiled; None without a library."""
        library = vectorscan.library()
        if library is None:
            return None
        compiled = [(group, self._compiled(library, _literals(group))) for group in self._groups]
        return [(group, database) for group, database in compiled if database is not None]

    def _compiled(self, library: vectorscan.Library, literals: Sequence[bytes]) -> vectorscan.Database | None:
        if self._shelf is None:
            return vectorscan.Database.compiled(library, literals)
        return self._shelf.database(literals)

    @cached_property
    def _groups(self) -> list[list[Form]]:
        """Forms of the strings that are asked about again, and of the others; base64 included."""
        forms = self.forms + encoded_forms(self._strings)
        first = [form for form in forms if form.number < self._again]
        return [group for group in (first, [form for form in forms if form.number >= self._again]) if group]

    @cached_property
    def _to_compile(self) -> int:
        """How many literals would have to be compiled now."""
        shelf = self._shelf
        return sum(len(group) for group in self._groups if not (shelf and shelf.holds(_literals(group))))

    @cached_property
    def _worth_it(self) -> int:
        """After how many bytes compiling pays; 0 when it is done."""
        if self._to_compile < min(FEW, sum(map(len, self._groups))):
            return 0
        return min(max(LEAST, self._to_compile * WORTH_COMPILING), MOST)

    @cached_property
    def _by_prefix(self) -> dict[bytes, dict[int, dict[bytes, list[Form]]]]:
        """First bytes -> length -> literal -> forms: looking at a place costs a look-up for each length."""
        found: dict[bytes, dict[int, dict[bytes, list[Form]]]] = {}
        for form in self.forms:
            lengths = found.setdefault(form.literal[:PREFIX], {})
            lengths.setdefault(len(form.literal), {}).setdefault(form.literal, []).append(form)
        return found

    @cached_property
    def _prefixes(self) -> re.Pattern[bytes]:
        return re.compile(prefix_pattern(self._by_prefix))

    def begin(self) -> None:
        """Begin a sweep: how much data there is, is not known yet."""
        self._seen = 0

    @property
    def much(self) -> bool:
        """Whether so much data went by that vectorscan is (now) used: it knows short base64 by itself."""
        return bool(self.forms) and self._seen >= self._worth_it and self._many is not None

    @cached_property
    def _long_run(self) -> vectorscan.Expression | None:
        library = vectorscan.library()
        return vectorscan.Expression(library, b"[A-Za-z0-9+/]{%d}" % LONG_RUN) if library else None

    def has_run(self, data: bytes) -> bool:
        """Whether there may be base64 that ``encoded_forms`` do not tell."""
        return not self.much or self._long_run is None or self._long_run.is_in(data)

    @property
    def shortest_run(self) -> int:
        """Letters of the shortest run of base64 that must be decoded to be searched."""
        return LONG_RUN if self.much else SHORT_RUN

    def found(
        self, data: bytes, known: Container[int] = (), *, first: bool = True, last: bool = True
    ) -> Iterator[tuple[Form, int]]:
        """The forms that stand in ``data`` and where, in any order, but for those of ``known`` strings.

        What touches an end of the data is passed over unless there is nothing beyond (``first``,
        ``last``): its neighbours are not known.
        """
        if not self.forms:
            return
        self._seen += len(data)
        for form, start in self._places(data):
            if form.number in known:
                continue
            end = start + len(form.literal)
            told = (start or first) and (end < len(data) or last)
            if told and stands_alone(form, data, start, end):
                yield form, start

    def _places(self, data: bytes) -> Iterator[tuple[Form, int]]:
        compiled = self._many if self.much else None
        if compiled is None:
            yield from self._few_places(data)
            return
        for forms, database in compiled:
            for number, end in database.scan(data):
                yield forms[number], end - len(forms[number].literal)

    def _few_places(self, data: bytes) -> Iterator[tuple[Form, int]]:
        by_prefix, lengths = self._by_prefix, sorted({len(prefix) for prefix in self._by_prefix})
        for match in self._prefixes.finditer(data):
            at = match.start()
            for length in lengths:
                for size, literals in by_prefix.get(data[at : at + length], _NOTHING).items():
                    if (forms := literals.get(data[at : at + size])) is not None:
                        for form in forms:
                            yield form, at


def _literals(forms: Iterable[Form]) -> list[bytes]:
    return [form.literal for form in forms]


def prefix_pattern(prefixes: Iterable[bytes]) -> bytes:
    """An expression that consumes the first byte of a prefix where the rest follows: overlaps are found."""
    followers: dict[int, dict[int, set[bytes]]] = {}
    for prefix in prefixes:
        second = followers.setdefault(prefix[0], {})
        second.setdefault(prefix[1] if len(prefix) > 1 else -1, set()).add(prefix[2:3])
    branches = [re.escape(bytes([byte])) + _followed(second) for byte, second in sorted(followers.items())]
    return b"|".join(branches)


def _followed(second: dict[int, set[bytes]]) -> bytes:
    if -1 in second:
        return b""
    branches = []
    for byte, third in sorted(second.items()):
        rest = b"" if b"" in third else b"[" + b"".join(b"\\x%02x" % item[0] for item in sorted(third)) + b"]"
        branches.append(re.escape(bytes([byte])) + rest)
    return b"(?=" + b"|".join(branches) + b")"
