"""The gateway's own SSH connection to a lab's sshd, over a stream that the engine opened."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

import asyncssh

from phi_labs.engine.stream import ExecStream
from phi_labs.errors import EngineError, PhiLabsError, UserError
from phi_labs.gateway.directory import Stream, Target
from phi_labs.gateway.keys import CIPHERS, EXCHANGES, MACS

LOGIN_DEADLINE = 20.0
_WAY_ON = "`rescue` opens a root console, if you locked yourself out"
_HEADER = 8
_STDERR = 2
_STDERR_KEPT = 2048
_CHUNK = 256 * 1024

Hear = Callable[[bytes, bool], None]


class Deframer:
    """Takes the engine's frames apart: 8 bytes of header (kind, three zeros, length), then the data.

    Args:
        hear: called with data, and whether it is standard error.
    """

    def __init__(self, hear: Hear) -> None:
        self._hear = hear
        self._header = bytearray()
        self._left = 0
        self._stderr = False

    def feed(self, data: bytes) -> None:
        """The next bytes of the stream, cut anywhere."""
        view = memoryview(data)
        while view:
            if not self._left:
                take = _HEADER - len(self._header)
                self._header += view[:take]
                view = view[take:]
                if len(self._header) < _HEADER:
                    return
                kind, self._left = struct.unpack(">BxxxI", self._header)
                self._stderr = kind == _STDERR
                self._header.clear()
                continue
            part = view[: self._left]
            self._left -= len(part)
            view = view[len(part) :]
            self._hear(bytes(part), self._stderr)


class Wire(asyncio.Protocol):
    """An asyncio protocol behind the engine's framing: what it is told is standard output only."""

    def __init__(self, inner: asyncio.Protocol) -> None:
        self._inner = inner
        self._deframer = Deframer(self._hear)
        self.stderr = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass it on."""
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Take the frames apart."""
        self._deframer.feed(data)

    def _hear(self, data: bytes, is_stderr: bool) -> None:
        if is_stderr:
            self.stderr = (self.stderr + data)[:_STDERR_KEPT]
        else:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on."""
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass it on."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._inner.resume_writing()


class _Way:
    """What asyncssh takes for a tunnel: something that joins its connection to a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.wire: Wire | None = None
        self.taken = False

    async def create_connection(
        self, factory: Callable[[], asyncio.Protocol], _host: str, _port: int
    ) -> tuple[asyncio.BaseTransport, asyncio.Protocol]:
        """Join a new connection to the stream."""
        inner = factory()
        self.wire = Wire(inner) if self._stream.framed else None
        outer = self.wire or inner
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: outer, sock=self._stream.sock
        )
        self.taken = True
        return transport, inner


async def connect(target: Target) -> asyncssh.SSHClientConnection:
    """Log in to a lab's sshd as its trainee.

    Nothing of the gateway's own account is used: no ssh_config, no agent, no other key. Whatever the
    machine asks for in return (it is the trainee's) is refused by asyncssh's defaults.

    Raises:
        UserError: no sshd answers, or it refuses the run's own key.
        EngineError: no stream to it could be opened.
    """
    stream = await target.open()
    way = _Way(stream)
    try:
        async with asyncio.timeout(LOGIN_DEADLINE):
            return await _logged_in(target, way)
    except TimeoutError as error:
        raise UserError("the machine's SSH server does not answer", _WAY_ON) from error
    except asyncssh.PermissionDenied as error:
        raise UserError(
            "the machine refuses the login: its SSH server no longer takes your key", _WAY_ON
        ) from error
    except asyncssh.HostKeyNotVerifiable as error:
        raise UserError("the machine answers with another host key than it was made with", _WAY_ON) from error
    except (OSError, asyncssh.Error) as error:
        said = way.wire.stderr.decode(errors="replace").strip() if way.wire else ""
        reason = said.splitlines()[0] if said else str(error)
        raise UserError(f"no SSH server answers on the machine ({reason})", _WAY_ON) from error
    finally:
        if not way.taken:  # nobody will ever close it
            stream.sock.close()


async def _logged_in(target: Target, way: _Way) -> asyncssh.SSHClientConnection:
    options: dict[str, Any] = {
        "tunnel": way,
        "config": None,
        "username": target.login,
        "client_keys": [asyncssh.import_private_key(target.key)],
        "known_hosts": ([asyncssh.import_public_key(target.host_key)], [], []),
        "server_host_key_algs": ["ssh-ed25519"],
        "preferred_auth": "publickey",
        "agent_path": None,
        "gss_host": None,
        "kex_algs": EXCHANGES,
        "encryption_algs": CIPHERS,
        "mac_algs": MACS,
        "compression_algs": ["none"],
        # nc does not end when sshd does, but when it is told something for an sshd that is no more. A run
        # may stand still for a while (a capture), so only many unanswered questions end it.
        "keepalive_interval": 15,
        "keepalive_count_max": 8,
    }
    return await asyncssh.connect("lab", 22, **options)


# -- engines that the SDK has to speak to -------------------------------------------------------


def pumped(stream: ExecStream) -> socket.socket:
    """The near end of a pair whose far end two threads join to a stream that asyncio cannot wait for.

    For TLS and ssh engines, whose sockets are objects of the SDK. The threads end when either side does.
    """
    near, far = socket.socketpair()
    stream.settimeout(None)

    def out() -> None:
        try:
            while data := stream.recv(_CHUNK):
                far.sendall(data)
        except OSError:
            pass  # the gateway hung up first
        _shut(far)

    def back() -> None:
        try:
            while data := far.recv(_CHUNK):
                stream.sendall(data)
        except OSError:
            pass  # the machine's side ended first
        stream.end_input()
        thread.join(LOGIN_DEADLINE)
        stream.close()
        far.close()

    thread = threading.Thread(target=out, daemon=True, name="gateway-out")
    thread.start()
    threading.Thread(target=back, daemon=True, name="gateway-back").start()
    return near


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def as_problem(error: Exception) -> PhiLabsError:
    """Whatever went wrong on the way to a machine, in words for a trainee."""
    if isinstance(error, PhiLabsError):
        return error
    return EngineError(
        f"the machine cannot be reached ({type(error).__name__})", "try again, then tell your trainer"
    )
