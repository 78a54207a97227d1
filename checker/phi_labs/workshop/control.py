"""How commands reach the process that holds a workshop: JSON lines over a Unix socket of its user's own.

A request is one line, ``{"do": NAME, ...}``; any number of ``{"say": TEXT}`` may come back, and at the end
``{"done": ANSWER}`` or ``{"error": TEXT, "hint": TEXT}``.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phi_labs.errors import EngineError, PhiLabsError, UserError

if TYPE_CHECKING:
    import asyncio

Say = Callable[[str], None]
Handler = Callable[[dict[str, Any], Say], Awaitable[Any]]
LONGEST = 64 * 1024 * 1024


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """The path through a descriptor of its folder: the kernel takes 107 bytes, and folders lie deep."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


async def listen(path: Path, handle: Handler) -> asyncio.Server:
    """Answer requests until the server is closed; a socket that a killed process left is replaced."""
    import asyncio  # noqa: PLC0415 - whoever only asks does without: 20 ms

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def send(line: dict[str, Any]) -> None:
            writer.write(json.dumps(line).encode() + b"\n")

        try:
            request = json.loads(await reader.readline())
            try:
                send({"done": await handle(request, lambda text: send({"say": text}))})
            except PhiLabsError as error:
                kind = "user" if isinstance(error, UserError) else "engine"
                send({"error": error.message, "hint": error.hint, "kind": kind})
            await writer.drain()
        except (ConnectionError, ValueError):
            pass  # whoever asked is gone, or is none of ours
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX)
    with _short(path) as short:
        mask = os.umask(0o177)
        try:
            sock.bind(short)
        finally:
            os.umask(mask)
    return await asyncio.start_unix_server(converse, sock=sock, limit=LONGEST)


def ask(
    path: Path, request: dict[str, Any], *, say: Say = lambda _text: None, deadline: float = 3600.0
) -> Any:
    """Ask the process that holds a workshop; its answer.

    Raises:
        UserError: nobody holds it, or the request was refused.
        EngineError: trouble on its side, or no answer in time.
    """
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(deadline)
        try:
            with _short(path) as short:
                sock.connect(short)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise nobody_holds_it() from error
        sock.sendall(json.dumps(request).encode() + b"\n")
        try:
            with sock.makefile("r", encoding="utf-8") as lines:
                for line in lines:
                    answer = json.loads(line)
                    if "say" in answer:
                        say(answer["say"])
                    else:
                        return _settled(answer)
        except TimeoutError as error:
            raise EngineError(
                f"the workshop did not answer within {deadline:g} seconds",
                "phi-labs workshop status shows more",
            ) from error
    raise EngineError(
        "the workshop's process ended in the middle of this", "phi-labs workshop open takes it up again"
    )


def held(path: Path) -> bool:
    """Whether a process holds the workshop."""
    with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(OSError), _short(path) as short:
        sock.connect(short)
        return True
    return False


def nobody_holds_it() -> UserError:
    """What to say when no process holds the workshop."""
    return UserError("the workshop is not open at the moment", "phi-labs workshop open takes it up again")


def _settled(answer: dict[str, Any]) -> Any:
    if "error" in answer:
        kind = UserError if answer.get("kind") == "user" else EngineError
        raise kind(answer["error"], answer.get("hint", ""))
    return answer.get("done")
