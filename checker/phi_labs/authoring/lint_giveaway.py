"""Hints, briefs and messages that say what to type.

What is typed is known: it stands in the right attempts. A text gives it away when it holds the same words in
the same order: a command with its arguments, or a setting with its new value. Commands that only look, the
machine's own commands and paths, and whatever the machine says already give nothing away.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from phi_labs.authoring.lint_subject import Finding, Subject
from phi_labs.authoring.shell import Command, unquoted

_LOOKS = """
ls cat less more head tail grep egrep fgrep zgrep zcat zless stat file id groups getent who whoami test [ [[
read sort uniq wc cut tr awk gawk mawk diff cmp comm sha256sum md5sum ps ss netstat lsof pgrep date sleep true
false : cd pwd exit return set shift wait command type which seq basename dirname realpath readlink getfacl
mktemp trap local export readonly declare source . nc hostname strings xxd od pushd popd printf echo mapfile
break continue let eval jq namei lastlog last getcap tee
"""
_WRAPS = "sudo xargs exec env nice nohup setsid timeout time command builtin runuser"
LOOKS = frozenset(_LOOKS.split())
WRAPS = frozenset(_WRAPS.split())
HANDLES_SERVICES = frozenset(("systemctl", "service", "update-rc.d", "kill", "pkill", "reboot"))
EDITS = frozenset(("crontab", "visudo", "vipw", "passwd", "vi", "nano", "sudoedit"))
_TRIM = "`*_\"'.,;:()[]{}<>|"
_SUBSTITUTES = re.compile(
    r"s(?P<d>[/|#,@!])(?P<old>(?:\\.|(?!(?P=d)).)*)(?P=d)(?P<new>(?:\\.|(?!(?P=d)).)*)(?P=d)"
)
_MODE = re.compile(r"^0([0-7]{3})$")  # 0640 and 640 are the same words
_SPECIFIC = re.compile(r"[0-9=/_+@]|^-")
_SHORTEST_SETTING = 6


class Telling(NamedTuple):
    """Words that give something away, which attempt they are from, and whether they are a command's."""

    words: tuple[str, ...]
    attempt: str
    typed: bool

    @property
    def told(self) -> str:
        """The words, and where they stand."""
        return f"{' '.join(self.words)!r} (in {self.attempt})"


@dataclass(frozen=True)
class Solution:
    """What the right attempts type.

    Attributes:
        tellings: the shortest runs of words that give a step away.
        whole: whole commands.
        tools: name of a program -> the attempts that need it.
    """

    tellings: frozenset[Telling]
    whole: frozenset[Telling]
    tools: dict[str, set[str]]


def findings(subject: Subject) -> Iterator[Finding]:
    """Hints, briefs, expectations and messages of checks that give the solution away."""
    solution = solution_of(subject)
    yield from _hints(subject, solution)
    yield from _expected(subject, solution)
    yield from _brief(subject, solution)
    yield from _messages(subject, solution)


def _hints(subject: Subject, solution: Solution) -> Iterator[Finding]:
    path = subject.document.path
    for index, objective in enumerate(subject.lab.objectives):
        for number, hint in enumerate(objective.hints):
            line = subject.document.line(("objectives", index, "hints", number, "text"))
            free = hint.cost == 0
            for telling in found_in(hint.text, solution.tellings if free else solution.whole)[:1]:
                if free:
                    what = f"a free hint of {objective.id} gives a step away: {telling.told}"
                    mend = "say what to look for, not what to type"
                    yield subject.error(path, line, "hint-gives-away", what, mend)
                else:
                    what = f"a hint of {objective.id} is a whole command: {telling.told}"
                    mend = "leave the last step to the trainee"
                    yield subject.advice(path, line, "hint-gives-away", what, mend)


def _expected(subject: Subject, solution: Solution) -> Iterator[Finding]:
    """What is shown, for free, with every objective that was missed."""
    for index, objective in enumerate(subject.lab.objectives):
        for telling in found_in(f"{objective.title} {objective.expected}", _typed_ones(solution))[:1]:
            line = subject.document.line(("objectives", index, "expected"))
            what = f"`expected` of {objective.id} is a recipe: {telling.told}"
            mend = "say what the policy expects, never how"
            yield subject.error(subject.document.path, line, "expected-names-recipe", what, mend)


def _messages(subject: Subject, solution: Solution) -> Iterator[Finding]:
    """Checks whose messages name the fix."""
    for path in sorted((subject.folder / "checks").glob("test_*.py")):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
        except (SyntaxError, ValueError, OSError):
            continue  # told by the rules about checks
        for node in ast.walk(tree):
            if isinstance(node, ast.Assert) and node.msg is not None:
                pieces = [item.value for item in ast.walk(node.msg) if isinstance(item, ast.Constant)]
                text = " ".join(piece for piece in pieces if isinstance(piece, str))
                for telling in found_in(text, _typed_ones(solution))[:1]:
                    what = f"its message names the fix: {telling.told}"
                    yield subject.error(path, node.lineno, "check-names-fix", what, "say what was seen")


def _typed_ones(solution: Solution) -> frozenset[Telling]:
    """Commands, but for those that every service is handled with."""
    return frozenset(
        item for item in solution.tellings if item.typed and item.words[0] not in HANDLES_SERVICES
    )


def _brief(subject: Subject, solution: Solution) -> Iterator[Finding]:
    path = subject.folder / "brief.md"
    text = subject.text("brief.md")
    known = _typed_ones(solution) | {item for item in solution.tellings if not item.typed}
    for line, block in _blocks(text):
        for telling in found_in(block, known)[:1]:
            what = f"the brief names a solution: {telling.told}"
            tell = subject.error if telling.typed else subject.advice
            mend = "state the property that the policy asks for"
            yield tell(path, line, "brief-names-solution", what, mend)
    named = [name for name in _tools_in(text) if name in solution.tools]
    if len(set(named)) == 1:  # several are a choice
        line = text.count("\n", 0, text.index(named[0])) + 1
        what = f"the brief names {named[0]}, which only the solution needs"
        yield subject.advice(
            path, line, "brief-names-solution", what, "name no tool, or several that would do"
        )


def found_in(text: str, tellings: frozenset[Telling]) -> list[Telling]:
    """The tellings whose words stand in the text in that order, side by side; the longest first."""
    words = plain_words(text)
    begins: dict[str, list[int]] = {}
    for at, word in enumerate(words):
        begins.setdefault(word, []).append(at)
    found = {
        telling
        for telling in tellings
        for at in begins.get(telling.words[0], ())
        if tuple(words[at : at + len(telling.words)]) == telling.words
    }
    return sorted(found, key=lambda item: (-len(item.words), item))


def plain_words(text: str) -> list[str]:
    """The words of a text without quotes and punctuation around them; ``sudo`` is left out."""
    stripped = (word.strip(_TRIM) for word in unquoted(text).split())
    return [_MODE.sub(r"\1", word) for word in stripped if word and word != "sudo"]


def solution_of(subject: Subject) -> Solution:
    """What the lab's right attempts type, without what the machine says or has already."""
    own, said = _own_commands(subject), _machine_words(subject)
    tellings: set[Telling] = set()
    whole: set[Telling] = set()
    tools: dict[str, set[str]] = {}
    for attempt, script in subject.right_ways.items():
        for command in script.commands():
            if _fills_record(subject, command):
                continue
            words = _typed(command)
            if words and words[0] not in own | LOOKS and not _only_looks(words):
                tools.setdefault(words[0], set()).add(attempt)
                tellings |= {Telling(run, attempt, True) for run in _telling_runs(words)}
                if len(words) > 1 and not _unknown(words):
                    whole.add(Telling(words, attempt, True))
            for written in _written(command):
                tellings |= {Telling(run, attempt, False) for run in _telling_values(written)}
    tellings = {item for item in tellings if " ".join(item.words) not in said}
    everyday = HANDLES_SERVICES | LOOKS | EDITS
    return Solution(
        frozenset(tellings),
        frozenset(whole),
        {name: who for name, who in tools.items() if name not in everyday},
    )


def _typed(command: Command) -> tuple[str, ...]:
    """A command's words, without ``sudo`` and the like before it, its name without a path."""
    words = list(command.argv)
    while words and PurePosixPath(words[0]).name in WRAPS:
        del words[0]
        while words and words[0].startswith("-"):
            del words[0]
    if not words:
        return ()
    return (PurePosixPath(words[0]).name, *plain_words(" ".join(words[1:])))


def _only_looks(words: Sequence[str]) -> bool:
    """Programs that look or change, by their options."""
    options = set(words[1:])
    if words[0] == "sed":
        return not any(word.startswith(("-i", "--in-place", "-ni", "-Ei")) for word in options)
    if words[0] == "find":
        return options.isdisjoint({"-delete", "-exec", "-execdir", "-ok"})
    return words[0] in ("logrotate", "visudo", "sshd") and bool(options & {"-d", "-t", "-T", "-c", "--debug"})


def _telling_runs(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """A command's name with two arguments; with one when there is no second, or it is a figure or mode."""
    if words[0] == "sed":  # what it writes tells, not its pattern
        return
    if len(words) > 2 and not _unknown(words[:3]):
        yield words[:3]
    if len(words) == 2 and not _unknown(words) and words[0] not in HANDLES_SERVICES:
        yield words
    if len(words) > 2 and re.search(r"[0-9=]|^[ugoa]*[+-][rwxst]+", words[1]) and not _unknown(words[:2]):
        yield words[:2]


def _written(command: Command) -> Iterator[tuple[str, ...]]:
    """The texts that a command puts into files, as words."""
    for word in command.words if "sed" in command.argv[:3] else ():
        for change in _SUBSTITUTES.finditer(word.strip("'\"")):
            for line in re.split(r"\\n|\n", change["new"]):
                yield tuple(plain_words(line))
    for document in command.documents:
        yield from (tuple(plain_words(line)) for line in document.splitlines()[1:-1])
    writes = any(sign in (">", ">>", ">|") for sign, _ in command.redirects)
    if writes and command.argv[:1] in (("echo",), ("printf",)):
        for line in re.split(r"\\n|\n", " ".join(command.argv[1:])):
            yield tuple(plain_words(line))


def _telling_values(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Settings with a value: ``name=value``, a name and a figure, three words with something specific."""
    for at, word in enumerate(words):
        if "=" in word.strip("=") and len(word) >= _SHORTEST_SETTING and not _unknown((word,)):
            yield (word,)
        pair, triple = words[at : at + 2], words[at : at + 3]
        if len(pair) == 2 and re.search(r"[0-9]", pair[1]) and pair[0].isalpha() and not _unknown(pair):
            yield pair
        if len(triple) == 3 and any(map(_specific, triple)) and not _unknown(triple):
            yield triple


def _specific(word: str) -> bool:
    """Not any word; but where things are on a machine is no secret."""
    return not word.startswith("/") and _SPECIFIC.search(word) is not None


def _unknown(words: Sequence[str]) -> bool:
    """Whether a word is decided only when the script runs."""
    return any("$" in word for word in words)


def _fills_record(subject: Subject, command: Command) -> bool:
    record = subject.lab.record or "/srv/records/"
    targets = [target for _, target in command.redirects]
    return any(record in word for word in (*command.argv, *targets))


def _own_commands(subject: Subject) -> frozenset[str]:
    """Names of programs that the lab itself brings."""
    names = {path.name for host in subject.lab.hosts for path in (subject.folder / host.name).rglob("*")}
    planted = re.findall(r"[\"'](/[^\"'\s]+)[\"']", subject.text("plant.py"))
    return frozenset(names | {PurePosixPath(path).name for path in planted if "bin/" in path})


def _machine_words(subject: Subject) -> str:
    """Everything that the machine's own files say, as words in a row."""
    folders = [subject.folder / host.name for host in subject.lab.hosts] + [subject.folder / "planted"]
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    texts = [path.read_bytes().decode("utf-8", "replace") for path in files] + [subject.text("plant.py")]
    return " ".join(word for text in texts for word in plain_words(text))


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    """Line and text of each paragraph, row or item."""
    begins, block = 1, ""
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if not line.strip() or line.startswith(("|", "-", "#", "```")):
            if block:
                yield begins, block
            begins, block = number, line
        else:
            begins = begins if block else number
            block += f"\n{line}"
    if block:
        yield begins, block


def _tools_in(text: str) -> list[str]:
    """First words of code spans and of lines in code blocks."""
    spans = re.findall(r"`([^`\n]+)`", text)
    lines = [
        line for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL) for line in block.splitlines()
    ]
    return [words[0] for words in map(plain_words, (*spans, *lines)) if words]
