"""Deadlines on a busy computer: the usual ones on a quiet one, longer ones otherwise, never without end."""

from __future__ import annotations

import pytest

from phi_labs.grading import pace as pace_module
from phi_labs.grading.pace import LONGEST, pace


@pytest.mark.parametrize(
    ("now", "last_minute", "cores", "wanted"),
    [
        (1, 0.1, 2, 1.0),
        (2, 2.0, 2, 1.0),
        (3, 0.5, 2, 1.5),  # busy since a moment
        (1, 5.0, 2, 2.5),  # busy for a while
        (1, 60.0, 64, 1.0),  # much work, many cores
        (400, 900.0, 2, LONGEST),
    ],
)
def test_what_others_do_makes_things_slower(
    now: float, last_minute: float, cores: int, wanted: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace_module, "_wanting_to_run", lambda: (now, last_minute))
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert pace() == wanted


def test_this_computer_has_a_pace() -> None:
    assert 1.0 <= pace() <= LONGEST
