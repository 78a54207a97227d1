"""The event log: what goes in comes out, at the end only, in order, on both databases."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.records.samples import note, python, raw

from phi_labs.errors import PhiLabsError, UserError
from phi_labs.records.address import address
from phi_labs.records.chain import row_hash
from phi_labs.records.event import GENESIS, Head, Kind, NewEvent
from phi_labs.records.store import Records


def test_what_is_appended_is_read_back_as_it_was(either: str) -> None:
    data = {"text": "Ünïcode \0 \ud800 北", "figures": [1, 2.5, None, True], "nested": {"b": 1, "a": {}}}
    with Records(either) as records:
        kept = records.append(Kind.MESSAGE_SENT, workshop="märz", actor="sam", subject="Ana Ruíz", data=data)
        assert (kept.number, kept.previous, kept.data) == (1, GENESIS, data)
        assert list(records.events()) == [kept]
    with Records(either) as again:
        assert list(again.events()) == [kept]
        assert again.verify(again.head()) == []


def test_numbers_follow_each_other_and_hashes_too(either: str) -> None:
    with Records(either) as records:
        assert records.head() == Head(GENESIS, 0)
        assert records.verify(records.head()) == []
        events = [
            records.append(Kind.MESSAGE_SENT, workshop="w", actor="sam", data={"text": "x"}) for _ in range(3)
        ]
        events += records.append_all([note(), note()])
        assert [event.number for event in events] == [1, 2, 3, 4, 5]
        assert [event.previous for event in events] == [GENESIS, *(event.hash for event in events[:-1])]
        assert records.head() == Head(events[-1].hash, 5)


def test_the_hash_is_the_documented_one() -> None:
    """Frozen: years from now these bytes must still give this hash."""
    at, data = "2026-03-02T00:00:00.000000+00:00", '{"lab":"x"}'
    text = (
        f'{GENESIS}{{"actor":"sam","at":"{at}","data":{data},"kind":"reset","number":1,'
        '"subject":"Ana Ru\\u00edz","workshop":"w"}'
    )
    stated = row_hash(1, at, "reset", "w", "Ana Ruíz", "sam", data, GENESIS)
    assert stated == hashlib.sha256(text.encode()).hexdigest()
    assert stated == "3bb3550eccd3c2b51ffbb6f55a400318db9b8a508bb86ab9571647e8a8eeaab8"


def test_keys_may_come_in_any_order_and_numbers_as_keys_become_text(records: Records) -> None:
    numbered: dict[Any, int] = {10: 1, 2: 2}
    first = records.append(Kind.MESSAGE_SENT, workshop="w", actor="sam", data={"text": "x", "by": numbered})
    assert first.data == {"text": "x", "by": {"10": 1, "2": 2}}
    assert next(records.events()) == first
    assert records.verify() == []


def test_events_are_chosen_by_workshop_kind_learner_and_number(either: str) -> None:
    with Records(either) as records:
        records.append_all(
            [
                note(workshop="april"),
                note(subject="ana"),
                NewEvent(Kind.RESET, "march", "sam", "ana", {"lab": "x"}),
                note(subject="ben"),
            ]
        )
        assert [event.number for event in records.events("march")] == [2, 3, 4]
        assert [event.number for event in records.events(kind=Kind.RESET)] == [3]
        assert [event.number for event in records.events("march", subject="ana")] == [2, 3]
        assert [event.number for event in records.events(after=2)] == [3, 4]
        assert records.workshops() == ["april", "march"]


def test_many_events_are_read_in_pieces_while_more_are_added(records: Records) -> None:
    records.append_all(note(str(number)) for number in range(2500))
    reader = records.events()
    next(reader)
    records.append_all([note("later")])
    assert [event.number for event in reader] == list(range(2, 2502))


def test_a_batch_goes_in_whole_or_not_at_all(either: str) -> None:
    with Records(either) as records:
        with pytest.raises(PhiLabsError, match="without text"):
            records.append_all([note(), NewEvent(Kind.MESSAGE_SENT, "w", "sam")])
        assert records.append_all([]) == []
        assert records.head().count == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"actor": ""}, "without actor"),
        ({"workshop": ""}, "without workshop"),
        ({"kind": Kind.RESET, "data": {"lab": "x"}}, "without subject"),
        ({"kind": Kind.OVERRIDE, "subject": "ana", "data": {}}, "without lab, reason, score"),
        ({"data": {"text": float("nan")}}, "cannot be recorded"),
        ({"data": {"text": object()}}, "cannot be recorded"),
    ],
)
def test_an_event_that_lacks_what_its_kind_needs_is_refused(
    records: Records, change: dict[str, Any], said: str
) -> None:
    given = {"kind": Kind.MESSAGE_SENT, "workshop": "w", "actor": "sam", "data": {"text": "x"}, **change}
    with pytest.raises(PhiLabsError, match=said):
        records.append(given.pop("kind"), **given)
    assert records.head().count == 0


@pytest.mark.parametrize("name", ["a\nb", "x\x1b[31m", "n" * 101, "\ud800"])
def test_a_name_that_cannot_be_shown_is_refused(records: Records, name: str) -> None:
    with pytest.raises(UserError, match="cannot be recorded"):
        records.append_all([note(subject=name)])


# -- guards in the database --------------------------------------------------------------------

FORBIDDEN = {
    "update": "UPDATE phi_labs_events SET actor = 'eve' WHERE number = 1",
    "delete": "DELETE FROM phi_labs_events WHERE number = 2",
    "gap": "INSERT INTO phi_labs_events SELECT 9, at, kind, workshop, subject, actor, data, hash, hash "
    "FROM phi_labs_events WHERE number = 2",
    "not the last one's hash": "INSERT INTO phi_labs_events SELECT 3, at, kind, workshop, subject, actor, "
    "data, previous, hash FROM phi_labs_events WHERE number = 2",
}


@pytest.mark.parametrize("statement", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_the_database_itself_refuses(either: str, statement: str) -> None:
    with Records(either) as records:
        records.append_all([note(), note()])
        before = list(records.events())
    at = address(either)
    engine = sa.create_engine(f"sqlite:///{at.path}" if at.path else at.url)
    with (
        pytest.raises(sa.exc.DBAPIError, match=r"events? .*(never|end of the log)"),
        engine.begin() as connection,
    ):
        connection.exec_driver_sql(statement)
    engine.dispose()
    with Records(either) as records:
        assert list(records.events()) == before
        assert records.verify(records.head()) == []


def test_a_row_cannot_be_replaced_by_inserting_it_again(url: str, path: Path, records: Records) -> None:
    """SQLite's REPLACE takes the old row out without firing a trigger on DELETE."""
    records.append_all([note(), note()])
    with pytest.raises(Exception, match="end of the log"), raw(path) as connection:
        connection.execute(
            "INSERT OR REPLACE INTO phi_labs_events SELECT number, at, kind, workshop, subject, 'eve', data, "
            "previous, hash FROM phi_labs_events WHERE number = 2"
        )
    assert records.verify(records.head()) == []


