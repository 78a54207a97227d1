"""What holds for every writer: the same bytes, nobody's identifiers, and every patient where it says so."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fixtures_.never_real import perhaps_real
from tests.fixtures_.unpacking import readable

import phi_fixtures
from phi_fixtures.manifest import Manifest
from phi_fixtures.people import PATIENT_FIELDS, Hospital, Patient
from phi_fixtures.planting import Register, artefacts, plant, save
from phi_fixtures.population import cohort
from phi_fixtures.writers import WRITERS, Artefact, Cast, writer
from phi_fixtures.writers.decoys import engulfing

# The writers that these tests hold; the others have tests of their own.
NAMES = (
    *("ehr-log", "auth-log", "login-records", "pg-dump", "pg-dump-custom", "csv", "xlsx"),
    *("shell-history", "psql-history", "editor-files", "core-dump", "cron-mail", "backup"),
    *("tickets-json", "tickets-mbox", "decoys"),
)
quick = settings(max_examples=4, deadline=None, database=None)
each_writer = pytest.mark.parametrize("name", NAMES)

# Of what can be read in the files: compressed bytes are another zlib's to choose. To be changed only together
# with people.GENERATOR_VERSION.
GOLDEN: dict[str, str] = {
    "ehr-log": "c3935f867fa8161a",
    "auth-log": "26e49eb4beb7a8f9",
    "login-records": "5a1bc50f3a0591a0",
    "pg-dump": "6aa3a81c8a3df0a8",
    "pg-dump-custom": "7b0955a4457b275b",
    "csv": "bea49717c905d86d",
    "xlsx": "74457472c6addd14",
    "shell-history": "374aafc4fee0981a",
    "psql-history": "13acd177986aeb96",
    "editor-files": "0fc1899fff51a061",
    "core-dump": "a5120f6b92a4eb1f",
    "cron-mail": "440d1f7e7329eea6",
    "backup": "38abce4111be306e",
    "tickets-json": "075f1280794474db",
    "tickets-mbox": "c4f3a58cfd1ea309",
    "decoys": "1ec8590bb35efa96",
}

RAW_HASHES = """
import hashlib
from phi_fixtures import Hospital
from phi_fixtures.planting import artefacts
from phi_fixtures.writers import WRITERS
hashed = hashlib.sha256()
for name, artefact in artefacts(Hospital(b"golden seed", 10004), NAMES, 200):
    hashed.update(repr((name, artefact.path, artefact.mtime)).encode() + artefact.content)
