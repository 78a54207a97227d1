"""gradebook.csv: a row for everybody on the roster, whether they came or not."""

from __future__ import annotations

import csv
import io

from phi_labs.model.cohort import Cohort, LabResult, LearnerRecord
from phi_labs.workshop.exports import facts

# A cell that begins so is a formula to Excel, LibreOffice or Google Sheets; full-width forms to some of them.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_OF_A_LAB = ("score", "standing", "attempts", "counted attempt", "graded at", "assurance")


def gradebook(cohort: Cohort) -> bytes:
    """RFC 4180 in UTF-8 with a BOM, by which spreadsheets know it; every cell quoted, none a formula."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow([plain_cell(cell) for cell in _header(cohort)])
    for record in cohort.records:
        writer.writerow([plain_cell(cell) for cell in _row(cohort, record)])
    return text.getvalue().encode("utf-8-sig")


def plain_cell(cell: str) -> str:
    """``cell`` so that no spreadsheet takes it for a formula: an apostrophe in front where it could."""
    return f"'{cell}" if cell.lstrip(" \u00a0\u3000").startswith(_FORMULA) else cell


def _header(cohort: Cohort) -> list[str]:
    labs = [f"{lab} {what}" for lab in cohort.labs for what in _OF_A_LAB]
    sums = ["total", "total possible", "labs passed", "labs excepted", "labs", "finished"]
    return ["name", "full name", "email", "entity", "role", *labs, *sums]


def _row(cohort: Cohort, record: LearnerRecord) -> list[str]:
    learner, results = record.learner, facts.assigned(cohort, record)
    labs = [cell for result in results for cell in _lab_cells(result)]
    sums = [
        str(facts.total(cohort, record)),
        str(facts.available(cohort)),
        str(sum(result.passed for result in results)),
        str(sum(result.exempt and not result.passed for result in results)),
        str(len(results)),
        "yes" if facts.finished(cohort, record) else "no",
    ]
    who = [learner.name, learner.full_name, learner.email, learner.entity.upper(), learner.role]
    return [*who, *labs, *sums]


def _lab_cells(result: LabResult) -> list[str]:
    counted = result.counted
    standing = f"{result.standing}{', excepted' if result.exempt else ''}"
    assurance = "overridden" if result.overridden else counted.assurance if counted else ""
    return [
        "" if result.score is None else str(result.score),
        standing,
        str(len(result.attempts)),
        str(counted.number) if counted else "",
        counted.graded_at if counted else "",
        assurance,
    ]
