"""Findings of a sweep: which planted identifiers are where, told without repeating them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

SHOWN = 3


@dataclass(frozen=True)
class Leak:
    """Identifiers found in one file; ``container`` is ``plain`` or ``gz``."""

    path: str
    container: str
    identifiers: frozenset[str]


class Leaks(Sequence[Leak]):
    """What a sweep found; false when it found nothing.

    Attributes:
        notes: (path, reason) of what could not be looked into to its end.
    """

    def __init__(self, found: Iterable[Leak], notes: Iterable[tuple[str, str]] = ()) -> None:
        self._found = tuple(found)
        self.notes = tuple(notes)

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Leak]:
        return iter(self._found)

    def __getitem__(self, index: int) -> Leak:  # type: ignore[override]
        return self._found[index]

    def __repr__(self) -> str:
        return f"<leaks: {self.summary() or 'none'}>"

    @property
    def paths(self) -> tuple[str, ...]:
        """The files, each once, in order."""
        return tuple(dict.fromkeys(leak.path for leak in self._found))

    @property
    def identifiers(self) -> frozenset[str]:
        """Every identifier found anywhere."""
        return frozenset().union(*(leak.identifiers for leak in self._found))

    def outside(self, *places: str) -> Leaks:
        """Only what is not at or below one of these paths."""
        roots = tuple(place.rstrip("/") for place in places)
        kept = [
            leak
            for leak in self._found
            if not any(leak.path == root or leak.path.startswith(root + "/") for root in roots)
        ]
        return Leaks(kept, self.notes)

    def of(self, identifiers: Iterable[str]) -> Leaks:
        """Only these identifiers."""
        wanted = frozenset(identifiers)
        kept = (Leak(leak.path, leak.container, leak.identifiers & wanted) for leak in self._found)
        return Leaks([leak for leak in kept if leak.identifiers], self.notes)

    def summary(self) -> str:
        """Paths and counts, never the identifiers themselves."""
        counts: dict[str, set[str]] = {}
        for leak in self._found:
            counts.setdefault(leak.path, set()).update(leak.identifiers)
        told = [f"{path} ({len(found)} identifiers)" for path, found in list(counts.items())[:SHOWN]]
        more = len(counts) - len(told)
        return ", ".join(told) + (f" and {more} more files" if more > 0 else "")
