"""The writers beside those of the first labs: the same bytes everywhere, of whom they say, never real."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import phi_fixtures
from phi_fixtures import identifiers
from phi_fixtures.manifest import date_forms
from phi_fixtures.people import Hospital, Patient
from phi_fixtures.planting import Register
from phi_fixtures.population import cohort
from phi_fixtures.writers import WRITERS, Artefact, Cast

# To be changed only together with GENERATOR_VERSION. SHA-256 over paths and bytes of twelve patients. Those
# of screenshot and dicom hold for every Pillow with the same built-in bitmap font: the rest is our own.
GOLDEN = {
    "audit-trail": "3669cdf438a1c412ce2ac2bd2152fcd3afb217b1ca275b1ac12942ad7f42c424",
    "access-report": "713d11780dbd41ce698b0ec53138d11c224fa38ac5ee191a6b7e6c53c7b0ea7c",
    "ldap-directory": "b828909c0b06475704e3f85d55d4d79ee22d9fc0d5cba813a18ecce3e8608bf3",
    "screenshot": "b03c15e39bd5e3349d0d66f6e7787f79c039e7de39d74d6ca6739e57736caddd",
    "dicom": "9d0947097cc5cd89e719c5d64a61e63469978d655feba7d2cb5a346282d5f67e",
    "maildir": "13f2d882c5de0c4b65341fc1eaeb60fb9dbae249649d192ca45f9f4c2f6e6f21",
    "voicemail": "683129e877b448b326cdc5aecc954700c765d85c69e0bd0899efc3b5ff822ffb",
    "call-index": "b198da93d9e602be99c8a7627b95cf96aa2db290284b7c3d729d886f0be6ce37",
    "mdm-inventory": "60604dd2c25e81001d6e9c69dd203c28b7f447f6ba32faf589dcf43bf9349ee7",
    "endpoint-log": "7bf1bbc9c9cf779b71ab3d163eacefbd81fc6aee159fa2e61087bfb11e34e1bb",
    "hl7": "7480ecae2e74cb44ca19ad8bf1ea6a788264dfa760450589682c1b3f3c918947",
    "fhir": "14a7974eb870a40a763976e3cc14e8b711130b0313ca921bd64a644daa5bcd06",
    "x12-837": "dceccbc86c6ac15e43efc423c7eeca34f065740592a245ee8469692d7663146d",
    "dr-listing": "7aed4fb515db0ceb1c5ea20be6e79c5e8c4e5a9e3d62247306a5e54b9edabaea",
}
# Of one file that grows; the others write small files for each patient.
STREAMED = ("audit-trail", "access-report", "ldap-directory", "call-index", "mdm-inventory", "endpoint-log")
STREAMED_MORE = ("hl7", "x12-837", "dr-listing")
EACH_ITS_OWN = ("screenshot", "dicom", "maildir", "fhir")

FINGERPRINTS = """
import hashlib, sys
from phi_fixtures import Hospital
from phi_fixtures.population import cohort
from phi_fixtures.writers import WRITERS, Cast
cast = Cast(h := Hospital(b"golden seed", 10004), list(cohort(h, 12)))
for name in sys.argv[1:]:
    digest = hashlib.sha256()
    for artefact in WRITERS[name](cast):
        digest.update(artefact.path.encode() + b"\\0" + artefact.content)
    print(name, digest.hexdigest())
