"""Where the records are: a URL, and what it may be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from phi_labs.errors import UserError

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


def address(url: str) -> Address:
    """Read a URL; ``postgresql://`` means psycopg, the one driver there is.

    Raises:
        UserError: it does not parse, or names a database that cannot hold records.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:  # whose text may hold the password
        raise UserError("PHI_LABS_RECORDS is not the URL of a database", f"for example {EXAMPLES}") from error
    if parsed.drivername in {"sqlite", "sqlite+pysqlite"}:
        if parsed.database in {None, "", ":memory:"} or str(parsed.database).startswith("file:"):
            raise UserError("records need a file to be kept in", f"for example {EXAMPLES}")
        return Address(parsed, Path(str(parsed.database)).expanduser().absolute())
    if parsed.drivername in {"postgresql", "postgresql+psycopg"}:
        return Address(parsed.set(drivername="postgresql+psycopg"))
    raise UserError(f"records cannot be kept in {parsed.drivername}", f"for example {EXAMPLES}")
