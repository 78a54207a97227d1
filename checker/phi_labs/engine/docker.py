"""The container engine, in one piece; with the files it is put together from, all that knows its SDK.

Every call has a deadline and every failure becomes an ``EngineError`` that says which call
on which object failed.
"""

from __future__ import annotations

from phi_labs.engine.connection import CALL_DEADLINE
from phi_labs.engine.containers import Containers
from phi_labs.engine.image_store import ImageStore
from phi_labs.engine.networks import Networks
from phi_labs.engine.processes import Processes
from phi_labs.engine.words import (
    LABEL_PREFIX,
    PROJECT,
    ContainerSpec,
    ContainerState,
    ContainerSummary,
    Limits,
)

__all__ = [
    "CALL_DEADLINE",
    "LABEL_PREFIX",
    "PROJECT",
    "ContainerSpec",
    "ContainerState",
    "ContainerSummary",
    "Engine",
    "Limits",
]


class Engine(Containers, Processes, Networks, ImageStore):
    """One container engine: its containers, the processes in them, its networks and images."""
