"""What runs on a machine, listens, or is going to be started."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from phi_labs.grading.host.configuration import Configuration
from phi_labs.grading.schedule import ScheduledJob, changed_jobs


@dataclass(frozen=True)
class HostProcess:
    """A running process.

    Attributes:
        pid: as the machine itself counts.
        program: the file it runs from, as the kernel names it; empty once it has ended.
        started: seconds since 1970, to a hundredth; the kernel's word, which nobody on the machine can set.
    """

    pid: int
    uid: int
    name: str
    argv: tuple[str, ...]
    program: str = ""
    started: float = 0.0


@dataclass(frozen=True)
class HostSocket:
    """A listening socket, asked as ``tcp://0.0.0.0:22`` or ``tcp://22`` (any address)."""

    is_listening: bool


class Services(Configuration):
    """A machine's processes, listeners and scheduled jobs."""

    def processes(self) -> list[HostProcess]:
        """What runs on the machine now."""
        found = self._must("processes")["processes"]
        return [
            HostProcess(
                item["pid"],
                item["uid"],
                item["name"],
                tuple(item["argv"]),
                item["program"],
                item["started"] / 1e9,
            )
            for item in found
        ]

    def socket(self, spec: str) -> HostSocket:
        """Whether something listens at ``tcp://ADDRESS:PORT`` or, on any address, ``tcp://PORT``."""
        address, _, port = spec.removeprefix("tcp://").rpartition(":")
        wanted = ipaddress.ip_address(address.strip("[]")).packed.hex() if address else None
        listeners = self._must("listeners")["listeners"]
        return HostSocket(any(at == int(port) and wanted in (None, where) for where, at in listeners))

    def listening(self) -> frozenset[int]:
        """The TCP ports on which something listens, on any address."""
        return frozenset(port for _, port in self._must("listeners")["listeners"])

    def holds(self, port: int, texts: Sequence[bytes]) -> list[bool]:
        """For each text: does a program that listens on a TCP port have it in its own memory?

        Programs keep what they have read: what stands on the disk may be newer.
        """
        encoded = [base64.b64encode(text).decode() for text in texts]
        held: list[bool] = self._must("held", port=port, texts=encoded)["held"]
        return held

    def jobs(self) -> list[ScheduledJob]:
        """What cron would start from tables and scripts that are not as in the image."""
        return changed_jobs(self)
