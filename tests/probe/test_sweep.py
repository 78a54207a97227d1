"""Every planted identifier is found however it is written or packed; what only looks like one is not."""

from __future__ import annotations

import base64
import gzip
import io
import os
import re
import sqlite3
import tarfile
import tempfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.probe.packing import PACKS, WIDE, custom_dump, tarred, zipped

from phi_fixtures.manifest import Manifest
from phi_fixtures.people import Hospital
from phi_fixtures.planting import artefacts
from phi_fixtures.writers.registry import WRITERS
from phi_labs.grading.host import other_dates
from phi_labs.probe.agent import base64_runs, patterns, sweep, unpacking, vectorscan
from phi_labs.probe.agent.patterns import Patterns
from phi_labs.probe.agent.sweep import UNREAD, Sweep

IDENTIFIERS = (
    *("1000436406", "955-36-6277", "567-555-0178", "terry.adkins15305@homebox.example.org", "LKS-3804-8577"),
    *("ADKINS, Terry", "Terry Adkins", "A91756H10004", "DLX-4582815", "1961-07-12", "MUÑOZ, José"),
)
GENEROUS = 1 << 30
SECONDS = 20.0
# An archive is told by its beginning: it is not looked for in the middle of other things.
ARCHIVES = ["bzip2", "gzip", "json", "json with lines", "ldif", "mail", "tar", "xz", "zip", "zip, stored"]
PACKING = st.tuples(st.sampled_from(sorted(PACKS)), st.lists(st.sampled_from(ARCHIVES), max_size=2))


def swept(
    data: bytes, *strings: str, seconds: float = SECONDS, limit: int = GENEROUS
) -> tuple[set[str], list[str]]:
    """Which strings a file of that content holds, and what could not be read of it."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        looked = Sweep(Patterns(list(strings), other_dates(strings)), limit, seconds)
        found = {strings[number] for _, numbers in looked.file(file.fileno(), "f") for number in numbers}
    return found, [reason.removeprefix(UNREAD) for _, reason in looked.notes]


@pytest.fixture(params=["little data", "much data"])
def however_much(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of matching: of the second only where the library is installed."""
    if request.param == "much data":
        if vectorscan.library() is None:
            pytest.skip("libvectorscan5 is not installed here; the probe's image has it")
        monkeypatch.setattr(patterns, "LEAST", -1)
        monkeypatch.setattr(patterns, "WORTH_COMPILING", 0)


# -- how it is packed ------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [*PACKS, *WIDE])
def test_identifiers_are_found_in_every_packing(pack: str, however_much: None) -> None:
    text = "\n".join(IDENTIFIERS).encode()
    packed = (PACKS | WIDE)[pack](text)
    wanted = set(IDENTIFIERS)
    found, notes = swept(packed, *IDENTIFIERS)
    if pack in WIDE:
        wanted -= {"MUÑOZ, José"} - found  # beyond Latin-1 bytes UTF-16 is not looked for
    assert found == wanted
    assert notes == []


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(IDENTIFIERS), PACKING)
def test_whatever_is_packed_in_whatever_is_found(identifier: str, packing: tuple[str, list[str]]) -> None:
    data = f"a line before\n{identifier}\nand one behind\n".encode()
    for name in (packing[0], *packing[1]):
        data = PACKS[name](data)
    assert swept(data, identifier) == ({identifier}, [])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([*IDENTIFIERS, "no one", "\n", "x" * 50]), max_size=12), st.integers(1, 90))
def test_chunks_may_end_anywhere(parts: list[str], size: int) -> None:
    data = "\n".join(parts).encode()
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryFile() as file:
        patch.setattr(sweep, "CHUNK", size)
        file.write(data)
        file.flush()
        looked = Sweep(Patterns(list(IDENTIFIERS)), GENEROUS, SECONDS)
        found = {IDENTIFIERS[number] for _, numbers in looked.file(file.fileno(), "f") for number in numbers}
    assert found == set(parts) & set(IDENTIFIERS)


def test_what_an_integer_column_holds_is_found() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE p (mrn INTEGER PRIMARY KEY, other INTEGER, long TEXT)")
    connection.execute(
        "INSERT INTO p VALUES (1, 1000436406, ?)", ("y" * 9000 + " 955-36-6277 " + "z" * 9000,)
    )
    connection.commit()
    found, notes = swept(connection.serialize(), "1000436406", "955-36-6277")
    assert (found, notes) == ({"1000436406", "955-36-6277"}, [])


