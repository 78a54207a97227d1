"""What a database can do to us: locked, read-only, full, cut off, killed, newer, out of reach."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.records.samples import Server, fill, note, python, raw

from phi_labs.errors import RecordsError, UserError
from phi_labs.records import migrate
from phi_labs.records.schema import REVISION
from phi_labs.records.store import Records

SHORT = 0.3  # seconds of patience where waiting is in vain

# -- locked ------------------------------------------------------------------------------------

HOLDER = """
    import sqlite3, sys, time
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    print("locked", flush=True)
    time.sleep(float(sys.argv[2]))
    connection.execute("COMMIT")
"""


def test_a_lock_that_does_not_go_is_told_after_the_deadline(url: str, path: Path) -> None:
    fill(url, 2)
    holder = python(HOLDER, str(path), "60")
    try:
        assert holder.stdout and holder.stdout.readline() == "locked\n"
        with Records(url, patience=SHORT) as records:
            began = time.monotonic()
            with pytest.raises(RecordsError) as caught:
                records.append_all([note()])
            assert SHORT <= time.monotonic() - began < 20
            assert "locked by another program; nothing was written" in caught.value.message
            assert "fuser" in caught.value.hint
            assert len(list(records.events())) == 2  # readers do not wait
    finally:
        holder.kill()
        holder.communicate()
    with Records(url) as records:  # whoever held it is dead: so is the lock
        assert records.append_all([note()])[0].number == 3
        assert records.verify(records.head()) == []


@pytest.mark.slow
def test_a_lock_that_goes_in_time_is_waited_for(url: str, path: Path) -> None:
    fill(url, 1)
    holder = python(HOLDER, str(path), "0.5")
    assert holder.stdout and holder.stdout.readline() == "locked\n"
    with Records(url) as records:
        assert records.append_all([note()])[0].number == 2
    holder.communicate(timeout=30)


# -- read-only ---------------------------------------------------------------------------------


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to write everywhere; whoever is not root is nobody already."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shut(path: Path, url: str, tmp_path: Path) -> Iterator[Path]:
    """Records of which everybody may read all and write nothing."""
    fill(url, 3)
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    # pytest's folders are closed to others; those above them are nobody's business.
    kept = {folder: folder.stat().st_mode for folder in tmp_path.parents if folder.name.startswith("pytest-")}
    for folder, mode in kept.items():
        folder.chmod(mode | 0o111)
    yield path
    for folder, mode in kept.items():
        folder.chmod(mode)
    tmp_path.chmod(0o755)


def test_a_read_only_file_can_be_read_and_says_why_it_cannot_be_written(shut: Path, url: str) -> None:
    with as_nobody():
        with Records(url, read_only=True) as records:
            assert records.verify(records.head()) == []
            assert len(list(records.events())) == 3
        with pytest.raises(UserError) as caught, Records(url) as records:
            records.append_all([note()])
    assert "readonly" in caught.value.message
    assert "write access to the file and its folder" in caught.value.hint
    assert [file.name for file in shut.parent.iterdir()] == ["records.db"]


def test_a_folder_that_cannot_be_written_gets_no_records(shut: Path) -> None:
    with as_nobody(), pytest.raises(UserError, match=r"cannot make records in .*Permission denied"):
        Records(f"sqlite:///{shut.parent / 'other.db'}")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file or directory") as caught:
        Records(f"sqlite:///{tmp_path / 'no' / 'records.db'}")
    assert "make the folder" in caught.value.hint


# -- killed in the middle ------------------------------------------------------------------------

BUSY = """
    import sys
    from phi_labs.records.store import Records
    from tests.records.samples import note
    with Records(sys.argv[1]) as records:
        records.append_all([note() for _ in range(300)])
        print("begun", flush=True)
        while True:
            records.append_all([note() for _ in range(300)])
