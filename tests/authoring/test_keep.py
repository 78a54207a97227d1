"""What a proof found is kept, and not for ever."""

from __future__ import annotations

import json
import stat

import pytest

from phi_labs import __version__
from phi_labs.authoring import keep as keeping
from phi_labs.authoring.keep import keep
from phi_labs.errors import UserError
from phi_labs.lifecycle.state import State


def test_it_is_kept_with_version_and_time_and_as_the_newest(state: State) -> None:
    path = keep(state, "verify", {"ok": True})
    kept = json.loads(path.read_text())
    assert (kept["phi_labs"], kept["ok"]) == (__version__, True)
    assert kept["at"].endswith("Z")
    assert (path.parent / "newest.json").read_text() == path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_only_the_last_ones_stay(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "MOST", 3)
    folder = keep(state, "verify", {}).parent
    for day in range(1, 9):
        (folder / f"2026-03-0{day}T00-00-00.json").write_text("{}")
    newest = keep(state, "verify", {})
    left = sorted(path.name for path in folder.iterdir())
    assert len(left) == 4
    assert newest.name in left


def test_a_folder_that_cannot_be_made_is_told(state: State) -> None:
    (state.root / "verify").write_text("in the way")
    with pytest.raises(UserError, match="cannot make"):
        keep(state, "verify", {})
