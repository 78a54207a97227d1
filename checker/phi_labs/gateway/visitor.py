"""One connection of a client: logging in, then its sessions and forwarded connections."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import shlex
import time
from collections.abc import Awaitable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import asyncssh

from phi_labs.errors import PhiLabsError, UserError
from phi_labs.gateway.commands import Speaker, choose_host, choose_lab, parse_command
from phi_labs.gateway.console import carry_console
from phi_labs.gateway.directory import LabView, User
from phi_labs.gateway.door import Door, Kind
from phi_labs.gateway.enrolment import Challenge, Enrolment
from phi_labs.gateway.keys import fingerprint, key_line
from phi_labs.gateway.limits import network_of
from phi_labs.gateway.menu import Menu
from phi_labs.gateway.names import Login, parse_login
from phi_labs.gateway.relay import Pipe, carry
from phi_labs.gateway.uplink import as_problem, connect
from phi_labs.gateway.words import USAGE, no_such_host, no_such_lab, problem

if TYPE_CHECKING:
    from phi_labs.gateway.server import Gateway

KEYS_TRIED = 20  # of one connection: agents may hold many
CODES_ASKED = 3  # of one connection, which is what OpenSSH's client tries
LAST_WORDS = 1.0  # seconds for a client to close what we have ended
PROHIBITED = asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED


class Visitor(asyncssh.SSHServer):
    """A client's connection.

    Attributes:
        login: who, and where to; nobody before the first try.
        seen: when something last came from the client (monotonic).
        busy: whether the client waits for something that takes its time.
        gone: set when the connection is closed.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.login = Login("")
        self.seen = time.monotonic()
        self.gone = asyncio.Event()
        self._began = self.seen
        self._working = 0
        self._conn: asyncssh.SSHServerConnection | None = None
        self._address = self._network = ""
        self._waits = False  # counted as not logged in yet
        self._admitted = False
        self._refusal = ""
        self._by = ""
        self._tries = self._asked = 0
        self._enrolment: Enrolment | None = None
        self._doors: set[Door] = set()
        self._pipes = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._lab: asyncio.Task[asyncssh.SSHClientConnection] | None = None
        self._contacts: list[str] = []
        self._moved = 0

    # -- coming ------------------------------------------------------------------------------

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Somebody connected: too many, or from a locked address, are dropped at once."""
        self._conn = conn
        peer = conn.get_extra_info("peername")
        self._address = str(peer[0]) if peer else "?"
        self._network = network_of(self._address)
        self._gateway.arrived(self)
        reason = self._gateway.guard.arrive(self._network)
        if reason:
            self._gateway.log.line("refused", **{"from": self._address, "why": reason})
            conn.abort()
            return
        self._waits = True

    async def begin_auth(self, username: str) -> bool:
        """Everybody has to prove who they are, known or not."""
        self.login = parse_login(username)
        if not self._gateway.guard.may_try(self._network, self.login.user):
            self._refuse("locked after failures")
        return True

    def public_key_auth_supported(self) -> bool:
        """Keys, first of all."""
        return True

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Whether a key is one of the user's; asyncssh checks the signature."""
        self._tries += 1
        if self._tries > KEYS_TRIED:
            self._refuse("too many keys")
            return False
        self._enrolling().offered(key)
        user = await self._user(parse_login(username).user)
        if user is None or key_line(key) not in user.keys:
            return False
        self._by = fingerprint(key)
        return True

    async def _user(self, name: str) -> User | None:
        try:
            return await self._gateway.directory.user(name) if name else None
        except PhiLabsError as error:
            self._gateway.log.line("trouble", about=error.message)
            return None

    def kbdint_auth_supported(self) -> bool:
        """One-time codes; offered to everybody, so that nobody learns who has one."""
        return True

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Awaitable[Challenge]:
        """Ask for the code, a few times: some clients would try for ever."""
        self._asked += 1
        if self._asked > CODES_ASKED:
            self._refuse("too many codes")
        return self._enrolling().ask()

    def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> Awaitable[Challenge]:
        """Take the code, then the key."""
        return self._enrolling().answer(responses)

    def _enrolling(self) -> Enrolment:
        if self._enrolment is None or self._enrolment.user != self.login.user:
            gateway = self._gateway
            self._enrolment = Enrolment(
                gateway.directory, gateway.guard, gateway.log, self.login.user, self._address
            )
        return self._enrolment

    def auth_completed(self) -> None:
        """Logged in: counted, and the way into the lab begun while the client still talks."""
        assert self._conn is not None  # noqa: S101 - asyncssh told us of it first
        # Who was let in, not who was tried last.
        self.login = parse_login(str(self._conn.get_extra_info("username")))
        guard = self._gateway.guard
        self._settle()
        enrolled = self._enrolment.enrolled if self._enrolment else ""
        self._by = f"code, key {enrolled}" if enrolled else self._by
        guard.succeeded(self._network, self.login.user)
        self._refusal = self._gateway.admit(self)
        self._admitted = True
        self._line("login", by=self._by, refused=self._refusal)
        if self.login.lab and not self._refusal:
            self._reach()

    def _refuse(self, why: str) -> None:
        self._line("refused", why=why)
        if self._conn is not None:
            self._conn.abort()

    def _settle(self) -> None:
        if self._waits:
            self._waits = False
            self._gateway.guard.settle(self._network)

    # -- going -------------------------------------------------------------------------------

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed: hang up on the lab, note it."""
        self._settle()
        self._gateway.left(self)
        if self._admitted:
            seconds = round(time.monotonic() - self._began)
            self._line(
                "end", seconds=seconds, moved=self._moved + sum(d.sent + d.received for d in self._doors)
            )
        elif self.login.user and self._tries + (self._enrolment is not None):
            locked = self._gateway.guard.failed(self._network, self.login.user)
            self._line("failed", keys=self._tries, locked="yes" if locked else "")
        for task in self._tasks:
            task.cancel()
        self._keep(self._hang_up())
        self.gone.set()

    async def _hang_up(self) -> None:
        """Close the way into the lab and let go of it; nothing of ours stays there."""
        lab, self._lab = self._lab, None
        if lab is not None:
            lab.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                connection = await lab
                connection.abort()
                await connection.wait_closed()
        contacts, self._contacts = self._contacts, []
        for name in contacts:
            with contextlib.suppress(PhiLabsError):
                await self._gateway.directory.on_leave(self.login.user, name)

    async def finished(self) -> None:
        """Wait until nothing of this connection is left."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def leave(self, why: str) -> None:
        """Say why, and end the connection."""
        self._line("leave", why=why)
        for door in list(self._doors):
            if door.terminal:
                door.say(f"\nphi-labs: {why}; this session ends.\n")
            door.exit(3)
        if self._conn is not None:
            # Clients forget to show what they were told last when they are cut off right behind it.
            later = LAST_WORDS if self._doors else 0.0
            asyncio.get_running_loop().call_later(later, self._conn.close)

    def abort(self) -> None:
        """End the connection at once."""
        if self._conn is not None:
            self._conn.abort()

    # -- at work -----------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether the client waits for something that takes its time."""
        return self._working > 0

    def announce(self, text: str) -> None:
        """Show a message wherever that spoils nothing."""
        for door in list(self._doors):
            if door.listens is not None:
                door.listens(text)

    def session_requested(self) -> Any:
        """A shell, command or transfer."""
        if len(self._doors) + self._pipes >= self._gateway.bounds.channels:
            raise asyncssh.ChannelOpenError(PROHIBITED, "too many sessions in one connection")
        assert self._conn is not None  # noqa: S101 - asyncssh told us of it first
        door = Door(self._begin, subsystems=bool(self.login.lab), touch=self._touch)
        self._doors.add(door)
        return self._conn.create_server_channel(encoding=None), door

    def connection_requested(
        self,
        dest_host: str,
        dest_port: int,
        orig_host: str,
        orig_port: int,
    ) -> Any:
        """``-L``: only to the loopback of the machine itself, and only with a lab in the login."""
        if not self.login.lab:
            raise asyncssh.ChannelOpenError(PROHIBITED, "forwarding needs a lab: USER+LAB@HOST")
        if not _is_loopback(dest_host):
            raise asyncssh.ChannelOpenError(
                PROHIBITED, "only the lab's own loopback can be reached: localhost"
            )
        if self._refusal or len(self._doors) + self._pipes >= self._gateway.bounds.channels:
            raise asyncssh.ChannelOpenError(PROHIBITED, self._refusal or "too many connections in one")
        return self._forward(dest_host, dest_port)

    async def _forward(self, host: str, port: int) -> Pipe:
        lab = await self._reached_for_pipe()
        near, far = _CountedPipe(self), Pipe(self._touch)
        near.join(far)
        try:
            await lab.create_connection(lambda: far, host, port)
        except (OSError, asyncssh.DisconnectError) as error:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, str(error)) from error
        self._pipes += 1
        return near

    async def _reached_for_pipe(self) -> asyncssh.SSHClientConnection:
        try:
            return await asyncio.shield(self._reach())
        except (PhiLabsError, OSError, asyncssh.DisconnectError) as error:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_CONNECT_FAILED, as_problem(error).message
            ) from error

    def pipe_closed(self) -> None:
        """A forwarded connection ended."""
        self._pipes -= 1

    # -- serving doors -----------------------------------------------------------------------

    def _begin(self, door: Door) -> None:
        self._keep(self._serve(door))

    async def _serve(self, door: Door) -> None:
        """Serve a door to its end, and give it an exit code whatever happens."""
        try:
            if self._refusal:
                raise UserError(self._refusal)
            code = await (self._in_lab(door) if self.login.lab else self._outside(door))
            if code is not None:
                door.exit(code)
        except PhiLabsError as error:
            door.say(problem(error), stderr=True)
            door.exit(error.exit_code)
        except (OSError, asyncssh.Error) as error:
            door.say(problem(as_problem(error)), stderr=True)
            door.exit(3)
        finally:
            door.exit(3)  # a task that was cancelled has said nothing
            self._moved += door.sent + door.received
            self._doors.discard(door)

    async def _in_lab(self, door: Door) -> None:
        lab = await asyncio.shield(self._reach())
        if not await carry(lab, door, self._touch):
            raise UserError("the machine refuses this", "its SSH server may be configured so")

    async def _outside(self, door: Door) -> int:
        if door.wish.kind is Kind.SHELL:
            if door.terminal:
                return await Menu(self._gateway.directory, self.login.user, door, self, self._work).run()
            door.say(USAGE.format(user=self.login.user))
            return 0
        return await self._command(door, door.wish.text)

    async def _command(self, door: Door, line: str) -> int:
        command = parse_command(line)
        if command is None or command.name == "quit":
            return 0
        if command.name == "shell":
            user, lab = shlex.quote(self.login.user), command.lab or "LAB"
            raise UserError(
                "a shell needs a lab in the login, not in the command", f"ssh -p PORT {user}+{lab}@HOST"
            )
        if command.name != "rescue":
            speaker = Speaker(self._gateway.directory, self.login.user, door.say, door.columns)
            self._work(True)
            try:
                return await speaker.run(command)
            finally:
                self._work(False)
        if "yes" not in command.options:
            raise UserError(
                "every later scorecard of this run will say that the rescue console was used",
                "--yes opens it",
            )
        lab_view = choose_lab(await self._gateway.directory.labs(self.login.user), command.lab)
        await self.rescue(door, lab_view, choose_host(lab_view, "".join(command.words[:1])))
        return 0

    # -- ways into a machine (menu.Ways) -------------------------------------------------------

    async def shell(self, door: Door, lab: LabView, host: str) -> None:
        """Join the menu's door to a shell in the lab."""
        connection = await self._open_lab(lab.id, host)
        try:
            if not await carry(connection, door, self._touch, from_menu=True):
                raise UserError("the machine refuses this", "its SSH server may be configured so")
        finally:
            connection.abort()
            await connection.wait_closed()
            await self._let_go(lab.id)

    async def rescue(self, door: Door, lab: LabView, host: str) -> None:
        """Join a door to a root console."""
        directory, user = self._gateway.directory, self.login.user
        self._line("rescue", lab=lab.id)
        await self._contact(lab.id)
        try:
            console = await directory.console(user, lab.id, host, door.terminal)
            await carry_console(console, door, lambda: None)
        finally:
            await self._let_go(lab.id)

    def _reach(self) -> asyncio.Task[asyncssh.SSHClientConnection]:
        """The connection's one way into its lab, begun on first use."""
        lost = self._lab is not None and self._lab.done() and _is_lost(self._lab)
        if self._lab is None or lost:
            self._lab = asyncio.ensure_future(self._reach_named())
            self._lab.add_done_callback(_look_at)
        return self._lab

    async def _reach_named(self) -> asyncssh.SSHClientConnection:
        labs = await self._gateway.directory.labs(self.login.user)
        found = next((lab for lab in labs if lab.id == self.login.lab), None)
        if found is None:
            raise no_such_lab(self.login.lab)
        if self.login.host and self.login.host not in found.hosts:
            raise no_such_host(found, self.login.host)
        return await self._open_lab(found.id, self.login.host or found.hosts[0])

    async def _open_lab(self, lab: str, host: str) -> asyncssh.SSHClientConnection:
        directory, user = self._gateway.directory, self.login.user
        await self._contact(lab)
        try:
            return await connect(await directory.target(user, lab, host))
        except BaseException:
            await self._let_go(lab)
            raise

    async def _contact(self, lab: str) -> None:
        await self._gateway.directory.on_contact(self.login.user, lab)
        self._contacts.append(lab)

    async def _let_go(self, lab: str) -> None:
        if lab in self._contacts:
            self._contacts.remove(lab)
            with contextlib.suppress(PhiLabsError):
                await self._gateway.directory.on_leave(self.login.user, lab)

    # -- inside ------------------------------------------------------------------------------

    def _touch(self) -> None:
        self.seen = time.monotonic()

    def _work(self, begins: bool) -> None:
        self._working += 1 if begins else -1
        self._touch()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _line(self, what: str, **facts: object) -> None:
        where = {"user": self.login.user, "lab": self.login.lab, "host": self.login.host}
        self._gateway.log.line(what, **{**where, "from": self._address, **facts})


class _CountedPipe(Pipe):
    """The client's end of a forwarded connection."""

    def __init__(self, visitor: Visitor) -> None:
        super().__init__(visitor._touch)
        self._visitor = visitor

    def connection_lost(self, exc: Exception | None) -> None:
        """So is the other end."""
        super().connection_lost(exc)
        self._visitor.pipe_closed()


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_lost(task: asyncio.Task[asyncssh.SSHClientConnection]) -> bool:
    return task.cancelled() or task.exception() is not None or task.result().is_closed()


def _look_at(task: asyncio.Task[asyncssh.SSHClientConnection]) -> None:
    """Errors are said where somebody waits; with nobody there they are of no interest."""
    if not task.cancelled():
        task.exception()
