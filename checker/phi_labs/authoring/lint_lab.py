"""What lab.yml and the two texts for trainees must have, beyond what their models refuse."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from phi_labs.authoring.lint_subject import Finding, Subject
from phi_labs.model.lab import Objective

RECORD_POINTS = range(15, 26)
_RESTART = ("restart", "comes up", "reboot")
_CAPTURE = ("copied", "handed in", "captur")
_ALREADY = ("running machine already", "not the restart that repairs")


def findings(subject: Subject) -> Iterator[Finding]:
    """Points, prices, and what brief and debrief must say."""
    yield from _record(subject)
    for index, objective in enumerate(subject.lab.objectives):
        yield from _hints(subject, index, objective)
    yield from _entities(subject)
    yield from _brief(subject)
    yield from _debrief(subject)


def _record(subject: Subject) -> Iterator[Finding]:
    path, document = subject.document.path, subject.document
    found = [(number, item) for number, item in enumerate(subject.lab.objectives) if item.id == "record"]
    if not found:
        what = "there is no objective `record`: technique without judgement"
        yield subject.error(
            path, document.line(("objectives",)), "record", what, "add one of about 20 points"
        )
    for number, item in found:
        if item.points not in RECORD_POINTS:
            what = f"`record` is worth {item.points} points; about 20 are usual"
            line = document.line(("objectives", number, "points"))
            yield subject.error(path, line, "record", what, "give it 15 to 25")


def _hints(subject: Subject, index: int, objective: Objective) -> Iterator[Finding]:
    path, document = subject.document.path, subject.document
    if not objective.hints:
        line = document.line(("objectives", index))
        what = f"{objective.id} has no hint, not even a free one"
        yield subject.advice(path, line, "hint-missing", what, "add a conceptual one at cost 0")
    for number, hint in enumerate(objective.hints[1:], 1):
        if hint.cost == 0:
            line = document.line(("objectives", index, "hints", number))
            what = f"hint {number + 1} of {objective.id} has no price; only the first is free"
            yield subject.error(path, line, "hint-price", what, "give it a cost; all together at most half")


def _entities(subject: Subject) -> Iterator[Finding]:
    path = subject.document.path
    if len(subject.lab.entities) == 1:
        line = subject.document.line(("entities",))
        what = f"it can be taken as {subject.lab.entities[0]} only"
        yield subject.advice(path, line, "entities", what, "write the other variant, too")
        return
    for name in ("brief.md", "debrief.md"):
        used = _names(subject, name)
        if used is not None and "entity" not in used:
            what = "reads the same for a covered entity and for a business associate"
            mend = 'tell policy, duties and whom to notify apart: {% if entity == "ce" %}'
            yield subject.error(subject.folder / name, 0, "entities", what, mend)


def _brief(subject: Subject) -> Iterator[Finding]:
    path, text = subject.folder / "brief.md", subject.text("brief.md")
    used = _names(subject, "brief.md")
    if used is None:
        if path.is_file() and not text.strip():
            yield subject.error(path, 0, "brief", "is empty", "state situation, policy and what is graded")
        return
    for name, why in (("policy", "the written policy that is graded against"), ("notify", "whom to notify")):
        if name not in used:
            yield subject.error(path, 0, "brief", f"never says {why}", f"use {{{{ {name} }}}}")
    parts = {
        "objectives": [item.title for item in subject.lab.objectives],
        "guards": [item.title for item in subject.lab.guards],
    }
    for kind, titles in parts.items():
        missing = [title for title in titles if title not in text]
        if f"lab.{kind}" not in text and missing:
            what = f"does not name everything that is graded: {missing[0]}"
            yield subject.error(path, 0, "brief", what, f"print them: {{% for item in lab.{kind} %}}")
    if subject.lab.record and "lab.record" not in text and subject.lab.record not in text:
        yield subject.error(path, 0, "brief", "never names the record's form", "use {{ lab.record }}")
    built_in = (
        (_RESTART, "machine-comes-up"),
        (_CAPTURE, "captured-whole"),
        (_ALREADY, "repaired-already"),
    )
    for words, guard in built_in:
        if not any(word in text.lower() for word in words):
            what = f"does not mention the built-in guard {guard}"
            yield subject.advice(path, 0, "brief", what, "everything that is graded is stated in the brief")


def _debrief(subject: Subject) -> Iterator[Finding]:
    path, text = subject.folder / "debrief.md", subject.text("debrief.md")
    if not text.strip():
        if path.is_file():
            yield subject.error(
                path, 0, "debrief", "is empty", "say why it matters, the rule, and right ways"
            )
        return
    cited = dict.fromkeys(name for objective in subject.lab.objectives for name in objective.citations)
    for name in cited:
        if name not in text and not name.startswith("proposed-"):
            what = f"never explains {name}, which objectives cite"
            yield subject.advice(
                path, 0, "debrief", what, "say what the rule is, its status, and what it meant here"
            )


def _names(subject: Subject, name: str) -> frozenset[str] | None:
    """The names that a template uses; None when it cannot be read, which the rendering tells."""
    text = subject.text(name)
    try:
        tree = ImmutableSandboxedEnvironment().parse(text)
    except TemplateSyntaxError:
        return None
    return frozenset(meta.find_undeclared_variables(tree)) if text else None
