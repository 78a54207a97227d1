"""The menu: plain text in any terminal, one command to a line."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Protocol

from phi_labs.errors import PhiLabsError
from phi_labs.gateway.commands import Command, Speaker, choose_host, choose_lab, parse_command
from phi_labs.gateway.directory import Directory, LabView
from phi_labs.gateway.door import Door
from phi_labs.gateway.line_reader import LineReader
from phi_labs.gateway.words import lab_list, message_text, problem

PROMPT = "phi-labs> "
HINT = "Type a command: brief, shell, hint, grade, rescue, debrief, time, messages, help, quit.\n"
STORY = "What this is about, and where to begin: story\n"
RESCUE = "Every later scorecard of this run will say that the rescue console was used. Open it? [y/N] "
SHOWN_AT_FIRST = 3  # messages


class Ways(Protocol):
    """Ways into a machine, which the session's connection knows."""

    async def shell(self, door: Door, lab: LabView, host: str) -> None:
        """Join the door to a shell in the lab until that ends."""

    async def rescue(self, door: Door, lab: LabView, host: str) -> None:
        """Join the door to a root console until that ends."""


class Menu:
    """One trainee's menu.

    Args:
        busy: called with True while something runs that the trainee waits for.
    """

    def __init__(
        self, directory: Directory, user: str, door: Door, ways: Ways, busy: Callable[[bool], None]
    ) -> None:
        self._directory, self._user, self._door, self._ways, self._busy = directory, user, door, ways, busy
        self._reader = LineReader(door)
        self._lab = ""  # the one that was meant last

    async def run(self) -> int:
        """Serve the menu until the trainee leaves."""
        self._take_door()
        try:
            await self._welcome()
            while (line := await self._reader.line(PROMPT)) is not None:
                if not await self._one(line):
                    break
        finally:
            self._door.listens = None
        self._door.say("Bye.\n")
        return 0

    def _take_door(self) -> None:
        self._door.attach(self._reader)
        self._door.listens = self._reader.announce

    async def _welcome(self) -> None:
        self._door.say(f"\nphi-labs: the labs of {self._user}\n\n")
        with self._told():
            self._door.say(lab_list(await self._directory.labs(self._user)))
            found = [item for item in await self._directory.messages(0) if item.concerns(self._user)]
            for message in found[-SHOWN_AT_FIRST:]:
                self._door.say(f"\n{message_text(message)}\n")
            if await self._directory.story(self._user):
                self._door.say(f"\n{STORY}")
        self._door.say("\n" + HINT)

    async def _one(self, line: str) -> bool:
        """Carry out one line; False when it says goodbye."""
        with self._told():
            command = parse_command(line)
            if command is None:
                return True
            if command.name == "quit":
                return False
            if command.name in {"shell", "rescue"}:
                await self._enter(command)
            else:
                await self._interruptible(self._speak(command))
        return not self._door.closed

    async def _speak(self, command: Command) -> None:
        if command.lab == "" and self._lab:
            command = Command(command.name, self._lab, command.words, command.options)
        elif command.lab:
            self._lab = choose_lab(await self._directory.labs(self._user), command.lab).id
        speaker = Speaker(self._directory, self._user, self._door.say, self._door.columns)
        await speaker.run(command)

    async def _enter(self, command: Command) -> None:
        lab = choose_lab(await self._directory.labs(self._user), command.lab or self._lab)
        host = choose_host(lab, command.words[0] if command.words else "")
        self._lab = lab.id
        if command.name == "rescue":
            answer = "y" if "yes" in command.options else await self._reader.line(RESCUE)
            if (answer or "").strip().lower() not in {"y", "yes"}:
                self._door.say("Not opened.\n")
                return
        way = self._ways.rescue if command.name == "rescue" else self._ways.shell
        try:
            await way(self._door, lab, host)
        finally:
            self._take_door()
        self._door.say("\nBack in the menu.\n")

    async def _interruptible(self, work: Awaitable[None]) -> None:
        """Wait for work until it is done, or Ctrl-C; what was begun is finished all the same."""
        self._reader.interrupted.clear()
        task = asyncio.ensure_future(work)
        pressed = asyncio.ensure_future(self._reader.interrupted.wait())
        self._busy(True)
        try:
            await asyncio.wait({task, pressed}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
            else:
                self._door.say("\n^C: it is finished all the same, but you need not wait.\n")
        finally:
            self._busy(False)
            for future in (task, pressed):
                future.cancel()
                with contextlib.suppress(asyncio.CancelledError, PhiLabsError):
                    await future

    def _told(self) -> _Told:
        return _Told(self._door)


class _Told:
    """Says errors instead of raising them: the menu goes on."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if not isinstance(error, PhiLabsError):
            return False
        self._door.say(problem(error))
        return True
