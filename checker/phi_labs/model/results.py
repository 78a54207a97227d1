"""What a workshop came to, as JSON: the format that other programs may rely on.

``version`` changes when a key changes its meaning or goes; new keys may come without that. Times are UTC,
ISO 8601; null stands where nothing was recorded.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from phi_labs.model.citations import Status
from phi_labs.model.cohort import Standing

FORMAT: Literal["phi-labs-results"] = "phi-labs-results"
VERSION: Literal[1] = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)  # not closed: a reader of today accepts the keys of tomorrow


class CitationOut(_Part):
    """A citation with its status; ``as_of`` only where the status is ``proposed``."""

    id: str
    title: str
    status: Status
    as_of: str | None


class ObjectiveOut(_Part):
    """One objective of one attempt; ``score`` = earned - withheld - hint_cost."""

    id: str
    title: str
    points: int
    earned: int
    withheld: int
    hint_cost: int
    score: int
    passed: bool
    withheld_by: tuple[str, ...]
    messages: tuple[str, ...]
    citations: tuple[CitationOut, ...]


class GuardOut(_Part):
    """Whether something that had to stay true did."""

    id: str
    title: str
    held: bool
    messages: tuple[str, ...]


class AttemptOut(_Part):
    """One kept grading, failed ones too. ``event`` is its number in the event log."""

    event: int
    number: int
    graded_at: str
    score: int
    earned: int
    withheld: int
    hint_cost: int
    assurance: str
    late: bool
    regrade_of: int | None = Field(description="number of the attempt that was graded again")
    rescue_used: bool
    policy: str
    submission: str | None = Field(description="SHA-256 of what was handed in")
    seed: str | None
    lab_version: str | None = Field(description="SHA-256 over the lab's files")
    checker_version: str | None
    images: dict[str, str] = Field(description="host -> image id")
    objectives: tuple[ObjectiveOut, ...]
    guards: tuple[GuardOut, ...]


class LabOut(_Part):
    """One learner's standing in one lab."""

    lab: str
    standing: Standing
    points: int = Field(description="points that could be had")
    score: int | None = Field(description="points that count; null when nothing counts")
    passed: bool
    exempt: bool
    overridden: bool = Field(description="whether a person set the score")
    counted: int | None = Field(description="event number of the attempt that counts")
    trigger: str | None
    assigned_at: str | None
    started_at: str | None
    due_at: str | None
    hints: dict[str, int] = Field(description="objective -> hints taken")
    rescued: bool
    attempts: tuple[AttemptOut, ...]


class AdjustmentOut(_Part):
    """An appeal, override, exception or attestation: who, when and why."""

    event: int
    kind: str
    at: str
    actor: str
    reason: str
    lab: str | None
    score: int | None


class LearnerOut(_Part):
    """One person of the roster, with everything on them. No public key."""

    name: str
    full_name: str
    email: str
    entity: str
    role: str | None
    employment: str | None
    manager: str | None
    hired: str | None
    access_since: str | None
    role_changed: str | None
    finished: bool = Field(description="every lab passed, or excepted")
    labs: tuple[LabOut, ...]
    adjustments: tuple[AdjustmentOut, ...]


class LabPoints(_Part):
    """A lab of the scenario, and the points that it gives."""

    id: str
    points: int


class HeadOut(_Part):
    """The end of the event log when this was read; ``phi-labs records`` can verify it."""

    hash: str
    count: int


class WorkshopOut(_Part):
    """What was taken, when and by which rules."""

    id: str
    scenario: str
    title: str
    entity: str | None
    trainer: str
    trigger: str | None
    pass_mark: int
    count_rule: str
    opened_at: str
    closed_at: str | None
    labs: tuple[LabPoints, ...]
    head: HeadOut


class Summary(_Part):
    """Heads. ``learners`` is the whole roster; the three others add up to it."""

    learners: int
    finished: int
    unfinished: int = Field(description="began, and did not finish")
    not_started: int


class Results(_Part):
    """The whole file."""

    format: Literal["phi-labs-results"]
    version: Literal[1]
    statement: str
    workshop: WorkshopOut
    summary: Summary
    learners: tuple[LearnerOut, ...]