def test_short_base64_is_found_among_much_data(however_much: None) -> None:
    for before in ("", "a", "ab"):
        code = base64.b64encode(f"{before}1000436406".encode()).decode().rstrip("=")
        assert swept(f'{{"v": "{code}"}}'.encode(), "1000436406")[0] == {"1000436406"}


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "decoys"])
def test_all_that_a_writer_writes_is_found(name: str) -> None:
    for _, artefact in artefacts(Hospital(b"sweep", 10004), [name], 6):
        content = artefact.content
        data = content if isinstance(content, bytes) else b"".join(content())
        noted = Manifest().plant("s", artefact.path, artefact.patients, artefact.fields)
        wanted = sorted(noted.identifiers())
        found, notes = swept(data, *wanted)
        assert (found, notes) == (set(wanted), []), artefact.path


# -- how it is written -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("identifier", "written"),
    [
        *(("955-36-6277", text) for text in ("955366277", "955 36 6277", "955.36.6277", "955/36/6277")),
        *(
            ("567-555-0178", text)
            for text in ("(567) 555-0178", "(567)555-0178", "567.555.0178", "5675550178")
        ),
        *(("567-555-0178", text) for text in ("+1 567 555 0178", "+15675550178", "1-567-555-0178")),
        *(
            ("1000436406", text)
            for text in ("0001000436406", "10004-36406", "100 043 6406", "mrn1000436406x")
        ),
        *(
            ("1961-07-12", text)
            for text in ("07/12/1961", "7/12/1961", "July 12, 1961", "12-Jul-1961", "19610712")
        ),
        *(("LKS-3804-8577", text) for text in ("LKS38048577", "LKS 3804 8577")),
        *(("ADKINS, Terry", text) for text in ("ADKINS,Terry", "ADKINS^Terry", "ADKINS*Terry")),
        ("MUÑOZ, José", "MUÑOZ, José"),
    ],
)
def test_other_spellings_are_found(identifier: str, written: str, however_much: None) -> None:
    assert swept(f"value={written};".encode(), identifier)[0] == {identifier}


def test_latin_1_is_found() -> None:
    assert swept("name=MUÑOZ, José\n".encode("latin-1"), "MUÑOZ, José")[0] == {"MUÑOZ, José"}


@pytest.mark.parametrize(
    ("identifier", "decoy"),
    [
        ("955-36-6277", "order 19553662771"),
        ("955-36-6277", "9955-36-6277"),
        ("955-36-6277", "955-36-62770"),
        ("955-36-6277", "955-36-6278 955-37-6277"),
        ("955-36-6277", "955\n36\n6277"),
        ("1000436406", "91000436406"),
        ("1000436406", "10004364060"),
        ("1000436406", "1000436406000436406"),
        ("1000436406", "5001000436406"),
        ("ADKINS, Terry", "ADKINS, Terryll"),
        ("ADKINS, Terry", "HADKINS, Terry"),
        ("ADKINS, José", "ADKINS, Joséphine"),
        ("1961-07-12", "1961-07-121"),
        ("567-555-0178", "567-555-01789"),
        ("1000436406", "1\x0000\x0004364\x0006"),
    ],
)
def test_decoys_are_not_found(identifier: str, decoy: str, however_much: None) -> None:
    for pack in ("plain", "gzip", "json", "sqlite"):
        assert swept(PACKS[pack](decoy.encode()), identifier) == (set(), [])


@settings(max_examples=150, deadline=None)
@given(st.text("0123456789", min_size=9, max_size=9), st.text("0123456789 -x\n", max_size=60))
def test_a_number_is_found_where_it_stands_alone_and_nowhere_else(number: str, text: str) -> None:
    literals = [form.literal for form in Patterns([number]).forms]
    wanted = any(
        re.search(rb"(?<!\d)" + (b"0*" if literal.isdigit() else b"") + literal + rb"(?!\d)", text.encode())
        for literal in map(re.escape, literals)
    )
    assert (swept(text.encode(), number)[0] == {number}) == wanted


def test_other_patients_of_other_hospitals_are_no_finding() -> None:
    ours = [
        text
        for text in Hospital(b"ours", 10004).patient(1).texts(["mrn", "ssn", "member_id"]).values()
        if text
    ]
    for name in ("csv", "xlsx", "pg-dump-custom", "hl7", "tickets-mbox"):
        for _, artefact in artefacts(Hospital(b"theirs", 10017), [name], 30):
            content = artefact.content
            data = content if isinstance(content, bytes) else b"".join(content())
            assert swept(data, *ours) == (set(), [])


def test_dates_that_are_none_are_only_themselves() -> None:
    assert other_dates(["2026-02-30", "955-36-6277", "x"]) == []
    assert (date(2026, 2, 28).strftime("%m/%d/%Y"), 0) in other_dates(["2026-02-28"])


# -- bombs and damage ------------------------------------------------------------------------


def nested(data: bytes, count: int, pack: Callable[[bytes], bytes]) -> bytes:
    for _ in range(count):
        data = pack(data)
    return data


def tar_of_headers(count: int) -> bytes:
    info = tarfile.TarInfo("x")
    return info.tobuf() * count


