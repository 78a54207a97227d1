"""A machine as checks see it: testinfra's words where testinfra has one, and questions it lacks.

Everything is asked of the probe and remembered until something is run on the machine. No
verdict depends on a binary, library, shell or name service of the lab.

One file for each facet; ``Host`` is all of them together.
"""

from __future__ import annotations

from phi_labs.grading.host.asked import Connect
from phi_labs.grading.host.commands import Commands, Result
from phi_labs.grading.host.files import AsUser, Files
from phi_labs.grading.host.people import HostGroup, HostUser, People
from phi_labs.grading.host.services import HostProcess, HostSocket, Services
from phi_labs.grading.host.sweeps import Sweeps, other_dates

__all__ = [
    "AsUser",
    "Connect",
    "Files",
    "Host",
    "HostGroup",
    "HostProcess",
    "HostSocket",
    "HostUser",
    "People",
    "Result",
    "other_dates",
]


class Host(Sweeps, Services, Commands):
    """One machine of a lab.

    Args:
        machine: what is looked at; without hands it is read-only.
        known: identifiers that sweeps look for in any case, so that one sweep serves many checks.
        live: whether it is the running lab (then also /run and /dev/shm are swept).
        interpreter: for configuration; None where it is not offered.
        connect: returns a stream to the machine's sshd; None where SSH is not offered.
        freeze: holds all processes of the machine while it is entered; None where that is not offered.
    """
