"""What one sweep compiled serves the next; whatever lies there, the same is found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

from phi_labs.probe.agent import patterns, vectorscan
from phi_labs.probe.agent import shelf as shelf_module
from phi_labs.probe.agent.patterns import Patterns
from phi_labs.probe.agent.shelf import Shelf

KNOWN = [f"{number:010d}" for number in range(9_000_000_001, 9_000_000_101)]
NEW = ["9471118231", "V000471118231662"]
TEXT = b"row 9000000001 9000000100 9471118231 V000471118231662 end 90000001001"


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    if vectorscan.library() is None:
        pytest.skip("libvectorscan5 is not installed here; the probe's image has it")
    return Shelf(str(tmp_path))


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little data is worth compiling for, too."""
    monkeypatch.setattr(patterns, "LEAST", -1)
    monkeypatch.setattr(patterns, "WORTH_COMPILING", 0)


def found(shelf: Shelf | None) -> set[str]:
    asked = Patterns([*KNOWN, *NEW], again=len(KNOWN), shelf=shelf)
    return {form.literal.decode() for form, _ in asked.found(TEXT)}


def refuse(*_arguments: object) -> NoReturn:
    raise AssertionError("compiled once more")


@pytest.mark.usefixtures("at_once")
def test_the_same_is_found_with_a_shelf_and_without(shelf: Shelf) -> None:
    assert found(None) == found(shelf) == {KNOWN[0], KNOWN[-1], *NEW}
    assert list(Path(shelf.folder).iterdir())
    assert found(shelf) == {KNOWN[0], KNOWN[-1], *NEW}


def test_what_was_compiled_is_taken_from_the_shelf(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    before = shelf.database([text.encode() for text in KNOWN * 5])
    monkeypatch.setattr(vectorscan.Database, "compiled", refuse)
    after = shelf.database([text.encode() for text in KNOWN * 5])
    assert before is not None
    assert after is not None
    assert sorted(before.scan(TEXT)) == sorted(after.scan(TEXT)) != []


def test_strings_that_are_new_leave_the_known_ones_compiled(shelf: Shelf) -> None:
    first = Patterns([*KNOWN, *NEW], again=len(KNOWN), shelf=shelf)
    assert not first.much, "little data, and nothing is compiled yet"
    for group in first._groups:
        shelf.database([form.literal for form in group])
    assert Patterns([*KNOWN, "9000471118"], again=len(KNOWN), shelf=shelf).much


def test_few_strings_are_not_kept(shelf: Shelf) -> None:
    assert shelf.database([b"9000000001"]) is not None
    assert not list(Path(shelf.folder).iterdir())


def test_a_damaged_item_is_compiled_again(shelf: Shelf) -> None:
    literals = [text.encode() for text in KNOWN * 5]
    shelf.database(literals)
    (item,) = Path(shelf.folder).iterdir()
    item.write_bytes(item.read_bytes()[:-7] + b"damaged")
    database = shelf.database(literals)
    assert database is not None
    assert database.scan(TEXT)


def test_the_oldest_make_room(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = [[f"{text}{number}".encode() for text in KNOWN * 5] for number in range(3)]
    shelf.database(groups[0])
    (item,) = Path(shelf.folder).iterdir()
    monkeypatch.setattr(shelf_module, "ALL_BYTES", item.stat().st_size * 5 // 2)
    os.utime(item, (1, 1))
    for group in groups[1:]:
        shelf.database(group)
    assert [shelf.holds(group) for group in groups] == [False, True, True]


@pytest.mark.usefixtures("at_once")
def test_a_full_disk_is_no_trouble(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shelf, "_put", _full)
    assert found(shelf) == {KNOWN[0], KNOWN[-1], *NEW}


def _full(*_arguments: object) -> NoReturn:
    raise OSError(28, "No space left on device")