print(hashed.hexdigest())
""".replace("NAMES", repr(NAMES))


@pytest.fixture(scope="module")
def golden() -> Cast:
    hospital = Hospital(b"golden seed", 10004)
    return Cast(hospital, list(cohort(hospital, 20)))


def read(artefact: Artefact) -> str:
    return "\n".join(readable(artefact.content))


@each_writer
def test_the_golden_cast_still_gives_the_golden_files(name: str, golden: Cast) -> None:
    hashed = hashlib.sha256()
    for artefact in writer(name)(golden):
        about = (artefact.path, artefact.owner, artefact.group, artefact.mode, artefact.mtime.isoformat())
        hashed.update(repr(about).encode() + read(artefact).encode())
    assert hashed.hexdigest()[:16] == GOLDEN.get(name)


def test_hash_seed_time_zone_and_locale_change_no_byte() -> None:
    folder = str(Path(phi_fixtures.__file__).parents[1])
    runs = []
    for hash_seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo")):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "TZ": zone, "PYTHONPATH": folder}
        command = [sys.executable, "-c", RAW_HASHES]
        runs.append(subprocess.run(command, env=environment, capture_output=True, text=True, check=True))
    assert len({run.stdout for run in runs}) == 1


@each_writer
@given(seed=st.binary(min_size=1, max_size=40), block=st.integers(0, 99_999), count=st.integers(0, 6))
@quick
def test_nothing_that_looks_like_an_identifier_may_be_somebodys(
    name: str, seed: bytes, block: int, count: int
) -> None:
    hospital = Hospital(seed, block)
    for artefact in writer(name)(Cast(hospital, list(cohort(hospital, count, start=block % 500)))):
        assert list(perhaps_real(read(artefact) + "\n" + artefact.path, block)) == []


@each_writer
def test_every_field_of_every_patient_is_where_the_artefact_says(name: str, golden: Cast) -> None:
    for artefact in writer(name)(golden):
        text = read(artefact)
        assert set(artefact.fields) <= set(PATIENT_FIELDS)
        # A workbook keeps dates as numbers: its own test reads them.
        fields = set(artefact.fields) - ({"dob"} if name == "xlsx" else set())
        for patient in artefact.patients:
            missing = {field for field, held in patient.texts(fields).items() if held and held not in text}
            assert not missing, (artefact.path, patient.mrn)


@each_writer
def test_patients_of_the_cast_are_all_in_the_artefacts_that_name_fields(name: str, golden: Cast) -> None:
    made = list(writer(name)(golden))
    assert made
    for artefact in made:
        wanted = list(golden.patients) if artefact.fields else []
        assert list(artefact.patients) == wanted
        assert artefact.kind == name


@each_writer
def test_a_file_is_somebodys_at_a_place_and_no_later_than_the_day(name: str, golden: Cast) -> None:
    for artefact in writer(name)(replace(golden, day=date(2026, 2, 20))):
        assert PurePosixPath(artefact.path).is_absolute()
        assert artefact.owner
        assert artefact.group
        assert 0o400 <= artefact.mode <= 0o777
        assert datetime(2026, 2, 1, tzinfo=UTC) < artefact.mtime < datetime(2026, 2, 21, tzinfo=UTC)


@each_writer
def test_without_patients_the_files_are_still_there(name: str) -> None:
    for artefact in writer(name)(Cast(Hospital(b"a seed", 3), [])):
        assert isinstance(artefact.content, bytes)


@each_writer
def test_making_a_file_twice_gives_the_same_bytes(name: str, golden: Cast) -> None:
    for first, second in zip(writer(name)(golden), writer(name)(golden), strict=True):
        assert first.content == first.content == second.content


@each_writer
def test_chunks_are_small_and_the_estimate_of_their_size_about_right(name: str, golden: Cast) -> None:
    register = Register(golden.hospital, 150)
    made = writer(name)(replace(golden, patients=register))
    sizes = [len(chunk) for artefact in made for chunk in artefact.chunks()]
    assert 0.6 < writer(name).estimated_bytes(150) / sum(sizes) < 1.7
    assert max(sizes) < 1 << 17


def test_an_unknown_writer_is_told_the_nearest_names() -> None:
    with pytest.raises(KeyError, match="ehr-log"):
        writer("ehrlog")


def test_every_writer_has_a_line_about_itself() -> None:
    assert set(NAMES) <= set(WRITERS)
    for name, each in WRITERS.items():
        assert each.name == name
        assert 10 < len(each.summary) < 75
        assert "\n" not in each.summary


def test_a_cast_refuses_patients_who_can_be_gone_through_only_once() -> None:
    hospital = Hospital(b"a seed", 3)
    with pytest.raises(TypeError, match="several times"):
        Cast(hospital, hospital.patients(range(3)))


def test_days_share_out_the_patients_newest_first() -> None:
    hospital = Hospital(b"a seed", 3)
    days = list(Cast(hospital, Register(hospital, 45)).days(20))
    assert [day.count for day in days] == [20, 20, 5]
    assert [str(day.day) for day in days] == ["2026-03-02", "2026-03-01", "2026-02-28"]
    assert [day.count for day in Cast(hospital, Register(hospital, 40)).days(20)] == [20, 20]


def test_importing_the_writers_imports_nothing_heavy() -> None:
    code = (
        "import sys, phi_fixtures.writers, phi_fixtures.planting\n"
        "print(*[m for m in ('tarfile', 'zlib', 'csv', 'hmac', 'PIL', 'email') if m in sys.modules])"
    )
    folder = str(Path(phi_fixtures.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": folder}
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


# --- planting -----------------------------------------------------------------------------------------


class Box:
    """A stand-in for the lab's Planting: keeps the files, and the manifest."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, object, object, int]] = {}
        self.manifest = Manifest()

    def file(
        self,
        path: str,
        content: bytes,
        *,
        owner: str | int = "root",
        group: str | int = "root",
        mode: int = 0o644,
        mtime: datetime | None = None,
        host: str | None = None,
    ) -> None:
        self.files[path] = (content, owner, group, mode)

    def planted(
        self,
        site: str,
        path: str,
        patients: Iterable[Patient],
        fields: Iterable[str],
        *,
        host: str | None = None,
        kind: str = "",
    ) -> None:
        self.manifest.plant(site, path, patients, fields, host=host or "ehr1", kind=kind)


