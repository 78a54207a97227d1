"""Gradescope's results.json, one for each learner."""

from __future__ import annotations

import json
from typing import Any

from phi_labs.model.cohort import Cohort, LearnerRecord
from phi_labs.workshop.exports import facts
from phi_labs.workshop.exports.cases import Case, Outcome, Suite, suite


def gradescope(cohort: Cohort, record: LearnerRecord) -> str:
    """The learner's score and a test for each objective; what was not attempted scores 0 of its points."""
    name = record.learner.name
    labs = [suite(cohort, name, result) for result in facts.assigned(cohort, record)]
    results = {
        "score": facts.total(cohort, record),
        "output": _output(cohort, record),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [
            _test(lab, case, f"{place}.{number}")
            for place, lab in enumerate(labs, 1)
            for number, case in enumerate(lab.cases, 1)
        ],
        "extra_data": {"workshop": cohort.workshop, "scenario": cohort.scenario, "learner": name},
    }
    return json.dumps(results, indent=2, ensure_ascii=False) + "\n"


def _output(cohort: Cohort, record: LearnerRecord) -> str:
    lines = [f"{cohort.title}: {facts.total(cohort, record)} of {facts.available(cohort)} points"]
    for result in facts.assigned(cohort, record):
        counts = (
            "nothing counts" if result.score is None else f"{result.score} of {cohort.points[result.lab]}"
        )
        marks = [str(result.standing)]
        marks += ["excepted"] if result.exempt else []
        marks += ["score set by a person"] if result.overridden else []
        lines.append(f"{result.lab}: {counts} ({', '.join(marks)})")
    return "\n".join([*lines, facts.STATEMENT])


def _test(lab: Suite, case: Case, number: str) -> dict[str, Any]:
    return {
        "name": f"{lab.lab}, {case.name}",
        "number": number,
        "score": case.score,
        "max_score": case.points,
        "status": "passed" if case.outcome is Outcome.PASSED else "failed",
        "output": case.message,
        "output_format": "text",
        "tags": [lab.lab],
        "visibility": "visible",
    }
