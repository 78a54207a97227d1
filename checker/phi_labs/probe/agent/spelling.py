"""The ways in which an identifier may stand in a file: other separators, other groups of digits, base64."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterable
from typing import NamedTuple

SEPARATORS = ("", "-", " ", ".", "/", "_")
# Letters and digits in groups, such as 955-36-6277 or LKS-3804-8577; words alone are none.
_GROUPED = re.compile(r"[A-Za-z0-9]+(?:[-. /][A-Za-z0-9]+){1,3}")
_PHONE = re.compile(r"\+?1?[-. ]?\(?(\d{3})\)?[-. ]?(\d{3})[-. ](\d{4})")
_NAME = re.compile(r"[^\W\d_]+(?:[ ,.'-]+[^\W\d_]+)+")
_NAME_LAST_FIRST = re.compile(r"([^,]+), ([^,]+)")
FEWEST_DIGITS = 5
LONGEST_GROUPED = 24
GROUPABLE = range(8, 13)


class Form(NamedTuple):
    """One literal to look for.

    Attributes:
        number: of the string that it spells.
        edges: whether digits at its ends may not go on beyond them (nor letters, for ``letters``).
    """

    literal: bytes
    number: int
    edges: bool = True
    letters: bool = False


def forms_of(strings: Iterable[str], also: Iterable[tuple[str, int]]) -> list[Form]:
    """Every form of every string, each once; ``also`` has more spellings, by the number of the string."""
    spelled = [spellings(text) for text in strings]
    for spelling, number in also:
        spelled[number].add(spelling)
    return [
        Form(literal, number, letters=letters)
        for number, texts in enumerate(spelled)
        for letters in (any(map(_NAME.fullmatch, texts)),)
        for text in texts
        for literal in encodings(text)
    ]


def encodings(text: str) -> tuple[bytes, ...]:
    """A text as bytes: UTF-8 (names of files keep their bytes), and Latin-1 where that differs."""
    if text.isascii():
        return (text.encode(),) if text else ()
    return tuple(filter(None, {os.fsencode(text), text.encode("latin-1", "ignore")}))


def spellings(text: str) -> set[str]:
    """The text itself, and for identifiers the other ways to write them."""
    if text.isdigit():
        return {text, *(_digits(text) if len(text) in GROUPABLE else ())}
    if match := _NAME_LAST_FIRST.fullmatch(text):
        return {text, *(f"{match[1]}{between}{match[2]}" for between in (",", "^", "*"))}
    if len(text) > LONGEST_GROUPED or sum(map(str.isdigit, text)) < FEWEST_DIGITS:
        return {text}
    found = {text}
    if match := _PHONE.fullmatch(text):
        area, exchange, line = match.groups()
        found |= {between.join((area, exchange, line)) for between in SEPARATORS}
        found |= {f"({area}){gap}{exchange}{dash}{line}" for gap in ("", " ") for dash in ("-", " ", ".")}
        found |= {f"{area} {exchange}-{line}", f"{area}/{exchange}-{line}", f"1{area}{exchange}{line}"}
    elif _GROUPED.fullmatch(text):
        groups = re.split("[-. /]", text)
        found |= {between.join(groups) for between in SEPARATORS}
    return found


def _digits(text: str) -> list[str]:
    """Digits in groups of two to six, as people and forms write them."""
    return [between.join(groups) for groups in _groups(text) for between in ("-", " ", ".")]


def _groups(text: str) -> list[tuple[str, ...]]:
    half = len(text) // 2
    return [
        (text[:half], text[half:]),
        (text[:3], text[3:6], text[6:]),
        (text[:4], text[4:7], text[7:]),
        (text[:4], text[4:8], text[8:]),
        (text[:-4], text[-4:]),
    ]


def encoded_forms(strings: Iterable[str]) -> list[Form]:
    """What base64 makes of each string wherever it begins; only what does not depend on its neighbours."""
    found = {}
    for number, text in enumerate(strings):
        for literal in encodings(text):
            for before in range(3):
                code = base64.b64encode(bytes(before) + literal)
                first = -(-before * 4 // 3)
                last = (before + len(literal)) * 4 // 3
                kept = code[first:last]
                if len(kept) >= 8:
                    found[kept, number] = Form(kept, number, edges=False)
    return list(found.values())


def stands_alone(form: Form, data: bytes, start: int, end: int) -> bool:
    """Whether what was found at [start, end) is the form itself, not a part of something longer."""
    if not form.edges:
        return True
    before, after = data[start - 1 : start] if start else b"", data[end : end + 1]
    if data[start : start + 1].isdigit() and before.isdigit() and not _only_zeros_before(form, data, start):
        return False
    if data[end - 1 : end].isdigit() and after.isdigit():
        return False
    return not (form.letters and (_is_letter_before(data, start) or _is_letter_after(data, end)))


def _only_zeros_before(form: Form, data: bytes, start: int) -> bool:
    """A number may have leading zeros: then it is the same number."""
    head = data[max(0, start - 20) : start]
    return form.literal.isdigit() and not head.rstrip(b"0")[-1:].isdigit()


def _is_letter_before(data: bytes, start: int) -> bool:
    text = data[max(0, start - 4) : start].decode(errors="replace")
    return text[-1:].isalpha()


def _is_letter_after(data: bytes, end: int) -> bool:
    text = data[end : end + 4].decode(errors="replace")
    return text[:1].isalpha()
