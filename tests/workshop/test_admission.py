"""A lab starts only where there is room; what is lacking is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from phi_labs.workshop.admission import MEBIBYTE, Admission, Room, room_of

PLENTY = Room(64 * 1024 * MEBIBYTE, 64 * 1024 * MEBIBYTE)


def asked(room: Room, *, live: int = 0, capacity: int = 100) -> str:
    limits = {"log-access": 128 * MEBIBYTE}
    return Admission(limits, capacity=capacity, live=lambda: live, room=lambda: room)("log-access")


def test_with_room_a_lab_starts() -> None:
    assert asked(PLENTY) == ""


@pytest.mark.parametrize(
    ("room", "said"),
    [
        (Room(543 * MEBIBYTE, PLENTY.disk), "memory is short: 543 MiB free, 544 MiB needed"),
        (Room(PLENTY.memory, 100 * MEBIBYTE), "disk is short: 100 MiB free, 2048 MiB needed"),
    ],
)
def test_what_is_short_is_said(room: Room, said: str) -> None:
    assert asked(room) == said


def test_no_more_labs_than_the_scenario_allows() -> None:
    assert "as many as the scenario allows" in asked(PLENTY, live=3, capacity=3)
    assert asked(PLENTY, live=2, capacity=3) == ""


def test_another_machines_room_is_not_known_and_hinders_nothing(tmp_path: Path) -> None:
    room = room_of(str(tmp_path / "elsewhere"))
    assert room == Room(None, None)
    assert asked(room) == ""


def test_this_machines_room_is_what_the_kernel_says(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  100 kB\nMemAvailable:     2048 kB\n")
    room = room_of(str(tmp_path), meminfo)
    assert room.memory == 2 * MEBIBYTE
    assert room.disk is not None
    assert room_of(str(tmp_path), tmp_path / "none").memory is None
