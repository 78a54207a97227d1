"""Whether a lab's attempts can prove anything: enough of them, each as the harness will run it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from phi_labs.authoring.lint_subject import Finding, Subject
from phi_labs.authoring.shell import Script, syntax_error
from phi_labs.model.lab import GENERATED, WITHOUT_SCRIPT, Verdict

RIGHT_WAYS = 4
WRONG_WAYS = 12
_DIRECTIVE = re.compile(r"^(?P<before>.*?)#\s*phi-labs:\s*(?P<word>\S*)\s*(?P<rest>.*)$")
_HEAD = 3  # lines in which the harness looks for `user` and `host`


def findings(subject: Subject) -> Iterator[Finding]:
    """Everything about scripts and their verdicts that the models do not refuse by themselves."""
    for name, path in subject.attempts.items():
        script = subject.scripts.get(name)
        text = subject.text(f"attempts/{name}.sh")
        if said := syntax_error(text):
            line = int(found[1]) if (found := re.search(r"line (\d+)", said)) else 1
            yield subject.error(path, line, "attempt-syntax", f"bash refuses it: {said}", "mend the script")
        elif script is None:
            what = f"cannot be read: {subject.unread[name]}"
            yield subject.error(path, 0, "attempt-syntax", what, "write it more plainly")
        else:
            yield from _one_script(subject, name, script)
    yield from _doubles(subject)
    if subject.verdicts is not None:
        yield from _proof(subject, dict(subject.verdicts.items()))


def _one_script(subject: Subject, name: str, script: Script) -> Iterator[Finding]:
    path = subject.attempts[name]
    first = next(script.commands(), None)
    options = "".join(first.argv[1:]) if first is not None and first.argv[:1] == ("set",) else ""
    if "e" not in options or "u" not in options:
        what = "does not begin with `set -eu`: half an attempt would get a verdict"
        yield subject.error(path, 1, "attempt-set-eu", what, "make `set -eu` its first command")
    for number, line in enumerate(script.text.splitlines(), 1):
        if found := _DIRECTIVE.match(line):
            yield from _directive(subject, name, number, found)


def _directive(subject: Subject, name: str, line: int, found: re.Match[str]) -> Iterator[Finding]:
    path, word, rest = subject.attempts[name], found["word"], found["rest"].strip()
    complaint = ""
    if word in ("user", "host"):
        if line > _HEAD or found["before"]:
            complaint = f"`{word}` counts only on a line of its own among the first {_HEAD}"
        elif word == "host" and rest not in [host.name for host in subject.lab.hosts]:
            complaint = f"{rest!r} is no host of this lab"
    elif word == "unnoticed":
        reason = rest.removeprefix("because").strip()
        if not rest.startswith("because") or not reason:
            complaint = "`unnoticed` needs its reason: unnoticed because ..."
    else:
        complaint = f"{word!r} is no word of phi-labs; known: user, host NAME, unnoticed because ..."
    if complaint:
        yield subject.error(path, line, "attempt-directive", complaint, "see docs/lab-format.md, attempts")


def _doubles(subject: Subject) -> Iterator[Finding]:
    seen: dict[tuple[str, ...], str] = {}
    for name, script in subject.scripts.items():
        body = tuple(script.text[item.start : item.end] for item in script.items)
        if body in seen:
            what = f"does exactly what {seen[body]} does"
            path = subject.attempts[name]
            yield subject.error(path, 1, "attempt-double", what, "each way differs; remove one of the two")
        seen.setdefault(body, name)


def _proof(subject: Subject, verdicts: dict[str, Verdict]) -> Iterator[Finding]:
    document = subject.verdict_document
    path = subject.folder / "attempts" / "verdicts.yml"
    wrong = {name: verdict for name, verdict in verdicts.items() if name.startswith("wrong-")}
    right = [name for name in verdicts if name not in wrong and name not in WITHOUT_SCRIPT]
    for kind, count, wanted in (("right", len(right), RIGHT_WAYS), ("wrong", len(wrong), WRONG_WAYS)):
        if count < wanted:
            what = f"{count} {kind} way(s); {wanted} are a proof"
            mend = "add what colleagues would do, in other techniques"
            if kind == "wrong":
                mend = "add what a tired colleague or a clever one would do"
            yield subject.advice(path, 0, "attempt-count", what, mend)
    for name in GENERATED:
        if name not in verdicts:
            what = (
                f"{name} has no verdict: what does a lab give to whoever {_DOES[name]} all that was planted?"
            )
            mend = f"add `{name}: {{why: ..., earns: [...], guards_fail: [...]}}`; it needs no script"
            yield subject.error(path, 0, "generated-verdict", what, mend)
        elif kept := verdicts[name].earned(subject.lab) - verdicts[name].withheld(subject.lab):
            line = document.line((name,)) if document else 0
            what = f"whoever {_DOES[name]} all that was planted keeps points: {', '.join(sorted(kept))}"
            mend = "let a guard on the data protect these objectives too, if that is not meant"
            yield subject.advice(path, line, "generated-verdict", what, mend)
    yield from _never_lost(subject, wrong)


_DOES = {"generated-emptied": "empties", "generated-moved": "moves away"}


def _never_lost(subject: Subject, wrong: dict[str, Verdict]) -> Iterator[Finding]:
    """Objectives and guards that no wrong way loses: their checks could as well be empty."""
    path = subject.folder / "attempts" / "verdicts.yml"
    for objective in subject.lab.objectives:
        if all(objective.id in verdict.earned(subject.lab) for verdict in wrong.values()):
            what = f"no wrong way fails the objective {objective.id}: nothing shows that its checks can fail"
            yield subject.error(path, 0, "never-fails", what, "add a wrong-*.sh that does")
    for guard in subject.lab.guards:
        if not any(guard.id in verdict.guards_fail for verdict in wrong.values()):
            what = f"no wrong way fails the guard {guard.id}: nothing shows that its checks can fail"
            yield subject.error(path, 0, "never-fails", what, "add a wrong-*.sh that does")
