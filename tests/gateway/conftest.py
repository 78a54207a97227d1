"""A gateway on the loopback over a directory in memory, with labs that are asyncssh servers. No engine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import asyncssh
import pytest
from tests.fakes.engine import frame

from phi_labs.errors import PhiLabsError, UserError
from phi_labs.gateway.directory import Console, LabView, Message, Request, Say, Stream, Target, User
from phi_labs.gateway.limits import Bounds
from phi_labs.gateway.log import Log
from phi_labs.gateway.server import Gateway

T = TypeVar("T")
DEADLINE = 30.0


async def serve_process(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """A machine's shell, as far as tests need one."""
    command, out = process.command, process.stdout
    if command is None:
        await _shell(process)
    elif command.startswith("exit "):
        process.exit(int(command.split()[1]))
    elif command == "env":
        names = ("LANG", "TERM", "SECRET")
        found = {name: process.env.get(name) for name in names} | {"TERM": process.get_terminal_type()}
        out.write(repr(found).encode())
        process.exit(0)
    elif command == "both":
        out.write(b"to stdout\n")
        process.stderr.write(b"to stderr\n")
        process.exit(3)
    elif command == "die":
        process.exit_with_signal("TERM", False, "asked to")
    elif command == "cat":
        while data := await process.stdin.read(65536):
            out.write(data)
        process.exit(0)
    elif command == "wait":
        out.write(b"waiting\n")
        await _wait(process)
    else:
        out.write(f"ran {command}\n".encode())
        process.exit(0)


async def _wait(process: asyncssh.SSHServerProcess[bytes]) -> None:
    while True:
        try:
            if not await process.stdin.read(1):
                process.exit(0)
                return
        except asyncssh.SignalReceived as signal:
            process.stdout.write(f"signal {signal.signal}\n".encode())
        except asyncssh.BreakReceived:
            process.stdout.write(b"break\n")
        except asyncssh.TerminalSizeChanged as size:
            process.stdout.write(f"size {size.width}x{size.height}\n".encode())


async def _shell(process: asyncssh.SSHServerProcess[bytes]) -> None:
    width, height, _, _ = process.get_terminal_size()
    process.stdout.write(f"welcome {width}x{height}\r\n$ ".encode())
    line = b""
    while True:
        try:
            data = await process.stdin.read(1024)
        except asyncssh.TerminalSizeChanged as size:
            process.stdout.write(f"size {size.width}x{size.height}\r\n".encode())
            continue
        if not data:
            process.exit(0)
            return
        process.stdout.write(data)
        line += data
        if b"exit" in line:
            process.exit(5)
            return


