"""What ``bench`` measured."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from rich.pretty import Pretty


def bench_view(report: Any) -> RenderableType:
    """The report (its shape follows)."""
    return Pretty(report.to_data())
