"""The people with a story, the rarer identifiers, cohorts, annexes and canaries."""

from __future__ import annotations

import copy
import hashlib
import pickle
import tracemalloc
from collections import Counter
from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phi_fixtures import belongings, identifiers, places
from phi_fixtures.epoch import TODAY
from phi_fixtures.people import CORE_FIELDS, PATIENT_FIELDS, Hospital, Patient
from phi_fixtures.population import Canaries, blocks_needed, cohort, core_rows, population
from phi_fixtures.staffing import DEPARTMENTS, Support, Vendor, department, employee_id, support, vendor
from phi_fixtures.tables import TOWNS, ZIP_AREAS, restricted_zip, safe_harbor_zip

quick = settings(max_examples=60, deadline=None, database=None)

# To be changed only together with epoch.GENERATOR_VERSION.
GOLDEN = "1d93d6e18a993e993630b52ec9213a710b27891f70406dff2931d624cd3a2eb9"


@pytest.fixture(scope="module")
def hospital() -> Hospital:
    return Hospital(b"a seed", 10004)


@pytest.fixture(scope="module")
def register(hospital: Hospital) -> list[Patient]:
    return list(cohort(hospital, 1000))


def test_the_golden_seed_still_gives_the_golden_register() -> None:
    golden = list(cohort(Hospital(b"golden seed", 10004), 200))
    text = repr([(patient, patient.details) for patient in golden])
    assert hashlib.sha256(text.encode()).hexdigest() == GOLDEN


@quick
@given(
    seed=st.binary(min_size=1, max_size=40),
    annex=st.integers(0, 300),
    place=st.one_of(st.integers(0, 99_999), st.integers(60_000, 74_999)),
)
def test_no_detail_of_anybody_can_be_real(seed: bytes, annex: int, place: int) -> None:
    patient = Hospital(seed, 500).annex(annex).patient(place)
    details = patient.details
    assert identifiers.mrn_block(patient.mrn) == 500 + annex
    assert identifiers.is_never_real_ssn(patient.ssn)
    assert identifiers.is_never_real_email(patient.email)
    assert all(map(identifiers.is_never_real_phone, (patient.phone, details.kin_phone)))
    assert identifiers.is_never_real_zip(patient.zip)
    assert identifiers.is_never_real_ip(details.ip)
    assert belongings.is_never_real_url(details.portal_url)
    optional = (
        (details.licence, belongings.is_never_real_licence),
        (details.vin, belongings.is_never_real_vin),
        (details.plate, belongings.is_never_real_plate),
        (details.device_serial, belongings.is_never_real_device_serial),
        (details.employer_phone, identifiers.is_never_real_phone),
        (patient.fax, identifiers.is_never_real_phone),
        (patient.mbi, identifiers.is_never_real_mbi),
    )
    assert all(value is None or check(value) for value, check in optional)
    assert patient.dob < TODAY


def test_every_field_can_be_written_out(register: list[Patient]) -> None:
    written = [patient.texts(PATIENT_FIELDS) for patient in register[:100]]
    for field in PATIENT_FIELDS:
        assert any(texts[field] for texts in written), field
    assert {type(value) for texts in written for value in texts.values()} == {str, type(None)}


def test_what_details_must_tell_people_apart_by_differs(register: list[Patient]) -> None:
    details = {patient.person: patient.details for patient in register}
    for field in (
        "licence",
        "vin",
        "plate",
        "device_serial",
        "portal_url",
        "voiceprint",
        "photo",
        "wristband",
    ):
        values = [value for one in details.values() if (value := getattr(one, field)) is not None]
        assert len(set(values)) == len(values) > 100, field


def test_a_register_mixes_all_standings_and_no_canary(register: list[Patient]) -> None:
    shares = Counter(patient.standing for patient in register)
    assert shares == {"ordinary": 800, "housemate": 100, "duplicate": 50, "coworker": 25, "vip": 25}
    assert len({patient.mrn for patient in register}) == len(register)
    assert len({patient.person for patient in register}) == 950


def test_a_longer_register_begins_with_the_shorter(hospital: Hospital, register: list[Patient]) -> None:
    assert list(cohort(hospital, 30)) == register[:30]
    assert list(cohort(hospital, 10, start=25)) == register[25:35]


