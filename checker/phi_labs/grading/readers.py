"""Interpreters that serve one grading after another.

For gradings of an author's own attempts only: a trainee's configuration is read in a container that nobody
else's has been in, and that goes afterwards.
"""

from __future__ import annotations

from contextlib import ExitStack

from phi_labs.grading.clone import Machine, fresh_machine
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.pool import Lease, lease, take
from phi_labs.model.lab import Lab


class Readers:
    """Kept interpreters by host and image, made when first needed. Saves a fifth of what a grading costs."""

    def __init__(self) -> None:
        self._machines: dict[tuple[str, str], Machine] = {}
        self._ends = ExitStack()
        self._held: Lease | None = None

    def machine(self, installation: Installation, lab: Lab, host: str, image: str) -> Machine:
        """The interpreter of a host."""
        key = (host, image)
        if key not in self._machines:
            if self._held is None:
                self._held = self._ends.enter_context(lease(installation))
            container = take(installation, lab, lab.host(host), image, self._held, kind="interpreter")
            machine = fresh_machine(installation.engine, host, container, image)
            machine.wait_ready()
            self._machines[key] = machine
        return self._machines[key]

    def drop(self) -> None:
        """Let go of all: somebody was interrupted in the middle of a conversation with one."""
        for machine in self._machines.values():
            machine.close()
        self._machines.clear()
        self._held = None
        self._ends.close()
