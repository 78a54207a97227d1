"""What a user meets who mistypes, interrupts, or has no engine: one message, the right exit code."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from phi_labs.__main__ import main
from phi_labs.errors import EngineError, NotGraded, UserError

if TYPE_CHECKING:
    from tests.cli.conftest import Result, World

Call = Callable[..., "Result"]

NEED_A_RUN = ["shell", "grade", "rescue", "reset", "stop"]


def test_no_words_show_what_there_is(call: Call) -> None:
    said = call()
    assert said.code == 0
    assert "Usage: phi-labs" in said.out
    assert "Exit codes" in said.out


def test_a_mistyped_command_names_the_nearest(call: Call) -> None:
    said = call("--debug", "grad")
    assert said.code == 2
    assert "'grade'" in said.err


def test_an_unknown_option_says_where_help_is(call: Call) -> None:
    said = call("labs", "--frobnicate")
    assert said.code == 2
    assert "phi-labs labs --help" in said.err


@pytest.mark.parametrize("command", [*NEED_A_RUN, "brief", "start", "debrief", "hint", "attempt", "verify"])
def test_an_unknown_lab_names_the_nearest(call: Call, command: str) -> None:
    said = call(command, "smal")
    assert said.code == 2
    assert "unknown lab 'smal'" in said.err
    assert "did you mean small?" in said.err
    assert said.out == ""


@pytest.mark.parametrize("lab", ["../small", "/etc", ".", "a/b"])
@pytest.mark.parametrize("command", ["stop", "start", "grade", "connect"])
def test_a_lab_is_never_a_path(call: Call, command: str, lab: str) -> None:
    words = [command, lab]
    code = main(words) if command == "connect" else call(*words).code
    assert code == 2


@pytest.mark.parametrize("command", [*NEED_A_RUN, "hint"])
def test_a_command_on_a_run_says_how_to_get_one(call: Call, command: str) -> None:
    said = call(command, "small")
    assert said.code == 2
    assert "anna has no run of small" in said.err


@pytest.mark.parametrize("name", ["", "   ", "a\tb", "a\x1b[31mb", "x" * 300, "a\u202eb"])
def test_a_name_that_cannot_be_one_is_refused(call: Call, name: str) -> None:
    said = call("grade", "small", "--trainee", name)
    assert said.code == 2
    assert "trainee" in said.err
    assert "\x1b" not in said.err


@pytest.mark.parametrize("name", ["Ana Ruíz", "a/b", "..", "[bold]x", "北京"])
def test_a_name_with_odd_letters_is_taken_as_it_is(call: Call, name: str) -> None:
    said = call("grade", "small", "--trainee", name)
    assert said.code == 2
    assert f"{name} has no run of small" in said.err


# The SDK leaves the socket behind whose connection was refused.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("command", ["status", "start small", "stop --all", "demo --lab small"])
def test_without_an_engine_the_message_says_so(
    command: str, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
    assert main([*command.split(), "--content", str(world.content)]) == 3
    gc.collect()  # here, where its warning is expected, and not in some other test
    said = capsys.readouterr()
    assert "engine" in said.err
    assert "phi-labs doctor" in said.err
    assert said.out.count("\n") <= 6  # demo says beforehand what it is about to do


@pytest.mark.parametrize(
    ("error", "code"), [(UserError("x", "y"), 2), (EngineError("x", "y"), 3), (NotGraded("x", "y"), 3)]
)
def test_each_kind_of_error_has_its_exit_code(
    error: Exception, code: int, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    _labs_raises(monkeypatch, error)
    said = call("labs")
    assert (said.code, said.out, said.err) == (code, "", "phi-labs: x\ny\n")


def test_the_unexpected_is_one_line_and_a_traceback_only_for_debugging(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    _labs_raises(monkeypatch, ZeroDivisionError("by \x1b[2J nought"))
    said = call("labs")
    assert said.code == 3
    assert "ZeroDivisionError: by ?[2J nought" in said.err
    assert "Traceback" not in said.err
    assert "Traceback" in call("labs", "--debug").err


def test_ctrl_c_ends_with_one_line(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    _labs_raises(monkeypatch, KeyboardInterrupt())
    said = call("labs")
    assert (said.code, said.err) == (130, "phi-labs: interrupted\n")


def test_a_second_ctrl_c_does_not_stop_the_clean_up(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    cleaned = []

    def interrupted(*_: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            cleaned.append(True)

    monkeypatch.setattr("phi_labs.model.content.all_labs", interrupted)
    said = call("labs")
    assert (said.code, cleaned) == (130, [True])
    assert "still cleaning up" in said.err


def test_a_termination_cleans_up_as_well(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phi_labs.model.content.all_labs", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert call("labs").code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_reader_that_left_is_no_error(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    _labs_raises(monkeypatch, BrokenPipeError())
    said = call("labs")
    assert (said.code, said.err) == (141, "")


def test_a_reader_that_leaves_a_pipe_is_not_taken_for_a_low_score() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "phi_labs", "labs"],
        stdout=writer,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def _labs_raises(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def raising(*_: object) -> None:
        raise error

    monkeypatch.setattr("phi_labs.model.content.all_labs", raising)
