"""A key's way through the gateway and back, beside ssh with ``ProxyCommand phi-labs connect``."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import tempfile
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from phi_labs.bench.report import Figure, figure
from phi_labs.errors import EngineError
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.ssh_config import alias
from phi_labs.model.lab import Lab

KEYS = 200
DEADLINE = 30.0
TARGET = 10.0  # ms
# The machine's terminal echoes what is typed; nothing else happens there.
ECHO = "stty raw echo; printf ready; exec cat >/dev/null"


def measure_gateway(installation: Installation, lab: Lab, trainee: str) -> list[Figure]:
    """Milliseconds that a key takes longer through the gateway; both sessions are open, keys go in turn."""
    folder = installation.state.run_folder(trainee, lab.id)
    direct = [
        "ssh",
        "-tt",
        "-F",
        str(folder.ssh_config),
        alias(lab.id, lab.hosts[0].name, len(lab.hosts)),
        ECHO,
    ]
    with _gateway(installation, trainee) as port, _terminal(direct) as plain:
        quiet = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR")
        options = [word for setting in quiet for word in ("-o", setting)]
        through = [
            "ssh",
            "-tt",
            "-F",
            "/dev/null",
            "-i",
            str(folder.key),
            "-o",
            "IdentitiesOnly=yes",
            *options,
        ]
        through += ["-p", str(port), f"{trainee}+{lab.id}@127.0.0.1", ECHO]
        with _terminal(through) as carried:
            pairs = [(_round_trip(carried), _round_trip(plain)) for _ in range(KEYS)]
    more = [ours - theirs for ours, theirs in pairs]
    return [figure("a key by the gateway, more than by connect", more, "ms", TARGET)]


@contextmanager
def _gateway(installation: Installation, trainee: str) -> Iterator[int]:
    """A gateway of its own that takes the run's key for the trainee's; yields its port."""
    run = next(run for run in installation.state.runs() if run.trainee == trainee)
    key = installation.state.run_folder(trainee, run.lab).key.with_suffix(".pub").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as place:
        users = Path(place) / "users"
        users.write_text(f"{trainee} {key}", encoding="utf-8")
        argv = [
            sys.executable,
            "-I",
            "-m",
            "phi_labs",
            "gateway",
            "--users",
            str(users),
            "--listen",
            "127.0.0.1:0",
        ]
        environment = {**os.environ, "PHI_LABS_STATE": str(installation.state.root)}
        process = subprocess.Popen([*argv, "--json"], env=environment, stdout=subprocess.PIPE, text=True)
        try:
            yield _port(process)
        finally:
            process.terminate()
            process.wait(DEADLINE)
            if process.stdout is not None:
                process.stdout.close()


def _port(process: subprocess.Popen[str]) -> int:
    said = ""
    while process.stdout is not None and not said.rstrip().endswith("}"):
        line = process.stdout.readline()
        if not line:
            raise EngineError("the gateway did not start: " + said)
        said += line
    port: int = json.loads(said)["port"]
    return port


@contextmanager
def _terminal(argv: list[str]) -> Iterator[int]:
    """A client in a terminal, its echo ready; yields the terminal's other end."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    process = subprocess.Popen(
        argv, stdin=slave, stdout=slave, stderr=subprocess.DEVNULL, start_new_session=True
    )
    os.close(slave)
    try:
        seen = b""
        while not seen.endswith(b"ready"):
            seen += _read(master)
        yield master
    finally:
        process.kill()
        process.wait(DEADLINE)
        os.close(master)


def _round_trip(terminal: int) -> float:
    time.sleep(0.01)  # keys come one by one; a train of them would measure something else
    began = time.perf_counter()
    os.write(terminal, b"x")
    while b"x" not in _read(terminal):
        pass
    return (time.perf_counter() - began) * 1000


def _read(terminal: int) -> bytes:
    ready, _, _ = select.select([terminal], [], [], DEADLINE)
    if not ready:
        raise EngineError("a session of the bench fell silent")
    return os.read(terminal, 4096)
