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
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pytest

from phi_labs.grading.expected import Check
from phi_labs.model.scorecard import CheckOutcome, CheckStatus

CHECK_DEADLINE = 30.0
OVERALL_DEADLINE = 180.0
TOOK_TOO_LONG = "it did not end in time"
INI = Path(__file__).with_name("checks.ini")
Fixtures = Callable[[], dict[str, Any]]


class CheckTimeoutError(BaseException):
    """A check took too long; BaseException, so that no check swallows it."""


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


def run_checks(
    folder: Path,
    checks: Sequence[Check],
    fixtures: Fixtures,
    *,
    only: Sequence[str] = (),
    check_deadline: float = CHECK_DEADLINE,
    overall_deadline: float = OVERALL_DEADLINE,
) -> Answers:
    """Run the checks of ``folder`` in a forked worker and return what they said.

    Args:
        checks: the check functions known from the source.
        fixtures: called in the worker; gives the values of host, live, planted, record.
        only: ids of the checks to run; all when empty.
        check_deadline: seconds for one check.
        overall_deadline: seconds for all; then the worker is killed. A check without an answer is
            simply missing from the result.
    """
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _work(writer, Reporter(writer, checks, fixtures, check_deadline), folder, only)
    os.close(writer)
    try:
        return _gather(reader, checks, time.monotonic() + overall_deadline)
    finally:
        os.close(reader)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _gather(reader: int, checks: Sequence[Check], until: float) -> Answers:
    collected: dict[str, str] = {}
    answers = []
    buffer = b""
    while (left := until - time.monotonic()) > 0:
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


# -- in the worker -----------------------------------------------------------------------


def _work(writer: int, plugin: Reporter, folder: Path, only: Sequence[str]) -> NoReturn:
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _silence()
        code = int(pytest.main(_arguments(folder, only), plugins=[plugin]))
    except BaseException:  # the parent sees missing answers; nothing may escape into a second copy of it
        traceback.print_exc()
    finally:
        os.close(writer)
        os._exit(code)


def _silence() -> None:
    """Whatever checks print goes nowhere: a trainee's text must not reach the grader's terminal."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)


def _arguments(folder: Path, only: Sequence[str]) -> list[str]:
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ.pop("PYTEST_ADDOPTS", None)
    os.environ.pop("PYTEST_PLUGINS", None)
    sys.dont_write_bytecode = True
    options = ["-q", "-s", "-c", str(INI), "--rootdir", str(folder), "--noconftest", "--assert=plain"]
    options += ["-p", "no:cacheprovider", "--import-mode=importlib", "--tb=no", "--no-header", "--no-summary"]
    return [*options, *(str(folder / name) for name in only or (".",))]


class Reporter:
    """The one plugin: gives checks their fixtures, holds them to their time, reports each outcome."""

    def __init__(
        self, writer: int, checks: Sequence[Check], fixtures: Fixtures, check_deadline: float
    ) -> None:
        self._writer = writer
        self._targets = {check.id: check.target for check in checks}
        self._make = fixtures
        self._values: dict[str, Any] | None = None
        self._deadline = check_deadline

    def _value(self, name: str) -> Any:
        if self._values is None:
            self._values = self._make()
        return self._values[name]

    @pytest.fixture(scope="session")
    def host(self) -> Any:
        """The rebooted clone (of a one-host lab; else see ``hosts``)."""
        return self._value("host")

    @pytest.fixture(scope="session")
    def hosts(self) -> Any:
        """Host name -> rebooted clone."""
        return self._value("hosts")

    @pytest.fixture(scope="session")
    def live(self) -> Any:
        """The running machine, read-only."""
        return self._value("live")

    @pytest.fixture(scope="session")
    def planted(self) -> Any:
        """What was planted."""
        return self._value("planted")

    @pytest.fixture(scope="session")
    def record(self) -> Any:
        """The form the trainee filled in."""
        return self._value("record")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Say which checks there are before the first one runs."""
        self._send({"collected": {_name(item): self._target(item) for item in session.items}})

    def _target(self, item: pytest.Item) -> str:
        return self._targets.get(function_of(_name(item)), "")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Any:
        """Hold each check, its set-up included, to its time."""
        signal.signal(signal.SIGALRM, _too_long)
        signal.setitimer(signal.ITIMER_REAL, self._deadline)
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        """Report what a check said; teardown only when it went wrong."""
        report: pytest.TestReport = yield
        if report.when == "call" or not report.passed:
            self._report(item, call, report)
        return report

    def _report(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        status, message, detail = _verdict(call, report)
        self._send(
            {
                "check": _name(item),
                "target": self._target(item),
                "status": status,
                "message": message,
                "duration": round(call.duration, 4),
                "detail": detail,
            }
        )

    def _send(self, line: dict[str, Any]) -> None:
        data = json.dumps(line).encode() + b"\n"
        while data:
            data = data[os.write(self._writer, data) :]


def _name(item: pytest.Item) -> str:
    return f"{item.path.name}::{item.name}"


def _too_long(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise CheckTimeoutError


def _verdict(call: pytest.CallInfo[None], report: pytest.TestReport) -> tuple[CheckStatus, str, str]:
    """Status, message for the trainee, and the technical detail of an error."""
    if call.excinfo is None:
        return CheckStatus.PASSED, "", ""
    error = call.excinfo.value
    if report.skipped:
        return CheckStatus.SKIPPED, "", str(error)
    if isinstance(error, AssertionError | pytest.fail.Exception) and report.when == "call":
        return CheckStatus.FAILED, str(error), ""
    if isinstance(error, CheckTimeoutError):
        return CheckStatus.ERROR, "", TOOK_TOO_LONG
    # exconly names the exception; the trainee sees neither this nor a traceback.
    return CheckStatus.ERROR, "", call.excinfo.exconly(tryshort=True)
