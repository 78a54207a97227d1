"""Memory of containers as the machine bears it: shares of all processes, shims and engine included."""

from __future__ import annotations

import socket
import struct
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from phi_labs.engine.plain_http import plain_address
from phi_labs.errors import UserError

_PEER = struct.Struct("3i")
KIB = 1024


class Processes:
    """The machine's processes at one moment, with who is whose child."""

    def __init__(self) -> None:
        self._children: dict[int, list[int]] = defaultdict(list)
        self.parents: dict[int, int] = {}
        self.names: dict[int, str] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):  # it ended in this moment
                    self._take(
                        int(entry.name), (entry / "stat").read_text(encoding="utf-8", errors="replace")
                    )

    def _take(self, pid: int, stat: str) -> None:
        name, _, rest = stat.partition("(")[2].rpartition(") ")
        self.names[pid], self.parents[pid] = name, int(rest.split()[1])
        self._children[self.parents[pid]].append(pid)

    def below(self, pid: int) -> set[int]:
        """A process and all its descendants."""
        found, left = set(), [pid]
        while left:
            found.add(pid := left.pop())
            left += self._children[pid]
        return found

    def named(self, name: str) -> set[int]:
        """Processes of that name."""
        return {pid for pid, known in self.names.items() if known == name}


def shares(pids: Iterable[int]) -> int:
    """Bytes: the sum of the processes' proportional set sizes; pages that several share count once."""
    return sum(_share(pid) for pid in pids)


def _share(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii", errors="replace").splitlines()
    except PermissionError as error:
        raise UserError(
            "the memory of other accounts' processes can only be read as root",
            "run bench as root on the engine's own machine, or without the group: bench --only GROUP",
        ) from error
    except OSError:
        return 0  # it ended in this moment
    return next((int(line.split()[1]) * KIB for line in lines if line.startswith("Pss:")), 0)


def container_processes(processes: Processes, first: Iterable[int]) -> set[int]:
    """All processes of containers, their shims with them.

    Args:
        first: pids of the containers' first processes, whose parent is the shim.
    """
    return set().union(
        *(processes.below(processes.parents[pid]) for pid in first if pid in processes.parents)
    )


def engine_processes(processes: Processes) -> set[int]:
    """The engine's own daemons: whoever listens at its address, and containerd.

    Raises:
        UserError: it runs on another machine.
    """
    address = plain_address() or ""
    if not address.startswith("unix://"):
        raise UserError(
            "the memory of labs can only be measured on the engine's own machine", "bench --only GROUP"
        )
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(address.removeprefix("unix://"))
        pid: int = _PEER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[0]
    own = {child for child in processes.named("containerd") if processes.parents[child] == pid}
    return {pid} | (own or processes.named("containerd"))
