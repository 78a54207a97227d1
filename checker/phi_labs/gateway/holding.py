"""The process that holds a workshop: gateway, janitor and commands, until it is closed or stopped."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from phi_labs.errors import UserError
from phi_labs.gateway.attending import WorkshopDirectory
from phi_labs.gateway.server import Gateway
from phi_labs.gateway.waiting import is_set
from phi_labs.model.entity import Entity
from phi_labs.workshop.closing import Closed, close
from phi_labs.workshop.control import Say, listen
from phi_labs.workshop.graders import Ticket
from phi_labs.workshop.janitor import Janitor
from phi_labs.workshop.roster import read_roster
from phi_labs.workshop.settings import WorkshopFolder
from phi_labs.workshop.status import status_of
from phi_labs.workshop.workshop import Workshop

T = TypeVar("T")
ROUND = 60.0  # seconds between two rounds of the janitor
QUICK_ROUND = 5.0  # while labs wait for room
LOOK_EVERY = 2.0  # seconds between two looks whether the engine is there and the disk has room (2 ms)


class Holding:
    """An open workshop with everything that serves it.

    Args:
        tell: called with lines for the workshop's log.
    """

    def __init__(
        self,
        workshop: Workshop,
        directory: WorkshopDirectory,
        gateway: Gateway,
        folder: WorkshopFolder,
        tell: Callable[[str], None],
    ) -> None:
        self._workshop = workshop
        self._directory = directory
        self._gateway = gateway
        self._folder = folder
        self._tell = tell
        self._janitor = Janitor(workshop, tell)
        self._threads = ThreadPoolExecutor(32, thread_name_prefix="workshop")
        self._stop = asyncio.Event()
        self._closed = False
        self._server: asyncio.Server | None = None
        self._requests = {
            "status": self._status,
            "grade": self._grade,
            "extend": self._extend,
            "reset": self._reset,
            "message": self._message,
            "roster": self._roster,
            "close": self._close,
        }

    async def run(self, address: str, port: int, up: Callable[[int], None]) -> bool:
        """Serve until closed (True) or stopped (False); ``up`` is called with the port when all is there."""
        chosen = await self._gateway.start(address, port)  # one that is taken ends it before anything began
        self._workshop.settings = replace(self._workshop.settings, listen=f"{address}:{chosen}")
        rounds: asyncio.Task[None] | None = None
        try:
            await self._aside(self._workshop.open)
            await self._listen()
            rounds = asyncio.create_task(self._look_after())
            up(chosen)
            await self._stop.wait()
        finally:
            if rounds is not None:
                rounds.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await rounds
            if self._server is not None:
                self._server.close()
            await self._gateway.stop()
            await self._directory.close()
            if not self._closed:
                await self._aside(self._workshop.let_go)
            self._folder.socket.unlink(missing_ok=True)
        return self._closed

    async def _listen(self) -> None:
        """Be there for commands, at a socket that somebody may have removed."""
        if self._server is not None:
            self._server.close()
        self._server = await listen(self._folder.socket, self._handle)

    def stop(self) -> None:
        """Let go of everything and end; ``open`` takes it up again."""
        self._workshop.closing = True
        self._stop.set()

    async def _aside(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _look_after(self) -> None:
        """A round of the janitor every minute, and as soon as there is something to stand on again."""
        next_round = 0.0
        while True:
            try:
                if not self._folder.socket.exists():
                    await self._listen()
                before = self._workshop.footing.trouble
                if await self._aside(self._workshop.footing.is_lost):
                    next_round = 0.0
                elif before or time.monotonic() >= next_round:
                    await self._aside(self._janitor.tick)
                    waiting = self._workshop.provisioner.view().waiting
                    next_round = time.monotonic() + (QUICK_ROUND if waiting else ROUND)
            except Exception as error:  # a chore's bug must not leave the workshop without a janitor
                self._tell(f"janitor: {type(error).__name__}: {error}")
            await asyncio.sleep(LOOK_EVERY)

    # -- commands ----------------------------------------------------------------------------

    async def _handle(self, request: dict[str, Any], say: Say) -> Any:
        work = self._requests.get(str(request.get("do")))
        if work is None:
            raise UserError(
                f"the workshop knows no {request.get('do')!r}", "is its program older than yours?"
            )
        return await work(request, say)

    async def _status(self, _request: dict[str, Any], _say: Say) -> Any:
        return status_of(self._workshop)

    async def _grade(self, request: dict[str, Any], say: Say) -> Any:
        chosen = await self._aside(partial(self._to_grade, request.get("who", ""), request.get("lab", "")))
        tickets = [await self._aside(partial(self._workshop.gradings.ask, *key)) for key in chosen]
        results = await asyncio.gather(*(self._await(ticket, say) for ticket in tickets))
        return {"graded": list(results)}

    def _to_grade(self, who: str, lab: str) -> list[tuple[str, str]]:
        """What was begun and is not finished, of one learner or of all."""
        if who:
            self._workshop.known(who, lab)
        places = self._workshop.board.places.values()
        chosen = [
            (place.learner, place.lab)
            for place in places
            if who in {"", place.learner}
            and lab in {"", place.lab}
            and place.started_at
            and place.contacted_at
            and not place.finished
        ]
        if who and not chosen:
            raise UserError(
                f"{who} is at work in no lab" + (f" {lab}" if lab else ""),
                "only what somebody entered, and has not finished, is graded: phi-labs workshop status",
            )
        return chosen

    async def _await(self, ticket: Ticket, say: Say) -> dict[str, Any]:
        await is_set(ticket.done, float("inf"))
        outcome = ticket.outcome
        score = outcome.scorecard["score"] if outcome and outcome.scorecard else None
        reason = outcome.reason if outcome else "no answer"
        say(f"{ticket.learner} {ticket.lab}: {reason if score is None else score}")
        return {"learner": ticket.learner, "lab": ticket.lab, "score": score, "reason": reason}

    async def _extend(self, request: dict[str, Any], _say: Say) -> Any:
        work = self._workshop.extend
        minutes, lab = int(request["minutes"]), request.get("lab", "")
        await self._aside(partial(work, request["who"], minutes, lab, actor=request.get("by", "")))
        return {}

    async def _reset(self, request: dict[str, Any], _say: Say) -> Any:
        who, lab, by = request["who"], request["lab"], request.get("by", "")
        await self._aside(partial(self._workshop.reset, who, lab, actor=by))
        return {}

    async def _message(self, request: dict[str, Any], _say: Say) -> Any:
        to, text, by = request.get("who", ""), request["text"], request.get("by", "")
        await self._aside(partial(self._workshop.message, to, text, actor=by))
        return {}

    async def _roster(self, request: dict[str, Any], _say: Say) -> Any:
        entity: Entity | None = self._workshop.loaded.scenario.entity
        roster = await self._aside(partial(read_roster, Path(request["path"]), entity))
        return {"changed": await self._aside(partial(self._workshop.take_roster, roster))}

    async def _close(self, _request: dict[str, Any], say: Say) -> Any:
        loop = asyncio.get_running_loop()

        def tell(text: str) -> None:
            loop.call_soon_threadsafe(say, text)

        said = await self._aside(partial(close, self._workshop, tell))
        self._closed = True
        loop.call_later(0.2, self._stop.set)  # whoever asked gets the answer first
        return closed_data(said)


def closed_data(said: Closed) -> dict[str, Any]:
    """How a close went, JSON-able."""
    return {
        "graded": said.graded,
        "ungraded": [list(item) for item in said.ungraded],
        "left": [list(item) for item in said.left],
        "head": asdict(said.head),
    }
