"""Runs a lab's checks in a forked worker: pytest, isolated, every check under a deadline.

The parent has everything imported; a fork costs milliseconds. The child alone talks to the
machines while it lives. Outcomes travel as JSON lines over a pipe as they happen, so a worker
that has to be killed loses only the check it hung in.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phi_labs.grading.expected import Check
from phi_labs.grading.pace import pace
from phi_labs.interrupts import held
from phi_labs.model.scorecard import CheckOutcome, CheckStatus

# On a quiet computer; see ``pace`` for a busy one.
CHECK_DEADLINE = 30.0
OVERALL_DEADLINE = 180.0
TOOK_TOO_LONG = "it did not end in time"
Fixtures = Callable[[str], Any]
# What needs nothing but the running machine and the manifest; all else waits for the clone.
WITHOUT_CLONE = frozenset({"live", "lives", "planted", "pristine", "pristines"})


@dataclass(frozen=True)
class Answer:
    """What one check said, and for errors the technical reason (for us, not for the trainee)."""

    outcome: CheckOutcome
    detail: str = ""


@dataclass(frozen=True)
class Answers:
    """What a worker said.

    Attributes:
        collected: check id -> target of everything pytest collected (a parametrised check counts
            once for each of its cases), known before the first check ran.
    """

    collected: dict[str, str]
    answers: tuple[Answer, ...]

    @property
    def unsettled(self) -> list[str]:
        """Ids that were collected but erred or gave no answer."""
        said = {answer.outcome.check for answer in self.answers}
        erred = {item.outcome.check for item in self.answers if item.outcome.status is CheckStatus.ERROR}
        return [name for name in self.collected if name in erred or name not in said]

    def detail(self, check: str) -> str:
        """The technical reason of an error, empty when there is none."""
        return next((item.detail for item in self.answers if item.outcome.check == check), "no answer")


class CheckRun:
    """Checks under way in a forked worker.

    pytest starts up and looks at the running machine while the clone is still being unpacked; whatever
    needs the clone waits for ``release``.
    """

    def __init__(self, child: int, reader: int, gate: int, checks: Sequence[Check]) -> None:
        self._child = child
        self._reader = reader
        self._gate = gate
        self._checks = checks

    @property
    def under_way(self) -> bool:
        """Whether the worker may still be in the middle of a question."""
        return bool(self._child)

    def release(self) -> None:
        """The clone has booted."""
        with suppress(BrokenPipeError):
            os.write(self._gate, b"!")

    def finish(self, overall_deadline: float = OVERALL_DEADLINE) -> Answers:
        """Wait for the answers; kill the worker after ``overall_deadline`` seconds of a quiet computer.

        A check without an answer is collected but unsettled.
        """
        try:
            return _gather(self._reader, self._checks, overall_deadline)
        finally:
            self.abort()

    def abort(self) -> None:
        """End the worker, whatever it does."""
        if self._child:
            os.close(self._reader)
            os.close(self._gate)
            with suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)
            self._child = 0


def start_checks(  # noqa: PLR0913 - what decides a worker
    folder: Path,
    checks: Sequence[Check],
    fixtures: Fixtures,
    *,
    only: Sequence[str] = (),
    check_deadline: float = CHECK_DEADLINE,
    early: frozenset[str] = WITHOUT_CLONE,
) -> CheckRun:
    """Start the checks of ``folder`` in a forked worker.

    Args:
        checks: the check functions known from the source.
        fixtures: called in the worker with a fixture's name (host, live, planted, ...) when a check first
            asks for it.
        only: ids of the checks to run; all when empty.
        check_deadline: seconds for one check on a quiet computer.
        early: fixtures that are there before the clone is released.
    """
    from phi_labs.grading.reporter import Reporter, work  # noqa: PLC0415 - pytest: 90 ms, imported beside the capture

    reader, writer = os.pipe()
    waiting, gate = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    with (
        held()
    ):  # in the child an interrupt would carry out the parent's clean-up, in the parent lose the child
        child = os.fork()
        if child == 0:
            os.close(reader)
            os.close(gate)
            reporter = Reporter(writer, waiting, checks, fixtures, check_deadline, early)
            work(writer, reporter, folder, only, parent)
        run = CheckRun(child, reader, gate, checks)
    os.close(writer)
    os.close(waiting)
    return run


def _gather(reader: int, checks: Sequence[Check], deadline: float) -> Answers:
    collected: dict[str, str] = {}
    answers = []
    buffer = b""
    began = time.monotonic()
    while (left := began + deadline * pace() - time.monotonic()) > 0:
        ready, _, _ = select.select([reader], [], [], left)
        data = os.read(reader, 1 << 16) if ready else b""
        if ready and not data:
            break
        buffer += data
        *lines, buffer = buffer.split(b"\n")
        for line in map(json.loads, lines):
            if "collected" in line:
                collected = line["collected"]
            else:
                answers.append(_answer(line))
        if collected and collected.keys() <= {answer.outcome.check for answer in answers}:
            break  # all is said; pytest's own end need not be waited for
    for check in checks:  # a function that pytest did not collect is missed by name
        if not any(function_of(name) == check.id for name in collected):
            collected[check.id] = check.target
    return Answers(collected, tuple(answers))


def function_of(check_id: str) -> str:
    """The function behind a check id, without the case of a parametrised one."""
    return check_id.partition("[")[0]


def _answer(data: dict[str, Any]) -> Answer:
    outcome = CheckOutcome(
        data["check"], data["target"], CheckStatus(data["status"]), data["message"], data["duration"]
    )
    return Answer(outcome, data["detail"])
