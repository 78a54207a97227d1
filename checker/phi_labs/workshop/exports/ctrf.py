"""CTRF (Common Test Report Format, ctrf.io): the cohort as one report. Of people it has login names only."""

from __future__ import annotations

import json
from typing import Any

from phi_labs import __version__
from phi_labs.model.cohort import Cohort
from phi_labs.workshop.exports.cases import Case, Suite, suites
from phi_labs.workshop.exports.facts import STATEMENT, last_day, moment

SPEC_VERSION = "0.0.0"


def ctrf(cohort: Cohort) -> str:
    """The cohort's counted attempts; where nothing counts, the lab is one skipped test."""
    tests = [_test(cohort, suite, case) for suite in suites(cohort) for case in suite.cases]
    report = {
        "reportFormat": "CTRF",
        "specVersion": SPEC_VERSION,
        "generatedBy": f"phi-labs {__version__}",
        "results": {
            "tool": {"name": "phi-labs", "version": __version__},
            "summary": _summary(cohort, tests),
            "tests": tests,
            "extra": {"workshop": cohort.workshop, "scenario": cohort.scenario, "statement": STATEMENT},
        },
    }
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def _summary(cohort: Cohort, tests: list[dict[str, Any]]) -> dict[str, int]:
    counts = {name: sum(test["status"] == name for test in tests) for name in ("passed", "failed", "skipped")}
    return {
        "tests": len(tests),
        **counts,
        "pending": 0,
        "other": 0,
        "flaky": 0,
        "start": _milliseconds(cohort.opened_at),
        "stop": _milliseconds(last_day(cohort)),
    }


def _test(cohort: Cohort, suite: Suite, case: Case) -> dict[str, Any]:
    test: dict[str, Any] = {
        "name": case.name,
        "status": str(case.outcome),
        "duration": round(case.seconds * 1000),
        "suite": [cohort.workshop, suite.lab, suite.learner],
        "extra": {"score": case.score, "points": case.points, "lab": dict(suite.facts)},
    }
    if suite.graded_at:
        test["stop"] = _milliseconds(suite.graded_at)
    if case.message:
        test["message"] = case.message
    return test


def _milliseconds(text: str) -> int:
    return round(moment(text) * 1000)
