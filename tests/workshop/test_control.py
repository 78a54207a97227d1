"""Commands reach the process that holds a workshop, wherever its state directory is, and nobody else's do."""

from __future__ import annotations

import asyncio
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from phi_labs.errors import EngineError, UserError
from phi_labs.workshop.control import Say, ask, held, listen


async def handle(request: dict[str, Any], say: Say) -> Any:
    if request["do"] == "refuse":
        raise UserError("no", "say please")
    if request["do"] == "fail":
        raise EngineError("the engine is away")
    if request["do"] == "hang":
        await asyncio.sleep(60)
    for number in range(request.get("lines", 0)):
        say(f"line {number}")
    return {"heard": request}


@contextmanager
def served(path: Path) -> Iterator[None]:
    """A server in a thread of its own."""
    loop, up = asyncio.new_event_loop(), threading.Event()
    stop: asyncio.Future[None] = loop.create_future()

    async def serve() -> None:
        server = await listen(path, handle)
        up.set()
        await stop
        server.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert up.wait(5)
    yield
    loop.call_soon_threadsafe(stop.set_result, None)
    thread.join()
    for task in asyncio.all_tasks(loop):
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    deep = tmp_path / ("a-state-directory-with-a-long-name-" * 4)
    deep.mkdir()
    return deep / "control.sock"


def test_a_request_is_answered_after_what_is_said_on_the_way(path: Path) -> None:
    said: list[str] = []
    with served(path):
        assert held(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        request = {"do": "tell", "lines": 3, "text": "ünïcode\n"}
        assert ask(path, request, say=said.append) == {"heard": request}
    assert said == ["line 0", "line 1", "line 2"]


def test_refusals_and_trouble_keep_their_kind(path: Path) -> None:
    with served(path):
        with pytest.raises(UserError, match="no") as refused:
            ask(path, {"do": "refuse"})
        assert refused.value.hint == "say please"
        with pytest.raises(EngineError, match="the engine is away"):
            ask(path, {"do": "fail"})
        with pytest.raises(EngineError, match="did not answer within"):
            ask(path, {"do": "hang"}, deadline=0.1)
        assert ask(path, {"do": "tell"}) == {"heard": {"do": "tell"}}


def test_without_a_process_one_is_told_what_to_do(path: Path) -> None:
    assert not held(path)
    with pytest.raises(UserError, match="not open") as nobody:
        ask(path, {"do": "status"})
    assert "takes it up again" in nobody.value.hint


def test_a_socket_that_a_killed_process_left_is_replaced(path: Path) -> None:
    with served(path):
        pass
    assert path.exists()
    assert not held(path)
    with served(path):
        assert ask(path, {"do": "tell"}) == {"heard": {"do": "tell"}}
