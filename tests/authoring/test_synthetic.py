"""Synthetic data on its own: whole files or none, the same seed the same bytes, and whose a string is."""

from __future__ import annotations

import errno
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from phi_fixtures.planting import Register
from phi_fixtures.writers import WRITERS
from phi_labs.authoring.synthetic import Order, ordered, prepare, trace_in_folder, write
from phi_labs.errors import UserError

SMALL = ("ehr-log", "csv")


@pytest.fixture(scope="module")
def order() -> Order:
    return ordered(40, "march", SMALL)


@pytest.fixture(scope="module")
def folder(order: Order, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "data"
    prepare(order, out, force=False)
    write(order, out)
    return out


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.mark.parametrize("patients", [0, -1, -(10**9), 10**7, 10**30])
def test_a_count_that_makes_no_sense_is_refused(patients: int) -> None:
    with pytest.raises(UserError, match="cannot be made"):
        ordered(patients, "march", SMALL)


@pytest.mark.parametrize("seed", ["", "märz", "x" * 10_000, "a\nb"])
def test_a_seed_that_could_differ_elsewhere_is_refused(seed: str) -> None:
    with pytest.raises(UserError, match="seed"):
        ordered(10, seed, SMALL)


def test_an_unknown_writer_names_the_nearest() -> None:
    with pytest.raises(UserError, match="'ehrlog'") as caught:
        ordered(10, "march", ["ehrlog"])
    assert "ehr-log" in caught.value.hint


def test_all_writers_write_when_none_is_named() -> None:
    assert set(ordered(10, "march", []).writers) == set(WRITERS)


def test_the_same_seed_gives_the_same_bytes(order: Order, folder: Path, tmp_path: Path) -> None:
    write(order, tmp_path)
    assert files(tmp_path) == files(folder)


def test_another_seed_gives_other_people(order: Order, folder: Path, tmp_path: Path) -> None:
    write(ordered(40, "april", SMALL), tmp_path)
    ours, others = files(folder), files(tmp_path)
    assert not set(ours.values()) & set(others.values())


def test_a_folder_that_holds_something_is_refused_unless_forced(order: Order, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(UserError, match="not empty"):
        prepare(order, tmp_path, force=False)
    prepare(order, tmp_path, force=True)


def test_a_folder_that_cannot_be_written_is_refused(order: Order) -> None:
    with pytest.raises(UserError, match="cannot write"):
        prepare(order, Path("/proc/nowhere"), force=False)


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(
    order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10, 9, 1))
    with pytest.raises(UserError, match="needed"):
        prepare(order, tmp_path / "data", force=False)
    assert not files(tmp_path / "data")


@pytest.mark.parametrize("trouble", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_what_is_cut_off_has_no_final_name(order: Order, tmp_path: Path, trouble: BaseException) -> None:
    def cut_off(_writer: str, _size: int) -> None:
        raise trouble

    with pytest.raises((UserError, KeyboardInterrupt)):
        write(order, tmp_path, cut_off)
    assert not files(tmp_path)


def test_a_record_number_is_traced_to_every_file_that_holds_it(order: Order, folder: Path) -> None:
    patient = next(iter(Register(order.hospital, 1)))
    found = list(trace_in_folder(patient.mrn, folder))
    assert {item.site for item in found} == set(SMALL)
    assert {item.mrn for item in found} == {patient.mrn}
    assert not list(trace_in_folder("no such thing", folder))


def test_a_folder_without_an_index_cannot_be_traced(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"phi-labs\.json"):
        list(trace_in_folder("x", tmp_path))