def test_every_member_of_the_largest_register_has_a_place_of_its_own() -> None:
    held = {places.cohort_place(number) for number in range(places.COHORT_SIZE)}
    assert held == set(range(places.VIPS.stop))


def test_a_household_shares_its_address_and_names_each_other(register: list[Patient]) -> None:
    by_place = {patient.index: patient for patient in register}
    homes = {home for patient in register if (home := places.household(patient.index))}
    assert len(homes) == 50
    for home in homes:
        head, *mates = (by_place[place] for place in home)
        assert {mate.address for mate in mates} == {head.address}
        assert head.details.kin_name == mates[0].display
        assert all(mate.details.kin_name == head.display for mate in mates)


def test_a_second_record_is_of_the_same_person_under_other_numbers(
    hospital: Hospital, register: list[Patient]
) -> None:
    seconds = [patient for patient in register if patient.standing == "duplicate"]
    for second in seconds:
        first = hospital.patient(second.person)
        assert places.duplicate(first.index) == second.index
        assert (second.ssn, second.member_id, second.sex) == (first.ssn, first.member_id, first.sex)
        assert second.mrn != first.mrn and second.account != first.account
        assert second.details == first.details
        changed = [
            name
            for name in ("family", "given", "dob", "address")
            if getattr(first, name) != getattr(second, name)
        ]
        assert len(changed) == 1
        assert hospital.index_of(second.mrn) == second.index


def test_coworkers_are_staff_and_vips_are_known_for_something(
    hospital: Hospital, register: list[Patient]
) -> None:
    for patient in register:
        assert (patient.renown is not None) == (patient.standing == "vip")
        if patient.standing == "coworker":
            member = hospital.staff(patient.index - places.COWORKERS.start)
            assert patient.display == member.display
            assert patient.details.employer == "Mercy Valley Health"


def test_some_live_where_safe_harbor_masks_the_zip_code(register: list[Patient]) -> None:
    masked = [patient for patient in register if patient.restricted_zip]
    assert 100 < len(masked) < 250
    assert {patient.safe_harbor_zip for patient in masked} == {"000"}
    assert {patient.safe_harbor_zip for patient in register} == {"000", "003"}
    assert {area for area, people in ZIP_AREAS.items() if people <= 20_000} == {"0036", "0039"}
    assert all(town.zip[:4] in ZIP_AREAS for town in TOWNS)
    assert restricted_zip("00393") and safe_harbor_zip("00301") == "003"


def test_annexes_have_other_people_and_share_no_number(hospital: Hospital) -> None:
    first, second, third = (
        list(hospital.annex(number).patients([*range(300), *range(70_000, 70_300)])) for number in range(3)
    )
    assert first == [hospital.patient(patient.index) for patient in first]
    for field in ("mrn", "account", "email"):
        values = [getattr(patient, field) for annex in (first, second, third) for patient in annex]
        assert len(set(values)) == len(values), field
    for field in ("ssn", "member_id"):
        assert not {getattr(patient, field) for patient in first} & {
            getattr(patient, field) for patient in second
        }
    same = sum(one.display == other.display for one, other in zip(first, second, strict=True))
    assert same < 10
    assert hospital.annex(1).annex(0).block == hospital.block


