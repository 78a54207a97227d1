"""The EHR's log reads like a day at a hospital, and each patient's lines are their own."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from phi_fixtures.people import Hospital, Patient
from phi_fixtures.writers.ehr_log import REASONS, lookup_line, write_log

DAY = date(2026, 3, 2)
# To be changed only together with people.GENERATOR_VERSION.
GOLDEN = "8ad1e9ff8c52220c3e981026ba28b22820ac155f92e05b6d3816572495296fbe"
LINE = re.compile(
    r"Mar  2 (?P<time>\d\d:\d\d:\d\d) ehr1 ehr\[812\]: lookup user=(?P<user>[a-z.]+) mrn=(?P<mrn>\d{10}) "
    r'name="(?P<name>[A-Z]+, [A-Za-z]+)" dob=(?P<dob>\d{4}-\d\d-\d\d) reason=(?P<reason>[a-z-]+)'
)


@pytest.fixture(scope="module")
def hospital() -> Hospital:
    return Hospital(b"golden seed", 10004)


@pytest.fixture(scope="module")
def patients(hospital: Hospital) -> list[Patient]:
    return list(hospital.patients(range(200)))


@pytest.fixture(scope="module")
def lookups(hospital: Hospital, patients: list[Patient]) -> list[dict[str, str]]:
    lines = write_log(DAY, hospital, patients).decode("ascii").splitlines()
    matches = [LINE.fullmatch(line) for line in lines]
    assert None not in matches
    return [match.groupdict() for match in matches if match]


def test_a_lookup_is_the_line_the_ehr_writes(hospital: Hospital) -> None:
    ada = replace(
        hospital.patient(0), mrn="1000412345", family="Okafor", given="Ada", dob=date(1961, 4, 9), sex="F"
    )
    when = datetime(2026, 3, 2, 9, 14, 7, tzinfo=UTC)
    assert lookup_line(when, "ehr1", 812, "dr.okafor", ada, "chart-review") == (
        "Mar  2 09:14:07 ehr1 ehr[812]: lookup user=dr.okafor mrn=1000412345 "
        'name="OKAFOR, Ada" dob=1961-04-09 reason=chart-review'
    )


def test_the_golden_seed_still_gives_the_golden_log(hospital: Hospital, patients: list[Patient]) -> None:
    assert hashlib.sha256(write_log(DAY, hospital, patients)).hexdigest() == GOLDEN


def test_lines_are_in_order_of_time(lookups: list[dict[str, str]]) -> None:
    times = [lookup["time"] for lookup in lookups]
    assert times == sorted(times)


def test_every_patient_is_looked_up_one_to_four_times(
    lookups: list[dict[str, str]], patients: list[Patient]
) -> None:
    seen = [lookup["mrn"] for lookup in lookups]
    assert set(seen) == {patient.mrn for patient in patients}
    assert {seen.count(patient.mrn) for patient in patients} == {1, 2, 3, 4}


def test_a_line_names_one_patient_throughout(lookups: list[dict[str, str]], patients: list[Patient]) -> None:
    by_number = {patient.mrn: patient for patient in patients}
    for lookup in lookups:
        patient = by_number[lookup["mrn"]]
        assert (lookup["name"], lookup["dob"]) == (patient.display, patient.dob.isoformat())


def test_clinicians_look_for_reasons_of_their_role(lookups: list[dict[str, str]], hospital: Hospital) -> None:
    roles = {hospital.staff(index).user: hospital.staff(index).role for index in range(16)}
    assert all(lookup["reason"] in REASONS[roles[lookup["user"]]] for lookup in lookups)
    assert len({lookup["user"] for lookup in lookups}) == 12


def test_most_work_is_done_by_day_and_some_at_night(lookups: list[dict[str, str]]) -> None:
    by_day = sum("07" <= lookup["time"][:2] < "19" for lookup in lookups)
    assert 0.7 < by_day / len(lookups) < 0.97


def test_another_patient_does_not_change_the_others_lines(
    hospital: Hospital, patients: list[Patient]
) -> None:
    fewer = write_log(DAY, hospital, patients[:100]).splitlines()
    more = write_log(DAY, hospital, patients).splitlines()
    numbers = {patient.mrn.encode() for patient in patients[100:]}
    assert fewer == [line for line in more if line.split(b"mrn=")[1][:10] not in numbers]


def test_the_order_in_which_patients_are_given_does_not_matter(
    hospital: Hospital, patients: list[Patient]
) -> None:
    assert write_log(DAY, hospital, reversed(patients)) == write_log(DAY, hospital, patients)


def test_another_day_or_host_is_another_log(hospital: Hospital, patients: list[Patient]) -> None:
    logs = {
        write_log(DAY, hospital, patients),
        write_log(date(2026, 3, 1), hospital, patients),
        write_log(DAY, hospital, patients, host="ehr2"),
    }
    assert len({re.sub(rb"^.{15} \S+ ", b"", log, flags=re.MULTILINE) for log in logs}) == 3


def test_a_day_without_patients_is_an_empty_log(hospital: Hospital) -> None:
    assert write_log(DAY, hospital, []) == b""


def test_only_clinicians_of_the_given_staff_look_patients_up(
    hospital: Hospital, patients: list[Patient]
) -> None:
    doctor, registrar = hospital.staff(0), hospital.staff(6)
    log = write_log(DAY, hospital, patients[:20], staff=[doctor, registrar])
    assert set(re.findall(rb"user=(\S+)", log)) == {doctor.user.encode()}
    with pytest.raises(ValueError, match="clinician"):
        write_log(DAY, hospital, patients[:20], staff=[registrar])
