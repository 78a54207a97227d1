"""A clone: a fresh, pristine container brought to a submission's state, then booted.

Only pristine containers are ever started here. Removals and unpacking are done by hands that
were started before anything of the trainee arrived; then the machine's own boot runs, so what
does not survive a restart is gone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from phi_labs.engine.docker import Engine
from phi_labs.errors import HandsError, ProbeError
from phi_labs.grading.submission import Submission
from phi_labs.lifecycle.machines import BOOT, BOOT_FINISHED
from phi_labs.probe.client import Probe
from phi_labs.probe.hands_client import Hands

BOOT_DEADLINE = 20.0
_A_BOOT = 0.1  # seconds that one takes; then the hands are asked whether it still runs


class BootFailedError(Exception):
    """The machine did not come up; whose fault that is, a control decides."""


@dataclass
class Machine:
    """A container that checks can look at.

    Attributes:
        pid: pid of its first process, as the engine sees it.
        hands: for running commands inside; None on a machine that is only looked at.
    """

    name: str
    container: str
    pid: int
    image: str
    hands: Hands | None = None

    def wait_ready(self) -> None:
        """Wait until the hands have said that they are there."""
        if self.hands is not None:
            self.hands.wait_ready()

    def close(self) -> None:
        """End the conversation with its hands."""
        if self.hands is not None:
            self.hands.close()


def fresh_machine(engine: Engine, name: str, container: str, image: str) -> Machine:
    """Take hold of the hands that wait in a pristine container; they are not waited for."""
    return Machine(name, container, engine.inspect(container).pid, image, Hands(engine.attach(container)))


def bring_to(machine: Machine, submission: Submission) -> list[str]:
    """Remove and unpack what the submission says; return what could not be done, in words."""
    hands = _hands(machine)
    host = submission.hosts[machine.name]
    with submission.archive(machine.name) as archive:
        answer = hands.apply(host.removed, archive, host.host_lines)
    return [f"{machine.name}: /{path}: {reason}" for path, reason in answer["errors"]]


def boot(machines: Iterable[Machine], probe: Probe) -> None:
    """Run the machines' own boots to their end, side by side.

    Raises:
        BootFailedError: one failed or did not end within 20 seconds.
    """
    started = [(machine, _hands(machine).start([BOOT])) for machine in machines]
    until = time.monotonic() + BOOT_DEADLINE
    for machine, pid in started:
        _await_boot(machine, pid, probe, until)


def _await_boot(machine: Machine, pid: int, probe: Probe, until: float) -> None:
    while time.monotonic() < until:
        if probe.awaited(machine.pid, BOOT_FINISHED, within=_A_BOOT):
            return
        _check_boot(_hands(machine), pid, machine, probe)
    raise BootFailedError(f"{machine.name} did not finish its boot within {BOOT_DEADLINE:.0f} seconds")


def _check_boot(hands: Hands, pid: int, machine: Machine, probe: Probe) -> None:
    try:
        code = hands.poll(pid)
    except HandsError as error:
        raise BootFailedError(f"{machine.name} died while it booted") from error
    if code is None or probe.ask("stat", pid=machine.pid, path=BOOT_FINISHED).get("exists"):
        return
    raise BootFailedError(f"the boot of {machine.name} ended with exit code {code} before it was finished")


def _hands(machine: Machine) -> Hands:
    if machine.hands is None:
        raise ProbeError(f"{machine.name} is only looked at, nothing can be run there")
    return machine.hands
