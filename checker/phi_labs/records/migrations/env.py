"""Run by Alembic: migrate over the connection that ``migrate.upgrade`` hands in, in its transaction."""

from __future__ import annotations

from alembic import context

from phi_labs.records.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,  # of SQLite, too: a migration is done whole or not at all
)
context.run_migrations()
