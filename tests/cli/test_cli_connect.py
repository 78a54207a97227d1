"""``phi-labs connect`` against an engine that these tests play, byte for byte."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from phi_fixtures.manifest import Manifest
from phi_labs.cli.bridge import state_folder
from phi_labs.engine.plain_http import plain_address
from phi_labs.lifecycle.state import State, default_state_folder
from phi_labs.model.run import Run, RunState

BULK = 3_000_000  # bytes: more than every buffer on the way


def frame(kind: int, data: bytes) -> bytes:
    return struct.pack(">BxxxI", kind, len(data)) + data


@dataclass
class PlayedEngine:
    """An engine that answers exec requests on a unix socket; ``process`` is what the exec'd program does."""

    path: str
    created: list[tuple[int, dict[str, object]]] = field(default_factory=lambda: [(201, {"Id": "e1"})])
    process: Callable[[socket.socket], None] = lambda sock: None
    requests: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                self.answer(sock)

    def answer(self, sock: socket.socket) -> None:
        head, _, rest = self.read_head(sock)
        length = int(next(line for line in head.splitlines() if line.startswith("Content-Length")).split()[1])
        while len(rest) < length:
            rest += sock.recv(65536)
        path = head.split()[1]
        self.requests.append((path, json.loads(rest)))
        if path.endswith("/start"):
            sock.sendall(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\n\r\n")
            self.process(sock)
        elif path.endswith("/exec"):
            status, body = self.created.pop(0) if len(self.created) > 1 else self.created[0]
            sock.sendall(f"HTTP/1.0 {status} X\r\n\r\n".encode() + json.dumps(body).encode())
        else:
            sock.sendall(b"HTTP/1.0 204 X\r\n\r\n")

    @staticmethod
    def read_head(sock: socket.socket) -> tuple[str, str, bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            data += sock.recv(65536)
        head, blank, rest = data.partition(b"\r\n\r\n")
        return head.decode(), blank.decode(), rest


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[PlayedEngine]:
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        played = PlayedEngine(str(path))
        thread = threading.Thread(target=played.serve, args=(listener,), daemon=True)
        thread.start()
        yield played
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with a run of log-access by anna, whose machine is the container c1."""
    run = Run("r", "log-access", "anna", "ce", 0, 1, "", containers={"ehr1": "c1"}, state=RunState.READY)
    State(tmp_path / "state").save_run(run, Manifest(seed="00", block=1), {})
    return tmp_path / "state"


@dataclass
class Connect:
    """Calls the program as ssh does."""

    engine: str
    state: Path

    def __call__(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DOCKER")}
        environment |= {"DOCKER_HOST": self.engine, "PHI_LABS_STATE": str(self.state)}
        environment |= {"PHI_LABS_TRAINEE": "anna", "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(
            [sys.executable, "-P", "-m", "phi_labs", "connect", *words],
            env=environment,
            input=stdin,
            capture_output=True,
            timeout=30,
            check=False,
        )


@pytest.fixture
def connect(engine: PlayedEngine, state: Path) -> Connect:
    return Connect(f"unix://{engine.path}", state)


def echo(sock: socket.socket) -> None:
    """What comes is sent back in frames, with noise on standard error between."""
    while data := sock.recv(65536):
        sock.sendall(frame(2, b"noise") + frame(1, data))


def test_bytes_pass_both_ways_to_the_end(connect: Connect, engine: PlayedEngine) -> None:
    engine.process = echo
    data = os.urandom(BULK)
    done = connect("log-access", stdin=data)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == data
    path, body = engine.requests[0]
    assert path == "/containers/c1/exec"
    assert (body["Cmd"], body["User"]) == (["nc", "-N", "127.0.0.1", "22"], "0:0")


def test_the_machine_may_close_first(connect: Connect, engine: PlayedEngine) -> None:
    engine.process = lambda sock: sock.sendall(frame(1, b"bye"))
    done = connect("log-access", "--trainee", "anna", "--host=ehr1")
    assert (done.returncode, done.stdout) == (0, b"bye")


def test_no_ssh_server_points_to_the_rescue_console(connect: Connect, engine: PlayedEngine) -> None:
    engine.process = lambda sock: sock.sendall(frame(2, b"nc: refused\n"))
    done = connect("log-access")
    assert done.returncode == 2
    assert b"no SSH server answers" in done.stderr
    assert b"phi-labs rescue log-access" in done.stderr
    assert b"nc: refused" in done.stderr


def test_a_machine_that_is_frozen_for_grading_is_waited_for(connect: Connect, engine: PlayedEngine) -> None:
    frozen: tuple[int, dict[str, object]] = (
        409,
        {"message": "Container c1 is paused, unpause the container before exec"},
    )
    engine.created = [frozen, frozen, (201, {"Id": "e1"})]
    engine.process = lambda sock: sock.sendall(frame(1, b"SSH-2.0"))
    done = connect("log-access")
    assert (done.returncode, done.stdout) == (0, b"SSH-2.0")
    assert not any(path.endswith("/unpause") for path, _ in engine.requests)


@pytest.mark.parametrize(
    ("status", "message", "told"),
    [
        (404, "No such container: c1", b"was removed from outside\nphi-labs reset log-access"),
        (409, "Container c1 is not running", b"is stopped\nphi-labs start log-access"),
        (500, "driver \x1b[2J failed", b"driver ?[2J failed"),
    ],
)
def test_what_is_wrong_with_the_machine_is_told(
    connect: Connect, engine: PlayedEngine, status: int, message: str, told: bytes
) -> None:
    engine.created = [(status, {"message": message})]
    done = connect("log-access")
    assert done.returncode == (3 if status == 500 else 2)
    assert told in done.stderr
    assert done.stdout == b""


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["log-access", "other"],
        ["log-access", "--trainee"],
        ["log-access", "--port", "1"],
        ["../log-access"],
    ],
)
def test_wrong_words_are_a_mistake(connect: Connect, words: list[str]) -> None:
    assert connect(*words).returncode == 2


def test_without_a_run_it_says_how_to_get_one(connect: Connect) -> None:
    assert b"bob has no run of log-access\nstart one" in connect("log-access", "--trainee", "bob").stderr
    assert b"did you mean log-access?" in connect("log-acess").stderr
    assert b"there are: ehr1" in connect("log-access", "--host", "db1").stderr


def test_without_an_engine_it_says_where_it_looked(state: Path) -> None:
    done = Connect("unix:///nonexistent", state)("log-access")
    assert done.returncode == 3
    assert b"no container engine answers at unix:///nonexistent" in done.stderr
    assert b"phi-labs doctor" in done.stderr


def test_what_is_no_engine_is_told(state: Path, tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=_hang_up, args=(listener,), daemon=True)
        thread.start()
        done = Connect(f"tcp://127.0.0.1:{listener.getsockname()[1]}", state)("log-access")
        thread.join(5)
    assert done.returncode == 3
    assert b"no container engine" in done.stderr


def _hang_up(listener: socket.socket) -> None:
    sock, _ = listener.accept()
    with sock:
        sock.recv(65536)
        sock.sendall(b"220 mail.example ESMTP\r\n\r\n")


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, "unix:///var/run/docker.sock"),
        ({"DOCKER_HOST": "tcp://engine:2375"}, "tcp://engine:2375"),
        ({"DOCKER_HOST": "tcp://engine:2376", "DOCKER_TLS_VERIFY": "1"}, None),
        ({"DOCKER_HOST": "ssh://root@engine"}, None),
    ],
)
def test_tls_and_ssh_are_left_to_the_sdk(environment: dict[str, str], address: str | None) -> None:
    assert plain_address(environment) == address


@pytest.mark.parametrize(
    "environment", [{}, {"XDG_STATE_HOME": "/x"}, {"PHI_LABS_STATE": "relative"}, {"PHI_LABS_STATE": "~/s"}]
)
def test_it_finds_the_state_where_the_others_do(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PHI_LABS_STATE", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert state_folder() == str(default_state_folder())
