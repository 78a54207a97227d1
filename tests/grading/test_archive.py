"""What a submission's archive says of a path, without unpacking it."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import struct
from typing import Any

import pytest

from phi_labs.errors import UserError
from phi_labs.grading.archive import fingerprints

LARGE = 3 << 20


def record(path: str, mode: int = stat.S_IFREG | 0o644, data: bytes = b"", **more: Any) -> bytes:
    """One record as a capture writes it; ``data`` is the bytes of the extents ``e``."""
    head: dict[str, Any] = {"p": path, "m": mode, "u": 1, "g": 2, "t": 0, **more}
    if stat.S_ISREG(mode) and "h" not in more:
        head = {"n": len(data), "e": [[0, len(data)]] if data else [], "x": {}, **head}
    text = json.dumps(head).encode()
    return struct.pack(">I", len(text)) + text + data


def read(*records: bytes, wanted: str = "etc/", most: int = 16 << 20) -> dict[str, Any]:
    return dict(fingerprints(io.BytesIO(b"".join(records)), lambda path: path.startswith(wanted), most))


def test_a_file_is_its_content_owner_mode_and_attributes() -> None:
    found = read(record("etc/a", data=b"one", x={"user.b": "Yg==", "user.a": "YQ=="}))
    value = found["etc/a"]
    assert (value.mode, value.uid, value.gid) == (stat.S_IFREG | 0o644, 1, 2)
    assert value.detail == hashlib.sha256(b"one").hexdigest()
    assert value.kept == (("user.a", "YQ=="), ("user.b", "Yg=="))


def test_holes_are_zeros() -> None:
    whole = b"\0" * 10 + b"mid" + b"\0" * LARGE
    found = read(record("etc/a", data=b"mid", n=len(whole), e=[[10, 3]]))
    assert found["etc/a"].detail == hashlib.sha256(whole).hexdigest()


def test_of_what_is_larger_than_asked_for_only_the_size_counts_and_what_follows_is_found() -> None:
    found = read(record("etc/a", data=b"x" * 100), record("etc/b", data=b"b"), most=99)
    assert found["etc/a"].detail == "100 bytes"
    assert found["etc/b"].detail == hashlib.sha256(b"b").hexdigest()


def test_what_is_not_wanted_is_passed_over_whatever_its_size() -> None:
    found = read(record("var/a", data=b"x" * LARGE), record("etc/b", data=b"b"))
    assert set(found) == {"etc/b"}


@pytest.mark.parametrize("size", [3, LARGE])
def test_a_hard_link_is_what_it_links_to(size: int) -> None:
    data = b"x" * size
    found = read(record("etc/a", data=data), record("etc/b", h="etc/a"))
    assert found["etc/a"] == found["etc/b"]


def test_a_hard_link_to_what_is_not_wanted_is_known_all_the_same() -> None:
    found = read(record("var/a", data=b"x" * LARGE), record("etc/b", h="var/a"))
    assert found["etc/b"].detail == hashlib.sha256(b"x" * LARGE).hexdigest()


def test_links_and_devices_are_where_they_lead() -> None:
    found = read(
        record("etc/l", stat.S_IFLNK | 0o777, l="/x"), record("etc/d", stat.S_IFCHR | 0o600, r=[1, 3])
    )
    assert found["etc/l"].detail == "/x"
    assert found["etc/d"].detail == [1, 3]


def test_a_damaged_archive_is_told() -> None:
    with pytest.raises(UserError, match="ends in the middle"):
        read(record("etc/a", data=b"abc")[:-1])