def zip_of_zeros(size: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(size))
    return buffer.getvalue()


def in_letters(data: bytes) -> bytes:
    return base64.b64encode(gzip.compress(data))


def encrypted_zip() -> bytes:
    data = bytearray(zipped(b"needle"))
    data[6] |= 1
    return bytes(data)


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "zip": (lambda: zip_of_zeros(6 << 20), "expands to far more"),
    "gzip": (lambda: gzip.compress(bytes(1 << 20)) * 7, "expands to far more"),
    "gzip in gzip": (lambda: nested(bytes(6 << 20), 2, gzip.compress), "expands to far more"),
    "nested gzip": (lambda: nested(b"needle", 20, gzip.compress), "nested deeper than 8"),
    "nested zip": (lambda: nested(b"needle", 20, zipped), "nested deeper than 8"),
    "nested tar": (lambda: nested(b"nothing", 20, tarred), "nested deeper than 8"),
    "nested base64": (lambda: nested(b"x" * 20, 20, in_letters), "nested deeper than 8"),
    "a million headers": (lambda: gzip.compress(tar_of_headers(10_000)) * 100, "archived files"),
    "zip cut short": (lambda: zipped(os.urandom(5000))[:3000], "it ends early"),
    "encrypted zip": (encrypted_zip, "encrypted"),
    "dump cut short": (lambda: custom_dump(os.urandom(9000))[:5000], "it ends early"),
    "openssl enc": (lambda: b"Salted__" + os.urandom(64), "it is encrypted"),
    "openssl enc -a": (lambda: base64.b64encode(b"Salted__" + os.urandom(64)), "it is encrypted"),
    "age": (lambda: b"age-encryption.org/v1\n-> X25519 needles", "it is encrypted"),
    "OpenPGP in letters": (lambda: b"-----BEGIN PGP MESSAGE-----\n\njA0ECQMC", "it is encrypted"),
    "OpenPGP to a key": (lambda: b"\x85\x01\x0c\x03" + bytes(8) + b"\x01" + bytes(64), "it is encrypted"),
    "OpenPGP by passphrase": (lambda: b"\x8c\x0d\x04\x09\x03\x08" + os.urandom(64), "it is encrypted"),
    "7z": (lambda: b"7z\xbc\xaf\x27\x1c\0\x04" + os.urandom(64), "packed in a way"),
    "7z in gzip": (lambda: gzip.compress(b"7z\xbc\xaf\x27\x1c\0\x04"), "packed in a way"),
    "damaged tar": (lambda: b"".join([tarred(b"x")[:1024], os.urandom(2048)]), "damaged tar"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_and_damage_are_named_and_end(bomb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, reason = BOMBS[bomb]
    monkeypatch.setattr(unpacking, "ENTRIES", 3_000)
    monkeypatch.setattr(sweep, "EXPANDED_LEAST", 4 << 20)  # the bombs may be smaller, then
    data = make()
    began = time.monotonic()
    _, notes = swept(data, "needle", "1000436406")
    assert time.monotonic() - began < SECONDS / 2
    assert [note for note in notes if reason in note], notes
    assert len(notes) < 10


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x85",
        bytes(range(128, 256)),
        b"\x8c\x0d\x03\x09" + bytes(64),
        "Äpfel und Öl, zehn Stück".encode("latin-1"),
    ],
)
def test_bytes_that_are_no_message_are_not_called_encrypted(data: bytes) -> None:
    assert swept(data, "needle")[1] == []


def test_what_stands_beside_a_bomb_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "EXPANDED_LEAST", 4 << 20)
    data = gzip.compress(bytes(1 << 20)) * 7 + b"\n955-36-6277\n"
    assert swept(data, "955-36-6277")[0] == {"955-36-6277"}


def test_time_and_bytes_end_a_sweep_wherever_it_is() -> None:
    data = nested(bytes(30 << 20), 2, gzip.compress)
    assert swept(data, "needle", seconds=0.0)[1] == ["the sweep's time was up"]
    assert swept(data, "needle", limit=1 << 20)[1] == ["the sweep's limit of bytes was reached"]


@pytest.mark.slow
def test_memory_does_not_grow_with_what_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base64_runs, "LIMIT", 1 << 20)
    data = gzip.compress(os.urandom(100) * 400_000)
    runs = base64.b64encode(os.urandom(5 << 20))
    tracemalloc.start()
    try:
        assert swept(data, "needle")[1] == []
        swept(runs, "needle")
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(PACKS)), st.data())
def test_no_damage_breaks_a_sweep(name: str, data: st.DataObject) -> None:
    packed = bytearray(PACKS[name]("\n".join(IDENTIFIERS).encode()))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    swept(bytes(packed[: data.draw(st.integers(1, len(packed)))]), *IDENTIFIERS)
