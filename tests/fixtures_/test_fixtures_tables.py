"""The exported tables are the file that was checked in, and nothing in them can break a log line."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version

import pytest

import export_tables
from phi_fixtures import tables
from phi_fixtures.identifiers import is_never_real_zip


def test_the_table_file_has_its_recorded_checksum() -> None:
    recorded, name = tables.CHECKSUM_FILE.read_text(encoding="ascii").split()
    assert name == tables.TABLE_FILE.name
    assert hashlib.sha256(tables.TABLE_FILE.read_bytes()).hexdigest() == recorded


def test_the_export_script_writes_the_very_file_that_is_checked_in() -> None:
    checked_in = tables.TABLE_FILE.read_text(encoding="ascii")
    source = json.loads(checked_in)["source"]
    if not source.startswith(f"Faker {version('faker')} "):
        pytest.skip(f"exported from another release than the one installed: {source}")
    assert export_tables.export() == checked_in


def test_every_name_table_fills_its_slots_with_plain_words() -> None:
    names = tables.names()
    for table in (names.family, names.given_female, names.given_male):
        assert len(table) == tables.SLOTS
        assert len(set(table)) > 600
    words = {*names.family, *names.given_female, *names.given_male}
    assert all(word.isascii() and word.isalpha() for word in words)


def test_common_names_are_common() -> None:
    family = tables.names().family
    assert family.count("Smith") > 5 * family.count("Okafor") > 0


def test_slots_are_a_power_of_two_so_that_a_choice_is_one_mask() -> None:
    assert tables.SLOTS & (tables.SLOTS - 1) == 0
    assert export_tables.SLOTS == tables.SLOTS


def test_every_town_has_a_zip_code_of_its_own() -> None:
    codes = [town.zip for town in tables.TOWNS]
    assert all(map(is_never_real_zip, codes))
    assert len(set(codes)) == len(codes) == len({town.name for town in tables.TOWNS})
