"""Patients and staff: the same for the same seed everywhere, independent of each other, and never real."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from dataclasses import FrozenInstanceError, astuple
from datetime import date, timedelta
from math import gcd
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import phi_fixtures
from phi_fixtures import identifiers, people
from phi_fixtures.people import EPOCH, PATIENT_FIELDS, Hospital, Patient
from phi_fixtures.tables import TOWNS, names

quick = settings(max_examples=40, deadline=None, database=None)
seeds = st.binary(min_size=1, max_size=100)
blocks = st.integers(0, 99_999)
indexes = st.integers(0, 99_999)
ordinary = st.integers(0, 59_999)

# To be changed only together with people.GENERATOR_VERSION.
GOLDEN = "f846851110cffd47d3d6eb610bde1770cc31b9a8fc7cf76d775050d56a831f25"

FINGERPRINT = """
import hashlib
from phi_fixtures import Hospital
hospital = Hospital(b"golden seed", 10004)
people = [*hospital.patients(range(300)), *(hospital.staff(index) for index in range(40))]
print(hashlib.sha256(repr(people).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def hospital() -> Hospital:
    return Hospital(b"a seed", 10004)


@pytest.fixture(scope="module")
def thousand(hospital: Hospital) -> list[Patient]:
    return list(hospital.patients(range(1000)))


def fingerprint() -> str:
    golden = Hospital(b"golden seed", 10004)
    everyone = [*golden.patients(range(300)), *(golden.staff(index) for index in range(40))]
    return hashlib.sha256(repr(everyone).encode()).hexdigest()


def test_the_golden_seed_still_gives_the_golden_people() -> None:
    assert fingerprint() == GOLDEN


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_another_process_gives_the_same_people_whatever_its_surroundings(hash_seed: str) -> None:
    source = Path(phi_fixtures.__file__).parents[1]
    surroundings = {"PYTHONHASHSEED": hash_seed, "TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONPATH": str(source)}
    told = subprocess.run(
        [sys.executable, "-S", "-c", FINGERPRINT],
        env=os.environ | surroundings,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert told.stdout.strip() == GOLDEN


def test_importing_brings_in_neither_faker_nor_the_program_nor_the_tables() -> None:
    source = Path(phi_fixtures.__file__).parents[1]
    program = (
        "import sys, phi_fixtures, phi_fixtures.manifest, phi_fixtures.writers.ehr_log\n"
        "from phi_fixtures.tables import names\n"
        "unwanted = {'faker', 'phi_labs', 'pydantic', 'yaml'} & set(sys.modules)\n"
        "print(sorted(unwanted), names.cache_info().misses)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert told.stdout.strip() == "[] 0"


def test_the_epoch_is_an_aware_midnight() -> None:
    assert EPOCH.isoformat() == "2026-03-02T00:00:00+00:00"
    assert phi_fixtures.EPOCH is EPOCH


@quick
@given(seed=seeds, block=blocks, index=indexes)
def test_no_patient_has_an_identifier_that_can_be_real(seed: bytes, block: int, index: int) -> None:
    patient = Hospital(seed, block).patient(index)
    assert identifiers.is_never_real_ssn(patient.ssn)
    assert identifiers.is_never_real_phone(patient.phone)
    assert patient.fax is None or identifiers.is_never_real_phone(patient.fax)
    assert identifiers.is_never_real_email(patient.email)
    assert identifiers.is_never_real_zip(patient.zip)
    assert identifiers.is_never_real_member_id(patient.member_id)
    assert patient.mbi is None or identifiers.is_never_real_mbi(patient.mbi)
    assert (patient.city, patient.state, patient.zip) in {(town.name, town.state, town.zip) for town in TOWNS}


@quick
@given(seed=seeds, index=st.integers(0, 5000))
def test_no_member_of_staff_has_an_identifier_that_can_be_real(seed: bytes, index: int) -> None:
    member = Hospital(seed, 1).staff(index)
    assert identifiers.is_never_real_email(member.email)
    assert identifiers.is_never_real_phone(member.phone)
    assert member.npi is None or identifiers.is_never_real_npi(member.npi)


@quick
@given(seed=seeds, block=blocks, index=indexes)
def test_a_record_number_leads_back_to_its_patient(seed: bytes, block: int, index: int) -> None:
    hospital = Hospital(seed, block)
    patient = hospital.patient(index)
    assert hospital.index_of(patient.mrn) == index
    assert Hospital(seed, (block + 1) % 100_000).index_of(patient.mrn) is None
    assert identifiers.mrn_block(patient.mrn) == block


@quick
@given(seed=seeds, index=ordinary)
def test_everybody_was_born_before_the_epoch_and_only_the_oldest_are_over_89(seed: bytes, index: int) -> None:
    patient = Hospital(seed, 1).patient(index)
    age = patient.age(EPOCH.date())
    assert 0 <= age < 106
    assert (age > 89) == (index % 40 == 11)
    assert (patient.mbi is None) == (age < 65)


def test_a_patient_does_not_depend_on_who_was_asked_for_before(hospital: Hospital) -> None:
    alone = Hospital(b"a seed", 10004).patient(77)
    assert alone == list(hospital.patients(range(70, 80)))[7]


def test_what_must_tell_patients_apart_differs_for_everybody(thousand: list[Patient]) -> None:
    for field in ("mrn", "ssn", "phone", "email", "member_id", "account"):
        assert len({getattr(patient, field) for patient in thousand}) == len(thousand), field
    for optional in ("fax", "mbi"):
        values = [value for patient in thousand if (value := getattr(patient, optional)) is not None]
        assert 100 < len(values) < 600 and len(set(values)) == len(values), optional


def test_the_strides_meet_every_number_before_any_twice() -> None:
    strides = {
        people._MAILBOX_STRIDE: identifiers.BLOCK_SIZE,
        people._PHONE_STRIDE: identifiers.PHONE_COUNT,
        people._FAX_STRIDE: identifiers.FAX_COUNT,
        people._SSN_STRIDE: identifiers.SSN_COUNT,
        people._MEMBER_STRIDE: identifiers.MEMBER_ID_COUNT,
        people._STAFF_STRIDE: len(names().distinct_families),
    }
    assert [gcd(stride, count) for stride, count in strides.items()] == [1] * 6


def test_two_hospitals_share_no_record_or_account_number(thousand: list[Patient]) -> None:
    others = list(Hospital(b"a seed", 10005).patients(range(1000)))
    assert not {patient.mrn for patient in thousand} & {patient.mrn for patient in others}
    assert not {patient.account for patient in thousand} & {patient.account for patient in others}


def test_another_seed_gives_other_people(thousand: list[Patient]) -> None:
    others = Hospital(b"b seed", 10004).patients(range(1000))
    same = sum(mine.display == theirs.display for mine, theirs in zip(thousand, others, strict=True))
    assert same < 10


def test_every_dozen_patients_have_namesakes(thousand: list[Patient]) -> None:
    for start in range(0, 996, 12):
        dozen = thousand[start : start + 12]
        assert dozen[7].family == dozen[2].family
    twins = [(thousand[index], thousand[index - 5]) for index in range(19, 1000, 36)]
    for patient, other in twins:
        assert (patient.display, patient.sex) == (other.display, other.sex)
        assert patient.mrn != other.mrn and patient.dob != other.dob


def test_the_population_is_believable(thousand: list[Patient]) -> None:
    assert 400 < Counter(patient.sex for patient in thousand)["F"] < 600
    ages = [patient.age(EPOCH.date()) for patient in thousand]
    assert sum(age < 18 for age in ages) > 50
    assert 300 < sum(age >= 65 for age in ages) < 550
    assert len({patient.family for patient in thousand}) > 300
    assert 500 < Counter(patient.state for patient in thousand)["OH"] < 800


def test_a_record_is_written_out_field_by_field(hospital: Hospital) -> None:
    patient = hospital.patient(3)
    assert patient.display == f"{patient.family.upper()}, {patient.given}"
    assert patient.text("dob") == patient.dob.isoformat()
    assert patient.text("display") == patient.display
    assert {patient.text(field) is None for field in PATIENT_FIELDS} <= {True, False}
    with pytest.raises(KeyError, match="no field 'blood'"):
        patient.text("blood")


def test_age_counts_completed_years(hospital: Hospital) -> None:
    born = hospital.patient(5).dob
    day_before = date(born.year + 30, born.month, min(born.day, 28)) - timedelta(days=1)
    assert hospital.patient(5).age(day_before) == 29


def test_records_cannot_be_changed(hospital: Hospital) -> None:
    with pytest.raises(FrozenInstanceError):
        hospital.patient(0).mrn = "1"  # type: ignore[misc]


def test_every_eight_of_the_staff_cover_the_house(hospital: Hospital) -> None:
    shift = [hospital.staff(index) for index in range(8, 16)]
    assert Counter(member.role for member in shift) == {
        **{"physician": 2, "nurse": 2, "therapist": 1, "pharmacist": 1},
        **{"registrar": 1, "it": 1},
    }
    assert sum(member.clinical for member in shift) == 6
    assert all((member.npi is not None) == (member.role in {"physician", "therapist"}) for member in shift)
    assert shift[0].display == f"{shift[0].family.upper()}, {shift[0].given}"


def test_no_two_of_the_staff_share_an_account(hospital: Hospital) -> None:
    users = [hospital.staff(index).user for index in range(4000)]
    assert len(set(users)) == len(users)
    assert hospital.staff(0).user == f"dr.{hospital.staff(0).family.lower()}"


@pytest.mark.parametrize(
    ("seed", "block", "told"),
    [(b"", 1, "seed is empty"), (b"s", -1, "block -1"), (b"s", 100_000, "block 100000")],
)
def test_a_hospital_that_cannot_be_is_refused(seed: bytes, block: int, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Hospital(seed, block)


def test_a_patient_outside_the_block_is_refused(hospital: Hospital) -> None:
    for index in (-1, 100_000):
        with pytest.raises(ValueError, match="out of range"):
            hospital.patient(index)
    with pytest.raises(ValueError, match="negative"):
        hospital.staff(-1)


def test_a_long_seed_counts_to_its_last_byte() -> None:
    first, second = (Hospital(b"x" * 10_000 + end, 1).patient(0) for end in (b"1", b"2"))
    assert astuple(first) != astuple(second)
