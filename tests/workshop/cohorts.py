"""Cohorts made by hand: what records.read_cohort would tell of a workshop, without one."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from phi_labs.model.cohort import (
    Adjustment,
    AttemptRecord,
    Cohort,
    LabResult,
    Learner,
    LearnerRecord,
    Standing,
)
from phi_labs.model.content import find_lab
from phi_labs.model.lab import Lab, Verdict
from phi_labs.model.scorecard import About, CheckOutcome, CheckStatus, ExpectedCheck, Scorecard, score

PASS_MARK = 80
OPENED = datetime.datetime(2026, 3, 2, 9, 0, tzinfo=datetime.UTC)


def at(minutes: float) -> str:
    """That many minutes after the opening."""
    return (OPENED + datetime.timedelta(minutes=minutes)).isoformat()


def card(lab: Lab, earned: Iterable[str], guards_failed: Iterable[str] = (), *, hints: int = 0) -> Scorecard:
    """The scorecard of a machine on which exactly these objectives pass and these guards fail."""
    good = set(earned) | {guard.id for guard in lab.all_guards} - set(guards_failed)
    targets = [*lab.objective_ids, *(guard.id for guard in lab.all_guards)]
    outcomes = [
        CheckOutcome(
            target,
            target,
            CheckStatus.PASSED if target in good else CheckStatus.FAILED,
            "" if target in good else f"{target}: <7 files> can be read by 'everybody' & more",
            0.125,
        )
        for target in targets
    ]
    about = About(images={lab.hosts[0].name: "sha256:" + "ab" * 32})
    costs = {lab.objective_ids[0]: hints} if hints else {}
    expected = [ExpectedCheck(target, target) for target in targets]
    return score(
        lab, expected, outcomes, hint_costs=costs, assurance="supervised", rescue_used=False, about=about
    )


def card_of(lab: Lab, verdict: Verdict) -> Scorecard:
    """The scorecard that an attempt with this verdict gets."""
    return card(lab, verdict.earned(lab), verdict.guards_fail)


def attempt(
    scorecard: Scorecard,
    number: int = 1,
    minutes: float = 30,
    *,
    event: int = 0,
    assurance: str = "supervised",
    late: bool = False,
) -> AttemptRecord:
    """A kept grading, so many minutes after the opening."""
    digest = hashlib.sha256(f"{scorecard.lab} {number} {minutes}".encode()).hexdigest()
    return AttemptRecord(
        event=event or 100 + number,
        number=number,
        lab=scorecard.lab,
        graded_at=at(minutes),
        scorecard=scorecard,
        assurance=assurance,
        submission=digest,
        seed=digest[:16],
        lab_version=digest[::-1],
        checker_version="0.1.0",
        late=late,
    )


def result(lab: str, attempts: Sequence[AttemptRecord] = (), **changed: object) -> LabResult:
    """A standing whose last timely supervised attempt counts."""
    timely = [item for item in attempts if item.assurance == "supervised" and not item.late]
    counted = timely[-1] if timely else None
    points = counted.scorecard.score if counted else None
    passed = points is not None and points >= PASS_MARK
    standing = Standing.PASSED if passed else Standing.ATTEMPTED if attempts else Standing.NOT_STARTED
    made = LabResult(
        lab=lab,
        standing=standing,
        attempts=tuple(attempts),
        counted=counted,
        score=points,
        passed=passed,
        started_at=at(5) if attempts else "",
        due_at=at(120),
        assigned_at=at(0),
        trigger="hire",
    )
    return replace(made, **changed)  # type: ignore[arg-type]


def learner(name: str = "alice", **changed: str) -> Learner:
    """Somebody on the roster."""
    made = Learner(
        name=name,
        full_name=f"{name.title()} Example",
        email=f"{name}@mercyvalley.example.org",
        entity="ce",
        role="System administrator",
        employment="employee",
        manager="Ana Ruiz",
        hired="2024-02-29",
        access_since="2024-03-01",
        public_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5SECRETNOT",
    )
    return replace(made, **changed)


def record(who: Learner, *results: LabResult, adjustments: Sequence[Adjustment] = ()) -> LearnerRecord:
    """A learner with results."""
    return LearnerRecord(who, results, tuple(adjustments))


def cohort(*records: LearnerRecord, labs: Sequence[str] = ("log-access",), **changed: object) -> Cohort:
    """A closed workshop."""
    made = Cohort(
        workshop="week-10",
        scenario="ce-it-foundations",
        title="Foundations for a hospital's IT staff",
        entity="ce",
        trainer="Tova Trainer",
        labs=tuple(labs),
        points=dict.fromkeys(labs, 100),
        pass_mark=PASS_MARK,
        opened_at=at(0),
        closed_at=at(400),
        records=records,
        trigger="hire",
        head=("f0" * 32, 412),
    )
    return replace(made, **changed)  # type: ignore[arg-type]


def mixed_cohort() -> Cohort:
    """Six people, two labs: passed, failed, late, excepted, overridden, and somebody who never came."""
    access, temp = find_lab("log-access"), find_lab("temp-phi")
    all_of = card(access, access.objective_ids)
    live_only = card(access, ["todays-log", "no-side-door", "record"])
    locked_out = card(access, access.objective_ids, ["reviewer-still-reads"])
    some, most = card(temp, temp.objective_ids[:2]), card(temp, temp.objective_ids, hints=5)
    exception = Adjustment(90, "exception", at(3), "Tova Trainer", "on parental leave", "temp-phi")
    override = Adjustment(
        91, "override", at(390), "Tova Trainer", "appeal granted: the check was wrong", "log-access", 85
    )
    attested = Adjustment(92, "attestation", at(395), "Tova Trainer", "watched the whole session")
    return cohort(
        record(
            learner("alice"),
            result(
                "log-access",
                [attempt(live_only, 1, 35), attempt(locked_out, 2, 52), attempt(all_of, 3, 66)],
                hints={"old-logs": 2},
            ),
            result("temp-phi", [attempt(some, 1, 140), attempt(most, 2, 171)]),
            adjustments=[attested],
        ),
        record(
            learner("bob"),
            result("log-access", [attempt(live_only, 1, 71)], rescued=True),
            result("temp-phi"),
        ),
        record(
            learner("chen"),
            result(
                "log-access",
                [attempt(locked_out, 1, 60)],
                score=85,
                passed=True,
                overridden=True,
                standing=Standing.PASSED,
            ),
            result("temp-phi", exempt=True),
            adjustments=[exception, override],
        ),
        record(
            learner("dara"),
            result("log-access", [attempt(all_of, 1, 130, late=True)]),
            result("temp-phi", [attempt(most, 1, 60, assurance="practice")]),
        ),
        record(learner("eve", role="", manager=""), result("log-access"), result("temp-phi")),
        record(
            learner("farid"), result("log-access", [attempt(card(access, []), 1, 44)]), result("temp-phi")
        ),
        labs=("log-access", "temp-phi"),
    )
