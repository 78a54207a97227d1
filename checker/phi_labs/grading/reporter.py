"""What runs in the forked worker: pytest, isolated, with one plugin that reports each outcome.

The only module of grading that imports pytest: a fresh process imports it while it waits for the engine.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, NoReturn

import pytest

from phi_labs.grading.expected import Check
from phi_labs.grading.pace import pace
from phi_labs.grading.worker import TOOK_TOO_LONG, Fixtures, function_of
from phi_labs.interrupts import INTERRUPTS
from phi_labs.model.scorecard import CheckStatus

PR_SET_PDEATHSIG = 1
INI = Path(__file__).with_name("checks.ini")
# Parts of pytest that no check needs; without them a worker starts in 50 ms instead of 70.
WITHOUT = (
    *(
        "cacheprovider",
        "debugging",
        "doctest",
        "faulthandler",
        "junitxml",
        "legacypath",
        "logging",
        "pastebin",
    ),
    *("recwarn", "setuponly", "setupplan", "stepwise", "threadexception", "unraisableexception", "warnings"),
)


class CheckTimeoutError(BaseException):
    """A check took too long; BaseException, so that no check swallows it."""


def work(writer: int, plugin: Reporter, folder: Path, only: Sequence[str], parent: int) -> NoReturn:
    """Run the checks of ``folder`` in this process, which was forked for it, and end it."""
    code = 1
    try:
        for number in INTERRUPTS:  # the parent's handlers raise, for its own clean-up
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        # A worker holds its parent's locks: it must not outlive a parent that was killed.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        _silence()
        warnings.simplefilter("ignore")  # whatever the surroundings make of them
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
    # Whoever started the grading may have put something else in their place.
    sys.stdout = sys.stderr = os.fdopen(null, "w", encoding="utf-8", errors="replace")


def _arguments(folder: Path, only: Sequence[str]) -> list[str]:
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ.pop("PYTEST_ADDOPTS", None)
    os.environ.pop("PYTEST_PLUGINS", None)
    sys.dont_write_bytecode = True
    options = ["-q", "-s", "-c", str(INI), "--rootdir", str(folder), "--noconftest", "--assert=plain"]
    options += ["--import-mode=importlib", "--tb=no", "--no-header", "--no-summary"]
    options += [word for name in WITHOUT for word in ("-p", f"no:{name}")]
    return [*options, *(str(folder / name) for name in only or (".",))]


class Reporter:
    """The one plugin: gives checks their fixtures, holds them to their time, reports each outcome."""

    def __init__(  # noqa: PLR0913, PLR0917 - both ends of the pipes, and what decides a worker
        self,
        writer: int,
        gate: int,
        checks: Sequence[Check],
        fixtures: Fixtures,
        check_deadline: float,
        early: frozenset[str],
    ) -> None:
        self._writer = writer
        self._gate = gate
        self._released = False
        self._began = 0.0
        self._checks = {check.id: check for check in checks}
        self._make = fixtures
        self._deadline = check_deadline
        self._early = early

    def _value(self, name: str) -> Any:
        if name not in self._early:
            self._wait_for_clone()
        return self._make(name)

    def _wait_for_clone(self) -> None:
        if not self._released:
            signal.setitimer(signal.ITIMER_REAL, 0)  # the time of the boot is not the check's
            if not os.read(self._gate, 1):
                os._exit(1)  # there will be no clone
            self._begin_time()
            self._released = True

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """What needs no clone goes first; the order of the file counts otherwise."""
        items.sort(key=self._needs_clone)

    def _needs_clone(self, item: pytest.Item) -> bool:
        check = self._checks.get(function_of(_name(item)))
        return check is None or not set(check.fixtures) <= {
            *self._early,
            *getattr(item, "callspec", _NO_CASE).params,
        }

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
    def lives(self) -> Any:
        """Host name -> running machine, read-only."""
        return self._value("lives")

    @pytest.fixture(scope="session")
    def pristine(self) -> Any:
        """An untouched machine, not booted and without a network, of the first host that offers one."""
        return self._value("pristine")

    @pytest.fixture(scope="session")
    def pristines(self) -> Any:
        """Host name -> untouched machine."""
        return self._value("pristines")

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
        check = self._checks.get(function_of(_name(item)))
        return check.target if check else ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Any:
        """Hold each check, its set-up included, to its time."""
        signal.signal(signal.SIGALRM, self._time_is_up)
        self._begin_time()
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _begin_time(self) -> None:
        self._began = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, self._deadline)

    def _time_is_up(self, _signal: int, _frame: FrameType | None) -> None:
        """On a busy computer there is more of it: what a check waits for is slow there, too."""
        left = self._began + self._deadline * pace() - time.monotonic()
        if left <= 0:
            raise CheckTimeoutError
        signal.setitimer(signal.ITIMER_REAL, left)

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


class _NO_CASE:  # noqa: N801 - stands in for pytest's CallSpec
    params: ClassVar[dict[str, Any]] = {}


def _name(item: pytest.Item) -> str:
    return f"{item.path.name}::{item.name}"


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
