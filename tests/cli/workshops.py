"""A process that holds a workshop, as commands see it: a socket that answers what a test says."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from phi_labs.workshop.control import Say, listen
from phi_labs.workshop.settings import workshop_folder


class Place:
    """A state directory that nothing but workshops is in."""

    def __init__(self, root: Path) -> None:
        self.root = root


@contextmanager
def held(root: Path, name: str, answer: Any) -> Iterator[list[dict[str, Any]]]:
    """A workshop that answers every request with ``answer``; yields what was asked."""
    folder = workshop_folder(Place(root), name)
    folder.path.mkdir(parents=True, exist_ok=True)
    settings = f'{{"id": "{name}", "scenario": "s.yml", "roster": "r.csv", "trainer": "t"}}'
    folder.settings.write_text(settings)
    asked: list[dict[str, Any]] = []
    loop, up = asyncio.new_event_loop(), threading.Event()
    stop: asyncio.Future[None] = loop.create_future()

    async def handle(request: dict[str, Any], _say: Say) -> Any:
        asked.append(request)
        return answer

    async def serve() -> None:
        server = await listen(folder.socket, handle)
        up.set()
        await stop
        server.close()
        await server.wait_closed()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert up.wait(5)
    try:
        yield asked
    finally:
        loop.call_soon_threadsafe(stop.set_result, None)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
            loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()


def lab(name: str = "log-access", **other: Any) -> dict[str, Any]:
    """One learner's lab as ``status`` tells it."""
    told: dict[str, Any] = {"lab": name, "state": "begun", "reason": "", "here": 0, "score": None}
    told |= {"best": None, "attempts": 0, "failed": 0, "hints": 0, "rescued": False, "trouble": ""}
    return {**told, "due_at": None, "minutes_left": None, "stuck": False, **other}


def row(learner: str, *labs: Mapping[str, Any]) -> dict[str, Any]:
    """One learner."""
    stuck = any(item["stuck"] for item in labs)
    return {"learner": learner, "full_name": learner.title(), "labs": list(labs), "stuck": stuck}


def status(*rows: Mapping[str, Any], **other: Any) -> dict[str, Any]:
    """What a workshop answers."""
    told: dict[str, Any] = {"workshop": "autumn", "title": "Autumn", "learners": len(rows), "present": 0}
    told |= {"prepared": len(rows), "starting": 0, "waiting_in_all": 0, "seconds_left": 0.0, "held_by": ""}
    told |= {"failed_starts": 0, "grading": [], "grading_waits": 0, "listen": "127.0.0.1:2222"}
    return {**told, "rows": list(rows), **other}
