"""What one conversation remembers."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from phi_labs.probe.agent.kernel import Refused
from phi_labs.probe.agent.patterns import Patterns
from phi_labs.probe.agent.roots import Roots
from phi_labs.probe.agent.shelf import Shelf
from phi_labs.probe.agent.stream import Json, Out
from phi_labs.probe.agent.walking import Changed, Listing, cache_file, load_baseline

WALKS_LIMIT = 16
LISTINGS_LIMIT = 4  # of 3 MiB each: the images of one lab, and of the lab before
Held = list[tuple[str, list[int]]]


@dataclass
class Memory:
    """Roots that were opened, walks that were made, files that were searched.

    Attributes:
        out: standard output, for answers that are more than a line.
        cache: folder of the image listings, and of compiled strings, that all conversations share.
        walks: one walk serves every question until the client says that the machine may have changed.
        listings: of pristine images, with the identity of the file that they were read from.
        held: what a file of this identity held of these strings: an unchanged file is read once.
        patterns: strings that were asked about, ready to be looked for.
    """

    out: Out
    roots: Roots = field(default_factory=Roots)
    cache: str = "/run/phi"
    walks: dict[tuple[int, str, bool], tuple[str, Changed]] = field(default_factory=dict)
    listings: dict[str, tuple[tuple[int, int, int], Listing]] = field(default_factory=dict)
    held: dict[tuple[Any, ...], Held] = field(default_factory=dict)
    patterns: dict[bytes, Patterns] = field(default_factory=dict)

    @property
    def shelf(self) -> Shelf:
        """Compiled strings of earlier sweeps, also of other conversations."""
        return Shelf(self.cache)

    def baseline(self, key: str) -> Listing:
        """The listing of a pristine image; refused when it is not known."""
        known = self.known(key)
        if known is None:
            raise Refused(f"no baseline of image {key}")
        return known

    def known(self, key: str) -> Listing | None:
        """The listing of a pristine image, None when nobody has made one.

        Read once for each conversation: a grading asks for it half a dozen times, and each reading of
        11,000 paths takes 15 ms.
        """
        try:
            status = os.stat(cache_file(self.cache, key))
        except OSError:
            return None
        identity = (status.st_ino, status.st_mtime_ns, status.st_size)
        if key not in self.listings or self.listings[key][0] != identity:
            found = load_baseline(self.cache, key)
            if found is None:
                return None
            if len(self.listings) >= LISTINGS_LIMIT:
                self.listings.clear()
            self.listings[key] = (identity, found)
        return self.listings[key][1]

    def forget(self, question: Json) -> None:
        """Forget a walk, so that the next question of this kind makes a new one."""
        self.walks.pop(_walk_key(question), None)

    def changed(self, question: Json) -> Changed:
        """The machine's differences to image ``key`` (all its paths without one), at this ``generation``."""
        walked = pid, key, live = _walk_key(question)
        generation: str = question["generation"]
        known = self.walks.get(walked)
        if known is None or known[0] != generation:
            base = self.baseline(key) if key else {}
            known = (generation, Changed(self.roots[pid], base, live))
            if len(self.walks) >= WALKS_LIMIT:
                self.walks.clear()
            self.walks[walked] = known
        return known[1]


def _walk_key(question: Json) -> tuple[int, str, bool]:
    return question["pid"], question.get("key") or "", question.get("live", False)
