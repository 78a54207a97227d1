"""Figures of the records: how fast a log is verified, and how fast it grows."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from phi_labs.bench.report import Figure, figure
from phi_labs.model.lab import Lab
from phi_labs.model.scorecard import CheckOutcome, CheckStatus, ExpectedCheck, score
from phi_labs.records.event import Kind, NewEvent
from phi_labs.records.store import Records

LEARNERS = 2000
ROUNDS = 5
CHECKS = 25  # of a lab, each with a message: a scorecard of 13 KB, as real ones are
TARGET = 100_000  # rows verified in a second
_APPENDED = 5_000  # rows a second, in one transaction


def measure_records(lab: Lab, tell: Callable[[str], None]) -> list[Figure]:
    """Verify a log as a workshop of 2,000 writes it, whole scorecards included, and one without those."""
    card = _scorecard(lab)
    whole = [event for number in range(LEARNERS) for event in _attempt(f"learner{number}", lab.id, card)]
    small = [event for event in whole if event.kind is not Kind.GRADED]
    tell(f"a log of {len(whole)} events: appended, verified")
    with tempfile.TemporaryDirectory(prefix="phi-labs-bench-") as folder:
        appended, verified = _rates(f"sqlite:///{folder}/whole.db", whole)
        _, without = _rates(f"sqlite:///{folder}/small.db", small)
    return [
        _at_least("event log verify, as a workshop writes it", verified, TARGET),
        _at_least("event log verify, small events", without, TARGET),
        _at_least("event log append, in one transaction", appended, _APPENDED),
    ]


def _at_least(name: str, rates: list[float], target: float) -> Figure:
    return replace(figure(name, rates, "rows/s", target), at_least=True)


def _rates(url: str, events: list[NewEvent]) -> tuple[list[float], list[float]]:
    """Rows a second: appended once, and verified against the head, several times."""
    with Records(url) as records:
        began = time.perf_counter()
        records.append_all(events)
        appended, head = len(events) / (time.perf_counter() - began), records.head()
        verified = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            problems = records.verify(head)
            verified.append(len(events) / (time.perf_counter() - began))
            assert not problems, problems  # noqa: S101 - a wrong figure would be worse than none
    return [appended], verified


def _attempt(learner: str, lab: str, scorecard: dict[str, Any]) -> Iterator[NewEvent]:
    """What one learner's first attempt at a lab writes."""
    about = {
        "lab": lab,
        "run": "0" * 12,
        "seed": "0" * 64,
        "retry": 0,
        "images": {"ehr1": "sha256:" + "0" * 64},
    }
    verdict = {**about, "number": 1, "graded_at": "", "assurance": "supervised", "scorecard": scorecard}
    told: Iterable[tuple[Kind, dict[str, Any]]] = (
        (Kind.ENROLLED, {"full_name": learner, "email": f"{learner}@example.org", "role": "administrator"}),
        (Kind.LAB_ASSIGNED, {"lab": lab, "due_at": "2026-03-02T10:00:00+00:00", "trigger": "hire"}),
        (Kind.LAB_STARTED, about),
        (Kind.SESSION, {"what": "first-contact", "lab": lab}),
        (Kind.SESSION, {"what": "shell", "lab": lab}),
        *((Kind.HINT_TAKEN, {"lab": lab, "objective": "logs", "number": n, "cost": 5}) for n in (1, 2, 3)),
        (Kind.GRADED, verdict),
        (Kind.SESSION, {"what": "left", "lab": lab}),
    )
    return (NewEvent(kind, "bench", "trainer", learner, data) for kind, data in told)


def _scorecard(lab: Lab) -> dict[str, Any]:
    targets = [*lab.objective_ids, *(guard.id for guard in lab.guards)]
    names = [
        (f"checks/test_{lab.id}.py::test_{number}", targets[number % len(targets)])
        for number in range(CHECKS)
    ]
    outcomes = [
        CheckOutcome(
            name, target, CheckStatus.FAILED, "helpdesk1 can still read /var/log/ehr/app.log: MRN, DOB"
        )
        for name, target in names
    ]
    return score(lab, [ExpectedCheck(*item) for item in names], outcomes).to_data()
