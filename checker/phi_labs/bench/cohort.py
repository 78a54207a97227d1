"""A workshop as a trainer holds it: the command line, on a state directory of the bench's own."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncssh

from phi_labs.errors import EngineError
from phi_labs.lifecycle.installation import Installation
from phi_labs.model.lab import Lab
from phi_labs.workshop.control import ask
from phi_labs.workshop.settings import workshop_folder

NAME = "bench"
DEADLINE = 600.0
END_DEADLINE = 60.0
AT_ONCE = 4  # logins at a time
SCENARIO = """\
id: bench
title: Bench
summary: One lab for everybody.
trigger: annual
entity: ce
story: Repair the machine.
labs: [{{id: {lab}}}]
capacity: {{reserved: 0, capacity: 2000}}
"""
_PEER = struct.Struct("3i")  # what the kernel says of a socket's other end: pid, uid, gid


class Cohort:
    """An open workshop of learners with keys; whatever happens, its process is ended.

    Args:
        scratch: whose state directory and engine it uses; its containers go with that.
    """

    def __init__(self, scratch: Installation, lab: Lab, folder: Path) -> None:
        self._scratch = scratch
        self._lab = lab
        self._roster = folder / "roster.csv"
        self._scenario = folder / f"{NAME}.yml"
        self._scenario.write_text(SCENARIO.format(lab=lab.id), encoding="utf-8")
        self._socket = workshop_folder(scratch.state, NAME).socket
        self._keys: dict[str, asyncssh.SSHKey] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    # -- what a trainer does -----------------------------------------------------------------

    def open(self, learners: int) -> float:
        """Seconds from typing ``workshop open`` until it says that everybody's lab is ready."""
        began = time.perf_counter()
        self._open(learners)
        seconds = time.perf_counter() - began
        self._need(learners)
        return seconds

    def grow(self, learners: int) -> None:
        """Let more learners in, and wait until their labs are ready."""
        self._open(learners)
        until = time.monotonic() + DEADLINE
        while (now := self.status())["prepared"] < learners:
            if now["failed_starts"] or time.monotonic() > until:
                self._need(learners)
            time.sleep(0.5)

    def grade_all(self) -> float:
        """Seconds that ``workshop grade --all`` takes; everybody who logged in is graded."""
        began = time.perf_counter()
        answer = json.loads(self._run("grade", "--all", "--json"))
        seconds = time.perf_counter() - began
        if failed := [item for item in answer["graded"] if item["score"] is None]:
            raise EngineError(f"{len(failed)} gradings failed: {failed[0]['reason']}", "phi-labs doctor")
        return seconds

    def grade_one(self) -> None:
        """Grade one learner: the graders' processes are there afterwards."""
        self._run("grade", next(iter(self._keys)), "--json")

    def shown(self) -> float:
        """Seconds that ``workshop status`` takes, the process included."""
        began = time.perf_counter()
        self._run("status")
        return time.perf_counter() - began

    def log_in(self, learners: int) -> None:
        """The first so many learners log in to their labs through the gateway, and leave again."""
        asyncio.run(
            self._log_in(list(self._keys)[:learners], int(self.status()["listen"].rpartition(":")[2]))
        )

    def status(self) -> Any:
        """What the workshop says of itself."""
        return ask(self._socket, {"do": "status"}, deadline=DEADLINE)

    @property
    def process(self) -> int:
        """Pid of the process that holds it; 0 when none does."""
        with socket.socket(socket.AF_UNIX) as sock, suppress(OSError):
            sock.connect(str(self._socket))
            said = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
            pid: int = _PEER.unpack(said)[0]
            return pid
        return 0

    def end(self) -> None:
        """End its process, in order if it does."""
        if not (pid := self.process):
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            until = time.monotonic() + END_DEADLINE
            while time.monotonic() < until:
                os.kill(pid, 0)
                time.sleep(0.05)
            os.kill(pid, signal.SIGKILL)

    # -- how ---------------------------------------------------------------------------------

    def _open(self, learners: int) -> None:
        self._write_roster(learners)
        words = ["--roster", str(self._roster), "--listen", "127.0.0.1:0", "--idle", "600"]
        self._run("open", str(self._scenario), *words)

    def _write_roster(self, learners: int) -> None:
        for number in range(len(self._keys), learners):
            self._keys[f"learner{number:04d}"] = asyncssh.generate_private_key("ssh-ed25519")
        with self._roster.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["name", "full_name", "email", "public_key"])
            for name, key in self._keys.items():
                public = key.export_public_key().decode().strip()
                rows.writerow([name, name.title(), f"{name}@corp.example.org", public])

    def _run(self, *words: str) -> str:
        argv = [sys.executable, "-P", "-m", "phi_labs", "workshop", *words]
        done = subprocess.run(
            argv, env=self._environment(), capture_output=True, text=True, check=False, timeout=DEADLINE
        )
        if done.returncode:
            raise EngineError(f"phi-labs workshop {words[0]} failed: {done.stderr.strip()[-600:]}")
        return done.stdout

    def _environment(self) -> Mapping[str, str]:
        own = {"PHI_LABS_STATE": str(self._scratch.state.root)}
        if self._scratch.content is not None:
            own["PHI_LABS_CONTENT"] = str(self._scratch.content)
        foreign = {"PHI_LABS_RECORDS"}  # nothing of the bench is to be on anybody's record
        return {key: value for key, value in os.environ.items() if key not in foreign} | own

    def _need(self, learners: int) -> None:
        now = self.status()
        if now["prepared"] < learners:
            reasons = {lab["reason"] for row in now["rows"] for lab in row["labs"] if lab["reason"]}
            raise EngineError(
                f"{now['prepared']} of {learners} labs are ready: {'; '.join(sorted(reasons)) or 'too slow'}",
                "bench --trainees N measures fewer",
            )

    async def _log_in(self, names: Sequence[str], port: int) -> None:
        gate = asyncio.Semaphore(AT_ONCE)

        async def visit(name: str) -> None:
            options: dict[str, Any] = {"known_hosts": None, "agent_path": None, "config": None}
            async with (
                gate,
                asyncssh.connect(
                    "127.0.0.1",
                    port,
                    username=f"{name}+{self._lab.id}",
                    client_keys=[self._keys[name]],
                    login_timeout=DEADLINE,
                    **options,
                ) as session,
            ):
                done = await session.run("true")
                if done.exit_status != 0:
                    raise EngineError(f"{name} could not log in: {done.stderr!r}")

        await asyncio.gather(*(visit(name) for name in names))