class LabServer(asyncssh.SSHServer):
    """A machine's sshd; counts who is connected."""

    def __init__(self, lab: FakeLab) -> None:
        self._lab = lab

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._lab.open_now += 1
        self._lab.connections.append(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lab.open_now -= 1

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        self._lab.forwarded.append((dest_host, dest_port))
        return True


@dataclass
class FakeLab:
    """One machine: an asyncssh server at the far end of socket pairs."""

    root: Path
    key: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    host_key: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    open_now: int = 0
    opened: int = 0
    forwarded: list[tuple[str, int]] = field(default_factory=list)
    connections: list[asyncssh.SSHServerConnection] = field(default_factory=list)
    fails: PhiLabsError | None = None
    framed: bool = False
    pumps: set[asyncio.Task[None]] = field(default_factory=set)

    async def open(self) -> Stream:
        if self.fails is not None:
            raise self.fails
        self.opened += 1
        near, far = socket.socketpair()
        self.pumps.add(asyncio.get_running_loop().create_task(self._serve(far)))
        if self.framed:
            near = await framed(near, self.pumps)
        near.setblocking(False)
        return Stream(near, self.framed)

    async def _serve(self, far: socket.socket) -> None:
        with contextlib.suppress(asyncssh.Error, OSError):
            await asyncssh.run_server(
                far,
                server_factory=lambda: LabServer(self),
                server_host_keys=[self.host_key],
                authorized_client_keys=asyncssh.import_authorized_keys(
                    self.key.export_public_key("openssh").decode()
                ),
                process_factory=serve_process,
                sftp_factory=lambda chan: asyncssh.SFTPServer(chan, chroot=str(self.root).encode()),
                encoding=None,
                line_editor=False,
                gss_host=None,
            )

    def target(self) -> Target:
        return Target(
            "itops",
            self.key.export_private_key("openssh").decode(),
            self.host_key.export_public_key("openssh").decode(),
            self.open,
        )


async def framed(plain: socket.socket, pumps: set[asyncio.Task[None]]) -> socket.socket:
    """A socket that says what ``plain`` says, in the engine's frames, as the engine does."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=plain)
    back_reader, back_writer = await asyncio.open_connection(sock=theirs)

    async def out() -> None:
        while data := await reader.read(1000):
            back_writer.write(frame(data) + frame(b"noise", 2))
        back_writer.close()

    async def back() -> None:
        while data := await back_reader.read(65536):
            writer.write(data)
        writer.close()

    loop = asyncio.get_running_loop()
    pumps |= {loop.create_task(out()), loop.create_task(back())}
    return ours


@dataclass
class FakeConsole:
    """A root console that echoes."""

    stream: Stream
    far: socket.socket
    sizes: list[tuple[int, int]] = field(default_factory=list)
    closed: bool = False

    async def resize(self, rows: int, columns: int) -> None:
        self.sizes.append((rows, columns))

    async def close(self) -> None:
        self.closed = True
        self.far.close()


@dataclass
class FakeDirectory:
    """Users, labs and messages in memory; notes what it is asked."""

    users: dict[str, User] = field(default_factory=dict)
    machines: dict[tuple[str, str], dict[str, FakeLab]] = field(default_factory=dict)
    due: dict[str, datetime] = field(default_factory=dict)
    sent: list[Message] = field(default_factory=list)
    codes: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, Request]] = field(default_factory=list)
    contacts: Counter[tuple[str, str]] = field(default_factory=Counter)
    resumed: list[tuple[str, str]] = field(default_factory=list)
    consoles: list[FakeConsole] = field(default_factory=list)
    slow: asyncio.Event | None = None
    finished: list[str] = field(default_factory=list)
    tale: str = ""

    async def user(self, name: str) -> User | None:
        return self.users.get(name)

    async def labs(self, user: str) -> Sequence[LabView]:
        return [
            LabView(lab, f"About {lab}", "ready", tuple(hosts), self.due.get(lab))
            for (owner, lab), hosts in self.machines.items()
            if owner == user
        ]

    async def story(self, user: str) -> str:
        return self.tale

    async def target(self, user: str, lab: str, host: str) -> Target:
        return self.machines[(user, lab)][host].target()

    async def act(self, user: str, request: Request, say: Say) -> int:
        self.requests.append((user, request))
        if self.slow is not None:
            await asyncio.shield(asyncio.ensure_future(self._slowly(request.lab, self.slow)))
        say(f"{request.verb} of {request.lab}: see phi-labs grade {request.lab} --trainee {user}\n")
        return 1 if request.verb == "grade" else 0

    async def _slowly(self, lab: str, until: asyncio.Event) -> None:
        await until.wait()
        self.finished.append(lab)

    async def console(self, user: str, lab: str, host: str, terminal: str) -> Console:
        near, far = socket.socketpair()
        console = FakeConsole(Stream(near, framed=False), far)
        far.sendall(b"# ")
        self.consoles.append(console)
        return console

    async def on_contact(self, user: str, lab: str) -> None:
        self.contacts[(user, lab)] += 1
        self.resumed.append((user, lab))

    async def on_leave(self, user: str, lab: str) -> None:
        self.contacts[(user, lab)] -= 1

    async def messages(self, after: int) -> Sequence[Message]:
        return [message for message in self.sent if message.number > after]

    async def code_fits(self, user: str, code: str) -> bool:
        return user in self.codes and self.codes[user] == code

    async def enrol(self, user: str, code: str, key: str) -> bool:
        if not await self.code_fits(user, code):
            return False
        del self.codes[user]
        self.users[user] = User(user, (*self.users[user].keys, key))
        return True

    def say(self, text: str, to: str = "") -> None:
        at = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
        self.sent.append(Message(len(self.sent) + 1, at, text, to))


@dataclass
class World:
    """A running gateway, its directory, and keys of its users.

    Attributes:
        work: run a coroutine in the gateway's event loop.
    """

    directory: FakeDirectory
    gateway: Gateway
    port: int
    folder: Path
    keys: dict[str, asyncssh.SSHKey]
    loop: asyncio.AbstractEventLoop

    def work(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(DEADLINE)

    def log(self) -> str:
        return (self.folder / "gateway.log").read_text()

    def ssh(self, login: str, *words: str, key: str = "alice", options: Sequence[str] = ()) -> list[str]:
        """A command line of OpenSSH's client, with nothing of this machine's own configuration."""
        return [
            "ssh", "-F", "/dev/null", "-i", str(self.folder / key), "-p", str(self.port),
            *options, *self.options(), f"{login}@127.0.0.1", *words,
        ]  # fmt: skip

    def options(self) -> list[str]:
        settings = (
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "StrictHostKeyChecking=accept-new",
            f"UserKnownHostsFile={self.folder / 'known_hosts'}",
            "BatchMode=yes",
            "LogLevel=ERROR",
        )
        return [word for setting in settings for word in ("-o", setting)]

    def run(
        self, login: str, *words: str, key: str = "alice", options: Sequence[str] = (), data: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self.ssh(login, *words, key=key, options=options),
            input=data,
            capture_output=True,
            timeout=DEADLINE,
            check=False,
        )

    @asynccontextmanager
    async def login(
        self, login: str, user: str = "alice", **more: Any
    ) -> AsyncIterator[asyncssh.SSHClientConnection]:
        """An asyncssh client, inside the gateway's loop or another."""
        options: dict[str, Any] = {
            "config": None,
            "username": login,
            "client_keys": [self.keys[user]],
            "known_hosts": None,
            "agent_path": None,
            "gss_host": None,
        }
        client = await asyncssh.connect("127.0.0.1", self.port, **{**options, **more})
        try:
            yield client
        finally:
            client.close()
            await client.wait_closed()


MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[MakeWorld]:
    """``make_world(bounds)``: a gateway in a thread of its own; all of it is gone afterwards."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    worlds: list[World] = []

    def make(bounds: Bounds | None = None) -> World:
        for name in ("labs", "alice", "bob"):
            (tmp_path / name).mkdir() if name == "labs" else None
        keys = {name: asyncssh.generate_private_key("ssh-ed25519") for name in ("alice", "bob", "eve")}
        for name, key in keys.items():
            (tmp_path / name).write_bytes(key.export_private_key("openssh"))
            (tmp_path / name).chmod(0o600)
            (tmp_path / f"{name}.pub").write_bytes(key.export_public_key("openssh"))
        directory = FakeDirectory()
        for name in ("alice", "bob"):
            line = " ".join(keys[name].export_public_key("openssh").decode().split()[:2])
            directory.users[name] = User(name, (line,))
        directory.users["carol"] = User("carol")
        root = tmp_path / "labs"
        directory.machines[("alice", "log-access")] = {"ehr1": FakeLab(root)}
        directory.machines[("alice", "pair")] = {"front": FakeLab(root), "store": FakeLab(root)}
        directory.machines[("bob", "temp-phi")] = {"desk1": FakeLab(root)}
        log = Log(tmp_path / "gateway.log")
        host_key = asyncssh.generate_private_key("ssh-ed25519")
        gateway = Gateway(directory, host_key, bounds or Bounds(), log)
        world = World(directory, gateway, 0, tmp_path, keys, loop)
        world.port = world.work(gateway.start("127.0.0.1", 0))
        worlds.append(world)
        return world

    try:
        yield make
    finally:
        for world in worlds:
            world.work(world.gateway.stop())
            world.gateway.log.close()
            world.work(_quiet(world))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(DEADLINE)
        loop.close()


async def _quiet(world: World) -> None:
    """Let the fake machines end, too."""
    for machines in world.directory.machines.values():
        for lab in machines.values():
            for connection in lab.connections:
                connection.abort()
                await connection.wait_closed()
    mine = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not mine]
    if others:
        await asyncio.wait(others, timeout=5)
    await asyncio.sleep(0)


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A gateway with alice (two labs), bob (one) and carol, who has no key yet."""
    return make_world()


def descriptors() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are all that is wanted


def no_lab(name: str) -> UserError:
    """For comparing words."""
    return UserError(f"you have no lab {name!r}")
