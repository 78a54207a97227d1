"""Processes inside of an engine's containers, and the streams to them."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

from phi_labs.engine.connection import Connection, told
from phi_labs.engine.stream import ExecStream


class Processes(Connection):
    """Processes inside of containers."""

    def exec_stream(
        self, container: str, argv: Sequence[str], *, user: str = "0:0", tty: bool = False
    ) -> ExecStream:
        """Start a process inside a container and return its standard input and output.

        Args:
            user: numeric ``uid:gid``; a name would be resolved in the container's own passwd.
            tty: give it a terminal; the stream is then raw.
        """
        with told(f"start {argv[0]} in container {container[:12]}"):
            created = self._api.exec_create(container, list(argv), stdin=True, tty=tty, user=user)
            answer = self._api.exec_start(created["Id"], tty=tty, socket=True)
        sock: socket.socket = getattr(answer, "_sock", answer)
        sock.settimeout(self.deadline)
        return ExecStream(sock, created["Id"], raw=tty, owner=answer)

    def attach(self, container: str) -> ExecStream:
        """The standard input and output of an attachable container's first process.

        2 ms, where starting a process inside costs 50 to 70 ms.
        """
        with told(f"attach to container {container[:12]}"):
            answer = self._api.attach_socket(
                container, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            )
        sock: socket.socket = getattr(answer, "_sock", answer)
        sock.settimeout(self.deadline)
        return ExecStream(sock, "", owner=answer)

    def exec_exit_code(self, exec_id: str, deadline: float = 5.0) -> int | None:
        """Exit code of an exec'd process, waiting up to ``deadline`` seconds; None while it runs."""
        end = time.monotonic() + deadline
        pause = 0.002
        while True:
            with told("read a process's exit code"):
                state = self._api.exec_inspect(exec_id)
            if not state["Running"]:
                code: int = state["ExitCode"]
                return code
            if time.monotonic() > end:
                return None
            time.sleep(pause)  # the engine has no event for this; grows to 50 ms
            pause = min(pause * 2, 0.05)

    def exec_resize(self, exec_id: str, rows: int, columns: int) -> None:
        """Tell a terminal exec how large the window is."""
        with told("resize a terminal"):
            self._api.exec_resize(exec_id, height=rows, width=columns)
