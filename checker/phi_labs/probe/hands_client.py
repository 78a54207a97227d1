"""Talking to the hands inside a clone or an interpreter (see ``hands``)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

from phi_labs.engine.stream import ExecStream
from phi_labs.errors import HandsError
from phi_labs.probe.wire import Json, Wire

SOURCE = Path(__file__).with_name("hands.py")
READY_DEADLINE = 20.0
APPLY_DEADLINE = 120.0
GRACE = 5.0
LONGEST_ANSWER = (
    4 * 1024 * 1024
)  # a command may say 1 MiB; root of the clone could say anything in their place


@dataclass(frozen=True)
class Ran:
    """How a command inside a clone ended: a hint, never evidence."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    timed_out: bool


# The source follows on standard input: it would only clutter the clone's process list.
_LOADER = "import os;s=b''\nwhile len(s)<{size}:s+=os.read(0,{size}-len(s))\nexec(compile(s,'hands','exec'))"


@cache
def _source() -> bytes:
    return SOURCE.read_bytes()


def hands_command() -> list[str]:
    """The command that waits for the hands' source on its standard input, then becomes them."""
    return ["/usr/bin/python3", "-I", "-S", "-X", "utf8", "-c", _LOADER.format(size=len(_source()))]


@cache
def hands_version() -> str:
    """Changes with the hands: a waiting container of another version is of no use."""
    return hashlib.sha256(_source()).hexdigest()[:12]


class Hands:
    """One conversation with the hands in a pristine container.

    Args:
        stream: to a process that runs ``hands_command()`` and was told nothing yet.
    """

    def __init__(self, stream: ExecStream) -> None:
        stream.sendall(_source())
        self._wire = Wire(
            stream, "the clone's helper", broken=HandsError, late=HandsError, longest=LONGEST_ANSWER
        )
        self._ready = False

    def apply(self, removed: Sequence[str], archive: BinaryIO, host_lines: Sequence[str] = ()) -> Json:
        """Remove paths, then unpack an archive; the answer holds ``entries`` and ``errors``."""
        self.wait_ready()
        self._wire.say({"op": "apply", "removed": list(removed), "host_lines": list(host_lines)})
        self._wire.send_chunks(archive)
        return self._answer(APPLY_DEADLINE)

    def start(self, argv: Sequence[str]) -> int:
        """Start a process that is not waited for, such as the boot; return its pid for ``poll``."""
        self.wait_ready()
        self._wire.say({"op": "start", "argv": list(argv)})
        return _number(self._answer(READY_DEADLINE), "pid")

    def poll(self, pid: int) -> int | None:
        """Exit code of a started process, None while it runs."""
        self._wire.say({"op": "poll", "pid": pid})
        answer = self._answer(READY_DEADLINE)
        return None if answer.get("exit_code") is None else _number(answer, "exit_code")

    def run(  # noqa: PLR0913 - the facts of one process
        self,
        argv: Sequence[str],
        *,
        uid: int,
        gid: int,
        groups: Sequence[int],
        timeout: float,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> Ran:
        """Run a command as numeric ids; killed after ``timeout`` seconds or 1 MiB of output."""
        self.wait_ready()
        self._wire.say(
            {
                "op": "run",
                "argv": list(argv),
                "uid": uid,
                "gid": gid,
                "groups": list(groups),
                "timeout": timeout,
                "stdin": base64.b64encode(stdin).decode(),
                "env": dict(env or {}),
            }
        )
        answer = self._answer(timeout + GRACE)
        return Ran(
            exit_code=_number(answer, "exit_code"),
            stdout=_bytes(answer, "stdout"),
            stderr=_bytes(answer, "stderr"),
            timed_out=bool(answer.get("timed_out")),
        )

    def write(self, path: str, content: bytes, *, uid: int, gid: int, mode: int) -> None:
        """Put a regular file there; its directory must exist."""
        self.wait_ready()
        encoded = base64.b64encode(content).decode()
        self._wire.say(
            {"op": "write", "path": path, "content": encoded, "uid": uid, "gid": gid, "mode": mode}
        )
        self._answer(READY_DEADLINE)

    def close(self) -> None:
        """End the conversation."""
        self._wire.close()

    def wait_ready(self) -> None:
        """Wait until the hands have taken their source and said so."""
        if not self._ready:
            self._answer(READY_DEADLINE)
            self._ready = True

    def _answer(self, seconds: float) -> Json:
        answer = self._wire.hear(seconds)
        if "refused" in answer:
            raise HandsError(f"the clone's helper could not do it: {answer['refused']}")
        return answer


def _number(answer: Json, name: str) -> int:
    """A number of an answer that the clone's root may have forged."""
    value = answer.get(name)
    if not isinstance(value, int):
        raise HandsError(f"the clone's helper makes no sense: no {name}")
    return value


def _bytes(answer: Json, name: str) -> bytes:
    try:
        return base64.b64decode(answer[name])
    except (KeyError, TypeError, ValueError) as error:
        raise HandsError(f"the clone's helper makes no sense: no {name}") from error
