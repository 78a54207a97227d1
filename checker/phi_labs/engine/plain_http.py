"""Just enough of the engine's HTTP interface to open one exec stream; standard library only.

For ``phi-labs connect``, which ssh starts for every connection: importing the SDK would cost
250 ms there, this costs 1 ms. It speaks to plain unix and tcp addresses; TLS and ssh are the SDK's.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping, Sequence

from phi_labs.engine.stream import ExecStream
from phi_labs.errors import EngineError, MissingObject, UserError

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
CALL_DEADLINE = 30.0
PAUSE_DEADLINE = 20.0  # a grading freezes a run while it captures, mostly for milliseconds
_HEAD_LIMIT = 64 * 1024
_BODY_LIMIT = 1024 * 1024


class NotRunning(UserError):
    """The container is there, but its processes are not."""


def plain_address(environment: Mapping[str, str] | None = None) -> str | None:
    """The engine's address if this module can speak to it, None when it takes the SDK (TLS, ssh)."""
    environment = os.environ if environment is None else environment
    address = environment.get("DOCKER_HOST") or DEFAULT_ADDRESS
    if address.startswith("unix://"):
        return address
    secured = environment.get("DOCKER_TLS_VERIFY") or environment.get("DOCKER_CERT_PATH")
    return address if address.startswith("tcp://") and not secured else None


def open_exec(address: str, container: str, argv: Sequence[str], *, user: str = "0:0") -> ExecStream:
    """Start a process inside a container and return its standard input and output.

    Args:
        address: ``unix://...`` or ``tcp://host:port``, see ``plain_address``.
        user: numeric ``uid:gid``; a name would be resolved in the container's own passwd.

    Raises:
        MissingObject: the container was removed.
        NotRunning: it was stopped.
        EngineError: nothing answers at the address, or it refused.
    """
    exec_id = _created(address, container, argv, user)
    sock = _connected(address)
    body = json.dumps({"Detach": False, "Tty": False}).encode()
    head = "Connection: Upgrade\r\nUpgrade: tcp\r\n"
    _send(sock, "POST", f"/exec/{exec_id}/start", "HTTP/1.1", head, body)
    status = _status(_read_head(sock))
    if status not in {101, 200}:
        answer = sock.recv(_BODY_LIMIT)
        sock.close()
        raise EngineError(f"could not start {argv[0]} in container {container[:12]}: {_explained(answer)}")
    sock.settimeout(None)
    return ExecStream(sock, exec_id)


def _created(address: str, container: str, argv: Sequence[str], user: str) -> str:
    """Have the engine prepare the process; return its exec id. A frozen container is waited for."""
    body = {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Cmd": list(argv), "User": user}
    give_up = time.monotonic() + PAUSE_DEADLINE
    while True:
        status, answer = _call(address, f"/containers/{container}/exec", body)
        if status == 201:
            identifier: str = json.loads(answer)["Id"]
            return identifier
        told = _explained(answer)
        if status == 404:
            raise MissingObject(f"container {container[:12]} does not exist: {told}")
        if status == 409 and "paused" in told:
            if time.monotonic() > give_up:
                _call(address, f"/containers/{container}/unpause", {})
            time.sleep(0.02)  # the engine has no way to wait for the end of a pause
            continue
        if status == 409:
            raise NotRunning(f"container {container[:12]} is not running")
        raise EngineError(f"could not reach into container {container[:12]}: {told}")


def _call(address: str, path: str, body: object) -> tuple[int, bytes]:
    """One request on a connection of its own. HTTP/1.0: the answer ends where the connection does."""
    with _connected(address) as sock:
        _send(sock, "POST", path, "HTTP/1.0", "", json.dumps(body).encode())
        head = _read_head(sock)
        answer = bytearray()
        while len(answer) < _BODY_LIMIT:
            chunk = sock.recv(65536)
            if not chunk:
                break
            answer += chunk
        return _status(head), bytes(answer)


def _connected(address: str) -> socket.socket:
    try:
        if address.startswith("unix://"):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(CALL_DEADLINE)
            sock.connect(address.removeprefix("unix://"))
            return sock
        host, _, port = address.removeprefix("tcp://").rstrip("/").rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), CALL_DEADLINE)
    except (OSError, ValueError) as error:
        raise EngineError(
            f"no container engine answers at {address}: {error}",
            "start it, or run phi-labs doctor to see what is missing",
        ) from error


def _send(sock: socket.socket, verb: str, path: str, protocol: str, head: str, body: bytes) -> None:  # noqa: PLR0913, PLR0917 - the parts of a request
    request = (
        f"{verb} {path} {protocol}\r\nHost: engine\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{head}\r\n"
    )
    try:
        sock.sendall(request.encode() + body)
    except OSError as error:
        raise EngineError(f"the engine went away in the middle: {error}", "phi-labs doctor") from error


def _read_head(sock: socket.socket) -> bytes:
    """Everything up to the blank line and not one byte further: what follows is the process's."""
    head = bytearray()
    try:
        while not head.endswith(b"\r\n\r\n"):
            byte = sock.recv(1)
            if not byte or len(head) > _HEAD_LIMIT:
                raise EngineError("the engine closed the connection without an answer", "phi-labs doctor")
            head += byte
    except TimeoutError as error:
        raise EngineError("the engine did not answer in time", "phi-labs doctor") from error
    return bytes(head)


def _status(head: bytes) -> int:
    words = head.split(b"\r\n", 1)[0].split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise EngineError("what answers at the engine's address is no container engine", "check DOCKER_HOST")
    return int(words[1])


def _explained(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["message"])
    except (ValueError, KeyError, TypeError):
        return answer[:200].decode(errors="replace").strip() or "no reason given"