"""
MIDDLE = """
    import sys, time
    from phi_labs.records.store import Records
    from tests.records.samples import note
    records = Records(sys.argv[1])
    with records._database.writing() as connection:
        rows = records._chained([(note(), '{"text":"half"}')] * 5000, *connection.exec_driver_sql(
            "SELECT number, hash, at FROM phi_labs_events ORDER BY number DESC LIMIT 1").one())
        connection.execute(__import__("phi_labs.records.schema").records.schema.events.insert(), rows)
        print("in the middle", flush=True)
        time.sleep(60)
"""


def killed(program: str, url: str, word: str, seconds: float = 0.0) -> None:
    """Run a writer and kill it, so many seconds after it said that word."""
    writer = python(program, url)
    assert writer.stdout
    said = writer.stdout.readline()
    if said != f"{word}\n":
        pytest.fail(f"the writer did not begin: {writer.communicate()}")
    time.sleep(seconds)  # not waiting for anything: the moment of death is the point
    writer.kill()
    writer.communicate()


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_leaves_nothing_half_written(either: str) -> None:
    for _ in range(3):
        killed(BUSY, either, "begun", random.uniform(0, 0.15))  # noqa: S311 - a moment, not a secret
        with Records(either) as records:
            assert records.head().count % 300 == 0
            assert records.verify(records.head()) == []


@pytest.mark.slow
def test_a_writer_killed_in_the_middle_of_a_transaction_leaves_nothing_of_it(either: str) -> None:
    fill(either, 2)
    killed(MIDDLE, either, "in the middle")
    with Records(either) as records:
        assert [event.data["text"] for event in records.events()] == ["0", "1"]
        assert records.append_all([note()])[0].number == 3
        assert records.verify(records.head()) == []


# -- cut off, overwritten, lost ------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0, 100, 4096, 20_000])
def test_a_file_that_was_cut_off_is_told_as_damaged(url: str, path: Path, kept: int) -> None:
    fill(url, 500)
    with Records(url) as records:
        head = records.head()
    os.truncate(path, kept)
    size = path.stat().st_size
    try:
        with Records(url, read_only=True) as records:
            told = records.verify(head)
        assert any("damaged" in line for line in told)
    except RecordsError as error:
        assert "damaged" in error.message
        assert "keep it as it is" in error.hint
    with pytest.raises(RecordsError, match="damaged"), Records(url) as records:
        records.append_all([note()])
    assert path.stat().st_size == size  # evidence: nothing new was begun over it


def test_bytes_that_were_overwritten_are_told(url: str, path: Path) -> None:
    fill(url, 500)
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 3000)
    with Records(url, read_only=True) as records:
        assert any("damaged" in line for line in records.verify())


def test_another_program_s_database_is_left_alone(url: str, path: Path) -> None:
    with raw(path) as connection:
        connection.execute("CREATE TABLE cats (name TEXT)")
    with pytest.raises(RecordsError, match="holds no records"):
        Records(url)
    with raw(path) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("cats",)]


def test_a_file_that_is_no_database_is_left_alone(url: str, path: Path) -> None:
    path.write_text("dear diary\n" * 1000)
    with pytest.raises(RecordsError, match="not a database"):
        Records(url)
    assert path.read_text() == "dear diary\n" * 1000


def test_a_file_that_vanished_under_its_journal_is_not_begun_anew(url: str, path: Path) -> None:
    with Records(url) as records:
        records.append_all([note()])
        path.unlink()
        with pytest.raises(RecordsError, match=r"records\.db-wal is still there"):
            Records(url)


# -- full --------------------------------------------------------------------------------------

FULL = """
    import resource, sys
    from phi_labs.errors import RecordsError
    from phi_labs.records.store import Records
    from tests.records.samples import note
    with Records(sys.argv[1]) as records:
        records.append_all([note()])
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
        try:
            for _ in range(1000):
                records.append_all([note("x" * 1000) for _ in range(20)])
        except RecordsError as error:
            print(error.message, "|", error.hint)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        print(records.append_all([note()])[0].number % 20)
