"""An interrupt ends a command from wherever it is, and no step that must be whole is cut in two."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from phi_labs.errors import EngineError
from phi_labs.grading.job import Helpers, Job
from phi_labs.interrupts import held

if TYPE_CHECKING:
    from tests.cli.conftest import Result

Call = Callable[..., "Result"]


def interrupt(number: signal.Signals = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


def test_an_interrupt_waits_for_the_end_of_a_step_that_must_be_whole() -> None:
    steps = []
    with pytest.raises(KeyboardInterrupt), held():
        interrupt()
        steps.append("whole")
    assert steps == ["whole"]
    with pytest.raises(KeyboardInterrupt):
        interrupt()  # the handler is the one from before


def test_what_is_ignored_stays_ignored_and_other_threads_change_nothing() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with held():
            interrupt()
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)

    def elsewhere() -> None:
        with held():
            assert signal.getsignal(signal.SIGINT) is before

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()


def test_an_interrupt_in_the_start_of_a_helper_leaves_none_that_cannot_be_joined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        interrupt()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    installation = SimpleNamespace(beside=lambda: SimpleNamespace(engine=SimpleNamespace(close=lambda: None)))
    job = cast("Job", SimpleNamespace(installation=installation, threads=[]))
    done = []
    with pytest.raises(KeyboardInterrupt):
        Helpers(job).begin("clones", lambda _beside: done.append("made"))
    for thread in job.threads:
        thread.join()
    assert done == ["made"]  # and so is on the lease, which is given back


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_comes_while_an_object_is_destroyed_is_not_lost(
    call: Call, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    came = threading.Event()

    class Mortal:
        def __del__(self) -> None:
            interrupt(number)

    def busy(*_: object) -> Any:
        Mortal()
        came.wait(20)  # the interrupt that Python dropped comes again
        return []

    monkeypatch.setattr("phi_labs.model.content.all_labs", busy)
    said = call("labs")
    assert (said.code, said.err) == (128 + number, "phi-labs: interrupted\n")


@pytest.mark.parametrize("error", [RuntimeError("release unlocked lock"), EngineError("half an answer")])
def test_an_interrupt_that_comes_out_as_another_error_is_still_one(
    call: Call, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def interrupted(*_: object) -> Any:
        try:
            interrupt(signal.SIGTERM)
        finally:
            raise error

    monkeypatch.setattr("phi_labs.model.content.all_labs", interrupted)
    said = call("labs")
    assert said.code == 128 + signal.SIGTERM
    assert said.err.endswith("phi-labs: interrupted\n")
    assert ("half an answer" in said.err) == isinstance(error, EngineError)


def test_other_trouble_of_an_object_that_is_destroyed_is_told_as_before(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", told.append)

    class Faulty:
        def __del__(self) -> None:
            raise ValueError("oops")

    def busy(*_: object) -> Any:
        Faulty()
        return SimpleNamespace(labs=[], broken=[])

    monkeypatch.setattr("phi_labs.model.content.all_labs", busy)
    call("labs")
    assert [str(item.exc_value) for item in told] == ["oops"]
