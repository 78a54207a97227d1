"""SSH as a user has it: paramiko over an exec stream into a machine that has no network."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from phi_labs.engine.stream import ExecStream
from phi_labs.errors import ProbeError

if TYPE_CHECKING:
    import paramiko

LOGIN_DEADLINE = 10.0
OUTPUT_LIMIT = 1 << 20
LAST_WORDS = 0.5  # seconds


@dataclass(frozen=True)
class SshResult:
    """How a command over SSH ended."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class SshSession:
    """A logged-in connection."""

    def __init__(self, transport: paramiko.Transport) -> None:
        self._transport = transport

    def run(self, command: str, *, stdin: bytes = b"", timeout: float = 20.0) -> SshResult:
        """Run a command line in the user's shell.

        Raises:
            AssertionError: the machine lets the user in, but runs nothing for them.
            TimeoutError: it did not end within ``timeout`` seconds.
        """
        import paramiko  # noqa: PLC0415 - 150 ms

        try:
            channel = self._transport.open_session(timeout=LOGIN_DEADLINE)
            channel.settimeout(timeout)
            channel.exec_command(command)
        except (paramiko.SSHException, EOFError) as error:
            raise AssertionError(f"a log-in over SSH can run nothing ({type(error).__name__})") from error
        try:
            return _finish(channel, stdin, time.monotonic() + timeout)
        finally:
            channel.close()


@contextmanager
def ssh_session(
    stream: ExecStream, user: str, *, key: str | None = None, password: str | None = None
) -> Iterator[SshSession]:
    """Log in over ``stream``.

    Raises:
        AssertionError: the machine refused the login (an outcome that checks expect).
    """
    import paramiko  # noqa: PLC0415 - 150 ms

    # An exec stream has the methods of a socket that paramiko uses.
    transport = paramiko.Transport(cast(Any, stream))
    try:
        transport.start_client(timeout=LOGIN_DEADLINE)
        if key is not None:
            pair = paramiko.Ed25519Key.from_private_key(io.StringIO(key))
            transport.auth_publickey(user, pair)
        else:
            transport.auth_password(user, password or "")
    except (paramiko.SSHException, EOFError, OSError) as error:
        transport.close()
        raise AssertionError(f"{user} cannot log in over SSH ({type(error).__name__})") from error
    try:
        yield SshSession(transport)
    finally:
        transport.close()


def login_methods(stream: ExecStream, user: str) -> frozenset[str]:
    """By what the server over ``stream`` lets a user prove who they are.

    Raises:
        AssertionError: it lets them in without any proof, or does not answer.
    """
    import paramiko  # noqa: PLC0415 - 150 ms

    transport = paramiko.Transport(cast(Any, stream))
    try:
        transport.start_client(timeout=LOGIN_DEADLINE)
        transport.auth_none(user)
    except paramiko.BadAuthenticationType as answer:
        return frozenset(answer.allowed_types)
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise AssertionError(f"sshd does not answer {user} ({type(error).__name__})") from error
    else:
        raise AssertionError(f"{user} is let in over SSH without any proof")
    finally:
        transport.close()


class Login:
    """A login under way in a thread: a handshake takes as long as much of a grading."""

    def __init__(
        self, stream: ExecStream, user: str, *, key: str, command: str = "true", stdin: bytes = b""
    ) -> None:
        self._refused: BaseException | None = None
        self._result: SshResult | None = None
        arguments = (stream, user, key, command, stdin)
        self._thread = threading.Thread(target=self._do, args=arguments, daemon=True)
        self._thread.start()

    def wait(self) -> SshResult:
        """Wait for its end; how the command ended.

        Raises:
            AssertionError: the machine refused the login, or the command ``true`` failed.
            TimeoutError: the command did not end in time.
        """
        self._thread.join()
        if self._refused is not None:
            raise self._refused
        if self._result is None:
            raise ProbeError("a login ended without a result")
        return self._result

    def _do(self, stream: ExecStream, user: str, key: str, command: str, stdin: bytes) -> None:
        try:
            with ssh_session(stream, user, key=key) as session:
                done = session.run(command, stdin=stdin)
            assert command != "true" or done.exit_code == 0, f"{user} logs in over SSH, but can run nothing"
            self._result = done
        except BaseException as error:  # raised again by the one that waits
            self._refused = error


def _finish(channel: paramiko.Channel, stdin: bytes, until: float) -> SshResult:
    """Feed and read a channel to its end; reading while writing, so that neither side waits for ever."""
    stdout, stderr = bytearray(), bytearray()
    pending = stdin
    closed_input = False
    while True:
        if time.monotonic() > until and not channel.exit_status_ready():
            raise TimeoutError("the command did not end in time")
        try:
            if pending and channel.send_ready():
                pending = pending[channel.send(pending[:32768]) :]
            if not pending and not closed_input:
                channel.shutdown_write()
                closed_input = True
        except OSError:  # the command has ended without reading all of it
            pending, closed_input = b"", True
        moved = _drain(channel, stdout, stderr)
        if channel.exit_status_ready() and not moved:
            # sshd tells the end of a command before the last it said; what it left running says no more.
            until = min(until, time.monotonic() + LAST_WORDS)
            if channel.eof_received or time.monotonic() >= until:
                break
            time.sleep(0.002)
        if not moved and not pending:
            channel.status_event.wait(0.005)
    _drain(channel, stdout, stderr)
    return SshResult(channel.recv_exit_status(), bytes(stdout), bytes(stderr))


def _drain(channel: paramiko.Channel, stdout: bytearray, stderr: bytearray) -> bool:
    moved = False
    while channel.recv_ready():
        stdout += channel.recv(65536)[: max(OUTPUT_LIMIT - len(stdout), 0)]
        moved = True
    while channel.recv_stderr_ready():
        stderr += channel.recv_stderr(65536)[: max(OUTPUT_LIMIT - len(stderr), 0)]
        moved = True
    return moved
