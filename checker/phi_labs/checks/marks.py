"""Whom a check speaks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Check = TypeVar("Check", bound=Callable[..., Any])


def objective(name: str) -> Callable[[Check], Check]:
    """The check speaks for the objective of that id; it passes only if all its checks pass."""
    return _speaks_for(name)


def guard(name: str) -> Callable[[Check], Check]:
    """The check speaks for the guard of that id; when it fails, the points it protects are withheld."""
    return _speaks_for(name)


def _speaks_for(name: str) -> Callable[[Check], Check]:
    def mark(check: Check) -> Check:
        check.__phi_target__ = name  # type: ignore[attr-defined]
        return check

    return mark
