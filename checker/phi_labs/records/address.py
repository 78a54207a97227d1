"""Where the records are: a URL, and what it may be."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from phi_labs.errors import UserError

_SQLITE = "sqlite:///"
EXAMPLES = "sqlite:////var/lib/phi-labs/records.db or postgresql+psycopg://user@host/database"


@dataclass(frozen=True)
class Address:
    """A database that can hold records.

    Attributes:
        url: with the password.
        path: the file of SQLite; None for PostgreSQL.
    """

    url: sa.URL
    path: Path | None = None

    @property
    def words(self) -> str:
        """As a message may name it."""
        return str(self.path) if self.path else self.url.render_as_string(hide_password=True)


def records_url(state: Path) -> str:
    """Where the records are: $PHI_LABS_RECORDS, else a file in the state directory."""
    return os.environ.get("PHI_LABS_RECORDS") or f"{_SQLITE}{state / 'records.db'}"


def address(url: str) -> Address:
    """Read a URL; ``postgresql://`` means psycopg, the one driver there is.

    Raises:
        UserError: it does not parse, or names a database that cannot hold records.
    """
    if url.startswith("sqlite:"):
        return Address(sa.URL.create("sqlite"), _file(url))
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # whose text may hold the password
        raise UserError("PHI_LABS_RECORDS is not the URL of a database", f"for example {EXAMPLES}") from None
    if parsed.drivername in {"postgresql", "postgresql+psycopg"}:
        return Address(parsed.set(drivername="postgresql+psycopg"))
    raise UserError(f"records cannot be kept in {parsed.drivername}", f"for example {EXAMPLES}")


def _file(url: str) -> Path:
    """Everything behind the slashes is the path: question and percent marks, too."""
    name = url.removeprefix(_SQLITE)
    if name in {url, "", ":memory:"} or name.startswith("file:"):
        raise UserError("records need a file to be kept in", f"for example {EXAMPLES}")
    return Path(name).expanduser().absolute()
