"""results.json: everything on a cohort, the same bytes for the same events."""

from __future__ import annotations

import json

from phi_labs.model import results as out
from phi_labs.model.cohort import Adjustment, AttemptRecord, Cohort, LabResult, LearnerRecord
from phi_labs.model.scorecard import GuardScore, ObjectiveScore
from phi_labs.workshop.exports import facts


def results_json(cohort: Cohort) -> str:
    """The cohort in the format of docs/schema/results.json: sorted keys, two blanks, UTF-8, a line end."""
    data = results(cohort).model_dump(mode="json")
    return json.dumps(data, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def results(cohort: Cohort) -> out.Results:
    """The cohort in that format's words."""
    heads = facts.heads(cohort)
    return out.Results(
        format=out.FORMAT,
        version=out.VERSION,
        statement=facts.STATEMENT,
        workshop=_workshop(cohort),
        summary=out.Summary(
            learners=heads.learners,
            finished=heads.finished,
            unfinished=heads.unfinished,
            not_started=heads.not_started,
        ),
        learners=tuple(_learner(cohort, record) for record in cohort.records),
    )


def _workshop(cohort: Cohort) -> out.WorkshopOut:
    return out.WorkshopOut(
        id=cohort.workshop,
        scenario=cohort.scenario,
        title=cohort.title,
        entity=cohort.entity or None,
        trainer=cohort.trainer,
        trigger=cohort.trigger or None,
        pass_mark=cohort.pass_mark,
        count_rule=cohort.count_rule,
        opened_at=cohort.opened_at,
        closed_at=cohort.closed_at or None,
        labs=tuple(out.LabPoints(id=lab, points=cohort.points[lab]) for lab in cohort.labs),
        head=out.HeadOut(hash=cohort.head[0], count=cohort.head[1]),
    )


def _learner(cohort: Cohort, record: LearnerRecord) -> out.LearnerOut:
    learner = record.learner
    return out.LearnerOut(
        name=learner.name,
        full_name=learner.full_name,
        email=learner.email,
        entity=learner.entity,
        role=learner.role or None,
        employment=learner.employment or None,
        manager=learner.manager or None,
        hired=learner.hired or None,
        access_since=learner.access_since or None,
        role_changed=learner.role_changed or None,
        finished=facts.finished(cohort, record),
        labs=tuple(_lab(cohort, result) for result in record.results),
        adjustments=tuple(_adjustment(item) for item in record.adjustments),
    )


def _lab(cohort: Cohort, result: LabResult) -> out.LabOut:
    return out.LabOut(
        lab=result.lab,
        standing=result.standing,
        points=cohort.points.get(result.lab, 100),
        score=result.score,
        passed=result.passed,
        exempt=result.exempt,
        overridden=result.overridden,
        counted=result.counted.event if result.counted else None,
        trigger=result.trigger or None,
        assigned_at=result.assigned_at or None,
        started_at=result.started_at or None,
        due_at=result.due_at or None,
        hints=dict(result.hints),
        rescued=result.rescued,
        attempts=tuple(_attempt(attempt) for attempt in result.attempts),
    )


def _attempt(attempt: AttemptRecord) -> out.AttemptOut:
    card = attempt.scorecard
    return out.AttemptOut(
        event=attempt.event,
        number=attempt.number,
        graded_at=attempt.graded_at,
        score=card.score,
        earned=card.earned,
        withheld=card.withheld,
        hint_cost=card.hint_cost,
        assurance=attempt.assurance,
        late=attempt.late,
        regrade_of=attempt.regrade_of or None,
        rescue_used=card.rescue_used,
        policy=card.policy,
        submission=attempt.submission or None,
        seed=attempt.seed or None,
        lab_version=attempt.lab_version or None,
        checker_version=attempt.checker_version or None,
        images=dict(card.about.images),
        objectives=tuple(_objective(item) for item in card.objectives),
        guards=tuple(_guard(item) for item in card.guards),
    )


def _objective(item: ObjectiveScore) -> out.ObjectiveOut:
    return out.ObjectiveOut(
        id=item.id,
        title=item.title,
        points=item.points,
        earned=item.earned,
        withheld=item.withheld,
        hint_cost=item.hint_cost,
        score=item.score,
        passed=item.passed,
        withheld_by=item.withheld_by,
        messages=item.messages,
        citations=tuple(
            out.CitationOut(
                id=entry.id, title=entry.title, status=entry.status, as_of=entry.rule_status_as_of or None
            )
            for entry in item.citations
        ),
    )


def _guard(item: GuardScore) -> out.GuardOut:
    return out.GuardOut(id=item.id, title=item.title, held=item.held, messages=item.messages)


def _adjustment(item: Adjustment) -> out.AdjustmentOut:
    return out.AdjustmentOut(
        event=item.event,
        kind=item.kind,
        at=item.at,
        actor=item.actor,
        reason=item.reason,
        lab=item.lab or None,
        score=item.score,
    )
