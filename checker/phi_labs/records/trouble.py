"""What a database says when it cannot, in our words: whose business it is and what to do next."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from phi_labs.errors import PhiLabsError, RecordsError, UserError

_KEEP = 'keep it as it is, and restore a backup beside it (docs/records.md, "When the file is damaged")'
_OTHER = "or name other records: PHI_LABS_RECORDS=URL"


@contextmanager
def told(where: str) -> Iterator[None]:
    """Turn a database's errors into ours.

    Args:
        where: the database, as a message may name it: without a password.

    Raises:
        UserError: access that is missing.
        RecordsError: locked, full, damaged, gone; nothing was written.
    """
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise in_words(error.orig or error, where) from error
    except sa.exc.TimeoutError as error:
        raise RecordsError(f"too many at a time ask {where}", "try again in a moment") from error
    except Exception as error:
        # A driver asked directly; psycopg may be missing, so its errors are known by what they carry.
        if not (isinstance(error, sqlite3.Error) or hasattr(error, "sqlstate")):
            raise
        raise in_words(error, where) from error


def in_words(error: BaseException, where: str) -> PhiLabsError:
    """Our error for a driver's."""
    text = " ".join(str(error).split())
    if isinstance(error, sqlite3.Error):
        return _sqlite(getattr(error, "sqlite_errorname", ""), text, where)
    return _postgresql(getattr(error, "sqlstate", None) or "", text, where)


def damaged(where: str, text: str) -> RecordsError:
    """The file is not, or no longer, what was written."""
    return RecordsError(f"the records in {where} are damaged: {text}", _KEEP)


def _sqlite(name: str, text: str, where: str) -> PhiLabsError:
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return _locked(where, f"fuser {where} names it")
    if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_CANTOPEN", "SQLITE_AUTH")):
        return _no_access(where, text)
    if name == "SQLITE_FULL" or name.startswith(("SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC")):
        return _full(where, text)
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR_SHORT_READ")):
        return damaged(where, text)
    return _other(where, text)


def _postgresql(state: str, text: str, where: str) -> PhiLabsError:
    if state in {"55P03", "40P01", "57014"}:  # lock, deadlock, statement time-out
        return _locked(where, "pg_stat_activity names it")
    if state in {"42501", "25006"}:  # insufficient privilege, read-only
        return _no_access(where, text)
    if state.startswith("53"):  # disk full, out of memory, too many connections
        return _full(where, text)
    if state.startswith("XX"):
        return damaged(where, text)
    if not state or state.startswith(("08", "28", "3D", "57")):  # no connection, no entry, no such database
        return RecordsError(
            f"cannot reach the records at {where}: {text}",
            "check that the server runs and that name, password and address in PHI_LABS_RECORDS are right",
        )
    return _other(where, text)


def _locked(where: str, who: str) -> RecordsError:
    return RecordsError(
        f"the records in {where} are locked by another program; nothing was written",
        f"wait until it is done or end it ({who}), then try again",
    )


def _no_access(where: str, text: str) -> UserError:
    return UserError(
        f"the records in {where} cannot be used: {text}",
        f"give this account write access to the file and its folder, {_OTHER}",
    )


def _full(where: str, text: str) -> RecordsError:
    return RecordsError(
        f"no room to write to the records in {where}: {text}; nothing of this was written",
        "free space there and try again",
    )


def _other(where: str, text: str) -> RecordsError:
    return RecordsError(
        f"the records in {where}: {text}", "phi-labs records verify tells whether they are intact"
    )
