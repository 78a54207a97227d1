"""An event of the log: what happened, when, to whom, by whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from phi_labs.errors import PhiLabsError, UserError
from phi_labs.model.trainee import LENGTH_LIMIT

GENESIS = "0" * 64  # what the first event follows
FIRST_CONTACT = "first-contact"  # what a session's event says when a learner first enters a lab


class Kind(StrEnum):
    """What can happen. The names are kept for years: add, never rename."""

    WORKSHOP_OPENED = "workshop-opened"
    ENROLLED = "enrolled"
    CHANGED = "changed"
    LAB_ASSIGNED = "lab-assigned"
    LAB_STARTED = "lab-started"
    HINT_TAKEN = "hint-taken"
    RESCUE_USED = "rescue-used"
    GRADED = "graded"
    NOT_GRADED = "not-graded"
    EXTENDED = "extended"
    RESET = "reset"
    MESSAGE_SENT = "message-sent"
    SESSION = "session"
    APPEAL = "appeal"
    OVERRIDE = "override"
    EXCEPTION = "exception"
    ATTESTATION = "attestation"
    LEGAL_HOLD = "legal-hold"
    WORKSHOP_CLOSED = "workshop-closed"
    IMAGES_RELEASED = "images-released"


# What an event of a kind must say; more is welcome. One that lacks it is refused: it cannot be mended later.
NEEDED: Mapping[Kind, frozenset[str]] = {
    Kind.WORKSHOP_OPENED: frozenset({"scenario", "entity", "trainer", "pass_mark", "count_rule", "labs"}),
    Kind.LAB_ASSIGNED: frozenset({"lab"}),
    Kind.LAB_STARTED: frozenset({"lab"}),
    Kind.HINT_TAKEN: frozenset({"lab", "objective", "number"}),
    Kind.RESCUE_USED: frozenset({"lab"}),
    Kind.GRADED: frozenset({"lab", "number", "graded_at", "scorecard", "assurance"}),
    Kind.NOT_GRADED: frozenset({"lab", "reason"}),
    Kind.EXTENDED: frozenset({"lab", "minutes"}),
    Kind.RESET: frozenset({"lab"}),
    Kind.MESSAGE_SENT: frozenset({"text"}),
    Kind.SESSION: frozenset({"what"}),
    Kind.APPEAL: frozenset({"lab", "reason"}),
    Kind.OVERRIDE: frozenset({"lab", "score", "reason"}),
    Kind.EXCEPTION: frozenset({"lab", "reason", "approver"}),
    Kind.ATTESTATION: frozenset({"statement"}),
    Kind.LEGAL_HOLD: frozenset({"held", "reason"}),
}
# Kinds about one learner: without a name they would be about nobody.
PERSONAL = frozenset(NEEDED) | {Kind.ENROLLED, Kind.CHANGED}
PERSONAL -= {Kind.WORKSHOP_OPENED, Kind.MESSAGE_SENT, Kind.SESSION, Kind.LEGAL_HOLD}


@dataclass(frozen=True)
class NewEvent:
    """An event before it has a number; ``subject`` is a learner's name, empty when it is about none."""

    kind: Kind
    workshop: str
    actor: str
    subject: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """One row of the log.

    Attributes:
        number: from 1, without gaps.
        at: UTC, ISO 8601, microseconds; never before the event that it follows.
        kind: a ``Kind``, or a word that a newer phi-labs wrote.
        data: what the kind needs (docs/records.md).
        previous: hash of the event before.
        hash: SHA-256 over ``previous`` and everything else in this row.
    """

    number: int
    at: str
    kind: str
    workshop: str
    subject: str
    actor: str
    data: Mapping[str, Any]
    previous: str
    hash: str

    def to_data(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


@dataclass(frozen=True)
class Head:
    """Where the log stood: hash of its last event, and how many there were."""

    hash: str
    count: int


def check(new: NewEvent) -> None:
    """Refuse what may not enter the log, for it cannot be mended there.

    Raises:
        UserError: a name, workshop or actor that cannot be one.
        PhiLabsError: the program left out what this kind of event needs.
    """
    for what, text in (("workshop", new.workshop), ("actor", new.actor), ("learner", new.subject)):
        if len(text) > LENGTH_LIMIT or not text.isprintable():
            raise UserError(
                f"{what} {text[:LENGTH_LIMIT]!a} cannot be recorded",
                f"at most {LENGTH_LIMIT} characters, none of them invisible",
            )
    kind = Kind(new.kind)
    lacking = sorted(NEEDED.get(kind, frozenset()) - set(new.data))
    if not new.actor:
        lacking.append("actor")
    if not new.workshop:
        lacking.append("workshop")
    if kind in PERSONAL and not new.subject:
        lacking.append("subject")
    if lacking:
        raise PhiLabsError(f"an event {kind} without {', '.join(lacking)} cannot be recorded")
