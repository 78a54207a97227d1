"""The gateway: who is connected, and everything that concerns more than one connection."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

import asyncssh

from phi_labs.errors import PhiLabsError, UserError
from phi_labs.gateway.directory import Directory
from phi_labs.gateway.keys import CIPHERS, EXCHANGES, MACS, SIGNATURES
from phi_labs.gateway.limits import Bounds, Guard
from phi_labs.gateway.log import Log
from phi_labs.gateway.visitor import Visitor
from phi_labs.gateway.words import message_text

LOOK_AROUND = 1.0  # seconds between looks at messages and idle sessions
GOODBYE = 3.0  # seconds for sessions to end when the gateway stops
BACKLOG = 200


@dataclass
class Gateway:
    """One listening gateway.

    Attributes:
        visitors: logged-in connections.
    """

    directory: Directory
    host_key: asyncssh.SSHKey
    bounds: Bounds = field(default_factory=Bounds)
    log: Log = field(default_factory=lambda: Log(None))

    def __post_init__(self) -> None:
        self.guard = Guard(self.bounds)
        self.visitors: set[Visitor] = set()
        self._everybody: set[Visitor] = set()
        self._server: asyncssh.SSHAcceptor | None = None
        self._rounds: asyncio.Task[None] | None = None
        self._last_message = 0

    # -- life --------------------------------------------------------------------------------

    async def start(self, address: str, port: int) -> int:
        """Listen; return the port, which the system chose when 0 was given.

        Raises:
            UserError: the address cannot be listened on.
        """
        known = await self.directory.messages(0)
        self._last_message = known[-1].number if known else 0
        options: dict[str, Any] = {
            "server_host_keys": [self.host_key],
            "kex_algs": EXCHANGES,
            "encryption_algs": CIPHERS,
            "mac_algs": MACS,
            "signature_algs": SIGNATURES,
            "compression_algs": ["none"],
            "login_timeout": self.bounds.grace,
            "keepalive_interval": self.bounds.keepalive,
            "keepalive_count_max": 3,
            "server_version": "phi-labs",
            "gss_host": None,
            "password_auth": False,
            "host_based_auth": False,
            "agent_forwarding": False,
            "x11_forwarding": False,
            "line_editor": False,
            "allow_scp": False,
        }
        try:
            self._server = await asyncssh.create_server(
                lambda: Visitor(self), address, port, backlog=BACKLOG, **options
            )
        except OSError as error:
            raise UserError(
                f"cannot listen on {address}:{port}: {error.strerror or error}",
                "another program may have the port: --listen ADDRESS:PORT names another",
            ) from error
        self._rounds = asyncio.create_task(self._look_around())
        self.log.line("listening", on=f"{address}:{self._server.get_port()}")
        return self._server.get_port()

    async def stop(self) -> None:
        """Listen no more, tell everybody, end all sessions."""
        if self._rounds is not None:
            self._rounds.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._rounds
        if self._server is not None:
            self._server.close()
        everybody = list(self._everybody)
        for visitor in everybody:
            visitor.leave("the gateway is being stopped")
        if everybody:
            gone = [asyncio.ensure_future(visitor.gone.wait()) for visitor in everybody]
            _, late = await asyncio.wait(gone, timeout=GOODBYE)
            for waiter in late:
                waiter.cancel()
        for visitor in list(self._everybody):
            visitor.abort()
        await asyncio.gather(*(visitor.finished() for visitor in everybody))
        if self._server is not None:
            await self._server.wait_closed()
        self.log.line("stopped")

    # -- visitors ----------------------------------------------------------------------------

    def arrived(self, visitor: Visitor) -> None:
        """Somebody connected."""
        self._everybody.add(visitor)

    def left(self, visitor: Visitor) -> None:
        """A connection ended."""
        self._everybody.discard(visitor)
        self.visitors.discard(visitor)

    def admit(self, visitor: Visitor) -> str:
        """Count a login; why it cannot be served now, empty when it can."""
        mine = sum(1 for other in self.visitors if other.login.user == visitor.login.user)
        if mine >= self.bounds.per_user:
            return f"you have {mine} connections open already: close one of them first"
        if len(self.visitors) >= self.bounds.sessions:
            return "the gateway is full: try again in a minute, then tell your trainer"
        self.visitors.add(visitor)
        return ""

    # -- every second --------------------------------------------------------------------------

    async def _look_around(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AROUND)
            now = time.monotonic()
            for visitor in list(self.visitors):
                if not visitor.busy and now - visitor.seen > self.bounds.idle:
                    visitor.leave(f"nothing happened here for {round(self.bounds.idle / 60)} minutes")
            try:
                await self.pass_on_messages()
            except PhiLabsError as error:
                self.log.line("trouble", about=error.message)

    async def pass_on_messages(self) -> None:
        """Show new messages in the open sessions that they concern."""
        for message in await self.directory.messages(self._last_message):
            self._last_message = max(self._last_message, message.number)
            for visitor in list(self.visitors):
                if message.concerns(visitor.login.user):
                    visitor.announce(message_text(message))
