"""Doing things on a machine: commands with numeric ids, files put there, log-ins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from phi_labs.errors import ProbeError
from phi_labs.grading.host.configuration import SSH_PORT, SSHD, Configuration
from phi_labs.grading.ssh import Login, SshSession, login_methods, ssh_session
from phi_labs.probe.hands_client import Ran

WRITE_LIMIT = 16 * 1024 * 1024
FAKETIME = "/usr/$LIB/faketime/libfaketime.so.1"  # the loader puts its own word for $LIB


@dataclass(frozen=True)
class Result:
    """How a command ended: a hint; judge its effects through files."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class Commands(Configuration):
    """A copy on which things are done; what is only looked at has no hands."""

    def run(  # noqa: PLR0913 - the facts of one command
        self,
        argv: Sequence[str],
        user: str | int = "root",
        *,
        timeout: float = 10.0,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        clock: str = "",
    ) -> Result:
        """Run a command with numeric ids; what is remembered about the machine is forgotten.

        A command that does not end in time, or says more than 1 MiB, is a failed expectation.

        Args:
            clock: moves the command's clock, as faketime says it: ``+1d``, ``@2026-03-09 02:00:00``.
        """
        hands = self._hands()
        uid, gid, groups = self._ids(user)
        env = {**(env or {}), **_moved_clock(clock)}
        ran: Ran = hands.run(argv, uid=uid, gid=gid, groups=groups, timeout=timeout, stdin=stdin, env=env)
        self.forget()
        assert not ran.timed_out, f"{argv[0]} did not end within {timeout:g} seconds on {self.name}"
        return Result(ran.exit_code, ran.stdout, ran.stderr)

    def write(self, path: str, content: bytes, *, user: str | int = "root", mode: int = 0o600) -> None:
        """Put a regular file on the machine; whatever had that name goes, its directory must exist.

        Raises:
            ValueError: it is larger than 16 MiB.
        """
        if len(content) > WRITE_LIMIT:
            raise ValueError(f"{path} would have {len(content)} bytes; {WRITE_LIMIT} is the limit")
        hands = self._hands()
        uid, gid, _ = self._ids(user)
        hands.write(path, content, uid=uid, gid=gid, mode=mode)
        self.forget()

    def begin_login(self, user: str, *, key: str, command: str = "true", stdin: bytes = b"") -> Login:
        """Begin to log in over SSH and run a command, to be waited for later; counts as ``ssh`` does.

        Several may be under way. What a command changes is seen after ``wait`` and ``forget``.
        """
        return Login(self._sshd(), user, key=key, command=command, stdin=stdin)

    @contextmanager
    def ssh(self, user: str, *, key: str | None = None, password: str | None = None) -> Iterator[SshSession]:
        """Log in as a user would; counts only while everything that answers a login is the image's own."""
        with ssh_session(self._sshd(), user, key=key, password=password) as session:
            yield session
        self.forget()

    def login_methods(self, user: str) -> frozenset[str]:
        """By what sshd lets a user prove who they are: ``publickey``, ``password``; counts as ``ssh`` does.

        Raises:
            AssertionError: the user is let in without any proof, or sshd does not answer.
        """
        return login_methods(self._sshd(), user)

    def _sshd(self) -> Any:
        """A stream to the machine's sshd, if everything that answers a login is the image's own."""
        if self._connect is None:
            raise ProbeError(f"SSH to {self.name} is not offered here")
        suspicious = self.changed().login_path
        assert not suspicious, f"logins cannot be trusted while {suspicious[0]} differs from the image"
        self._expect_own_sshd()
        return self._connect(self._machine.container)

    def _expect_own_sshd(self) -> None:
        """What listens on port 22 is the image's sshd, with nothing mapped into it that the image lacks."""
        changes = self.changed()
        foreign = {*changes.added, *changes.packaged}
        for server in self._must("servers", port=SSH_PORT)["servers"]:
            program = server["program"]
            assert program == SSHD, f"logins cannot be trusted while {program} answers on port {SSH_PORT}"
            strange = [path for path in server["mapped"] if path in foreign or path.endswith(" (deleted)")]
            assert not strange, f"logins cannot be trusted while sshd has {strange[0]} loaded"


def _moved_clock(clock: str) -> dict[str, str]:
    return {"LD_PRELOAD": FAKETIME, "FAKETIME": clock} if clock else {}
