"""YAML files: lines, and everything that is not a mapping of text keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from phi_labs.errors import UserError
from phi_labs.model.document import SIZE_LIMIT, Problem, key_text, read_document


def refusal(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "some.yml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_document(path)
    assert caught.value.hint
    return caught.value.message.replace(str(path), "some.yml")


def test_every_key_and_item_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "some.yml"
    path.write_text("# comment\na: 1\nb:\n  - c: 2\n    d: [3,\n      4]\n")
    document = read_document(path)
    assert document.data == {"a": 1, "b": [{"c": 2, "d": [3, 4]}]}
    assert document.lines == {
        (): 1,
        ("a",): 2,
        ("b",): 3,
        ("b", 0): 4,
        ("b", 0, "c"): 4,
        ("b", 0, "d"): 5,
        ("b", 0, "d", 0): 5,
        ("b", 0, "d", 1): 6,
    }
    assert document.line(("b", 0, "missing", 7)) == 4


def test_problems_come_in_the_order_of_the_file_and_are_not_endless(tmp_path: Path) -> None:
    path = tmp_path / "some.yml"
    path.write_text("".join(f"k{n}: 1\n" for n in range(20)))
    document = read_document(path)
    error = document.error([Problem((f"k{n}",), "is odd") for n in reversed(range(20))])
    lines = error.message.splitlines()
    assert lines[0] == f"{path}:1: k0: is odd"
    assert lines[-1] == "... and 8 more"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "some.yml:1: is empty"),
        (b"# only a comment\n", "some.yml:1: is empty"),
        (b"- a\n", "some.yml:1: is not a mapping"),
        (b"a: 1\nb: \xff\n", "some.yml:2: not UTF-8"),
        (b"a: 1\nb: [\n", "some.yml:3: not YAML"),
        (b"a: 1\n\tb: 2\n", "some.yml:2: not YAML"),
        (b"a: \x00\n", "some.yml: not YAML"),
        (b"a: 1\n---\nb: 2\n", "some.yml:2: not YAML"),
        (b"a: !!python/object/apply:os.system [id]\n", "some.yml:1: not YAML"),
        (b"a: 2026-02-30\n", "some.yml: not YAML: day is out of range"),
        (b"a:\n  b: 1\n  c: 2\n  b: 3\n", "some.yml:4: a.b: is given twice (first on line 2)"),
        (b"a:\n  - on: 1\n", "some.yml:2: key on is not text"),
        (b"? [a]\n: 1\n", "some.yml:1: key a list or mapping is not text"),
        (b"a: &x [1]\nb: *x\n", "some.yml:2: alias *x"),
        (b"a: " + b"[" * 100_000, "some.yml:1: nested deeper than 30 levels"),
        (b"a: " + b"x" * SIZE_LIMIT, "some.yml: larger than 256 KiB"),
    ],
)
def test_an_odd_file_is_refused_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    assert refusal(tmp_path, content).startswith(message)


def test_a_missing_file_or_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yml", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            read_document(path)


def test_a_key_is_written_as_a_path() -> None:
    assert key_text(("objectives", 0, "hints", 1, "cost")) == "objectives[0].hints[1].cost"
