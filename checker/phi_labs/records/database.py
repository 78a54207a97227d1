"""The connections: SQLite or PostgreSQL, one writer at a time, every wait under a deadline.

This module and ``migrate`` are all that knows which database it is, the triggers apart.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from phi_labs.errors import RecordsError, UserError
from phi_labs.records import migrate
from phi_labs.records.address import Address
from phi_labs.records.trouble import damaged, told

_WRITES = "phi_labs_writes"
_LOCK = 0x7068696C616273  # "philabs"; of PostgreSQL's advisory locks
_BEGUN_BY = "phi-labs workshop open begins them; PHI_LABS_RECORDS=URL names others"


class Database:
    """An open database whose schema is ours.

    Args:
        read_only: never write, make or migrate anything; works on read-only media as well.
        patience: seconds to wait for another writer, or for a server to answer.

    Raises:
        UserError, RecordsError: see ``trouble``.
    """

    def __init__(self, at: Address, *, read_only: bool, patience: float) -> None:
        self.where, self._read_only, self._patience = at.words, read_only, patience
        with told(self.where):
            self._engine = self._open(at)
            try:
                self._settle_schema(at)
                if at.path is not None and not read_only:
                    _write_ahead(self._engine)  # not before it is known to be ours
            except BaseException:
                self._engine.dispose()
                raise

    def close(self) -> None:
        """End all connections; SQLite's log is moved into its file by that."""
        self._engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that sees one moment of the log."""
        with told(self.where), self._engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that no other writer is in; committed at the end, or not at all."""
        if self._read_only:
            raise UserError(f"the records in {self.where} were opened for reading only")
        with told(self.where), self._engine.execution_options(**{_WRITES: True}).begin() as connection:
            if connection.dialect.name == "postgresql":
                # A lock that needs no right to change rows, so that the account can do without one.
                limit = round(self._patience * 1000)
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {limit:d}")
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK:d})")
            yield connection

    # -- opening -------------------------------------------------------------------------

    def _open(self, at: Address) -> sa.Engine:
        if at.path is None:
            return self._postgresql(at.url)
        if not at.path.exists():
            self._begin_file(at.path)
        return self._sqlite(at.path)

    def _begin_file(self, path: Path) -> None:
        journal = path.with_name(f"{path.name}-wal")
        if journal.exists():
            raise damaged(self.where, f"the file is gone, its journal {journal.name} is still there")
        if self._read_only:
            raise UserError(f"there are no records in {path} yet", _BEGUN_BY)
        try:
            self._make_file(path)
        except OSError as error:
            raise UserError(
                f"cannot make records in {path}: {error.strerror}",
                "make the folder, give this account write access, or set PHI_LABS_RECORDS=URL",
            ) from error

    def _make_file(self, path: Path) -> None:
        """The file appears whole: an empty one that is found later is a damaged one, not a fresh one."""
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            engine = self._sqlite(temporary)
            try:
                _write_ahead(engine)
                with engine.execution_options(**{_WRITES: True}).begin() as connection:
                    migrate.upgrade(connection)
            finally:
                engine.dispose()
            with contextlib.suppress(FileExistsError):  # another process was first
                path.hardlink_to(temporary)
        finally:
            for left in (temporary, *(temporary.with_name(temporary.name + end) for end in ("-wal", "-shm"))):
                left.unlink(missing_ok=True)

    def _settle_schema(self, at: Address) -> None:
        with self._engine.connect() as connection:
            older, empty = migrate.refuse_newer(connection), not migrate.revision_of(connection)
        if not older:
            return
        if at.path is not None and empty:
            raise damaged(self.where, "the file holds no records; it was cut off, or is another program's")
        if self._read_only and empty:
            raise UserError(f"there are no records in {self.where} yet", _BEGUN_BY)
        if self._read_only:
            raise UserError(
                f"the records in {self.where} are of an older phi-labs",
                "any command that writes brings them up to date",
            )
        with self.writing() as connection:
            migrate.upgrade(connection)

    def _postgresql(self, url: sa.URL) -> sa.Engine:
        seconds = max(2, round(self._patience))  # less than two means two, to libpq
        try:
            engine = sa.create_engine(
                url,
                connect_args={"connect_timeout": seconds, "application_name": "phi-labs records"},
                isolation_level="READ COMMITTED",  # else the last event could be one seen before the lock
                pool_pre_ping=True,
            )
        except ImportError as error:
            raise UserError(
                "records in PostgreSQL need psycopg, which is not installed",
                "pip install 'phi-labs[postgresql]'",
            ) from error
        return engine

    def _sqlite(self, path: Path) -> sa.Engine:
        engine = sa.create_engine("sqlite://", creator=lambda: self._connect(path), poolclass=sa.QueuePool)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _connect(self, path: Path) -> sqlite3.Connection:
        # Transactions are begun by us (isolation_level=None): the driver's own would begin too late to lock.
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?{self._mode(path)}",
            uri=True,
            timeout=self._patience,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")
            if self._read_only:
                connection.execute("PRAGMA query_only = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _mode(self, path: Path) -> str:
        """Never one that makes the file."""
        if not self._read_only or (_writable(path) and _writable(path.parent)):
            return (
                "mode=rw"  # also for reading: who may not write leaves journals behind that others trip over
            )
        # A file that nobody has open has no journal: it can be read without one, on read-only media, too.
        return "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=True)


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _write_ahead(engine: sa.Engine) -> None:
    """Readers and the writer do not wait for each other; a property of the file, so set only once."""
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        if cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            mode = cursor.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != ("wal",):
                raise RecordsError(
                    "records cannot be kept here: the file system has no shared memory for SQLite",
                    "use a local disk, or PostgreSQL: PHI_LABS_RECORDS=URL",
                )
    finally:
        connection.close()
