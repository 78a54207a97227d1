"""The hash chain finds whatever was done to the log, whoever did it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.records.samples import fill, raw, without_guards

from phi_labs.records.chain import Row, canonical, problems, row_hash
from phi_labs.records.event import GENESIS, Head
from phi_labs.records.export import write_events
from phi_labs.records.headfile import HeadFile, write_head_file
from phi_labs.records.store import Records

quick = settings(max_examples=50, deadline=None, database=None)
texts = st.text(max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)
contents = st.tuples(texts, texts, texts, texts, st.dictionaries(texts, values, max_size=3))
logs = st.lists(contents, min_size=1, max_size=6)


def chained(content: Sequence[tuple[str, str, str, str, dict[str, Any]]]) -> list[Row]:
    """Rows as the store writes them."""
    rows: list[Row] = []
    for number, (kind, workshop, subject, actor, data) in enumerate(content, 1):
        previous = rows[-1][8] if rows else GENESIS
        fields = (number, f"2026-03-02T00:00:{number:02d}", kind, workshop, subject, actor, canonical(data))
        rows.append((*fields, previous, row_hash(*fields, previous)))
    return rows


def head_of(rows: list[Row]) -> Head:
    return Head(rows[-1][8], len(rows))


@quick
@given(logs)
def test_an_untouched_log_is_intact(content: list[Any]) -> None:
    rows = chained(content)
    assert problems(rows, [head_of(rows), Head(GENESIS, 0)]) == []


@quick
@given(logs, st.data())
def test_any_change_of_any_field_is_found(content: list[Any], choose: st.DataObject) -> None:
    rows = chained(content)
    at, field = choose.draw(st.integers(0, len(rows) - 1)), choose.draw(st.integers(0, 8))
    other = choose.draw((texts if field else st.integers()).filter(lambda new: new != rows[at][field]))
    rows[at] = (*rows[at][:field], other, *rows[at][field + 1 :])
    assert problems(rows)


@quick
@given(logs, st.data())
def test_moving_text_from_one_field_into_the_next_is_found(content: list[Any], choose: st.DataObject) -> None:
    """Two rows must never be hashed as the same text."""
    rows = chained(content)
    at = choose.draw(st.integers(0, len(rows) - 1))
    row, field = rows[at], choose.draw(st.integers(1, 5))
    glued = f"{row[field]}{row[field + 1]}"
    cut = choose.draw(st.integers(0, len(glued)))
    if cut == len(row[field]):
        return
    rows[at] = (*row[:field], glued[:cut], glued[cut:], *row[field + 2 :])
    assert problems(rows)


@quick
@given(logs, st.data())
def test_a_row_taken_out_is_found(content: list[Any], choose: st.DataObject) -> None:
    rows = chained(content)
    head = head_of(rows)
    del rows[choose.draw(st.integers(0, len(rows) - 1))]
    assert problems(rows, [head])


@quick
@given(st.lists(contents, min_size=2, max_size=6), st.data())
def test_rows_that_changed_places_are_found(content: list[Any], choose: st.DataObject) -> None:
    rows = chained(content)
    one, other = choose.draw(st.lists(st.integers(0, len(rows) - 1), min_size=2, max_size=2, unique=True))
    rows[one], rows[other] = rows[other], rows[one]
    assert problems(rows)
    # The same with the numbers put right afterwards.
    rows = [(number, *row[1:]) for number, row in enumerate(rows, 1)]
    assert problems(rows)


@quick
@given(logs, contents, st.data())
def test_a_row_put_in_is_found(content: list[Any], more: Any, choose: st.DataObject) -> None:
    rows = chained(content)
    at = choose.draw(st.integers(0, len(rows) - 1))
    kind, workshop, subject, actor, data = more
    previous, when, text = rows[at][7], rows[at][1], canonical(data)
    stated = row_hash(at + 1, when, kind, workshop, subject, actor, text, previous)
    stranger: Row = (at + 1, when, kind, workshop, subject, actor, text, previous, stated)
    rows = [*rows[:at], stranger, *((row[0] + 1, *row[1:]) for row in rows[at:])]
    assert problems(rows)


@quick
@given(logs, contents, st.data())
def test_a_chain_that_was_computed_anew_does_not_lead_to_the_head(
    content: list[Any], more: Any, choose: st.DataObject
) -> None:
    head = head_of(chained(content))
    at = choose.draw(st.integers(0, len(content) - 1))
    rewritten = chained([*content[:at], more, *content[at + 1 :]])
    assert problems(rewritten) == []  # the chain alone cannot know
    told = problems(rewritten, [head])
    assert (told == []) == (more[:4] == content[at][:4] and canonical(more[4]) == canonical(content[at][4]))


@quick
@given(logs, st.data())
def test_a_log_that_went_on_still_leads_over_every_head(content: list[Any], choose: st.DataObject) -> None:
    rows = chained(content)
    heads = [head_of(rows[: choose.draw(st.integers(1, len(rows)))]) for _ in range(2)]
    assert problems(rows, heads) == []


@quick
@given(values)
def test_equal_data_have_one_text_that_reads_back_the_same(value: Any) -> None:
    text = canonical({"value": value})
    assert canonical(json.loads(text)) == text
    assert text.isascii()


def test_of_two_heads_that_contradict_each_other_one_is_told() -> None:
    rows = chained([("k", "w", "s", "a", {})] * 3)
    heads = [Head("00" * 32, 3), head_of(rows)]
    for given_heads in (heads, heads[::-1]):
        assert problems(rows, given_heads) == [
            "event 3 is not the head file's: it, or one before it, was rewritten"
        ]


def test_rows_that_are_not_even_text_are_told_and_do_not_stop_it() -> None:
    rows = chained([("k", "w", "s", "a", {})] * 5)
    rows[1] = (2, None, *rows[1][2:])
    rows[2] = ("3", *rows[2][1:])
    rows[3] = (*rows[3][:6], b"\xff", *rows[3][7:])
    told = problems(rows)
    assert "event 2 was altered: its content does not give its hash" in told
    assert "event 3 stands where event 3 belongs" in told
    assert "event 4 was altered: its content does not give its hash" in told
    assert not [line for line in told if "event 5" in line]


def test_a_whole_log_of_problems_is_not_told_line_by_line() -> None:
    rows = [(*row[:8], GENESIS) for row in chained([("k", "w", "s", "a", {})] * 50 * 3)]
    told = problems(rows)
    assert (len(told), told[-1]) == (101, "... and more")


# -- in a file, with the triggers out of the way -------------------------------------------------


def rewrite_from(path: Path, number: int, **changed: str) -> None:
    """Change a row and compute all later hashes anew, as somebody does who knows how it works."""
    with without_guards(path) as connection:
        select = "SELECT * FROM phi_labs_events WHERE number >= ? ORDER BY number"
        rows = connection.execute(select, [number]).fetchall()
        previous = rows[0][7]
        names = ("number", "at", "kind", "workshop", "subject", "actor", "data")
        for row in rows:
            fields: dict[str, Any] = dict(zip(names, row, strict=False)) | (
                changed if row[0] == number else {}
            )
            stated = row_hash(**fields, previous=previous)
            connection.execute(
                "UPDATE phi_labs_events SET subject = ?, data = ?, previous = ?, hash = ? WHERE number = ?",
                [fields["subject"], fields["data"], previous, stated, row[0]],
            )
            previous = stated


def edited(statement: str) -> Callable[[Path], None]:
    """Run one statement where nothing refuses it."""

    def edit(path: Path) -> None:
        with without_guards(path) as connection:
            connection.execute(statement)

    return edit


TAMPERED: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "altered": (
        edited('UPDATE phi_labs_events SET data = \'{"text":"100"}\' WHERE number = 4'),
        ["event 4 was altered: its content does not give its hash"],
    ),
    "removed": (
        edited("DELETE FROM phi_labs_events WHERE number IN (4, 5)"),
        ["events 4 to 5 are missing"],
    ),
    "removed, one": (
        edited("DELETE FROM phi_labs_events WHERE number = 4"),
        ["event 4 is missing"],
    ),
    "cut off": (
        edited("DELETE FROM phi_labs_events WHERE number > 7"),
        ["the log ends at event 7, the head file counts 9: 2 were cut off"],
    ),
    "all gone": (
        edited("DELETE FROM phi_labs_events"),
        ["the log ends at event 0, the head file counts 9: 9 were cut off"],
    ),
    "chain computed anew": (
        lambda path: rewrite_from(path, 4, data='{"text":"100"}'),
        ["event 9 is not the head file's: it, or one before it, was rewritten"],
    ),
    "hash of the last one": (
        edited("UPDATE phi_labs_events SET hash = printf('%064d', 0) WHERE number = 9"),
        [
            "event 9 was altered: its content does not give its hash",
            "event 9 is not the head file's: it, or one before it, was rewritten",
        ],
    ),
    "no text at all": (
        edited("UPDATE phi_labs_events SET actor = CAST(x'fffe' AS TEXT) WHERE number = 2"),
        ["event 2 was altered: its content does not give its hash"],
    ),
}


@pytest.mark.parametrize(("tamper", "said"), TAMPERED.values(), ids=TAMPERED.keys())
def test_what_was_done_to_the_file_is_told(
    url: str, path: Path, tamper: Callable[[Path], None], said: list[str]
) -> None:
    fill(url, 9)
    with Records(url) as records:
        head = records.head()
    tamper(path)
    with Records(url, read_only=True) as records:
        assert records.verify(head) == said


def test_two_heads_tell_between_which_of_them_it_happened(url: str, path: Path) -> None:
    heads = []
    for _ in range(3):
        fill(url, 3)
        with Records(url) as records:
            heads.append(records.head())
    rewrite_from(path, 5, subject="eve")
    with Records(url) as records:
        told = records.verify(*heads)
    assert [line.split(" is ")[0] for line in told] == ["event 6", "event 9"]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DROP TRIGGER phi_labs_events_no_delete", "no_delete is gone"),
        ("CREATE TRIGGER later AFTER INSERT ON phi_labs_events BEGIN SELECT 1; END", "later stands on"),
    ],
)
def test_triggers_that_were_tampered_with_are_told(url: str, path: Path, statement: str, said: str) -> None:
    fill(url, 2)
    with raw(path) as connection:
        connection.execute(statement)
    with Records(url) as records:
        (told,) = records.verify(records.head())
    assert said in told


def test_an_index_that_hides_a_row_is_told(url: str, path: Path) -> None:
    """The chain is read from the rows, everything else through the index."""
    fill(url, 50)
    index = "CREATE INDEX phi_labs_events_workshop ON phi_labs_events (workshop, number)"
    with raw(path) as connection:
        connection.execute("DROP INDEX phi_labs_events_workshop")
        connection.execute(f"{index} WHERE number <> 7")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = ? WHERE name = 'phi_labs_events_workshop'", [index]
        )
    with Records(url, read_only=True) as records:
        assert 7 not in [event.number for event in records.events("march")]
        assert [line for line in records.verify() if "damaged" in line and "missing from index" in line]


# -- without this program ------------------------------------------------------------------------


def test_the_script_of_the_docs_checks_an_export(url: str, tmp_path: Path) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "records.md"
    script = page.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    fill(url, 5)
    with Records(url) as records:
        lines, head = list(write_events(records)), records.head()
    write_head_file(tmp_path / "head.json", HeadFile(head.hash, head.count, "2026-03-02", "march", "0a"))

    def checked(kept: list[str]) -> tuple[int, str]:
        (tmp_path / "events.jsonl").write_text("".join(kept), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-c", script, "events.jsonl", "head.json"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, (done.stdout + done.stderr).strip()

    assert checked(lines) == (0, "5 events, each as it was written")
    assert checked(lines[:4]) == (1, "the log does not lead to the head file")
    assert checked(lines[:2] + lines[3:]) == (1, "event 4 does not follow the one before it")
    assert checked([line.replace("sam", "eve") for line in lines]) == (1, "event 1 was altered")
