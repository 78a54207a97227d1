"""One format of a cohort, as files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from phi_labs.errors import UserError
from phi_labs.model.cohort import Cohort
from phi_labs.model.nearest import did_you_mean
from phi_labs.workshop.exports.canonical import results_json
from phi_labs.workshop.exports.cohort_page import cohort_page
from phi_labs.workshop.exports.ctrf import ctrf
from phi_labs.workshop.exports.gradebook import gradebook
from phi_labs.workshop.exports.gradescope import gradescope
from phi_labs.workshop.exports.junit import junit
from phi_labs.workshop.exports.learner_page import learner_page
from phi_labs.workshop.exports.misconception_report import misconception_report
from phi_labs.workshop.exports.writing import write_whole
from phi_labs.workshop.misconceptions import known_ways, misconceptions

Files = Mapping[str, str | bytes]  # path below the folder -> what it holds
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


def export_cohort(cohort: Cohort, kind: str, folder: Path, content: Path | None = None) -> list[Path]:
    """Write one format into ``folder``: every file 0600, all of them or none; an earlier export is replaced.

    Args:
        kind: one of FORMATS.
        content: where labs are found; only the misconception report reads them.

    Raises:
        UserError: an unknown format, or a folder that cannot be written.
    """
    return write_whole(folder, export_files(cohort, kind, content))


def export_files(cohort: Cohort, kind: str, content: Path | None = None) -> Files:
    """What that format comes to, without writing it."""
    if kind not in FORMATS:
        advice = did_you_mean(kind, FORMATS) or f"formats: {', '.join(FORMATS)}"
        raise UserError(f"unknown format {kind!r}", advice)
    return FORMATS[kind](cohort, content)


def _gradescope(cohort: Cohort, _content: Path | None) -> Files:
    return {
        f"gradescope/{file_name(record.learner.name)}/results.json": gradescope(cohort, record)
        for record in cohort.records
    }


def _html(cohort: Cohort, _content: Path | None) -> Files:
    learners = {
        f"learners/{file_name(record.learner.name)}.html": learner_page(cohort, record)
        for record in cohort.records
    }
    return {"cohort.html": cohort_page(cohort), **learners}


def _misconceptions(cohort: Cohort, content: Path | None) -> Files:
    labs = misconceptions(cohort, known_ways(cohort, content))
    data = {"workshop": cohort.workshop, "labs": [asdict(lab) for lab in labs]}
    return {
        "misconceptions.md": misconception_report(cohort, labs),
        "misconceptions.json": json.dumps(data, indent=2, ensure_ascii=False) + "\n",
    }


def file_name(learner: str) -> str:
    """A name that any file system takes: a login name as it is, anything else by its hash."""
    if _PLAIN_NAME.fullmatch(learner):
        return learner
    return f"learner-{hashlib.sha256(learner.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


FORMATS: dict[str, Callable[[Cohort, Path | None], Files]] = {
    "csv": lambda cohort, _: {"gradebook.csv": gradebook(cohort)},
    "json": lambda cohort, _: {"results.json": results_json(cohort)},
    "junit": lambda cohort, _: {"junit.xml": junit(cohort)},
    "ctrf": lambda cohort, _: {"ctrf-report.json": ctrf(cohort)},
    "gradescope": _gradescope,
    "html": _html,
    "misconceptions": _misconceptions,
}
