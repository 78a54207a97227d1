"""The report a trainee fills in: facts are compared as they were meant, free text never."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Any

from phi_labs.grading.planted import Planted
from phi_labs.grading.record import Record

RECORDS = "/srv/records/"
SHOWN = 80
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MINUTE = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}")


def assert_stated(record: Record, planted: Planted, name: str) -> None:
    """The report states this fact.

    How a field is read follows from the form of its right answer: several words in any order, a day, a
    minute, a path letter by letter, or a word in capitals or not.
    """
    assert record.exists, f"The report cannot be read: {record.error}."
    value = record.field(name)
    assert value not in (None, "", []), f"`{name}` is not filled in."
    assert stated(value, planted.answers[name]), (
        f"`{name}` does not agree with the policy and with what was on the machine; it says {shown(value)}."
    )


def stated(value: Any, answer: Any) -> bool:
    """Whether a field says what the answer says; one word alone may also stand in a list."""
    wanted = _items(answer)
    read = _reading(wanted)
    return {read(item) for item in _items(value)} == {read(item) for item in wanted}


def shown(value: Any) -> str:
    """What somebody filled in, in one line."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def assert_no_patients_in_records(paths: Iterable[str]) -> None:
    """None of these files, in which patients' identifiers were found, lies with the records."""
    inside = [path for path in paths if path.startswith(RECORDS)]
    assert not inside, f"{inside[0]} holds patients' identifiers; the report is for facts about them only."


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _reading(answers: list[Any]) -> Callable[[Any], str]:
    texts = [str(answer) for answer in answers]
    if all(map(_MINUTE.fullmatch, texts)):
        return _minute
    if all(map(_DAY.fullmatch, texts)):
        return _day
    return _exact if all(text.startswith("/") for text in texts) else _word


def _exact(value: Any) -> str:
    return str(value).strip()


def _word(value: Any) -> str:
    return str(value).strip().lower()


def _day(value: Any) -> str:
    return value.isoformat()[:10] if isinstance(value, date) else str(value).strip()


def _minute(value: Any) -> str:
    text = value.isoformat(sep=" ") if isinstance(value, datetime) else str(value)
    return text.strip().replace("T", " ")[:16]