def test_a_population_goes_on_in_the_next_block(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (blocks_needed(0), blocks_needed(75_000), blocks_needed(200_000)) == (1, 1, 3)
    monkeypatch.setattr(places, "COHORT_SIZE", 40)
    people = list(population(hospital, 100))
    assert Counter(patient.mrn[:5] for patient in people) == {"10004": 40, "10005": 40, "10006": 20}
    assert people[40:43] == list(cohort(hospital.annex(1), 3))
    assert len({patient.ssn for patient in people}) == 95


def test_a_stream_holds_one_patient_at_a_time(hospital: Hospital) -> None:
    stream = population(hospital, 200_000)
    next(stream)
    tracemalloc.start()
    count = sum(1 for _ in islice(stream, 400))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 400 and peak < 100_000


@pytest.mark.parametrize(("count", "block"), [(-1, 0), (75_001, 99_999), (10**12, 0)])
def test_a_population_that_cannot_be_is_refused_at_once(count: int, block: int) -> None:
    with pytest.raises(ValueError, match=r"negative|last is 99999"):
        population(Hospital(b"s", block), count)


def test_a_cohort_that_does_not_fit_is_refused(hospital: Hospital) -> None:
    for count, start in ((-1, 0), (75_001, 0), (1, 75_000), (1, -1)):
        with pytest.raises(ValueError, match="do not fit a block"):
            cohort(hospital, count, start=start)
    with pytest.raises(ValueError, match="annex 329 is out of range"):
        hospital.annex(329)
    with pytest.raises(ValueError, match="block 100000"):
        Hospital(b"s", 99_999).annex(1)


SITES = ("today", "rotated", "cron-mail", "tmp", "psql-history", "backup", "tickets")


def test_each_site_has_canaries_of_its_own_that_name_it(hospital: Hospital, register: list[Patient]) -> None:
    canaries = Canaries(hospital, SITES)
    held = {site: canaries.of(site, Canaries.PER_SITE) for site in SITES}
    numbers = [patient.mrn for patients in held.values() for patient in patients]
    assert len(set(numbers)) == len(SITES) * 11
    for site, patients in held.items():
        assert {canaries.site_of(patient.mrn) for patient in patients} == {site}
        assert {patient.standing for patient in patients} == {"canary"}
    assert not set(numbers) & {patient.mrn for patient in register}
    assert canaries.site_of(register[0].mrn) is None
    assert canaries.site_of("0000100001") is None


def test_a_site_that_is_added_moves_no_other(hospital: Hospital) -> None:
    before, after = Canaries(hospital, SITES), Canaries(hospital, ("a new one", *reversed(SITES)))
    assert [before.of(site) for site in SITES] == [after.of(site) for site in SITES]


def test_sites_that_ask_for_the_same_slot_get_two(hospital: Hospital) -> None:
    seen: dict[int, str] = {}
    for number in range(5000):
        name = f"site {number}"
        if (slot := places.canary_slot(name)) in seen:
            break
        seen[slot] = name
    canaries = Canaries(hospital, (name, seen[slot]))
    assert not {patient.mrn for patient in canaries.of(name)} & {p.mrn for p in canaries.of(seen[slot])}


def test_canaries_that_there_are_not_are_refused(hospital: Hospital) -> None:
    canaries = Canaries(hospital, SITES)
    with pytest.raises(KeyError, match="no site 'yesterday'"):
        canaries.of("yesterday")
    with pytest.raises(ValueError, match="0 to 11"):
        canaries.of("today", 12)
    with pytest.raises(ValueError, match="2083"):
        Canaries(hospital, map(str, range(3000)))


def test_a_patient_survives_copying_and_pickling(hospital: Hospital) -> None:
    patient = hospital.annex(2).patient(60_001)
    for other in (copy.deepcopy(patient), pickle.loads(pickle.dumps(patient))):  # noqa: S301  # our own
        assert other == patient and other.details == patient.details


def test_a_patient_made_by_hand_has_no_details(hospital: Hospital) -> None:
    with pytest.raises(ValueError, match="made by hand"):
        _ = replace(hospital.patient(1), hospital=None).details


def test_rows_hold_the_core_fields(hospital: Hospital) -> None:
    (row,) = core_rows([hospital.patient(9)])
    assert len(row) == len(CORE_FIELDS) and row[1] == hospital.patient(9).mrn


def test_support_and_vendors_have_accounts_of_their_own_and_safe_numbers(hospital: Hospital) -> None:
    supporters = [support(hospital, index) for index in range(40)]
    vendors = [vendor(hospital, index) for index in range(40)]
    everybody: list[Support | Vendor] = [*supporters, *vendors]
    users = [person.user for person in everybody]
    assert len(set(users)) == 80
    assert Counter(person.role for person in supporters)["help-desk"] == 20
    assert 5 <= sum(person.lapsed for person in vendors) <= 15
    for person in everybody:
        assert identifiers.is_never_real_email(person.email)
        assert identifiers.is_never_real_phone(person.phone)
    for make in (support, vendor):
        with pytest.raises(ValueError, match="negative"):
            make(hospital, -1)


def test_everybody_works_in_a_department(hospital: Hospital) -> None:
    members = [hospital.staff(index) for index in range(104)]
    assert {department(member) for member in members} == set(DEPARTMENTS)
    assert employee_id(7) == "E-10007"
