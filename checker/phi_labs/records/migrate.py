"""Which schema a database has, and bringing it up to ours."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from phi_labs.errors import UserError
from phi_labs.records.schema import REVISION, VERSION_TABLE

SCRIPTS = Path(__file__).parent / "migrations"


def revision_of(connection: sa.Connection) -> str:
    """The database's revision; empty when it holds no records yet."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return ""
    return str(connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar() or "")  # noqa: S608 - our own constant


def upgrade(connection: sa.Connection) -> None:
    """Bring the schema up to ours, inside of the transaction that the connection is in.

    Raises:
        UserError: a newer phi-labs has been here.
    """
    if not refuse_newer(connection):
        return
    from alembic import command  # noqa: PLC0415 - 0.3 s, and needed once in a database's life
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, REVISION)


def refuse_newer(connection: sa.Connection) -> bool:
    """Whether the schema is older than ours, or not there.

    Raises:
        UserError: it is newer.
    """
    found = revision_of(connection)
    if found > REVISION:
        raise UserError(
            f"these records were written by a newer phi-labs (schema {found}, this one knows {REVISION})",
            "use that version or a newer one; nothing was changed",
        )
    return found < REVISION
