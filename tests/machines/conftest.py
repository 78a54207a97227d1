"""Machines of a tiny lab on the real engine, shared as far as tests leave them alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.tiny_lab import write_tiny_lab

from phi_labs.engine.docker import Engine
from phi_labs.grading.clone import Machine, fresh_machine
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.pool import Lease, lease, take
from phi_labs.lifecycle.runs import start_run, stop_run
from phi_labs.model.lab import Lab
from phi_labs.model.run import Run
from phi_labs.probe.client import Probe

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Said:
    """How a command inside a machine ended."""

    exit_code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class Box:
    """A running container, and commands inside it: independent of the probe and of the hands."""

    engine: Engine
    container: str

    @property
    def pid(self) -> int:
        return self.engine.inspect(self.container).pid

    def run(self, *argv: str, stdin: bytes = b"", seconds: float = 60.0, user: str = "0:0") -> Said:
        stream = self.engine.exec_stream(self.container, argv, user=user)
        try:
            stream.sendall(stdin)
            stream.end_input()
            out = stream.read_until_end(limit=1 << 28, deadline=time.monotonic() + seconds)
        finally:
            stream.close()
        return Said(self.engine.exec_exit_code(stream.exec_id) or 0, out, stream.stderr)

    def sh(self, script: str) -> str:
        """Run a script; it must succeed. What it printed."""
        said = self.run("/bin/bash", "-eu", "-s", stdin=script.encode())
        assert said.exit_code == 0, f"{script}\n{said.stdout.decode()}{said.stderr.decode()}"
        return said.stdout.decode(errors="replace")

    def python(self, script: Path, *arguments: str) -> bytes:
        """Run a Python file inside; it must succeed. What it printed."""
        said = self.run("/usr/bin/python3", "-I", "-X", "utf8", "-c", script.read_text(), *arguments)
        assert said.exit_code == 0, said.stderr.decode(errors="replace")
        return said.stdout

    def begin(self, script: str) -> None:
        """Start a Python program that says ``ready`` and then stays."""
        stream = self.engine.exec_stream(self.container, ["/usr/bin/python3", "-I", "-c", script])
        assert stream.recv(5) == b"ready", stream.stderr.decode()
        stream.close()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, installation: Installation) -> Lab:
    """The tiny lab, its image built; the installation finds it in its content folder."""
    installation.content = tmp_path_factory.mktemp("content")
    lab = write_tiny_lab(installation.content)
    installation.image_of(lab, "one")
    return lab


@dataclass(frozen=True)
class Running:
    """A trainee's run of the tiny lab."""

    installation: Installation
    lab: Lab
    run: Run
    trainee: str

    @property
    def box(self) -> Box:
        return Box(self.installation.engine, self.run.containers["one"])


StartTiny = Callable[[str], Running]


@pytest.fixture
def start_tiny(installation: Installation, tiny: Lab) -> Iterator[StartTiny]:
    """Start a run for a trainee; stopped at the end of the test."""
    trainees = []

    def start(trainee: str) -> Running:
        trainees.append(trainee)
        return Running(installation, tiny, start_run(installation, tiny, trainee).run, trainee)

    yield start
    for trainee in trainees:
        stop_run(installation, tiny.id, trainee)


@pytest.fixture
def running(start_tiny: StartTiny, request: pytest.FixtureRequest) -> Running:
    """A fresh run, its trainee named after the test."""
    return start_tiny(request.node.name[:60])


@pytest.fixture
def held(installation: Installation) -> Iterator[Lease]:
    """A lease whose containers are removed at the end of the test."""
    with lease(installation) as held:
        yield held


@pytest.fixture
def probe(installation: Installation) -> Iterator[Probe]:
    """A conversation with the probe, of the test's own."""
    probe = Probe(installation.engine, installation.probe_container())
    yield probe
    probe.close()


TakeClone = Callable[[str], Machine]


@pytest.fixture
def take_clone(installation: Installation, tiny: Lab, held: Lease, probe: Probe) -> Iterator[TakeClone]:
    """A pristine, idle machine of an image, with hands; the probe knows the image afterwards."""
    machines = []

    def take_one(image: str) -> Machine:
        container = take(installation, tiny, tiny.hosts[0], image, held, kind="clone")
        machine = fresh_machine(installation.engine, "one", container, image)
        machines.append(machine)
        machine.wait_ready()
        probe.baseline(image, machine.pid)
        return machine

    yield take_one
    for machine in machines:
        machine.close()
