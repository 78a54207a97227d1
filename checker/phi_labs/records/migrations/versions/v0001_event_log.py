"""The event log and its guards."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from phi_labs.records.schema import guard_statements

revision = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Make the table of events, its index and its triggers."""
    op.create_table(
        "phi_labs_events",
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=False,
        ),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("at", "kind", "workshop", "subject", "actor", "data", "previous", "hash")
        ),
    )
    op.create_index("phi_labs_events_workshop", "phi_labs_events", ["workshop", "number"])
    for statement in guard_statements(op.get_bind().dialect.name):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Refuse: there is nothing before the event log, and events are never removed."""
    raise NotImplementedError("the event log is never taken down")
