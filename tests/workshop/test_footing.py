"""Whether there is something to stand on: asked, told once when it goes and once when it is back."""

from __future__ import annotations

import errno
import os
from datetime import timedelta
from pathlib import Path

import pytest
from tests.workshop.desk import Clock

from phi_labs.errors import EngineError, PhiLabsError, UserError
from phi_labs.workshop.footing import DISK, ENGINE, Footing, room_in
from phi_labs.workshop.ledger import steady


def test_trouble_is_told_when_it_begins_and_when_it_is_over() -> None:
    wrong: dict[str, PhiLabsError] = {}

    def ask(what: str) -> None:
        if what in wrong:
            raise wrong[what]

    told: list[str] = []
    clock = Clock()
    footing = Footing({ENGINE: lambda: ask(ENGINE), DISK: lambda: ask(DISK)}, clock)
    footing.listen(told.append)
    assert not footing.is_lost()
    wrong[ENGINE] = EngineError("no answer", "start it")
    for _ in range(3):
        assert footing.is_lost()
        clock.move(minutes=1)
    wrong.clear()
    assert not footing.is_lost()
    wrong[DISK] = UserError("full")
    assert footing.is_lost()
    assert told == [
        "the engine does not answer since 09:00:00 UTC (start it)",
        "",
        "nothing can be written since 09:03:00 UTC (full)",
    ]
    assert footing.trouble == told[-1]


def test_a_folder_has_room_or_it_is_said_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room_in(tmp_path)
    assert list(tmp_path.iterdir()) == []

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match="No space left on device") as caught:
        room_in(tmp_path)
    assert "free space there" in caught.value.hint
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="No such file"):
        room_in(tmp_path / "gone")


@pytest.mark.parametrize("jump", [timedelta(hours=-5), timedelta(hours=5)])
def test_time_goes_on_by_itself_whatever_is_done_to_the_machines_clock(jump: timedelta) -> None:
    wall, elapsed = Clock(), [100.0]
    start = wall.time
    now = steady(start - timedelta(minutes=1), wall, lambda: elapsed[0])
    wall.time += jump
    elapsed[0] += 90
    assert now() == start + timedelta(seconds=90)


def test_a_clock_that_was_set_back_while_nobody_looked_goes_on_from_the_last_event() -> None:
    wall = Clock()
    last = wall.time + timedelta(hours=2)
    assert steady(last, wall, lambda: 0.0)() == last
