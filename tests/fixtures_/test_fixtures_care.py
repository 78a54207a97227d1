"""Encounters fit the patient, and their codes, drugs and values fit each other."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import pytest

from phi_fixtures.care import Encounter, encounters
from phi_fixtures.conditions import CONDITIONS, TESTS
from phi_fixtures.epoch import EPOCH
from phi_fixtures.people import Hospital, Patient
from phi_fixtures.population import cohort
from phi_fixtures.staffing import DEPARTMENTS

# To be changed only together with epoch.GENERATOR_VERSION.
GOLDEN = "2aa722b5b19f6ee3f74d30e4c91bc3e45db631929979ebe7902aac23a8ec4c84"


@pytest.fixture(scope="module")
def visits() -> list[Encounter]:
    return [visit for patient in cohort(Hospital(b"a seed", 10004), 400) for visit in encounters(patient)]


def test_the_golden_seed_still_gives_the_golden_encounters() -> None:
    golden = [visit for patient in cohort(Hospital(b"golden seed", 3), 40) for visit in encounters(patient)]
    text = repr([(visit, visit.note) for visit in golden])
    assert hashlib.sha256(text.encode()).hexdigest() == GOLDEN


def test_codes_have_the_shape_of_their_systems() -> None:
    for condition in CONDITIONS:
        assert re.fullmatch(r"[A-TV-Z]\d[0-9A-Z](\.[0-9A-Z]{1,4})?", condition.diagnosis.code)
        assert condition.procedures
        assert all(re.fullmatch(r"\d{5}", procedure.code) for procedure in condition.procedures)
        assert condition.department in DEPARTMENTS
        assert set(condition.tests) <= set(TESTS)
        assert condition.shown_by is None or condition.shown_by in condition.tests
    assert len({condition.diagnosis.code for condition in CONDITIONS}) == len(CONDITIONS)


@pytest.mark.parametrize("test", TESTS.values(), ids=TESTS)
def test_a_loinc_code_passes_its_check_digit(test: object) -> None:
    code = getattr(test, "loinc", "")
    number, check = code.split("-")
    total = 0
    for place, digit in enumerate(reversed(number)):
        doubled = int(digit) * (2 - place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    assert -total % 10 == int(check)


def test_a_visit_suits_age_and_sex_and_lies_before_the_epoch(visits: list[Encounter]) -> None:
    for visit in visits:
        patient, condition = visit.patient, visit.condition
        assert patient.dob <= visit.start.date()
        assert visit.start < visit.end <= EPOCH
        assert condition.sex in {None, patient.sex}
        assert condition.ages[0] <= patient.age(visit.start.date()) <= condition.ages[1]
        assert visit.clinician.role == "physician"


def test_every_visit_has_a_number_of_its_own_without_the_record_number(visits: list[Encounter]) -> None:
    numbers = [visit.number for visit in visits]
    assert len(set(numbers)) == len(numbers)
    assert all(visit.patient.mrn not in visit.number for visit in visits)


def test_results_are_flagged_by_their_range(visits: list[Encounter]) -> None:
    results = [(visit, result) for visit in visits for result in visit.results]
    assert {result.flag for _, result in results} == {"", "H", "L"}
    for visit, result in results:
        value, test = float(result.value), result.test
        assert result.flag == ("H" if value > test.high else "L" if value < test.low else "")
        if visit.condition.shown_by and TESTS[visit.condition.shown_by] is test:
            assert result.flag
        if visit.diagnosis.code.startswith("Z"):
            assert not result.flag


def test_every_condition_turns_up(visits: list[Encounter]) -> None:
    assert len({visit.diagnosis.code for visit in visits}) == len(CONDITIONS)


def test_a_note_names_the_patient_and_the_next_of_kin(visits: list[Encounter]) -> None:
    for visit in visits[:100]:
        assert visit.patient.full_name in visit.note
        assert visit.patient.details.kin_name in visit.note
        assert visit.diagnosis.code in visit.note


def test_a_patient_made_by_hand_has_no_visits() -> None:
    patient: Patient = replace(Hospital(b"s", 1).patient(0), hospital=None)
    with pytest.raises(ValueError, match="made by hand"):
        encounters(patient)
