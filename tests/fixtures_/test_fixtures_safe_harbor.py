"""All eighteen identifiers are covered, every field is accounted for, and the documentation says so."""

from __future__ import annotations

import string
from pathlib import Path

from phi_fixtures.people import PATIENT_FIELDS
from phi_fixtures.safe_harbor import NOT_IDENTIFIERS, SAFE_HARBOR

PAGE = Path(__file__).parents[2] / "docs" / "synthetic-data.md"


def test_there_are_eighteen_each_with_a_field() -> None:
    assert [entry.letter for entry in SAFE_HARBOR] == list(string.ascii_uppercase[:18])
    assert all(entry.fields for entry in SAFE_HARBOR)


def test_every_field_is_an_identifier_or_said_to_be_none() -> None:
    fields = [field for entry in SAFE_HARBOR for field in entry.fields]
    assert sorted([*fields, *NOT_IDENTIFIERS]) == sorted(PATIENT_FIELDS)


def test_the_page_lists_every_field_under_its_letter() -> None:
    rows = {line[2]: line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")}
    for entry in SAFE_HARBOR:
        assert all(f"`{field}`" in rows[entry.letter] for field in entry.fields), entry