# -- time --------------------------------------------------------------------------------------


class Clock:
    """One that is set by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def test_a_clock_that_was_set_back_is_noted_and_time_does_not_go_back(either: str) -> None:
    clock = Clock()
    with Records(either, clock=clock) as records:
        first = records.append_all([note()])[0]
        clock.now -= timedelta(days=400)
        second = records.append_all([note()])[0]
        clock.now += timedelta(days=401)
        third = records.append_all([note()])[0]
        assert first.at == second.at == "2026-03-02T12:00:00.000000+00:00"
        assert second.data == {"text": "hello", "clock_set_back": "2025-01-26T12:00:00.000000+00:00"}
        assert third.at == "2026-03-03T12:00:00.000000+00:00"
        assert "clock_set_back" not in third.data
        assert records.verify(records.head()) == []


def test_time_is_told_in_utc_wherever_the_clock_is(url: str) -> None:
    zone = datetime.fromisoformat("2026-03-02T14:00:00+05:00")
    with Records(url, clock=lambda: zone) as records:
        assert records.append_all([note()])[0].at == "2026-03-02T09:00:00.000000+00:00"


# -- several at once ---------------------------------------------------------------------------

WRITER = """
    import sys
    from phi_labs.records.store import Records
    from tests.records.samples import note
    with Records(sys.argv[1]) as records:
        for number in range(int(sys.argv[2])):
            records.append_all([note(f"{sys.argv[3]} {number}"), note("second of two")])
"""


@pytest.mark.slow
def test_processes_that_write_at_once_leave_no_gap_and_one_chain(either: str) -> None:
    """They also make the database at once: it is not there yet."""
    rounds, names = 25, ["a", "b", "c"]
    writers = [python(WRITER, either, str(rounds), name) for name in names]
    for writer in writers:
        _, said = writer.communicate(timeout=120)
        assert writer.returncode == 0, said
    with Records(either) as records:
        events = list(records.events())
        assert [event.number for event in events] == list(range(1, 2 * rounds * len(names) + 1))
        assert records.verify(records.head()) == []
    for name in names:  # each one's events in its own order, its two together
        own = [event for event in events if event.data["text"].startswith(f"{name} ")]
        assert [event.data["text"] for event in own] == [f"{name} {number}" for number in range(rounds)]
        assert all(events[event.number].data["text"] == "second of two" for event in own)


def test_threads_share_one_store(either: str) -> None:
    with Records(either) as records:
        threads = [
            threading.Thread(target=lambda: [records.append_all([note()]) for _ in range(20)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert records.head().count == 80
        assert records.verify(records.head()) == []


# -- the file ----------------------------------------------------------------------------------


def test_the_file_and_its_journals_are_for_the_owner_only(records: Records, path: Path) -> None:
    records.append_all([note()])
    before = os.umask(0)
    os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"records.db": 0o600, "records.db-wal": 0o600, "records.db-shm": 0o600}


def test_it_is_written_ahead_and_synchronised_fully(records: Records, path: Path) -> None:
    with records._database.reading() as connection:
        asked = ("journal_mode", "synchronous", "foreign_keys")
        said = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in asked]
    assert said == ["wal", 2, 1]


@pytest.mark.parametrize("name", ["a b.db", "50%.db", "what?.db", "a#b.db", "ümlaut.db"])
def test_a_path_may_hold_any_character(tmp_path: Path, name: str) -> None:
    with Records(f"sqlite:///{tmp_path / name}") as records:
        records.append_all([note()])
    with Records(f"sqlite:///{tmp_path / name}", read_only=True) as records:
        assert records.head().count == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_reading_only_makes_nothing_and_writes_nothing(url: str, path: Path) -> None:
    with pytest.raises(UserError, match="no records"):
        Records(url, read_only=True)
    assert not path.exists()
    with Records(url) as records:
        records.append_all([note()])
    with Records(url, read_only=True) as records, pytest.raises(UserError, match="reading only"):
        records.append_all([note()])
