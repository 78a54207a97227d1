"""The form a trainee fills in: every trouble with it is told in words, none is a traceback."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phi_labs.grading.host import Host
from phi_labs.grading.record import Record, read_record

PATH = "/srv/records/report.yml"


@dataclass(frozen=True)
class AFile:
    """What the host says of the form."""

    content: bytes = b""
    exists: bool = True
    type: int = stat.S_IFREG
    is_symlink: bool = False

    @property
    def size(self) -> int:
        return len(self.content)


@dataclass(frozen=True)
class AHost:
    """A host with one file."""

    the_file: AFile

    def file(self, _path: str) -> AFile:
        return self.the_file


def read(file: AFile) -> Record:
    return read_record(cast(Host, AHost(file)), PATH)


def test_fields_are_read_and_blank_ones_are_none() -> None:
    record = read(AFile(b"people: 12\nwho: '  privacy officer '\nempty: ''\nwhen: {start: 2026-03-01}\n"))
    assert record.exists
    assert (record.field("people"), record.field("who"), record.field("empty")) == (
        12,
        "privacy officer",
        None,
    )
    assert str(record.field("when.start")) == "2026-03-01"
    assert record.field("when.start.deeper") is None
    assert record.field("missing") is None


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        (AFile(exists=False), "there is no record"),
        (AFile(type=stat.S_IFDIR), "not a regular file"),
        (AFile(type=stat.S_IFIFO), "not a regular file"),
        (AFile(b"a: 1", is_symlink=True), "not a regular file"),
        (AFile(b"a: " + b"x" * 70_000), "larger than 64 KiB"),
        (AFile(b"\xff\xfea: 1"), "not UTF-8"),
        (AFile(b"a: [1\nb: 2\n"), r"not valid YAML \(line"),
        (AFile(b"\x00"), "not valid YAML"),
        (AFile(b"a: 2026-13-45"), "not valid YAML"),
        (AFile(b"a: 0x"), None),
        (AFile(b"a: !!python/object/apply:os.system ['true']"), "not valid YAML"),
        (AFile(b"a: 1\n---\nb: 2\n"), "not valid YAML"),
        (AFile(b"a: &x [1]\nb: *x\n"), "aliases"),
        (AFile(b"a: " + b"[" * 1000 + b"]" * 1000), "nested too deeply"),
        (AFile(b"- a\n- b\n"), "holds no fields"),
        (AFile(b""), "holds no fields"),
        (AFile(b"? [a]\n: 1\n"), "not valid YAML"),
    ],
)
def test_a_form_that_cannot_be_read_says_why(file: AFile, complaint: str | None) -> None:
    record = read(file)
    if complaint is None:
        assert record.exists
        return
    assert not record.exists
    assert record.error is not None
    assert re.search(complaint, record.error)
    assert record.field("a") is None


YAMLISH = st.text("a:-[]{}!&*?|>'\"\n #%0123456789.TZ", max_size=40).map(str.encode)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=60), YAMLISH))
def test_no_bytes_whatever_break_the_reader(content: bytes) -> None:
    record = read(AFile(content))
    assert record.exists == (record.error is None)
    record.field("a.b")
