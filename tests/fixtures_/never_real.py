"""Finds what looks like an identifier in any text, and says which of it might be somebody's.

What a careful scanner would take for an identifier is held against the predicates of the safety rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from phi_fixtures import belongings, identifiers
from phi_fixtures.writers.decoys import is_decoy

_OURS: Final = ("127.0.0.1", "0.0.0.0", "255.255.255.255")  # noqa: S104  # addresses of nobody
# XML namespaces and vocabularies that the formats prescribe; never followed.
_VOCABULARIES: Final = ("schemas.openxmlformats.org", "purl.org", "www.w3.org")


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.ASCII)


def _card_is_real(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    luhn = sum(each - 9 if each > 9 else each for each in doubled) % 10 == 0
    return luhn and digits != identifiers.TEST_CARD.replace(" ", "")


def _phone_is_real(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return not identifiers.is_never_real_phone(f"{digits[:3]}-{digits[3:6]}-{digits[6:]}")


def _host_is_real(text: str) -> bool:
    host = text.partition("://")[2]
    return not host.endswith((".example.org", ".invalid", *_VOCABULARIES)) and host != "localhost"


# (what it looks like, the shape, whether one may be somebody's)
_KINDS: Final[tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...]] = (
    (
        "SSN",
        _pattern(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])"),
        lambda text: not (identifiers.is_never_real_ssn(text) or is_decoy(text)),
    ),
    ("phone", _pattern(r"(?<![\w.-])\(?\d{3}\)?[-. ]\d{3}[-. ]\d{4}(?![\w-])"), _phone_is_real),
    (
        "e-mail",
        _pattern(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
        lambda text: not identifiers.is_never_real_email(text.lower()),
    ),
    (
        "IP",
        _pattern(r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?![\w.-])"),
        lambda text: not (identifiers.is_never_real_ip(text) or is_decoy(text) or text in _OURS),
    ),
    (
        "MBI",
        _pattern(r"(?<!\w)[1-9][AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y]\d-?[A-Z][0-9A-Z]\d-?[A-Z]{2}\d{2}(?!\w)"),
        lambda text: not identifiers.is_never_real_mbi(text),
    ),
    (
        "ZIP",
        _pattern(r"(?<=, [A-Z]{2} )\d{5}(?![\w-])"),
        lambda text: not identifiers.is_never_real_zip(text),
    ),
    ("card", _pattern(r"(?<![\w.-])[3-6]\d{3}(?:[ -]?\d{4}){3}(?![\w.-])"), _card_is_real),
    (
        "VIN",
        _pattern(r"(?<![\w+/])(?=[A-Z]*\d)[1-5][A-HJ-NPR-Z0-9]{7}[0-9X][A-HJ-NPR-Z0-9]{8}(?![\w+/=])"),
        lambda text: not belongings.is_never_real_vin(text),
    ),
    ("URL", _pattern(r"https?://[\w.-]+"), _host_is_real),
)
_TEN_DIGITS = _pattern(r"(?<![\w.-])[12]\d{9}(?![\w.-])")


def perhaps_real(text: str, block: int) -> Iterator[str]:
    """`kind: text` of everything that looks like an identifier and is not known to be nobody's.

    Ten digits starting with 1 or 2 look like an NPI; those of the hospital's own block are record numbers.
    """
    for kind, pattern, may_be_real in _KINDS:
        yield from (f"{kind}: {found}" for found in pattern.findall(text) if may_be_real(found))
    for number in _TEN_DIGITS.findall(text):
        if not number.startswith(f"{block:05d}") and not identifiers.is_never_real_npi(number):
            yield f"NPI: {number}"
