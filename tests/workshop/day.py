"""A workshop of the tiny lab, driven as a trainer does, with a process that can be found and killed."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
from tests.tiny_lab import write_tiny_lab
from tests.workshop.own_engine import OwnEngine
from tests.workshop.small_disk import SmallDisk

from phi_labs.engine.docker import Engine
from phi_labs.lifecycle.state import State
from phi_labs.records.event import Kind
from phi_labs.records.store import Records
from phi_labs.workshop.control import ask

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
    """A workshop of the tiny lab.

    Args:
        engine: one of the tests' own; the machine's by default.
        state: where it is kept; below ``folder`` by default.
    """

    def __init__(self, folder: Path, engine: OwnEngine | None = None, state: Path | None = None) -> None:
        self.folder = folder
        self.own_engine = engine
        self.more_environment: dict[str, str] = {}
        self.disk: SmallDisk | None = None  # under its state
        self.state = state or folder / "state"
        self.content = folder / "content"
        self.keys: dict[str, asyncssh.SSHKey] = {}
        folder.mkdir(exist_ok=True)
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
        if self.own_engine is not None:
            mine["DOCKER_HOST"] = self.own_engine.host
        return {**os.environ, **mine, **self.more_environment}

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
        """What the process says, asked as the command does but without a process for it: 5 ms."""
        found: dict[str, Any] = ask(self.state / "workshops/tiny-day/control.sock", {"do": "status"})
        return found

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
                code = int(done.exit_status or 0)
                return code, str(done.stdout) + (str(done.stderr) if code else "")

        return asyncio.run(say())

    def events(self, kind: Kind) -> list[Any]:
        with Records(f"sqlite:///{self.state / 'records.db'}", read_only=True) as records:
            assert records.verify() == []
            return list(records.events("tiny-day", kind))

    @contextlib.contextmanager
    def engine(self) -> Iterator[Engine]:
        """The engine that it uses."""
        if self.own_engine is not None:
            with self.own_engine.chosen() as engine:
                yield engine
            return
        engine = Engine()
        try:
            yield engine
        finally:
            engine.close()

    @property
    def install(self) -> str:
        return State(self.state).install

    def machines(self) -> list[str]:
        with self.engine() as engine:
            return [item.name for item in engine.containers({"install": self.install})]

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """A command that goes on while the test does other things."""
        return subprocess.Popen(
            self.argv(*words),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end(self, *, close: bool = True) -> None:
        """Close it if it is open, unless nobody wants the grades, and leave nothing of it."""
        if close:
            self.run("workshop", "close", "--yes", code=None)
        if self.pid:
            self.kill()
        with self.engine() as engine:
            for item in engine.containers({"install": self.install}):
                engine.remove(item.id)


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.02)
