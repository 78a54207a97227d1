"""Licence, vehicle, device, portal and biometrics: safe by shape, check digit or invented issuer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phi_fixtures import belongings

quick = settings(max_examples=40, deadline=None, database=None)
numbers = st.integers(min_value=0, max_value=2**128)

MAKERS: dict[str, tuple[Callable[[int], str], Callable[[str], bool], int]] = {
    "licence": (belongings.licence, belongings.is_never_real_licence, belongings.LICENCE_COUNT),
    "vin": (belongings.vin, belongings.is_never_real_vin, belongings.VIN_COUNT),
    "plate": (belongings.plate, belongings.is_never_real_plate, belongings.PLATE_COUNT),
    "device": (belongings.device_serial, belongings.is_never_real_device_serial, belongings.DEVICE_COUNT),
    "wristband": (belongings.wristband, belongings.is_wristband, belongings.WRISTBAND_COUNT),
    "portal": (belongings.portal_url, belongings.is_never_real_url, belongings.TOKEN_COUNT),
    "voiceprint": (belongings.voiceprint, belongings.is_voiceprint, belongings.TOKEN_COUNT),
    "photo": (belongings.photo, belongings.is_photo, belongings.TOKEN_COUNT),
}


@quick
@given(first=numbers, second=numbers, step=st.integers(0, 2))
def test_every_number_makes_its_own_identifier_that_cannot_be_real(
    first: int, second: int, step: int
) -> None:
    for kind, (make, is_never_real, count) in MAKERS.items():
        assert is_never_real(make(first)), kind
        for other in (second, first + step):
            assert (make(first) == make(other)) == (first % count == other % count), kind


@pytest.mark.parametrize("real", ["1M8GDM9AXKP042788", "11111111111111111", "1HGCM82633A004352"])
def test_a_vehicle_number_with_the_right_check_digit_is_not_called_never_real(real: str) -> None:
    # The first is the worked example that explains the check digit, the second the usual test number.
    assert not belongings.is_never_real_vin(real)
    wrong = real[:8] + ("0" if real[8] != "0" else "1") + real[9:]
    assert belongings.is_never_real_vin(wrong)


@pytest.mark.parametrize(
    ("check", "real"),
    [
        (belongings.is_never_real_licence, "ABC123456"),
        (belongings.is_never_real_plate, "ABC 1234"),
        (belongings.is_never_real_url, "https://portal.example.org.evil.net/"),
        (belongings.is_never_real_url, "https://mercyvalley.org/"),
    ],
)
def test_shapes_that_are_in_use_are_not_called_never_real(check: Callable[[str], bool], real: str) -> None:
    assert not check(real)
