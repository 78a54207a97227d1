"""The directory of a single machine: a file of users, and the runs in this state directory."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from phi_labs.engine.docker import Engine
from phi_labs.engine.plain_http import NotRunning, open_exec, plain_address
from phi_labs.engine.stream import ExecStream
from phi_labs.errors import EngineError, MissingObject, PhiLabsError, UserError
from phi_labs.gateway import inside
from phi_labs.gateway.codes import Codes
from phi_labs.gateway.directory import LabView, Message, Request, Say, Stream, Target, User
from phi_labs.gateway.errands import Errands
from phi_labs.gateway.uplink import pumped
from phi_labs.gateway.users import Users
from phi_labs.gateway.words import no_such_lab
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.runs import list_runs
from phi_labs.lifecycle.ssh_config import alias
from phi_labs.lifecycle.state import State
from phi_labs.model.content import find_lab
from phi_labs.model.run import Run
from phi_labs.model.scorecard import Scorecard

T = TypeVar("T")
THREADS = 16  # for calls of the engine
READERS = 4  # for files
LABS_KEPT = 1.0  # seconds for which the engine's listing is believed
CAPTURE_DEADLINE = 20.0  # a grading freezes a run while it captures, mostly for milliseconds
_GONE = "tell your trainer; `reset` of the lab makes a fresh machine"


def gateway_folder(state: State) -> Path:
    """Where the gateway keeps its host key, codes, uploaded keys, messages and log."""
    folder = state.root / "gateway"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def codes_of(state: State) -> Codes:
    """The one-time codes of this installation."""
    return Codes(state, gateway_folder(state) / "codes.json")


def users_of(state: State, path: Path) -> Users:
    """A file's users with what they uploaded to this installation."""
    return Users(state, path, gateway_folder(state) / "keys.json")


def send_message(state: State, text: str, to: str = "") -> Message:
    """Leave a message for one trainee, or for everybody; open sessions show it within two seconds."""
    path = gateway_folder(state) / "messages.jsonl"
    with state.lock("gateway-messages"):
        number = len(path.read_bytes().splitlines()) + 1 if path.exists() else 1
        message = Message(number, datetime.now(UTC), text, to)
        line = json.dumps({"number": number, "at": message.at.isoformat(), "text": text, "to": to})
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(line + "\n")
    return message


