"""The never-real rules, held against outside knowledge rather than against the makers' own constants."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phi_fixtures import identifiers

quick = settings(max_examples=40, deadline=None, database=None)
numbers = st.integers(min_value=0, max_value=2**128)

MAKERS: dict[str, tuple[Callable[[int], str], Callable[[str], bool], int]] = {
    "ssn": (identifiers.ssn, identifiers.is_never_real_ssn, identifiers.SSN_COUNT),
    "phone": (identifiers.phone, identifiers.is_never_real_phone, identifiers.PHONE_COUNT),
    "fax": (identifiers.fax, identifiers.is_never_real_phone, identifiers.FAX_COUNT),
    "ip": (identifiers.ip, identifiers.is_never_real_ip, identifiers.IP_COUNT),
    "npi": (identifiers.npi, identifiers.is_never_real_npi, identifiers.NPI_COUNT),
    "mbi": (identifiers.mbi, identifiers.is_never_real_mbi, identifiers.MBI_COUNT),
    "member_id": (identifiers.member_id, identifiers.is_never_real_member_id, identifiers.MEMBER_ID_COUNT),
    "zip": (identifiers.zip_code, identifiers.is_never_real_zip, identifiers.ZIP_COUNT),
    "dicom_uid": (identifiers.dicom_uid, identifiers.is_never_real_dicom_uid, 2**122),
}


# All makers in each property: hypothesis takes 40 ms to set one up, and next to nothing to run it.
@quick
@given(number=numbers)
def test_every_number_makes_an_identifier_that_cannot_be_real(number: int) -> None:
    for kind, (make, is_never_real, count) in MAKERS.items():
        assert is_never_real(make(number)), kind
        assert make(number) == make(number % count), kind


@quick
@given(first=numbers, second=numbers, step=st.integers(0, 2))
def test_numbers_that_differ_within_the_range_make_identifiers_that_differ(
    first: int, second: int, step: int
) -> None:
    for kind, (make, _, count) in MAKERS.items():
        for other in (second, first + step):
            assert (make(first) == make(other)) == (first % count == other % count), kind


@pytest.mark.parametrize("kind", ["phone", "fax", "ip", "zip"])
def test_a_small_range_is_used_up_before_anything_repeats(kind: str) -> None:
    make, _, count = MAKERS[kind]
    assert len({make(number) for number in range(count)}) == count


def test_the_social_security_range_has_the_size_that_the_rule_leaves() -> None:
    assert identifiers.SSN_COUNT == 32_996_700
    assert identifiers.ssn(0) == "900-11-0001"
    assert identifiers.ssn(identifiers.SSN_COUNT - 1) == "999-69-9999"


@pytest.mark.parametrize(
    "real",
    [
        "078-05-1120",  # issued, and printed in wallets
        "912-70-1234",  # ITIN
        "912-93-1234",  # ATIN
        "912-50-1234",  # ITIN since 2011's extension
        "912-18-1234",  # IRSN
        *("912-49-1234", "912-66-1234", "912-89-1234"),  # IRSN by some lists
        "912-12-0000",
        "912121234",  # no dashes: scanners would miss it
        "٩١٢-١٢-١٢٣٤",
    ],
)
def test_numbers_outside_the_rule_are_not_called_never_real_ssn(real: str) -> None:
    assert not identifiers.is_never_real_ssn(real)


@pytest.mark.parametrize("real", ["740-555-0200", "740-556-0100", "000-555-0100", "555-0100"])
def test_a_line_that_may_be_assigned_is_not_called_never_real(real: str) -> None:
    assert not identifiers.is_never_real_phone(real)


def test_patients_phones_and_faxes_and_hospital_desks_never_share_a_number() -> None:
    used = [
        {make(number) for number in range(identifiers.PHONE_COUNT)}
        for make in (identifiers.phone, identifiers.fax, identifiers.desk_phone)
    ]
    assert sum(map(len, used)) == len(set().union(*used)) == 100 * len(identifiers.AREA_CODES)
    assert len(set(identifiers.AREA_CODES)) == len(identifiers.AREA_CODES)


@quick
@given(number=numbers)
def test_the_standard_library_takes_addresses_for_documentation_only(number: int) -> None:
    address = ipaddress.ip_address(identifiers.ip(number))
    assert address.is_private and not address.is_loopback
    assert not any(address in ipaddress.ip_network(net) for net in ("10.0.0.0/8", "192.168.0.0/16"))


@pytest.mark.parametrize("real", ["8.8.8.8", "10.0.0.1", "192.0.2.0", "192.0.2.255", "192.0.3.1", "192.0.2"])
def test_other_networks_addresses_are_not_called_never_real(real: str) -> None:
    assert not identifiers.is_never_real_ip(real)


@pytest.mark.parametrize("real", ["1234567893", "1245319599", "123456789", "3234567890"])
def test_a_provider_number_that_passes_the_check_is_not_called_never_real(real: str) -> None:
    # The first is CMS's own worked example of the check digit, the second was published with it.
    assert not identifiers.is_never_real_npi(real)


def test_nine_of_ten_check_digits_are_never_real() -> None:
    wrong = [last for last in "0123456789" if identifiers.is_never_real_npi(f"123456789{last}")]
    assert wrong == list("012456789")


@pytest.mark.parametrize("real", ["1EG4TE5MK73", "1S00A00AA0", "0S00A00AA00"])
def test_a_medicare_number_without_the_marker_is_not_called_never_real(real: str) -> None:
    # The first is the specimen on CMS's card.
    assert not identifiers.is_never_real_mbi(real)


@quick
@given(number=numbers)
def test_medicare_numbers_keep_the_letters_that_cms_leaves_out_out(number: int) -> None:
    assert not set(identifiers.mbi(number)[2:]) & set("SLOIBZ")


@quick
@given(number=numbers)
def test_a_dicom_uid_holds_a_well_formed_uuid(number: int) -> None:
    uid = identifiers.dicom_uid(number)
    held = uuid.UUID(int=int(uid.removeprefix("2.25.")))
    assert (held.version, held.variant) == (8, uuid.RFC_4122)
    assert len(uid) <= 64


def test_mail_goes_to_nobody() -> None:
    assert identifiers.email("Ada.Okafor7", "mail") == "ada.okafor7@mail.example.org"
    assert not identifiers.is_never_real_email("ada@okafor-clinic.com")
    assert not identifiers.is_never_real_email("ada@mail.example.org.evil.net")
    with pytest.raises(ValueError, match="no e-mail address"):
        identifiers.email("ada okafor", "mail")


def test_the_card_is_the_networks_test_card() -> None:
    assert identifiers.card() == "4111 1111 1111 1111"


def test_record_numbers_of_two_blocks_never_meet() -> None:
    first, second = ({identifiers.mrn(block, serial) for serial in range(0, 100_000, 7)} for block in (4, 5))
    assert not first & second


@quick
@given(block=st.integers(0, 99_999), serial=st.integers(0, 99_999))
def test_a_record_number_names_its_block(block: int, serial: int) -> None:
    number = identifiers.mrn(block, serial)
    assert len(number) == 10 and number.isdigit()
    assert identifiers.mrn_block(number) == block
    assert identifiers.is_account(identifiers.account(block, serial))
    assert not identifiers.is_account(number)


@pytest.mark.parametrize(("block", "serial"), [(-1, 0), (100_000, 0), (0, -1), (0, 100_000)])
def test_numbers_outside_the_block_are_refused(block: int, serial: int) -> None:
    for make in (identifiers.mrn, identifiers.account):
        with pytest.raises(ValueError, match="out of range"):
            make(block, serial)
    with pytest.raises(ValueError, match="not a medical record number"):
        identifiers.mrn_block("12345")


def test_the_permutation_meets_every_serial_once() -> None:
    permutation = identifiers.SerialPermutation(b"any key")
    assert len({permutation(index) for index in range(identifiers.BLOCK_SIZE)}) == identifiers.BLOCK_SIZE


@quick
@given(key=st.binary(max_size=40), index=st.integers(0, identifiers.BLOCK_SIZE - 1))
def test_the_permutation_can_be_undone(key: bytes, index: int) -> None:
    permutation = identifiers.SerialPermutation(key)
    assert permutation.inverse(permutation(index)) == index


def test_another_key_is_another_permutation_and_neighbours_are_scattered() -> None:
    one, other = (identifiers.SerialPermutation(key) for key in (b"one", b"other"))
    serials = [one(index) for index in range(1000)]
    assert sum(one(index) == other(index) for index in range(1000)) < 5
    steps = {after - before for before, after in pairwise(serials)}
    assert len(steps) > 900
    tenths = [sum(serial // 10_000 == tenth for serial in serials) for tenth in range(10)]
    assert min(tenths) > 60


def test_an_index_outside_the_permutation_is_refused() -> None:
    permutation = identifiers.SerialPermutation(b"key")
    for wrong in (-1, identifiers.BLOCK_SIZE):
        with pytest.raises(ValueError, match="out of range"):
            permutation(wrong)
        with pytest.raises(ValueError, match="out of range"):
            permutation.inverse(wrong)