"""


def fingerprint(artefacts: Iterator[Artefact]) -> str:
    digest = hashlib.sha256()
    for artefact in artefacts:
        digest.update(artefact.path.encode() + b"\0" + artefact.content)
    return digest.hexdigest()


@pytest.fixture(scope="module")
def cast() -> Cast:
    hospital = Hospital(b"golden seed", 10004)
    return Cast(hospital, list(cohort(hospital, 12)))


@pytest.mark.parametrize("name", GOLDEN)
def test_the_golden_seed_still_gives_the_golden_bytes(name: str, cast: Cast) -> None:
    assert fingerprint(WRITERS[name](cast)) == GOLDEN[name]


def test_neither_hash_seed_nor_time_zone_nor_locale_gets_into_the_bytes() -> None:
    fixtures = str(Path(phi_fixtures.__file__).parents[1])
    environment = {
        **os.environ,
        **{"PYTHONHASHSEED": "4", "TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONPATH": fixtures},
    }
    done = subprocess.run(
        [sys.executable, "-c", FINGERPRINTS, *GOLDEN],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert dict(line.split() for line in done.stdout.splitlines()) == GOLDEN


def test_importing_the_generator_loads_neither_pillow_nor_pydicom() -> None:
    fixtures = str(Path(phi_fixtures.__file__).parents[1])
    code = (
        "import sys, phi_fixtures, phi_fixtures.writers, phi_fixtures.writers.screens, "
        "phi_fixtures.writers.imaging; print({'PIL', 'pydicom', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": fixtures},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", GOLDEN)
def test_an_artefact_holds_what_it_says_of_each_patient(name: str, cast: Cast) -> None:
    for artefact in WRITERS[name](cast):
        text = artefact.content.decode("latin-1")
        assert artefact.kind == name and artefact.fields
        for patient in artefact.patients:
            for field in artefact.fields:
                assert any(form in text for form in forms(name, patient, field)), (artefact.path, field)


def forms(name: str, patient: Patient, field: str) -> list[str]:
    """How a field may be written: as it is, dates in any usual form, X12 in capitals."""
    value = patient.text(field)
    if value is None:
        return [""]
    if field == "dob":
        return list(date_forms(patient.dob))
    return [value.upper() if name == "x12-837" else value]


@pytest.mark.parametrize("name", GOLDEN)
def test_every_patient_of_the_cast_is_in_an_artefact_and_nobody_else(name: str, cast: Cast) -> None:
    named = [patient.mrn for artefact in WRITERS[name](cast) for patient in artefact.patients]
    assert set(named) == {patient.mrn for patient in cast.patients}


@pytest.mark.parametrize("name", GOLDEN)
def test_paths_are_absolute_and_differ_and_nothing_is_later_than_the_day(name: str, cast: Cast) -> None:
    artefacts = list(WRITERS[name](cast))
    paths = [artefact.path for artefact in artefacts]
    assert len(set(paths)) == len(paths)
    assert all(path.startswith("/") and "//" not in path for path in paths)
    evening = datetime.combine(cast.day, time(), UTC) + timedelta(days=1)
    assert all(artefact.mtime < evening for artefact in artefacts)


@pytest.mark.parametrize("name", EACH_ITS_OWN)
def test_a_patients_own_file_does_not_depend_on_who_else_is_there(name: str, cast: Cast) -> None:
    alone = replace(cast, patients=[list(cast.patients)[7]])
    (own,) = WRITERS[name](alone)
    among = {artefact.path: artefact.content for artefact in WRITERS[name](cast)}
    assert among[own.path] == own.content


@pytest.mark.parametrize("name", GOLDEN)
def test_a_cast_of_nobody_is_written_without_complaint(name: str, cast: Cast) -> None:
    assert all(isinstance(artefact.content, bytes) for artefact in WRITERS[name](replace(cast, patients=[])))


@pytest.mark.parametrize("name", GOLDEN)
def test_the_estimated_size_is_about_right(name: str) -> None:
    hospital = Hospital(b"another seed", 7)
    patients = list(cohort(hospital, 40))
    size = sum(len(artefact.content) for artefact in WRITERS[name](Cast(hospital, patients)))
    assert size * 0.7 < WRITERS[name].estimated_bytes(40) < size * 1.4


# --- never real ---------------------------------------------------------------------------------------

SSN = re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")
PHONE = re.compile(r"(?<![\w-])\d{3}-\d{3}-\d{4}(?![\w-])")
BARE_PHONE = re.compile(r"\*TE\*(\d{10})")
EMAIL = re.compile(r"[A-Za-z0-9._+-]+@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)")
IP = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])")
URL = re.compile(r"https?://([^/\"<>\s]+)")
MBI = re.compile(r"(?<![A-Z0-9])[1-9][A-Z][A-Z0-9]\d[A-Z][A-Z0-9]\d[A-Z]{2}\d{2}(?![A-Z0-9])")
ZIP = re.compile(
    r"(?:\b[A-Z]{2} |\*[A-Z]{2}\*|\^[A-Z]{2}\^|postalCode\"?: \"?)(\d{5})(?!\d*~?\^|[\d-]*:)(?=\D|9998)"
)
NPI = re.compile(
    r"(?:\*XX\*|us-npi\",\s+\"value\": \")(\d{10})|(?<=\|)(\d{10})\^[A-Z][a-z]+\^[A-Z][a-z]+\^{6}NPI"
)
CARD = re.compile(r"(?<![\w-])(?:\d{4}[ -]){3}\d{4}(?![\w-])")
# Names of code systems, which are written as web addresses.
NAMESPACES = {"hl7.org", "terminology.hl7.org", "loinc.org", "unitsofmeasure.org", "www.ama-assn.org"}


def held(pattern: re.Pattern[str], text: str) -> set[str]:
    """All that a pattern finds: its group where it has one that matched."""
    return {next(filter(None, match.groups()), match[0]) for match in pattern.finditer(text)}


def unreal(artefact: Artefact) -> Iterator[tuple[str, str]]:
    """What in a file breaks a rule: (rule, text)."""
    text = f"{artefact.path}\n{readable(artefact)}"
    rules = (
        ("ssn", SSN, identifiers.is_never_real_ssn),
        ("phone", PHONE, identifiers.is_never_real_phone),
        ("phone", BARE_PHONE, lambda n: identifiers.is_never_real_phone(f"{n[:3]}-{n[3:6]}-{n[6:]}")),
        ("e-mail", EMAIL, lambda host: host.endswith(".example.org")),
        ("address", IP, identifiers.is_never_real_ip),
        ("URL", URL, lambda host: host.endswith(".example.org") or host in NAMESPACES),
        ("MBI", MBI, identifiers.is_never_real_mbi),
        ("ZIP", ZIP, identifiers.is_never_real_zip),
        ("NPI", NPI, identifiers.is_never_real_npi),
        ("card", CARD, lambda number: number == identifiers.TEST_CARD),
    )
    for rule, pattern, is_safe in rules:
        yield from ((rule, found) for found in held(pattern, text) if not is_safe(found))


def readable(artefact: Artefact) -> str:
    """The text of a file without its pixels and samples, in which any pattern may turn up by chance."""
    content = artefact.content
    if artefact.path.endswith(".png"):
        with Image.open(BytesIO(content)) as picture:
            return "\n".join(map(str, picture.info.values()))
    if artefact.path.endswith(".dcm"):
        dataset = pydicom.dcmread(BytesIO(content))
        del dataset.PixelData
        return str(dataset)
    if artefact.path.endswith(".wav"):
        content = content[: content.index(b"data")]
    return content.decode("utf-8" if artefact.path.endswith((".json", ".csv")) else "latin-1")


def uids(content: bytes) -> Iterator[str]:
    """The UIDs of a DICOM file that name things, not those that name the standard's own classes."""
    dataset = pydicom.dcmread(BytesIO(content))
    for element in (*dataset.file_meta, *dataset):
        if element.VR == "UI" and "SOPClass" not in element.keyword and "Transfer" not in element.keyword:
            yield str(element.value)