class InstallationDirectory:
    """Users of a file, and the runs that ``phi-labs start`` made for them.

    Args:
        program: how ``phi-labs`` is called in a process of its own; empty for the one that runs.
    """

    def __init__(self, installation: Installation, users: Users, program: Sequence[str] = ()) -> None:
        self._installation, self._users = installation, users
        self._state = installation.state
        self._codes = codes_of(self._state)
        environment = {"PHI_LABS_STATE": str(self._state.root)}
        if installation.content is not None:
            environment["PHI_LABS_CONTENT"] = str(installation.content)
        self._errands = Errands(environment, program)
        # Apart: an engine that hangs must not keep anybody from logging in.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="gateway")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="gateway-files")
        self._engine_lock = threading.Lock()  # the SDK's connections are not made for several threads
        self._contacts: Counter[tuple[str, str]] = Counter()
        self._listing: tuple[float, dict[tuple[str, str], str]] = (0.0, {})

    async def close(self) -> None:
        """Wait for gradings that were begun, and let go of the threads."""
        await self._errands.close()
        self._threads.shutdown(cancel_futures=True)
        self._readers.shutdown()

    async def _aside(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _read(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    # -- who ---------------------------------------------------------------------------------

    async def user(self, name: str) -> User | None:
        """That user of the file."""
        return await self._read(partial(self._users.find, name))

    async def code_fits(self, user: str, code: str) -> bool:
        """Whether a one-time code is that user's, unused and not expired."""
        return await self._read(lambda: self._users.find(user) is not None and self._codes.fits(user, code))

    async def enrol(self, user: str, code: str, key: str) -> bool:
        """Use the code up and keep the key."""

        def both() -> bool:
            if not self._codes.use(user, code):
                return False
            self._users.add_key(user, key)
            return True

        return await self._read(both)

    # -- which labs --------------------------------------------------------------------------

    async def labs(self, user: str) -> Sequence[LabView]:
        """The trainee's runs."""
        return await self._aside(partial(self._labs, user))

    def _labs(self, user: str) -> list[LabView]:
        runs = [run for run in self._state.runs() if run.trainee == user]
        states = self._states() if runs else {}
        return [self._view(run, states.get((run.trainee, run.lab), "gone")) for run in runs]

    def _view(self, run: Run, state: str) -> LabView:
        try:
            title = find_lab(run.lab, self._installation.content).title
        except UserError:
            title = run.lab  # content that went bad meanwhile is no reason to hide the run
        return LabView(run.lab, title, state, tuple(run.containers), score=self._score(run))

    def _score(self, run: Run) -> str:
        attempts = self._state.attempts(run.trainee, run.lab)
        if not attempts or not attempts[-1].scorecard.exists():
            return ""
        card = Scorecard.from_json(attempts[-1].scorecard.read_text(encoding="utf-8"))
        return f"{card.score} of {card.points}"

    def _states(self) -> dict[tuple[str, str], str]:
        """State of every run of the installation, from one listing."""
        with self._engine() as engine:
            at, known = self._listing
            if time.monotonic() - at < LABS_KEPT:
                return known
            installation = Installation(self._state, content=self._installation.content)
            installation.__dict__["engine"] = engine
            found = {(item.trainee, item.lab): item.state.value for item in list_runs(installation)}
            self._listing = (time.monotonic(), found)
            return found

    @contextmanager
    def _engine(self) -> Iterator[Engine]:
        with self._engine_lock:
            yield self._installation.engine

    # -- into a machine ----------------------------------------------------------------------

    async def story(self, user: str) -> str:
        """None: whoever starts labs one by one is told by their briefs."""
        return ""

    async def target(self, user: str, lab: str, host: str) -> Target:
        """How to reach a machine: key and host key of the run, a fresh exec for every connection."""
        run = await self._read(partial(self._run, user, lab))
        folder = self._state.run_folder(user, lab)
        machine = find_lab(lab, self._installation.content).host(host)
        known = await self._read(partial(folder.known_hosts.read_text, encoding="utf-8"))
        name = alias(lab, host, len(run.containers))
        lines = {line.split()[0]: line.split(maxsplit=1)[1] for line in known.splitlines() if line.strip()}
        container = run.containers[host]
        return Target(
            login=machine.login,
            key=await self._read(partial(folder.key.read_text, encoding="utf-8")),
            host_key=lines[name],
            open=lambda: self._open(container, inside.to_sshd()),
        )

    def _run(self, user: str, lab: str) -> Run:
        run = self._state.load_run(user, lab)
        if run is None:
            raise no_such_lab(lab)
        return run

    async def _open(self, container: str, argv: Sequence[str]) -> Stream:
        return await self._aside(partial(self._opened, container, argv))

    def _opened(self, container: str, argv: Sequence[str]) -> Stream:
        address = plain_address()
        try:
            if address is not None:
                stream = open_exec(address, container, argv)
                return Stream(_taken(stream), framed=True)
            with self._engine() as engine:
                return Stream(pumped(engine.exec_stream(container, argv)), framed=False)
        except MissingObject as error:
            raise UserError("the machine was removed from outside", _GONE) from error
        except NotRunning as error:
            raise UserError("the machine is stopped", "tell your trainer, who can start it again") from error

    async def console(self, user: str, lab: str, host: str, terminal: str) -> ExecConsole:
        """A root console; noted on later scorecards before it opens."""
        run = await self._read(partial(self._run, user, lab))
        await self._read(partial(self._state.flag, user, lab, "rescue"))
        return await self._aside(partial(self._console, run.containers[host], terminal))

    def _console(self, container: str, terminal: str) -> ExecConsole:
        shell, watch = inside.console(terminal)
        engine = self._installation.engine.reconnected()
        watching = engine.exec_stream(container, watch)
        try:
            stream = engine.exec_stream(container, shell, tty=bool(terminal))
        except BaseException:
            watching.close()
            engine.close()
            raise
        plain = plain_address() is not None
        sock = _taken(stream) if plain else pumped(stream)
        return ExecConsole(
            Stream(sock, framed=plain and not terminal), engine, stream.exec_id, watching, self._aside
        )

    # -- contact -----------------------------------------------------------------------------

    async def on_contact(self, user: str, lab: str) -> None:
        """Resume the run if it is paused, but not in the middle of a grading's capture."""
        run = await self._read(partial(self._run, user, lab))
        await self._aside(partial(self._resume, run))
        self._contacts[(user, lab)] += 1

    async def on_leave(self, user: str, lab: str) -> None:
        """One contact less."""
        self._contacts[(user, lab)] -= 1
        if self._contacts[(user, lab)] <= 0:
            del self._contacts[(user, lab)]

    def contacts(self, user: str, lab: str) -> int:
        """How many connections enter a lab right now."""
        return self._contacts[(user, lab)]

    def _resume(self, run: Run) -> None:
        for host, container in run.containers.items():
            until = time.monotonic() + CAPTURE_DEADLINE
            while self._status(container, host) == "paused" and time.monotonic() < until:
                if self._is_graded(run):
                    time.sleep(0.02)  # the engine has no way to wait for the end of a pause
                else:
                    self._unpause(container)
            if time.monotonic() > until:
                self._unpause(container)

    def _unpause(self, container: str) -> None:
        with self._engine() as engine:
            try:
                engine.unpause(container)
            except EngineError:
                if engine.inspect(container).status == "paused":  # else somebody was faster
                    raise

    def _status(self, container: str, host: str) -> str:
        try:
            with self._engine() as engine:
                state = engine.inspect(container)
        except MissingObject as error:
            raise UserError(f"machine {host} was removed from outside", _GONE) from error
        if state.status not in {"running", "paused"}:
            raise UserError(f"machine {host} is stopped", "tell your trainer, who can start it again")
        return state.status

    def _is_graded(self, run: Run) -> bool:
        """Whether a grading of this run is going on: it holds a lock for its lifetime."""
        path = self._state.lock_file(f"grade-{run.id}")
        if not path.exists():
            return False
        try:
            with path.open("a") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False

    # -- actions -----------------------------------------------------------------------------

    async def act(self, user: str, request: Request, say: Say) -> int:
        """Have our own command line do it; it is finished also when the caller is cancelled."""
        return await self._errands.run(user, request, say)

    # -- messages ----------------------------------------------------------------------------

    async def messages(self, after: int) -> Sequence[Message]:
        """Messages with higher numbers."""
        return await self._read(partial(self._messages, after))

    def _messages(self, after: int) -> list[Message]:
        path = gateway_folder(self._state) / "messages.jsonl"
        if not path.exists():
            return []
        found = []
        for line in path.read_text(encoding="utf-8").splitlines()[after:]:
            with contextlib.suppress(ValueError, KeyError):  # a line that is being written
                data = json.loads(line)
                at = datetime.fromisoformat(data["at"])
                found.append(Message(data["number"], at, data["text"], data["to"]))
        return found


@dataclass(frozen=True)
class ExecConsole:
    """A root console over an exec, and the exec that ends it when we are gone."""

    stream: Stream
    engine: Engine
    exec_id: str
    watching: ExecStream
    aside: Callable[[Callable[[], None]], object]

    async def resize(self, rows: int, columns: int) -> None:
        """The trainee's window changed."""
        with contextlib.suppress(PhiLabsError):
            await asyncio.to_thread(self.engine.exec_resize, self.exec_id, rows, columns)

    async def close(self) -> None:
        """Hang up on whatever has the console's terminal."""
        self.watching.close()
        await asyncio.to_thread(self.engine.close)


def _taken(stream: ExecStream) -> socket.socket:
    """The stream's socket as asyncio wants it; the stream itself is let go."""
    sock = socket.socket(fileno=os.dup(stream.fileno()))
    stream.close()
    sock.setblocking(False)
    return sock
