"""What is on record when a workshop opens, and when its roster changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from phi_labs.errors import UserError
from phi_labs.records.event import Kind, NewEvent
from phi_labs.workshop.edition import checker_version, lab_version
from phi_labs.workshop.ledger import Ledger
from phi_labs.workshop.roster import Roster


def note_opening(ledger: Ledger, roster: Roster) -> None:
    """Record the opening unless it is on record, and who is new on the roster.

    Raises:
        UserError: it was closed.
    """
    board = ledger.board
    if board.closed_at is not None:
        raise UserError(
            f"workshop {ledger.settings.id} was closed at {board.closed_at:%Y-%m-%d %H:%M} UTC",
            "open another one under a new name (--name)",
        )
    new = [] if board.opened_at else [_opening(ledger, roster)]
    ledger.note_all([*new, *_enrolments(ledger, roster)])


def note_roster(ledger: Ledger, roster: Roster) -> int:
    """Record who is new on a roster, or other than they were; how many.

    Nobody goes: whoever is no longer on it keeps what they did.
    """
    with ledger.lock:
        return len(ledger.note_all(list(_enrolments(ledger, roster))))


def _opening(ledger: Ledger, roster: Roster) -> NewEvent:
    settings, scenario = ledger.settings, ledger.loaded.scenario
    labs = [
        {
            "id": lab.id,
            "title": lab.title,
            "version": lab_version(lab),
            "policy": lab.policy,
            "points": 100,
            "minutes": scenario.step(lab.id).minutes or 0,
        }
        for lab in ledger.loaded.labs
    ]
    data = {
        "scenario": scenario.model_dump(mode="json"),
        "entity": scenario.entity or "",
        "trainer": settings.trainer,
        "trigger": scenario.trigger,
        "pass_mark": scenario.pass_mark,
        "count_rule": scenario.count_rule,
        "labs": labs,
        "roster_sha256": roster.sha256,
        "organisation": settings.organisation,
        "checker_version": checker_version(),
    }
    return NewEvent(Kind.WORKSHOP_OPENED, settings.id, settings.trainer, data=data)


def _enrolments(ledger: Ledger, roster: Roster) -> Iterator[NewEvent]:
    settings = ledger.settings
    for learner in roster.learners:
        data = asdict(learner)
        known = ledger.board.learners.get(learner.name)
        if known is None or any(known.get(key) != value for key, value in data.items()):
            kind = Kind.ENROLLED if known is None else Kind.CHANGED
            yield NewEvent(kind, settings.id, settings.trainer, learner.name, data)
