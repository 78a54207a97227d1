"""Root directories of lab containers, and how to tell a decoy from one."""

from __future__ import annotations

import os

from phi_labs.probe.agent.kernel import Ended, Refused, file_system, is_mount_root

# File systems that a container shows besides its own root: PID 1 chrooted into one is a decoy.
PSEUDO = {0x9FA0: "proc", 0x62656572: "sysfs", 0x01021994: "tmpfs", 0x1CD1: "devpts", 0x19800202: "mqueue"}
PSEUDO |= {0x27E0EB: "cgroup", 0x63677270: "cgroup2"}


def started_at(pid: int) -> int:
    """When a process started, in clock ticks since the boot of the engine's machine."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read(4096).rpartition(b")")[2].split()[19])


class Roots:
    """Root directories of containers by the pid of their first process, checked once each.

    A conversation may outlive many machines, and pids come again: the start time tells them apart.
    """

    def __init__(self) -> None:
        self._open: dict[int, tuple[int, int]] = {}

    def __getitem__(self, pid: int) -> int:
        """The root of a machine; ``Ended`` when its first process is gone."""
        try:
            started = started_at(pid)
            known = self._open.get(pid)
            if known is None or known[0] != started:
                self.forget(pid)
                known = self._open[pid] = (started, self._checked(pid))
        except (FileNotFoundError, ProcessLookupError) as error:
            raise Ended("the machine's first process is gone") from error
        return known[1]

    def forget(self, pid: int) -> None:
        known = self._open.pop(pid, None)
        if known is not None:
            os.close(known[1])

    @staticmethod
    def _checked(pid: int) -> int:
        fd = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        kind = PSEUDO.get(file_system(fd))
        if kind or not is_mount_root(fd):
            os.close(fd)
            raise Refused(
                "decoy: PID 1 of this machine no longer stands in the machine's own root directory"
                + (f" but on {kind}" if kind else "")
            )
        return fd
