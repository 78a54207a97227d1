"""Lint of a lab: everything that can be said against it without a machine, all at once.

``verify`` begins with it. An error makes it stop there; advice is what a reviewer would ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from phi_labs.authoring import (
    lint_attempts,
    lint_checks,
    lint_giveaway,
    lint_lab,
    lint_plant,
    lint_wording,
)
from phi_labs.authoring.lint_subject import Finding, Subject, from_error
from phi_labs.errors import UserError
from phi_labs.model.document import Document, Problem, key_text, read_document
from phi_labs.model.lab import Lab, Verdicts, lab_problems, verdict_problems
from phi_labs.model.validation import fit

__all__ = ["Finding", "has_errors", "lint"]

_RULES = (lint_lab, lint_giveaway, lint_wording, lint_attempts, lint_checks, lint_plant)


def has_errors(found: Iterable[Finding]) -> bool:
    """Whether a lab may not pass."""
    return any(finding.severity == "error" for finding in found)


def lint(folder: Path) -> list[Finding]:
    """Everything that is wrong with the lab in a folder, errors first, by file and line."""
    found = dict.fromkeys(_findings(folder))
    return sorted(found, key=lambda item: (item.severity != "error", str(item.path), item.line, item.what))


def _findings(folder: Path) -> Iterator[Finding]:
    name = folder.resolve().name
    try:
        document = read_document(folder / "lab.yml")
    except UserError as error:
        yield from_error(name, folder / "lab.yml", "lab.yml", error)
        return
    lab, problems = fit(Lab, document)
    if lab is not None:
        lab = lab.placed_in(folder)
        problems = list(lab_problems(lab))
    yield from _told(name, document, problems, "lab.yml")
    if lab is None:
        return
    subject = Subject(lab, document, None, None)
    yield from _verdicts(subject)
    for rules in _RULES:
        yield from rules.findings(subject)


def _verdicts(subject: Subject) -> Iterator[Finding]:
    """Read verdicts.yml into the subject, and tell what is wrong with it."""
    path = subject.folder / "attempts" / "verdicts.yml"
    try:
        document = read_document(path)
    except UserError as error:
        yield from_error(subject.lab.id, path, "verdicts.yml", error)
        return
    verdicts, problems = fit(Verdicts, document)
    if verdicts is not None:
        problems = list(verdict_problems(subject.lab, verdicts))
        unknown = {problem.loc[0] for problem in problems if problem.loc and len(problem.loc) > 1}
        # Names that lab.yml does not have would break the arithmetic of what is withheld.
        sound = {name: item for name, item in verdicts.items() if name not in unknown}
        subject.verdicts, subject.verdict_document = Verdicts(sound), document
    yield from _told(subject.lab.id, document, problems, "verdicts.yml")


def _told(lab: str, document: Document, problems: Iterable[Problem], rule: str) -> Iterator[Finding]:
    for problem in problems:
        key = key_text(problem.loc)
        what = f"{key}: {problem.text}" if key else problem.text
        mend = "correct the key; docs/lab-format.md lists them all"
        yield Finding(lab, document.path, document.line(problem.loc), "error", rule, what, mend)
