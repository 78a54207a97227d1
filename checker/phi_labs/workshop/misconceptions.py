"""Which wrong ways a cohort's verdicts resemble: possible matches for the trainer, no diagnoses, no names.

A verdict is what was earned and which guards failed. Several wrong ways can have the same verdict: they are
told together. A verdict that is none of theirs is compared with the nearest ones, if they are near.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from phi_labs.model.cohort import AttemptRecord, Cohort, LabResult, LearnerRecord
from phi_labs.model.content import find_lab
from phi_labs.model.entity import ENTITIES
from phi_labs.model.lab import Lab, Verdict, Verdicts, load_verdicts
from phi_labs.model.scorecard import Scorecard

NEAR = 2  # objectives and guards that may differ, at most
UNTOUCHED = "untouched"
Pattern = tuple[frozenset[str], frozenset[str]]  # earned objectives, failed guards


@dataclass(frozen=True)
class WrongWay:
    """One attempt of verdicts.yml that is meant to fail."""

    name: str
    why: str


@dataclass(frozen=True)
class Match:
    """Wrong ways with one verdict, and how many learners' verdicts resemble it.

    Attributes:
        ways: all that have this verdict; nobody can tell them apart by it.
        now: learners whose latest verdict is exactly this one.
        ever: learners of whom any verdict is exactly this one.
        near: further learners whose latest verdict is none of the known ones, and this is among the nearest.
        tied: those of ``near`` to whom another verdict is equally near.
    """

    ways: tuple[WrongWay, ...]
    now: int
    ever: int
    near: int
    tied: int

    @property
    def learners(self) -> int:
        """How many learners' latest verdict may be a match."""
        return self.now + self.near


@dataclass(frozen=True)
class LabMisconceptions:
    """One lab.

    Attributes:
        roster: everybody, the denominator.
        attempted: those with a kept grading.
        reached: those whose latest verdict lacks nothing.
        untouched: those whose latest verdict is an untouched machine's.
        unlike: those whose latest verdict is like nothing in verdicts.yml.
    """

    lab: str
    title: str
    roster: int
    attempted: int
    reached: int
    untouched: int
    unlike: int
    matches: tuple[Match, ...]


@dataclass
class _Counts:
    now: int = 0
    ever: int = 0
    near: int = 0
    tied: int = 0


def misconceptions(
    cohort: Cohort, known: Mapping[str, tuple[Lab, Verdicts]]
) -> tuple[LabMisconceptions, ...]:
    """For each lab of the scenario that ``known`` has, the wrong ways that learners' verdicts resemble."""
    return tuple(_of_lab(cohort, *known[lab]) for lab in cohort.labs if lab in known)


def known_ways(cohort: Cohort, content: Path | None = None) -> dict[str, tuple[Lab, Verdicts]]:
    """The cohort's labs with their verdicts, as the content has them now; UserError as in load_verdicts."""
    labs = (find_lab(lab, content) for lab in cohort.labs)
    return {lab.id: (lab, load_verdicts(lab)) for lab in labs}


def _of_lab(cohort: Cohort, lab: Lab, verdicts: Verdicts) -> LabMisconceptions:
    catalogue = {entity: _patterns(lab, verdicts, entity) for entity in ENTITIES}
    counts: dict[Pattern, _Counts] = {}
    attempted = reached = untouched = unlike = 0
    for record, result in _results(cohort, lab.id):
        if not result.attempts:
            continue
        attempted += 1
        patterns = catalogue[record.learner.entity if record.learner.entity in catalogue else ENTITIES[0]]
        latest = _pattern(result.attempts[-1].scorecard)
        _count_ever(counts, patterns, result.attempts)
        if _nothing_lacks(lab, latest):
            reached += 1
        elif latest in patterns:
            counts.setdefault(latest, _Counts()).now += 1
        elif latest == _untouched(lab, verdicts):
            untouched += 1
        else:
            unlike += not _count_near(counts, patterns, latest)
    matches = _matches(counts, [catalogue[entity] for entity in ENTITIES])
    return LabMisconceptions(
        lab.id, lab.title, len(cohort.records), attempted, reached, untouched, unlike, matches
    )


def _results(cohort: Cohort, lab: str) -> Iterator[tuple[LearnerRecord, LabResult]]:
    for record in cohort.records:
        yield from ((record, result) for result in record.results if result.lab == lab)


def _patterns(lab: Lab, verdicts: Verdicts, entity: str) -> dict[Pattern, list[WrongWay]]:
    """Verdict -> the wrong ways that have it, for one entity; the untouched machine's own is left out."""
    found: dict[Pattern, list[WrongWay]] = {}
    for name, verdict in verdicts.items():
        applies = verdict.entities is None or entity in verdict.entities
        if verdict.why is not None and applies and _of(lab, verdict) != _untouched(lab, verdicts):
            found.setdefault(_of(lab, verdict), []).append(WrongWay(name, verdict.why))
    return found


def _of(lab: Lab, verdict: Verdict) -> Pattern:
    return verdict.earned(lab), frozenset(verdict.guards_fail)


def _untouched(lab: Lab, verdicts: Verdicts) -> Pattern:
    return _of(lab, verdicts[UNTOUCHED])


def _pattern(card: Scorecard) -> Pattern:
    earned = frozenset(item.id for item in card.objectives if item.passed)
    return earned, frozenset(guard.id for guard in card.failed_guards)


def _nothing_lacks(lab: Lab, pattern: Pattern) -> bool:
    return pattern == (frozenset(lab.objective_ids), frozenset())


def _count_ever(
    counts: dict[Pattern, _Counts],
    patterns: Mapping[Pattern, list[WrongWay]],
    attempts: Iterable[AttemptRecord],
) -> None:
    for pattern in {_pattern(attempt.scorecard) for attempt in attempts} & patterns.keys():
        counts.setdefault(pattern, _Counts()).ever += 1


def _count_near(
    counts: dict[Pattern, _Counts], patterns: Mapping[Pattern, list[WrongWay]], latest: Pattern
) -> bool:
    """Count a verdict that is nobody's under the nearest ones; whether there are any."""
    distances = {pattern: _distance(pattern, latest) for pattern in patterns}
    least = min(distances.values(), default=NEAR + 1)
    if least > NEAR:
        return False
    nearest = [pattern for pattern, distance in distances.items() if distance == least]
    for pattern in nearest:
        count = counts.setdefault(pattern, _Counts())
        count.near += 1
        count.tied += len(nearest) > 1
    return True


def _distance(one: Pattern, other: Pattern) -> int:
    return len(one[0] ^ other[0]) + len(one[1] ^ other[1])


def _matches(
    counts: Mapping[Pattern, _Counts], catalogues: Iterable[Mapping[Pattern, list[WrongWay]]]
) -> tuple[Match, ...]:
    found = []
    for pattern, count in counts.items():
        ways = dict.fromkeys(way for catalogue in catalogues for way in catalogue.get(pattern, ()))
        found.append(Match(tuple(ways), count.now, count.ever, count.near, count.tied))
    order = sorted(found, key=lambda match: match.ways[0].name)
    return tuple(sorted(order, key=lambda match: (match.now, match.near, match.ever), reverse=True))
