"""Brief, hint, grade, debrief: carried out by our own command line, each in a process of its own."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from phi_labs.errors import UserError
from phi_labs.gateway.directory import Request, Say, Verb

GRADINGS = 2  # at a time
READINGS = 4  # of everything else
OF_ONE_USER = 3  # at a time, waiting ones included: nobody fills the queue alone
_MISTAKE = 2  # exit codes from here on are not a verdict
_CHUNK = 65536
_STDERR_KEPT = 16 * 1024


class Errands:
    """Runs ``phi-labs VERB LAB`` for trainees, a few at a time.

    Args:
        environment: added to our own for these processes.
        program: how ``phi-labs`` is called; empty for the one that runs.
    """

    def __init__(self, environment: Mapping[str, str], program: Sequence[str] = ()) -> None:
        self._environment = dict(environment)
        self._program = tuple(program) or (sys.executable, "-I", "-m", "phi_labs")
        self._places = {True: asyncio.Semaphore(GRADINGS), False: asyncio.Semaphore(READINGS)}
        self._queue = 0
        self._mine: Counter[str] = Counter()
        self._going: set[asyncio.Task[int]] = set()

    async def close(self) -> None:
        """Wait for what was begun."""
        if self._going:
            await asyncio.gather(*self._going, return_exceptions=True)

    async def run(self, user: str, request: Request, say: Say, more: Sequence[str] = ()) -> int:
        """Do it, also when the caller is cancelled meanwhile; return the exit code.

        Args:
            more: words of ours that are added to the command.

        Raises:
            UserError: the user has enough going on.
        """
        if self._mine[user] >= OF_ONE_USER:
            raise UserError(f"{OF_ONE_USER} of your commands are still at work", "wait for one of them")
        heard = _Heard(say)
        task = asyncio.ensure_future(self._in_turn(user, request, heard, more))
        self._going.add(task)
        task.add_done_callback(self._going.discard)
        try:
            return await asyncio.shield(task)
        finally:
            heard.stop()

    async def _in_turn(self, user: str, request: Request, heard: _Heard, more: Sequence[str]) -> int:
        self._mine[user] += 1
        try:
            async with self._turn(heard, request):
                return await self._do(user, request, heard, more)
        finally:
            self._mine[user] -= 1
            self._mine += Counter()  # forgets who has nothing going on

    @asynccontextmanager
    async def _turn(self, heard: _Heard, request: Request) -> AsyncIterator[None]:
        """One of the few places; who waits for a grading is told how many come first."""
        grading = request.verb is Verb.GRADE
        self._queue += grading
        try:
            if grading and self._queue > GRADINGS and not request.as_json:
                heard(f"  waiting: {self._queue - GRADINGS} gradings come first\n")
            async with self._places[grading]:
                yield
        finally:
            self._queue -= grading

    async def _do(self, user: str, request: Request, heard: _Heard, more: Sequence[str]) -> int:
        argv = [*self._program, request.verb.value, request.lab, *request.words, *more, "--trainee", user]
        argv += ["--json"] if request.as_json else []
        argv += ["--yes"] if request.yes and request.verb is Verb.HINT else []
        argv += ["--full"] if request.full and request.verb is Verb.GRADE else []
        apart = asyncio.subprocess.PIPE if request.as_json else asyncio.subprocess.STDOUT
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=self._environment_for(request),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=apart,
            start_new_session=True,  # a Ctrl-C at the trainer's terminal is not the grading's
        )
        try:
            _, remarks = await asyncio.gather(_pass_on(process.stdout, heard), _kept(process.stderr))
            code = await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
                await process.wait()
        if code >= _MISTAKE:
            heard(remarks)  # what went wrong, where JSON would have been
        return code

    def _environment_for(self, request: Request) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "TERM"}}
        plain = {"COLUMNS": str(request.width), "TERM": "dumb", "PYTHONUNBUFFERED": "1"}
        return {**kept, **plain, **self._environment}


async def _pass_on(stream: asyncio.StreamReader | None, heard: _Heard) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while stream is not None and (data := await stream.read(_CHUNK)):
        heard(decoder.decode(data))


async def _kept(stream: asyncio.StreamReader | None) -> str:
    kept = bytearray()
    while stream is not None and (data := await stream.read(_CHUNK)):
        kept += data
        del kept[:-_STDERR_KEPT]
    return kept.decode(errors="replace")


class _Heard:
    """Passes text on until nobody listens any more."""

    def __init__(self, say: Say) -> None:
        self._say: Say | None = say

    def __call__(self, text: str) -> None:
        if self._say is not None and text:
            self._say(text)

    def stop(self) -> None:
        """Nobody listens any more."""
        self._say = None
