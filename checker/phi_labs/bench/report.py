"""Figures with their targets."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        value: median, in ``unit``.
        samples: every measurement, in ``unit``.
        peer: what it was measured against, side by side; empty when there is none.
        peer_value: the peer's median.
        ratio: ``value / peer_value``, or how many times cheaper where ``at_least`` is set.
        target: the limit that applies to the ratio if there is a peer, else to the value.
        at_least: whether the target is a lower limit.
    """

    name: str
    value: float
    unit: str
    samples: tuple[float, ...]
    target: float
    peer: str = ""
    peer_value: float = 0.0
    ratio: float = 0.0
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        measured = self.ratio if self.peer else self.value
        return measured >= self.target if self.at_least else measured <= self.target

    def to_data(self) -> dict[str, Any]:
        """JSON-able."""
        return {**asdict(self), "met": self.met}


def figure(name: str, samples: Sequence[float], unit: str, target: float) -> Figure:
    """A figure without a peer."""
    return Figure(name, statistics.median(samples), unit, tuple(samples), target)


def compared(  # noqa: PLR0913, PLR0917 - the facts of a comparison
    name: str,
    samples: Sequence[float],
    unit: str,
    peer: str,
    peer_samples: Sequence[float],
    target: float,
    *,
    at_least: bool = False,
) -> Figure:
    """A figure beside its peer's; samples were taken in turn."""
    value, other = statistics.median(samples), statistics.median(peer_samples)
    ratio = other / value if at_least else value / other
    return Figure(name, value, unit, tuple(samples), target, peer, other, ratio, at_least)


@dataclass(frozen=True)
class BenchReport:
    """All figures of one run of the bench.

    Attributes:
        stages: median seconds of each stage of a warm grading.
        machine: what it was measured on.
        remarks: what must be said of the figures, such as smaller sizes.
    """

    figures: tuple[Figure, ...]
    stages: dict[str, float]
    machine: dict[str, Any]
    remarks: tuple[str, ...] = ()

    def to_data(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "figures": [item.to_data() for item in self.figures],
            "stages": self.stages,
            "machine": self.machine,
            "remarks": list(self.remarks),
        }
