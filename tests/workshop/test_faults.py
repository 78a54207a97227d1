"""Whatever is killed in a workshop: nothing is lost, nothing is twice, nothing is left after close."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from tests.tiny_lab import FIX, write_tiny_lab

from phi_labs.engine.docker import Engine
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.state import State
from phi_labs.records.event import Kind
from phi_labs.records.store import Records

pytestmark = [pytest.mark.docker, pytest.mark.slow]

SCENARIO = """\
id: tiny-day
title: A tiny day
summary: One tiny lab.
trigger: hire
entity: ce
story: Repair the machine.
labs: [{id: tiny}]
"""
ROW = ("full_name", "email", "public_key")


class Day:
    """A workshop of the tiny lab, driven as a trainer does; its process can be found and killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.content = folder / "content"
        self.keys: dict[str, asyncssh.SSHKey] = {}
        write_tiny_lab(self.content)
        (self.content / "scenarios").mkdir()
        (self.content / "scenarios" / "tiny-day.yml").write_text(SCENARIO)

    def run(self, *words: str, code: int | None = 0) -> str:
        ran = subprocess.run(
            self.argv(*words), env=self.environment, capture_output=True, text=True, check=False
        )
        assert code is None or ran.returncode == code, f"{words}: {ran.returncode}\n{ran.stdout}{ran.stderr}"
        return ran.stdout + ran.stderr

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-P", "-m", "phi_labs", *words]

    @property
    def environment(self) -> dict[str, str]:
        mine = {
            "PHI_LABS_STATE": str(self.state),
            "PHI_LABS_CONTENT": str(self.content),
            "PHI_LABS_SPARES": "0",
        }
        return {**os.environ, **mine}

    def enrol(self, *names: str) -> None:
        for name in names:
            self.keys.setdefault(name, asyncssh.generate_private_key("ssh-ed25519"))
        with (self.folder / "roster.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["name", *ROW])
            for name, key in self.keys.items():
                public = key.export_public_key().decode().strip()
                rows.writerow([name, name.title(), f"{name}@corp.example.org", public])

    def open(self, *more: str, code: int | None = 0) -> str:
        roster = str(self.folder / "roster.csv")
        return self.run(
            "workshop", "open", "tiny-day", "--roster", roster, "--listen", "127.0.0.1:0", *more, code=code
        )

    def status(self) -> dict[str, Any]:
        return self.asked("workshop", "status")

    def asked(self, *words: str) -> dict[str, Any]:
        """The JSON that a command answers."""
        found: dict[str, Any] = json.JSONDecoder().raw_decode(self.run(*words, "--json"))[0]
        return found

    @property
    def pid(self) -> int:
        """Of the process that holds the workshop."""
        for path in Path("/proc").glob("[0-9]*"):
            try:
                words = (path / "cmdline").read_bytes().split(b"\0")
                environment = (path / "environ").read_bytes()
            except OSError:
                continue
            if b"serve" in words and str(self.state).encode() in environment:
                return int(path.name)
        return 0

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        pid = self.pid
        assert pid, "no process holds the workshop"
        os.kill(pid, number)
        until = time.monotonic() + 60
        while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
            assert time.monotonic() < until, "it does not end"
            time.sleep(0.02)

    def ssh(self, name: str, command: str, *, stdin: str = "", lab: str = "") -> tuple[int, str]:
        port = int(self.status()["listen"].rpartition(":")[2])

        async def say() -> tuple[int, str]:
            user = f"{name}+{lab}" if lab else name
            options: dict[str, Any] = {
                "client_keys": [self.keys[name]],
                "known_hosts": None,
                "agent_path": None,
            }
            async with asyncssh.connect("127.0.0.1", port, username=user, **options) as session:
                done = await session.run(command, input=stdin)
                return int(done.exit_status or 0), str(done.stdout)

        return asyncio.run(say())

    def events(self, kind: Kind) -> list[Any]:
        with Records(f"sqlite:///{self.state / 'records.db'}", read_only=True) as records:
            assert records.verify() == []
            return list(records.events("tiny-day", kind))

    def machines(self) -> list[str]:
        engine = Engine()
        found = [item.name for item in engine.containers({"install": State(self.state).install})]
        engine.close()
        return found


@pytest.fixture
def day(tmp_path: Path, installation: Installation) -> Iterator[Day]:
    day = Day(tmp_path)
    yield day
    day.run("workshop", "close", "--yes", code=None)
    if day.pid:
        day.kill()
    engine = Engine()
    for item in engine.containers({"install": State(day.state).install}):
        engine.remove(item.id)
    engine.close()


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.02)


def test_killed_while_it_opens_it_is_taken_up_and_everybody_has_one_lab(day: Day) -> None:
    day.enrol("ana", "ben", "cho", "dov")
    day.open("--no-wait", "--starters", "1")
    until(lambda: len(day.events(Kind.LAB_STARTED)) >= 1)
    day.kill()
    assert "is open: 4 learners, 4 labs ready" in " ".join(day.open().split())
    started = Counter(event.subject for event in day.events(Kind.LAB_STARTED))
    assert started == Counter(["ana", "ben", "cho", "dov"])
    assert len(day.events(Kind.ENROLLED)) == 4
    assert len(day.events(Kind.WORKSHOP_OPENED)) == 1
    assert sum("-run-" in name for name in day.machines()) == 4


