"""Findings of a sweep: which planted identifiers are where, told without repeating them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from phi_fixtures.manifest import Manifest

SHOWN = 3


@dataclass(frozen=True)
class Leak:
    """Identifiers found in one file.

    Attributes:
        container: ``plain``, or what had to be opened, outermost first: ``gz``, ``tar+zip``.
    """

    path: str
    container: str
    identifiers: frozenset[str]


class Leaks(Sequence[Leak]):
    """What a sweep found; false when it found nothing.

    Attributes:
        notes: (path, reason) of what could not be looked into to its end: damaged or encrypted archives,
            bombs, what is nested too deeply, what a limit of bytes or time left out.
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

    @property
    def unread(self) -> tuple[str, ...]:
        """The files that could not be looked into to their end, each once: nothing is known of the rest."""
        return tuple(dict.fromkeys(path for path, _ in self.notes))

    def sites(self, manifest: Manifest) -> dict[str, frozenset[str]]:
        """Site -> which of its identifiers were found, for each site of which any was."""
        found: dict[str, frozenset[str]] = {}
        for site in manifest.sites:
            if known := self.identifiers & manifest.identifiers(site):
                found[site] = known
        return found

    def artefacts(self, manifest: Manifest) -> dict[str, frozenset[str]]:
        """Path that was planted -> which of its identifiers were found, wherever they are now."""
        found: dict[str, frozenset[str]] = {}
        for artefacts in manifest.sites.values():
            for artefact in artefacts:
                if known := self.identifiers & artefact.identifiers():
                    found[artefact.path] = found.get(artefact.path, frozenset()) | known
        return found

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
