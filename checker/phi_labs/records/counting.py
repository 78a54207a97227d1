"""Which attempt counts. Pure.

A regrade stands in place of what it graded again: with its position, its deadline and its assurance, never as
a further try.
Late attempts and those made with a prepared script or outside of the trainer's installation (``practice``)
are kept and shown, and never count.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from phi_labs.model.cohort import AttemptRecord

SUPERVISED = "supervised"


class CountRule(StrEnum):
    """Of the attempts that may count: the last one, the best one (the earliest of several), the first one."""

    LAST = "last"
    BEST = "best"
    FIRST = "first"


def counted(attempts: Iterable[AttemptRecord], rule: CountRule) -> AttemptRecord | None:
    """The attempt whose score counts, in its newest grading; None when none may count."""
    candidates = [
        newest
        for original, newest in _latest(attempts)
        if not original.late and original.assurance == SUPERVISED
    ]
    if not candidates:
        return None
    if rule is CountRule.BEST:
        return max(candidates, key=lambda attempt: attempt.scorecard.score)
    return candidates[0 if rule is CountRule.FIRST else -1]


def _latest(attempts: Iterable[AttemptRecord]) -> list[tuple[AttemptRecord, AttemptRecord]]:
    """(first grading, newest grading) of each submission, in the order of the first gradings."""
    roots: dict[int, int] = {}  # number of any grading -> number of the first one of that submission
    found: dict[int, tuple[AttemptRecord, AttemptRecord]] = {}
    for attempt in attempts:
        root = roots.get(attempt.regrade_of, attempt.number) if attempt.regrade_of else attempt.number
        roots[attempt.number] = root
        found[root] = (found[root][0] if root in found else attempt, attempt)
    return list(found.values())
