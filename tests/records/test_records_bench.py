"""The bench's figures of the records come from logs that verify."""

from __future__ import annotations

import pytest

from phi_labs.bench import records as bench
from phi_labs.model.content import find_lab


def test_it_measures_verifying_and_appending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "LEARNERS", 3)
    monkeypatch.setattr(bench, "ROUNDS", 2)
    told: list[str] = []
    figures = bench.measure_records(find_lab("log-access", None), told.append)
    assert told == ["a log of 30 events: appended, verified"]
    assert [(item.unit, item.at_least, item.target) for item in figures] == [
        ("rows/s", True, 100_000),
        ("rows/s", True, 100_000),
        ("rows/s", True, 5_000),
    ]
    assert [len(item.samples) for item in figures] == [2, 2, 1]
    assert all(item.value > 0 for item in figures)
