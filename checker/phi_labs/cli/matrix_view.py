"""What ``verify`` found: attempts x objectives, expected against got."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType
from rich.pretty import Pretty


def matrix_view(matrix: Any) -> RenderableType:
    """The matrix (its shape follows)."""
    return Pretty(matrix.to_data())