@settings(max_examples=6, deadline=None, database=None)
@given(
    seed=st.binary(min_size=1, max_size=40),
    block=st.integers(0, 99_999),
    places=st.lists(st.integers(0, 99_999), min_size=1, max_size=3, unique=True),
)
def test_nothing_that_is_written_can_be_real(seed: bytes, block: int, places: list[int]) -> None:
    hospital = Hospital(seed, block)
    cast = Cast(hospital, list(hospital.patients(places)))
    for name in GOLDEN:
        for artefact in WRITERS[name](cast):
            assert list(unreal(artefact)) == [], artefact.path
            if name == "dicom":
                assert all(map(identifiers.is_never_real_dicom_uid, uids(artefact.content)))


def test_the_rules_see_what_the_files_hold(cast: Cast) -> None:
    """So that a pattern that has gone blind does not pass for safety."""
    text = "\n".join(readable(artefact) for name in GOLDEN for artefact in WRITERS[name](cast))
    for pattern in (SSN, PHONE, BARE_PHONE, EMAIL, IP, URL, MBI, ZIP, NPI):
        assert held(pattern, text), pattern.pattern
    assert held(ZIP, text) >= {patient.zip for patient in cast.patients}
    physicians: list[Any] = [cast.hospital.staff(index).npi for index in (0, 2)]
    assert held(NPI, text) & set(physicians)


# --- memory -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", [*STREAMED, *STREAMED_MORE])
def test_many_patients_need_the_memory_of_few(name: str) -> None:
    import tracemalloc  # noqa: PLC0415

    hospital = Hospital(b"many", 3)
    next(iter(Hospital(b"many", 3).patients([0])))  # the tables are loaded
    tracemalloc.start()
    try:
        for artefact in WRITERS[name](Cast(hospital, Register(hospital, 5_000))):
            for _ in artefact.chunks():
                pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 25 * 2**20