def test_one_call_plants_a_file_and_notes_it_in_the_manifest(golden: Cast) -> None:
    box = Box()
    (export,) = writer("csv")(golden)
    path = plant(box, "share", export, path="/srv/support/list.csv", owner="itops", mode=0o600)
    content, owner, group, mode = box.files[path]
    assert (content, owner, group, mode) == (export.content, "itops", "root", 0o600)
    patient = next(iter(golden.patients))
    (found,) = box.manifest.locate(patient.ssn)
    assert found[:4] == ("share", "/srv/support/list.csv", "ssn", patient.mrn)
    assert found.artefact == "csv"


def test_a_file_without_patients_is_not_in_the_manifest(golden: Cast) -> None:
    box = Box()
    (orders,) = writer("decoys")(golden)
    plant(box, "share", orders)
    assert list(box.files) == [orders.path]
    assert box.manifest.sites == {}


def test_a_saved_file_is_whole_and_has_mode_and_time(golden: Cast, tmp_path: Path) -> None:
    (log,) = writer("ehr-log")(golden)
    path = save(log, tmp_path)
    assert path == tmp_path / "var/log/ehr/access.log"
    assert path.read_bytes() == log.content
    assert path.stat().st_mode & 0o7777 == log.mode
    assert path.stat().st_mtime == log.mtime.timestamp()


def test_a_file_that_was_cut_off_leaves_nothing(golden: Cast, tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"some"
        raise KeyboardInterrupt

    (log,) = writer("ehr-log")(golden)
    with pytest.raises(KeyboardInterrupt):
        save(replace(log, chunks=broken), tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_typical_lab_has_ten_writers_and_each_its_own_canaries() -> None:
    hospital = Hospital(b"a seed", 10004)
    made = list(artefacts(hospital))
    assert len({name for name, _ in made}) == 10
    canaries = {
        name: {patient.mrn for patient in artefact.patients if patient.standing == "canary"}
        for name, artefact in made
    }
    assert {len(mrns) for mrns in canaries.values()} == {3}
    assert len(set().union(*canaries.values())) == 30
    assert len({patient.mrn for _, artefact in made for patient in artefact.patients}) == 200


def test_decoys_are_not_the_patients_and_engulfing_numbers_hold_theirs(golden: Cast) -> None:
    (orders,) = writer("decoys")(golden)
    text = orders.content.decode()
    known = {
        text
        for patient in cohort(golden.hospital, 500)
        for field, text in patient.texts(PATIENT_FIELDS).items()
        if text and field in {"mrn", "ssn", "member_id", "mbi", "account", "licence", "device_serial", "ip"}
    }
    assert not {word for word in text.replace("\r\n", ",").split(",") if word in known}
    (held,) = engulfing(["1000412345"])
    assert len(held) == 12
    assert "1000412345" in held


# --- the tests' own instruments -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *(
            "SSN 123-45-6789",
            "call 212-867-5309",
            "call (212) 867-5309",
            "ada@gmail.com",
            "from 10.1.2.3 port",
        ),
        *("1EG4-TE5-MK73", "1EG4TE5MK73", "Springfield, IL 62704", "npi=1234567893", "4012 8888 8888 1881"),
        *("1HGCM82633A004352", "see https://mercyvalley.com/x"),
    ],
)
def test_the_scanner_sees_what_may_be_somebodys(text: str) -> None:
    assert len(list(perhaps_real(text, 10004))) == 1


def test_the_scanner_passes_everything_that_is_known_to_be_nobodys() -> None:
    hospital = Hospital(b"a seed", 10004)
    for patient in cohort(hospital, 60):
        texts = patient.texts(PATIENT_FIELDS).values()
        assert list(perhaps_real(" ; ".join(filter(None, texts)), 10004)) == []
