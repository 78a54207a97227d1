"""The misconception report as Markdown, for the trainer: it names wrong ways, and no learner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from phi_labs.model.cohort import Cohort
from phi_labs.workshop.misconceptions import NEAR, LabMisconceptions, Match, WrongWay

_PREAMBLE = f"""\
For the trainer. It gives solutions away, and names nobody.

A verdict is the set of objectives that were earned and of guards that failed. Below, the learners' verdicts
are compared with those of the wrong ways that each lab knows. They are possible matches, not diagnoses:
different mistakes can look the same from outside.

- now: learners whose latest verdict is exactly this one. Ever: learners of whom any verdict was.
- near: further learners whose latest verdict is that of no known way, and differs from this one in at most
  {NEAR} objectives or guards, from others in no fewer.
- tied: those of the near ones to whom another verdict is as near; they are counted under each.
"""


def misconception_report(cohort: Cohort, labs: Sequence[LabMisconceptions]) -> str:
    """The report as Markdown."""
    parts = [f"# Possible misconceptions: {_flat(cohort.title)}", "", _PREAMBLE]
    for lab in labs:
        parts += _lab(lab)
    return "\n".join(parts).rstrip() + "\n"


def _lab(lab: LabMisconceptions) -> Iterator[str]:
    yield f"## {_flat(lab.title)} (`{lab.lab}`)"
    yield ""
    yield f"Of {lab.roster} on the roster {lab.attempted} attempted it, {lab.roster - lab.attempted} did not."
    yield f"Latest verdicts: {lab.reached} lacking nothing, {lab.untouched} as of an untouched machine,"
    yield f"{lab.unlike} like no known way."
    yield ""
    if not lab.matches:
        yield "No verdict resembles a known wrong way."
        yield ""
    for match in lab.matches:
        yield from _match(lab, match)


def _match(lab: LabMisconceptions, match: Match) -> Iterator[str]:
    tied = f", {match.tied} of them tied" if match.tied else ""
    details = f"now {match.now}, ever {match.ever}, near {match.near}{tied}"
    if len(match.ways) == 1:
        yield f"- **{match.learners} of {lab.attempted} may match: {_said(match.ways[0])}** ({details})"
    else:
        number = len(match.ways)
        what = f"may match one of these {number}, which look alike"
        yield f"- **{match.learners} of {lab.attempted} {what}** ({details})"
        yield from (f"  - {_said(way)}" for way in match.ways)
    yield ""


def _said(way: WrongWay) -> str:
    words = way.name.removeprefix("wrong-").replace("-", " ")
    return f"{words}: {_flat(way.why)}"


def _flat(text: str) -> str:
    return " ".join(text.split())
