"""Grading kept submissions again: with today's checks, or on appeal. What was said before stays on record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from phi_labs.errors import UserError
from phi_labs.grading.grade import regrade
from phi_labs.lifecycle.installation import Installation
from phi_labs.model.cohort import AttemptRecord, Cohort
from phi_labs.model.content import find_lab
from phi_labs.records.event import Kind
from phi_labs.records.store import Records
from phi_labs.workshop.edition import checker_version, lab_version
from phi_labs.workshop.graders import submission_hash


@dataclass(frozen=True)
class Again:
    """One submission graded again; ``after`` is the new score."""

    learner: str
    lab: str
    number: int
    before: int
    after: int


def kept_attempts(cohort: Cohort, learner: str = "", lab: str = "") -> Iterator[tuple[str, AttemptRecord]]:
    """Whose submissions can be graded again: what counts now of each learner and lab, first gradings only.

    Raises:
        UserError: nobody of that name, no such lab.
    """
    if learner and learner not in {record.learner.name for record in cohort.records}:
        raise UserError(f"{cohort.workshop} has no learner {learner!r}", "phi-labs records show lists them")
    if lab and lab not in cohort.labs:
        raise UserError(f"{cohort.workshop} has no lab {lab!r}", f"its labs: {', '.join(cohort.labs)}")
    for record in cohort.records:
        for result in record.results:
            if (
                learner in {"", record.learner.name}
                and lab in {"", result.lab}
                and result.counted is not None
            ):
                yield record.learner.name, _first(result.attempts, result.counted)


def _first(attempts: tuple[AttemptRecord, ...], counted: AttemptRecord) -> AttemptRecord:
    """The grading of the submission that counts, before anybody graded it again."""
    wanted = counted.regrade_of or counted.number
    return next((attempt for attempt in attempts if attempt.number == wanted), counted)


def grade_again(  # noqa: PLR0913, PLR0917 - the facts of one regrading
    installation: Installation, records: Records, workshop: str, learner: str, old: AttemptRecord, actor: str
) -> Again:
    """Grade one kept submission again and record it; the attempt it is of stays as it was.

    Raises:
        UserError: the submission or the image it was made on is gone, or it is not the one on record.
        NotGraded: our trouble; nothing is recorded.
    """
    lab = find_lab(old.lab, installation.content)
    kept = {item.number: item for item in installation.state.attempts(learner, old.lab)}
    if old.number not in kept:
        raise UserError(
            f"attempt {old.number} of {learner} in {old.lab} is not kept here",
            "submissions lie in the state directory of the installation that graded them",
        )
    if old.submission and submission_hash(kept[old.number].submission) != old.submission:
        raise UserError(
            f"what {learner} handed in for {old.lab} is not what is on record any more",
            "its hash differs: restore the state directory from a backup",
        )
    graded = regrade(installation, lab, learner, old.number)
    card = graded.scorecard
    records.append(
        Kind.GRADED,
        workshop=workshop,
        actor=actor,
        subject=learner,
        data={
            "lab": old.lab,
            "number": graded.number,
            "graded_at": card.about.graded_at,
            "scorecard": json.loads(card.to_json()),
            "assurance": card.assurance,
            "submission": submission_hash(graded.folder / "submission"),
            "seed": old.seed,
            "lab_version": lab_version(lab),
            "checker_version": checker_version(),
            "policy": card.policy,
            "regrade_of": old.number,
            "images": dict(card.about.images),
            "late": old.late,
        },
    )
    return Again(learner, old.lab, old.number, old.scorecard.score, card.score)