def test_killed_while_it_grades_every_attempt_is_on_record_once(day: Day) -> None:
    day.enrol("ana", "ben")
    day.open()
    for name in day.keys:
        assert day.ssh(name, "sudo -n bash -s", stdin=FIX if name == "ana" else "true", lab="tiny")[0] == 0
    grading = subprocess.Popen(
        day.argv("workshop", "grade", "--all"),
        env=day.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    attempts = day.state / "attempts"
    until(lambda: any(attempts.glob("*/tiny/.grading-*")) or any(attempts.glob("*/tiny/0001")))
    day.kill()
    assert grading.wait(60) == 3
    day.open()
    day.run("workshop", "grade", "--all")
    numbers = Counter((event.subject, event.data["number"]) for event in day.events(Kind.GRADED))
    kept = {
        (name, int(path.name))
        for name in day.keys
        for path in attempts.glob(f"{name}*/tiny/[0-9]*")
        if path.is_dir()
    }
    assert set(numbers) == kept
    assert set(numbers.values()) == {1}
    last = {event.subject: event.data["scorecard"]["score"] for event in day.events(Kind.GRADED)}
    assert last == {"ana": 100, "ben": 0}


def test_killed_while_it_closes_the_close_is_finished_by_the_next_one(day: Day) -> None:
    day.enrol("ana", "ben", "cho")
    day.open()
    for name in day.keys:
        assert day.ssh(name, "sudo -n bash -s", stdin=FIX, lab="tiny")[0] == 0
    closing = threading.Thread(target=day.run, args=("workshop", "close", "--yes"), kwargs={"code": None})
    closing.start()
    until(lambda: len(day.events(Kind.GRADED)) >= 1)
    day.kill()
    closing.join()
    closed = day.asked("workshop", "close", "--yes")
    assert (closed["ungraded"], closed["left"]) == ([], [])
    final = Counter(event.subject for event in day.events(Kind.GRADED) if event.data.get("final"))
    assert set(final) == {"ana", "ben", "cho"}
    assert all(event.data["scorecard"]["score"] == 100 for event in day.events(Kind.GRADED))
    assert len(day.events(Kind.WORKSHOP_CLOSED)) == 1
    assert day.machines() == []
    assert "was closed" in day.open(code=2)
    head = str(day.state / "workshops/tiny-day/head.json")
    assert "each as it was written" in day.run("records", "verify", "--head", head)


def test_an_interrupt_lets_go_and_work_is_still_there_when_it_goes_on(day: Day) -> None:
    day.enrol("ana")
    day.open()
    day.ssh("ana", "echo mine > note", lab="tiny")
    day.kill(signal.SIGINT)
    assert "not open at the moment" in day.run("workshop", "status", code=2)
    day.open()
    assert day.ssh("ana", "cat note", lab="tiny") == (0, "mine\n")
    assert len(day.events(Kind.LAB_STARTED)) == 1


def test_a_row_added_to_the_roster_in_the_middle_takes_part(day: Day) -> None:
    day.enrol("ana")
    day.open()
    day.enrol("zoe")
    assert "1 learners are new or changed" in day.open()
    assert day.ssh("zoe", "id -un", lab="tiny") == (0, "itops\n")
    assert [row["learner"] for row in day.status()["rows"]] == ["ana", "zoe"]


def test_two_trainers_commands_at_once_do_both_things_once(day: Day) -> None:
    day.enrol("ana", "ben")
    day.open()
    day.ssh("ana", "true", lab="tiny")
    commands = [
        ("workshop", "extend", "ana", "20m"),
        ("workshop", "extend", "ana", "10m"),
        ("workshop", "message", "ana", "hello"),
        ("workshop", "grade", "ana"),
        ("workshop", "grade", "ana"),
    ]
    threads = [threading.Thread(target=day.run, args=words) for words in commands]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(event.data["minutes"] for event in day.events(Kind.EXTENDED)) == [10, 20]
    numbers = [event.data["number"] for event in day.events(Kind.GRADED)]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert len(numbers) in {1, 2}  # asked twice while it waited, it is graded once


def test_the_probe_and_a_machine_that_are_removed_stop_nobody(day: Day) -> None:
    day.enrol("ana", "ben")
    day.open()
    for name in day.keys:
        day.ssh(name, "true", lab="tiny")
    engine = Engine()
    install = State(day.state).install
    for item in engine.containers({"install": install}):
        if item.label("kind") == "probe" or item.label("trainee") == "ben":
            engine.remove(item.id)
    engine.close()
    said = day.run("workshop", "grade", "--all", code=3)
    assert "machine one of your run of tiny was removed from outside" in said
    assert [event.subject for event in day.events(Kind.GRADED)] == ["ana"]
    assert {event.subject for event in day.events(Kind.NOT_GRADED)} == {"ben"}
    day.run("workshop", "reset", "ben", "tiny", "--yes")
    assert day.ssh("ben", "id -un", lab="tiny") == (0, "itops\n")
