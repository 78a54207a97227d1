"""A trainer's commands on an open workshop, without an engine: what is asked, shown and waited for."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.cli.workshops import held, lab, row, status

from phi_labs.__main__ import main
from phi_labs.cli.app import app
from phi_labs.cli.workshop_asking import quick_status
from phi_labs.cli.workshop_opening import HELD_PATIENCE, WAIT_DEADLINE, wait_until_prepared
from phi_labs.cli.workshop_view import status_lines
from phi_labs.errors import UserError

# -- status ------------------------------------------------------------------------------------


def test_status_is_one_line_for_each_lab_that_somebody_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PHI_LABS_STATE", str(tmp_path))
    anna = row("anna", lab(score=60, best=80, attempts=3, failed=2, minutes_left=20), lab("temp-phi"))
    ben = row("ben", lab(state="not started"), lab("temp-phi", state="not started"))
    with held(tmp_path, "autumn", status(anna, ben)) as asked:
        assert main(["workshop", "status"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert asked == [{"do": "status"}]
    assert shown[0] == "autumn  Autumn"
    table = [line.split() for line in shown[4:]]
    assert " ".join(table[0]) == "anna log-access begun 60 (best 80) 3, 2 without gain 20 min"
    assert table[1:] == [["temp-phi", "begun"], ["ben", "log-access", "not", "started"]]


def test_status_as_json_is_the_answer_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PHI_LABS_STATE", str(tmp_path))
    answer = status(row("zoë", lab()))
    with held(tmp_path, "autumn", answer):
        assert main(["workshop", "status", "--workshop=autumn", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == answer


def test_where_no_workshop_is_open_status_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PHI_LABS_STATE", str(tmp_path))
    assert main(["workshop", "status"]) == 2
    assert "no workshop was opened here" in capsys.readouterr().err
    with held(tmp_path, "autumn", {}):
        pass
    assert main(["workshop", "status"]) == 2
    assert "open takes it up again" in capsys.readouterr().err
    assert main(["workshop", "status", "--workshop", "spring"]) == 2
    assert "there are: autumn" in capsys.readouterr().err


def test_of_a_workshop_that_was_closed_status_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PHI_LABS_STATE", str(tmp_path))
    with held(tmp_path, "autumn", {}):
        pass
    (tmp_path / "workshops" / "autumn" / "head.json").touch()
    for words in (["workshop", "status"], ["workshop", "status", "--workshop", "autumn"]):
        assert main(words) == 2
        assert "autumn was closed" in capsys.readouterr().err
    with held(tmp_path, "spring", status()):
        assert main(["workshop", "status"]) == 0  # another one is open


def test_the_quick_way_knows_every_option_of_status_and_leaves_the_rest_to_the_command_line() -> None:
    group: Any = typer.main.get_command(app)
    command = group.commands["workshop"].commands["status"]
    for option in (item for item in command.params if item.opts != ["--help"]):
        words = [option.opts[0]] if option.is_flag else [option.opts[0], "x"]
        with pytest.raises(UserError, match="no workshop"):  # it was looked for, not refused as unknown
            quick_status(words)
    for words in (["--help"], ["--wach"], ["--workshop"], ["alice"], ["--json=yes"]):
        assert quick_status(words) is None


def test_status_looks_again_until_ctrl_c_and_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    environment = {**os.environ, "PHI_LABS_STATE": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    many = [row(f"learner{number}", lab()) for number in range(60)]
    with held(tmp_path, "autumn", status(*many)) as asked:
        master, slave = pty.openpty()
        argv = [sys.executable, "-m", "phi_labs", "workshop", "status", "--watch"]
        process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=environment)
        os.close(slave)
        said = _read_until(master, b"more lines")
        process.send_signal(signal.SIGINT)
        said += _read_until(master, b"\x1b[?1049l")
        assert process.wait(10) == 0
        os.close(master)
    assert asked
    assert said.startswith(b"\x1b[?1049h")
    assert b"learner0" in said
    assert b"interrupted" not in said


def _read_until(master: int, wanted: bytes) -> bytes:
    said = b""
    while wanted not in said:
        said += os.read(master, 65536)
    return said


# -- the table ---------------------------------------------------------------------------------


def test_whoever_is_stuck_stands_first() -> None:
    lines = status_lines(status(row("anna", lab()), row("ben", lab(stuck=True)), row("carl", lab())))
    assert [line.split()[0] for line in lines[4:]] == ["ben", "anna", "carl"]
    assert lines[4].endswith("stuck")


def test_reasons_are_wrapped_to_the_terminal_and_whole_lines_elsewhere() -> None:
    reason = "the engine said a great many words about why it could not start this machine, twice"
    told = status(row("anna", lab(state="failed", reason=reason)))
    assert any(line.endswith(reason) for line in status_lines(told))
    narrow = status_lines(told, width=80)
    assert max(map(len, narrow[3:])) <= 80
    assert " ".join(" ".join(line.split()) for line in narrow).endswith(reason)


def test_columns_stay_straight_beside_wide_and_combining_letters() -> None:
    lines = status_lines(status(row("田中", lab()), row("zoe\u0308", lab()), row("anna", lab())))
    assert lines[4].index("log") == 9 - 2  # two letters take four columns
    assert lines[5].index("log") == 9 + 1  # four letters take three
    assert lines[6].index("log") == 9


def test_what_a_machine_said_cannot_steer_the_terminal() -> None:
    lines = status_lines(status(row("anna", lab(trouble="bad \x1b[2J\nnews"))), colours=True)
    assert "\x1b[2J" not in "".join(lines)
    assert any("bad  [2J news" in line for line in lines)


def test_colours_only_where_they_are_asked_for() -> None:
    told = status(row("anna", lab(stuck=True)), failed_starts=1, held_by="memory is short")
    assert "\x1b" not in "\n".join(status_lines(told))
    assert "\x1b[33mstuck\x1b[0m" in "\n".join(status_lines(told, colours=True))


# -- waiting for the first labs ----------------------------------------------------------------


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def waited(clock: Clock, look: Any) -> str:
    return wait_until_prepared(look, lambda _line: None, clock=clock, pause=clock.sleep)


def test_open_waits_until_the_first_labs_are_settled() -> None:
    clock = Clock()
    assert waited(clock, lambda: status(waiting_in_all=int(clock.now < 20), prepared=1)) == ""
    assert clock.now == 20


def test_open_does_not_wait_for_ever_where_there_is_no_room() -> None:
    clock = Clock()
    assert waited(clock, lambda: status(waiting_in_all=3, prepared=7, held_by="memory is short")) == (
        "memory is short"
    )
    assert clock.now == HELD_PATIENCE


def test_open_goes_on_waiting_while_labs_come_one_by_one_though_room_is_short() -> None:
    clock = Clock()

    def look() -> Any:
        done = int(clock.now // 20)
        return status(waiting_in_all=max(0, 9 - done), prepared=done, held_by="memory is short")

    assert waited(clock, look) == ""
    assert clock.now == 180


def test_open_ends_its_waiting_where_a_start_hangs() -> None:
    clock = Clock()
    assert "longer than 15 minutes" in waited(clock, lambda: status(starting=1, waiting_in_all=3))
    assert clock.now == WAIT_DEADLINE


def test_what_keeps_everything_waiting_is_said_first() -> None:
    told = {
        **status(row("anna", lab())),
        "trouble": "the engine does not answer since 09:00:00 UTC (start it)",
    }
    lines = status_lines(told)
    assert lines[2].startswith(
        "the engine does not answer since 09:00:00 UTC (start it): starts and gradings wait"
    )
    assert "wait and go on" not in "\n".join(status_lines(status(row("anna", lab()))))
