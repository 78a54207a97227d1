"""What a lab's checks import: the two decorators, and the types of the fixtures.

A check is a pytest function ``test_...(host, live, planted, record)`` (any of these, in any
order). A failed expectation is a plain ``assert condition, "what was seen"``: the message is
shown to the trainee, so it says what was seen, never the fix nor the right answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from phi_labs.grading.host import Host
from phi_labs.grading.planted import Planted
from phi_labs.grading.record import Record

__all__ = ["Host", "Planted", "Record", "guard", "objective"]

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
