"""The manifest says what was planted where, and whose a found string is."""

from __future__ import annotations

import json
from datetime import date

import pytest

from phi_fixtures.manifest import Location, Manifest, date_forms
from phi_fixtures.people import GENERATOR_VERSION, Hospital, Patient

TODAY = "/var/log/ehr/ehr.log"
ROTATED = "/var/log/ehr/ehr.log.2.gz"


@pytest.fixture
def patients() -> list[Patient]:
    return list(Hospital(b"a seed", 10004).patients(range(10)))


@pytest.fixture
def manifest(patients: list[Patient]) -> Manifest:
    manifest = Manifest(seed="00ff", block=10004)
    manifest.plant("today", TODAY, patients[:6], ["mrn", "display", "dob"], host="ehr1")
    manifest.plant("rotated", ROTATED, patients[4:], ["mrn", "ssn", "fax"])
    manifest.answers["people"] = 10
    manifest.facts["reviewers"] = ["m.lindqvist"]
    manifest.variables["since"] = "2026-02-23"
    manifest.personas["reviewer"] = {"user": "m.lindqvist", "private_key": "-----BEGIN é"}
    return manifest


def test_writing_and_reading_gives_the_same_manifest(manifest: Manifest) -> None:
    text = manifest.to_json()
    assert Manifest.from_json(text) == manifest
    assert Manifest.from_json(text).to_json() == text


def test_the_manifest_remembers_which_generator_made_it(manifest: Manifest) -> None:
    assert json.loads(manifest.to_json())["generator_version"] == GENERATOR_VERSION
    other = manifest.to_json().replace(
        f'"generator_version": "{GENERATOR_VERSION}"', '"generator_version": "0"'
    )
    assert Manifest.from_json(other).generator_version == "0"


def test_a_site_lists_its_paths_patients_and_identifiers(manifest: Manifest, patients: list[Patient]) -> None:
    (entry,) = json.loads(manifest.to_json())["sites"]["today"]
    assert entry["path"] == TODAY and entry["host"] == "ehr1"
    assert entry["patients"][0] == {
        "mrn": patients[0].mrn,
        "family": patients[0].family,
        "given": patients[0].given,
        "dob": patients[0].dob.isoformat(),
        "display": patients[0].display,
    }
    assert set(entry["identifiers"]) == manifest.identifiers("today")


def test_identifiers_are_what_gives_a_person_away(manifest: Manifest, patients: list[Patient]) -> None:
    today = {patient.mrn for patient in patients[:6]} | {patient.display for patient in patients[:6]}
    assert manifest.identifiers("today") == today
    rotated = {text for patient in patients[4:] for text in (patient.mrn, patient.ssn, patient.fax) if text}
    assert manifest.identifiers("rotated") == rotated
    assert manifest.identifiers() == today | rotated


def test_an_empty_manifest_has_no_identifiers() -> None:
    assert Manifest().identifiers() == frozenset()
    assert Manifest().locate("1000412345") == []


def test_a_string_is_traced_to_its_places_and_its_patient(
    manifest: Manifest, patients: list[Patient]
) -> None:
    both = patients[4]
    assert manifest.locate(both.mrn) == [
        Location("today", TODAY, "mrn", both.mrn, "ehr1"),
        Location("rotated", ROTATED, "mrn", both.mrn, ""),
    ]
    assert [found.mrn for found in manifest.locate(patients[8].ssn)] == [patients[8].mrn]


def test_tracing_minds_neither_case_nor_punctuation(manifest: Manifest, patients: list[Patient]) -> None:
    display, ssn = patients[0].display, patients[8].ssn
    assert patients[0].mrn in {found.mrn for found in manifest.locate(f" {display.lower()} ")}
    assert manifest.locate(ssn.replace("-", "")) == manifest.locate(ssn) != []


@pytest.mark.parametrize("text", ["", " - ", "not planted"])
def test_what_was_not_planted_is_found_nowhere(manifest: Manifest, text: str) -> None:
    assert manifest.locate(text) == []


def test_a_field_that_was_not_written_is_not_located(manifest: Manifest, patients: list[Patient]) -> None:
    assert manifest.locate(patients[0].ssn) == []
    assert manifest.locate(patients[9].dob.isoformat()) == []


def test_one_site_holds_many_paths(manifest: Manifest, patients: list[Patient]) -> None:
    manifest.plant("today", "/srv/copy", patients[6:7], ["email"])
    assert [artefact.path for artefact in manifest.sites["today"]] == [TODAY, "/srv/copy"]
    assert patients[6].email in manifest.identifiers("today")


def test_unknown_names_are_refused(manifest: Manifest, patients: list[Patient]) -> None:
    with pytest.raises(ValueError, match="no field blood"):
        manifest.plant("today", TODAY, patients, ["mrn", "blood"])
    with pytest.raises(KeyError, match="nothing was planted at site 'tomorrow'"):
        manifest.identifiers("tomorrow")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', "null", '{"format": 2}'])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"manifest|Expecting value"):
        Manifest.from_json(text)


def test_a_value_that_json_cannot_hold_is_refused(manifest: Manifest) -> None:
    manifest.facts["when"] = object()
    with pytest.raises(TypeError):
        manifest.to_json()


def test_a_birthday_is_traced_in_any_of_its_forms(patients: list[Patient]) -> None:
    manifest = Manifest()
    manifest.plant("today", TODAY, patients[:1], ["dob"])
    for form in date_forms(patients[0].dob):
        assert patients[0].mrn in {found.mrn for found in manifest.locate(form)}, form
    assert date_forms(date(1961, 4, 9)) == (
        *("1961-04-09", "19610409", "04/09/1961", "4/9/1961", "04/09/61", "09-Apr-1961", "9 April 1961"),
        *("Apr 9, 1961", "April 9, 1961", "April 09, 1961"),
    )


def test_names_are_traced_in_either_order_and_numbers_with_the_country_code(patients: list[Patient]) -> None:
    manifest = Manifest()
    manifest.plant("today", TODAY, patients[:1], ["display", "phone", "vin", "kin_name"], kind="ehr-log")
    patient = patients[0]
    assert manifest.locate(patient.full_name)[0].artefact == "ehr-log"
    assert manifest.locate(f"+1 ({patient.phone[:3]}) {patient.phone[4:]}")[0].field == "phone"
    assert patient.details.vin in manifest.identifiers("today")
    family, given = patient.details.kin_name.split(", ")
    assert manifest.locate(f"{given} {family.title()}")[0].field == "kin_name"
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_what_a_longer_text_holds_is_found(manifest: Manifest, patients: list[Patient]) -> None:
    line = f"Mar  2 09:14 lookup of mrn={patients[0].mrn} ({patients[1].full_name})"
    assert {found.mrn for found in manifest.locate_within(line)} == {patients[0].mrn, patients[1].mrn}
    assert manifest.locate_within("nobody here") == []


def test_what_is_planted_after_a_search_is_found_too(manifest: Manifest, patients: list[Patient]) -> None:
    assert manifest.locate(patients[2].email) == []
    manifest.plant("later", "/x", patients[2:3], ["email"])
    assert [found.site for found in manifest.locate(patients[2].email)] == ["later"]