"""


@pytest.mark.slow
def test_a_full_disk_keeps_what_was_written_and_nothing_half(url: str) -> None:
    writer = python(FULL, url)
    said, errors = writer.communicate(timeout=60)
    assert writer.returncode == 0, errors
    told, number = said.splitlines()
    assert "no room to write to the records" in told
    assert "free space there and try again" in told
    assert number == "2"  # 1 + 20 n whole batches, then this one
    with Records(url) as records:
        assert records.verify(records.head()) == []


def test_sqlite_s_own_word_for_a_full_disk_is_understood(url: str) -> None:
    with Records(url) as records:
        with records._database.reading() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 10")
        with pytest.raises(RecordsError, match="no room to write"):
            records.append_all(note("x" * 1000) for _ in range(100))
        assert records.head().count == 0


# -- versions ----------------------------------------------------------------------------------


def test_the_newest_migration_is_the_one_that_the_program_knows() -> None:
    from alembic.config import Config  # noqa: PLC0415 - as in the program
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(migrate.SCRIPTS))
    assert ScriptDirectory.from_config(config).get_heads() == [REVISION]


def test_migrations_make_what_the_program_believes_to_be_there(either: str) -> None:
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415 - as in the program
    from alembic.migration import MigrationContext  # noqa: PLC0415

    from phi_labs.records.schema import VERSION_TABLE, metadata  # noqa: PLC0415

    with Records(either) as records, records._database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []


def test_records_of_a_newer_version_are_refused_and_left_as_they_are(either: str) -> None:
    with Records(either) as records:
        records.append_all([note()])
        with records._database.writing() as connection:
            connection.exec_driver_sql("UPDATE phi_labs_schema SET version_num = '9999'")
    for read_only in (False, True):
        with pytest.raises(UserError, match=r"newer phi-labs \(schema 9999") as caught:
            Records(either, read_only=read_only)
        assert "nothing was changed" in caught.value.hint


def test_reading_does_not_migrate_an_older_schema(url: str, path: Path) -> None:
    fill(url, 1)
    with raw(path) as connection:
        connection.execute("UPDATE phi_labs_schema SET version_num = '0000'")
    with pytest.raises(UserError, match="older phi-labs"):
        Records(url, read_only=True)


@pytest.mark.slow
def test_opening_what_is_up_to_date_loads_no_alembic(url: str) -> None:
    fill(url, 1)
    program = """
        import sys
        from phi_labs.records.store import Records
        with Records(sys.argv[1]) as records:
            print(records.head().count, "alembic" in sys.modules)
    """
    asked = python(program, url)
    assert asked.communicate(timeout=60)[0] == "1 False\n"


# -- addresses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["", "records.db", "/var/records.db", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file:x",
     "postgresql+psycopg://host:port/x", "mysql://root@host/x", "postgresql+asyncpg://host/x", "nonsense:"],
)  # fmt: skip
def test_a_url_that_cannot_be_used_is_the_user_s_to_mend(url: str) -> None:
    with pytest.raises(UserError) as caught:
        Records(url)
    assert "sqlite:////var/lib/phi-labs/records.db" in caught.value.hint


def test_no_message_shows_a_password() -> None:
    for url in ("postgresql://sam:s3cret@127.0.0.1:1/x", "postgresql://sam:s3cret@host:port/x"):
        with pytest.raises((UserError, RecordsError)) as caught:
            Records(url, patience=SHORT)
        assert "s3cret" not in f"{caught.value.message} {caught.value.hint}"


def test_a_server_that_is_down_is_told() -> None:
    with pytest.raises(RecordsError, match="cannot reach the records") as caught:
        Records("postgresql://sam@127.0.0.1:1/x", patience=SHORT)
    assert "check that the server runs" in caught.value.hint


def test_a_driver_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys  # noqa: PLC0415 - only here

    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UserError, match="need psycopg") as caught:
        Records("postgresql://sam@host/x")
    assert "phi-labs[postgresql]" in caught.value.hint


# -- PostgreSQL's own ----------------------------------------------------------------------------


@pytest.mark.slow
def test_postgresql_waits_for_a_lock_until_the_deadline(server: Server, database: str) -> None:
    url = server.url(database)
    fill(url, 1)
    with Records(url) as holder, holder._database.writing(), Records(url, patience=SHORT) as records:
        with pytest.raises(RecordsError, match="locked by another program"):
            records.append_all([note()])
        assert len(list(records.events())) == 1


@pytest.mark.slow
def test_a_server_that_was_restarted_in_between_is_asked_again(server: Server, database: str) -> None:
    with Records(server.url(database), patience=SHORT) as records:
        records.append_all([note()])
        server.stop()
        with pytest.raises(RecordsError, match="cannot reach"):
            records.append_all([note()])
        server.start()
        assert records.append_all([note()])[0].number == 2
        assert records.verify(records.head()) == []


@pytest.mark.slow
def test_an_account_that_may_only_read_and_add_is_enough(server: Server, database: str) -> None:
    fill(server.url(database), 1)
    server.sql(database, "create role clerk login")
    try:
        server.sql(database, "grant select, insert on phi_labs_events to clerk")
        server.sql(database, "grant select on phi_labs_schema to clerk")
        with Records(server.url(database, "clerk")) as records:
            assert records.append_all([note()])[0].number == 2
            assert records.verify(records.head()) == []
        server.sql(database, "revoke insert on phi_labs_events from clerk")
        with Records(server.url(database, "clerk")) as records, pytest.raises(UserError, match="denied"):
            records.append_all([note()])
    finally:
        server.sql(database, "drop owned by clerk")
        server.sql(database, "drop role clerk")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "alter table phi_labs_events disable trigger phi_labs_events_no_change",
            "no_change is gone or switched",
        ),
        (
            "create or replace function phi_labs_refuse() returns trigger language plpgsql as "
            "$$begin return new; end$$",
            "no_truncate is changed",
        ),
        (
            "set session_replication_role = replica; update phi_labs_events set actor = 'eve'",
            "event 1 was altered",
        ),
    ],
)
def test_what_an_owner_did_in_postgresql_is_told(
    server: Server, database: str, statement: str, said: str
) -> None:
    fill(server.url(database), 2)
    server.sql(database, statement)
    with Records(server.url(database)) as records:
        assert any(said in line for line in records.verify(records.head()))


@pytest.mark.slow
def test_postgresql_refuses_to_be_emptied(server: Server, database: str) -> None:
    fill(server.url(database), 2)
    with pytest.raises(AssertionError, match="never changed or removed"):
        server.sql(database, "truncate phi_labs_events")


def test_a_backup_taken_while_it_is_in_use_is_whole(url: str, path: Path, tmp_path: Path) -> None:
    """As docs/records.md says, and why a plain copy is not one."""
    with Records(url) as records:
        records.append_all([note()])
        with raw(path) as source, raw(tmp_path / "copy.db") as copy:
            source.backup(copy)
        shutil.copy(path, tmp_path / "plain.db")
        head = records.head()
    with Records(f"sqlite:///{tmp_path / 'copy.db'}", read_only=True) as backup:
        assert backup.verify(head) == []
    with Records(f"sqlite:///{tmp_path / 'plain.db'}", read_only=True) as lacking:
        assert lacking.verify(head) == ["the log ends at event 0, the head file counts 1: 1 were cut off"]


def test_errors_of_the_driver_itself_are_told_as_well(either: str) -> None:
    fill(either, 1)
    with (
        Records(either) as records,
        pytest.raises(RecordsError, match="phi_labs_nothing"),
        records._database.reading() as connection,
    ):
        driver: Any = connection.connection.driver_connection
        driver.execute("SELECT * FROM phi_labs_nothing")
