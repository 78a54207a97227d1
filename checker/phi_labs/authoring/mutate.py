"""Breaking right ways: one command is left out at a time, and some check has to notice.

A line whose loss nobody notices is one that the lab need not have asked for, or a hole in its grader. Who is
sure that it is neither writes ``# phi-labs: unnoticed because ...`` behind the command, or on the line above.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from phi_labs.authoring.attempts import apply_script
from phi_labs.authoring.plan import WORKERS
from phi_labs.authoring.shell import Command, Item, NotUnderstood, Script, read_script, syntax_error
from phi_labs.authoring.verify import Job, Row, blank_row, try_all
from phi_labs.errors import UserError
from phi_labs.grading.expected import expected_checks
from phi_labs.lifecycle.installation import Installation
from phi_labs.model.lab import WITHOUT_SCRIPT, Lab, load_verdicts

Fate = Literal["noticed", "half-way", "unnoticed", "accepted", "no verdict"]
Tell = Callable[[str], None]
_NOTHING_TO_DROP = frozenset(("set", ":", "true", "shift", "trap", "exit", "wait", "sleep"))
_ACCEPTED = re.compile(r"#\s*phi-labs:\s*unnoticed\s+because\s+(\S.*)$")
_SHOWN = 100


@dataclass(frozen=True)
class Cut:
    """One command of a script, left out.

    Attributes:
        line: on which the command begins.
        text: the command's first line.
        script: what is left, with ``:`` in the command's place.
        reason: why nobody need notice, as the author says; empty when nothing is said.
    """

    line: int
    text: str
    script: str
    reason: str


@dataclass(frozen=True)
class CutJob(Job):
    """A right way without one of its commands."""

    cut: Cut

    @property
    def trainee(self) -> str:
        """One for each cut, the same every time: they run side by side, each on its own seed."""
        left = hashlib.sha256(self.cut.script.encode()).hexdigest()[:8]
        return f"{self.attempt} without line {self.cut.line} {left}"

    def apply(self, installation: Installation, lab: Lab) -> None:
        """Run what is left of the script."""
        apply_script(installation, lab, self.trainee, self.attempt, self.cut.script)


@dataclass(frozen=True)
class Loss:
    """What became of a right way without one command.

    Attributes:
        noticed_by: objectives that were no longer earned, and guards that failed.
        error: of a script that stopped half-way, or why there is no verdict.
    """

    lab: str
    attempt: str
    line: int
    text: str
    fate: Fate
    noticed_by: tuple[str, ...] = ()
    reason: str = ""
    error: str = ""
    seconds: float = 0.0

    @property
    def stale(self) -> bool:
        """Whether the author says that nobody notices, and somebody does."""
        return bool(self.reason) and self.fate in ("noticed", "half-way")


@dataclass(frozen=True)
class Losses:
    """All of them, and how many there was no time for."""

    losses: tuple[Loss, ...]
    not_done: int
    seconds: float

    @property
    def unnoticed(self) -> tuple[Loss, ...]:
        """What nobody noticed and nobody accepted."""
        return tuple(loss for loss in self.losses if loss.fate == "unnoticed")

    @property
    def clear(self) -> bool:
        """Whether everything that was tried was noticed or accepted."""
        return not self.unnoticed and all(loss.fate != "no verdict" for loss in self.losses)

    @property
    def ok(self) -> bool:
        """Whether nothing was missed and nothing left out."""
        return bool(self.losses) and self.clear and not self.not_done

    def to_data(self) -> dict[str, Any]:
        """JSON-able."""
        losses = [{**asdict(loss), "stale": loss.stale} for loss in self.losses]
        return {"ok": self.ok, "seconds": round(self.seconds, 1), "not_done": self.not_done, "losses": losses}


def mutate(  # noqa: PLR0913 - what decides it
    installation: Installation,
    labs: Sequence[Lab],
    *,
    workers: int = WORKERS,
    only: Sequence[str] | None = None,
    budget: float | None = None,
    progress: Tell = lambda _line: None,
) -> Losses:
    """Try every right way of these labs without each of its commands, on one seed.

    Args:
        only: names of right ways; all when empty.
        budget: seconds after which no further one is begun.
        progress: called with a line for each that is finished.

    Raises:
        UserError: a script cannot be taken apart, or there is nothing to try.
    """
    began = time.monotonic()
    blanks = [blank for lab in labs for blank in _blanks(lab, only)]
    if not blanks:
        raise UserError("there is nothing to break", "name right ways: --only reference")
    for lab in labs:
        for host in lab.hosts:
            installation.image_of(lab, host.name)

    def tell(finished: int, row: Row) -> None:
        loss = _loss(row)
        progress(f"{finished}/{len(blanks)} {loss.lab} {loss.attempt}, line {loss.line}: {loss.fate}")

    left = None if budget is None else began + budget
    rows, not_done = try_all(installation, blanks, workers=workers, deadline=left, tell=tell)
    return Losses(tuple(map(_loss, rows)), len(not_done), time.monotonic() - began)


def _blanks(lab: Lab, only: Sequence[str] | None) -> Iterator[Row]:
    expected_checks(lab)
    for name, verdict in load_verdicts(lab).items():
        if name in WITHOUT_SCRIPT or not verdict.full_score(lab) or (only and name not in only):
            continue
        entity = next(item for item in lab.entities if verdict.applies_to(item))
        try:
            script = read_script(lab.attempts[name].read_text(encoding="utf-8"))
        except NotUnderstood as error:
            raise UserError(f"{lab.attempts[name]}: {error}", "write the script more plainly") from error
        for cut in cuts_of(script):
            yield blank_row(lab, CutJob(lab.id, name, 0, entity, cut), verdict)


def _loss(row: Row) -> Loss:
    job = row.job
    if not isinstance(job, CutJob):
        raise TypeError("a row of another job")
    lost = tuple(name for name in row.expected if name not in row.got)
    noticed = () if row.error else lost + tuple(f"guard {name}" for name in row.got_guards)
    fate: Fate
    if row.half_way:
        fate = "half-way"
    elif row.error:
        fate = "no verdict"
    elif noticed:
        fate = "noticed"
    else:
        fate = "accepted" if job.cut.reason else "unnoticed"
    cut = job.cut
    return Loss(job.lab, job.attempt, cut.line, cut.text, fate, noticed, cut.reason, row.error, row.seconds)


# --- which commands there are to leave out -------------------------------------------------------------


def cuts_of(script: Script) -> list[Cut]:
    """A cut for each command: of the script itself, and of what its loops and conditions do.

    A pipeline is one command. Of ``a && b`` each is left out by itself. What only sets variables or options
    is left in: without it the rest makes no sense.
    """
    found: dict[tuple[int, int], Cut] = {}
    for start, end in _spans(script.items):
        left = f"{script.text[:start]}:{script.text[end:]}"
        line = script.line_of(start)
        text = script.text[start:end].splitlines()[0][:_SHOWN]
        cut = Cut(line, text, left, _reason(script, start, end))
        if not syntax_error(left):
            found.setdefault((start, end), cut)
    return list(found.values())


def _spans(items: tuple[Item, ...]) -> Iterator[tuple[int, int]]:
    for item in items:
        commands = [command for pipeline in item.pipelines for command in pipeline.commands]
        chained = len(item.pipelines) > 1 and set(item.joints) == {"&&"}
        for part in item.pipelines if chained else (item,):
            inside = [command for command in commands if part.start <= command.start < part.end]
            if any(map(_does_something, inside)):
                yield part.start, part.end
        for command in commands:
            for body in command.bodies:
                yield from _spans(body)


def _does_something(command: Command) -> bool:
    if command.keyword:
        return command.keyword != "function"
    name = command.argv[:1]
    stage = name and name[0] in _NOTHING_TO_DROP and not command.redirects  # `: > file` empties a file
    return not command.only_assigns and not stage


def _reason(script: Script, start: int, end: int) -> str:
    """The author's reason behind the command, or on a line of its own above it."""
    lines = script.text.splitlines()
    first, last = script.line_of(start) - 1, script.line_of(max(start, end - 1)) - 1
    behind = script.text[end:].split("\n", 1)[0]
    above = lines[first - 1] if first > 0 and lines[first - 1].lstrip().startswith("#") else ""
    for text in (behind if lines[last].endswith(behind) else "", above):
        if found := _ACCEPTED.search(text):
            return found[1].strip()
    return ""
