"""A cohort as graders and exports see it: who takes part, what was attempted, which score counts.

Plain data, filled from the event log (``records``); no I/O. What a training record must hold is listed in
docs/workshops.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from phi_labs.model.scorecard import Scorecard


class Standing(StrEnum):
    """How far a learner is with one lab."""

    NOT_STARTED = "not started"
    STARTED = "started"
    ATTEMPTED = "attempted"
    PASSED = "passed"


@dataclass(frozen=True)
class Learner:
    """One row of the roster; dates are ISO 8601, empty where the roster says nothing.

    ``name`` is what the learner logs in with and what runs are kept under; ``entity`` is ce or ba.
    """

    name: str
    full_name: str
    email: str
    entity: str
    role: str = ""
    employment: str = ""
    manager: str = ""
    hired: str = ""
    access_since: str = ""
    role_changed: str = ""
    public_key: str = ""


@dataclass(frozen=True)
class AttemptRecord:
    """One kept grading; failed ones stay.

    Attributes:
        event: number of the event that recorded it.
        number: of the attempt, counted per learner and lab.
        graded_at: UTC, ISO 8601.
        assurance: ``supervised`` or ``practice``.
        submission: SHA-256 of what was handed in, empty when it is not kept.
        lab_version, checker_version: what was taken and what graded it.
        late: whether it was graded after the deadline.
    """

    event: int
    number: int
    lab: str
    graded_at: str
    scorecard: Scorecard
    assurance: str
    submission: str = ""
    seed: str = ""
    lab_version: str = ""
    checker_version: str = ""
    regrade_of: int = 0
    late: bool = False


@dataclass(frozen=True)
class Adjustment:
    """An appeal, override, exception or attestation: an event of its own, with who and why."""

    event: int
    kind: str
    at: str
    actor: str
    reason: str
    lab: str = ""
    score: int | None = None


@dataclass(frozen=True)
class LabResult:
    """One learner's standing in one lab.

    Attributes:
        counted: the attempt whose score counts, by the scenario's rule: of the supervised ones that were not
            late; None when there is none.
        score: points that count, an override included; None when nothing counts.
        passed: whether ``score`` reaches the pass mark.
        assigned_at, trigger: when and why it was assigned.
        overridden: whether a person set the score.
        exempt: whether an exception covers it.
    """

    lab: str
    standing: Standing
    attempts: tuple[AttemptRecord, ...] = ()
    counted: AttemptRecord | None = None
    score: int | None = None
    passed: bool = False
    started_at: str = ""
    due_at: str = ""
    hints: Mapping[str, int] = field(default_factory=dict)
    rescued: bool = False
    assigned_at: str = ""
    trigger: str = ""
    overridden: bool = False
    exempt: bool = False


@dataclass(frozen=True)
class LearnerRecord:
    """Everything on one learner in one workshop; ``results`` are in the scenario's order."""

    learner: Learner
    results: tuple[LabResult, ...]
    adjustments: tuple[Adjustment, ...] = ()


@dataclass(frozen=True)
class Cohort:
    """A workshop with its whole roster as the denominator.

    Attributes:
        workshop: its id; ``scenario`` the id of what was taken, ``title`` in words.
        labs: ids in order; ``points`` lab id -> points that can be had.
        pass_mark: points of 100 that pass a lab.
        closed_at: empty while it is open.
        count_rule: which attempt counts: ``last`` (before the deadline), ``best`` or ``first``.
        head: hash of the last event and their number, when this was read.
    """

    workshop: str
    scenario: str
    title: str
    entity: str
    trainer: str
    labs: tuple[str, ...]
    points: Mapping[str, int]
    pass_mark: int
    opened_at: str
    closed_at: str
    records: tuple[LearnerRecord, ...]
    trigger: str = ""
    head: tuple[str, int] = ("", 0)
    count_rule: str = "last"
