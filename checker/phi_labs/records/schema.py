"""The one table, and what guards it: triggers that let events in at the end and never out again."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

VERSION_TABLE = "phi_labs_schema"  # Alembic's; named so that it can share a database with others
REVISION = "0001"  # the newest migration: what this program reads and writes

metadata = sa.MetaData()
events = sa.Table(
    "phi_labs_events",
    metadata,
    # SQLite: exactly INTEGER makes it the row's own number, so that reading by number needs no index.
    sa.Column(
        "number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False
    ),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("workshop", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("data", sa.Text, nullable=False),  # not JSON: the bytes that were hashed must come back
    sa.Column("previous", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Index("phi_labs_events_workshop", "workshop", "number"),
)

_REFUSED = "events of the records are never changed or removed"
_NOT_NEXT = "an event goes to the end of the log and follows the last one"

# INSERT is guarded as well: SQLite's INSERT OR REPLACE removes a row without firing a trigger on DELETE.
SQLITE_TRIGGERS = {
    "phi_labs_events_no_update": f"""\
CREATE TRIGGER phi_labs_events_no_update BEFORE UPDATE ON phi_labs_events
BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END""",
    "phi_labs_events_no_delete": f"""\
CREATE TRIGGER phi_labs_events_no_delete BEFORE DELETE ON phi_labs_events
BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END""",
    "phi_labs_events_only_next": f"""\
CREATE TRIGGER phi_labs_events_only_next BEFORE INSERT ON phi_labs_events
WHEN NEW.number IS NOT coalesce((SELECT max(number) FROM phi_labs_events), 0) + 1
  OR NEW.previous IS NOT coalesce(
    (SELECT hash FROM phi_labs_events ORDER BY number DESC LIMIT 1), printf('%064d', 0))
BEGIN SELECT RAISE(ABORT, '{_NOT_NEXT}'); END""",  # noqa: S608 - our own constants
}

POSTGRESQL_FUNCTIONS = {
    "phi_labs_refuse": f"""
BEGIN
  RAISE EXCEPTION '{_REFUSED}' USING ERRCODE = 'restrict_violation';
END""",
    "phi_labs_only_next": f"""
DECLARE
  last record;
BEGIN
  SELECT number, hash INTO last FROM phi_labs_events ORDER BY number DESC LIMIT 1;
  IF NEW.number IS DISTINCT FROM coalesce(last.number, 0) + 1
     OR NEW.previous IS DISTINCT FROM coalesce(last.hash, repeat('0', 64)) THEN
    RAISE EXCEPTION '{_NOT_NEXT}' USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END""",  # noqa: S608 - our own constants
}
POSTGRESQL_TRIGGERS = {
    "phi_labs_events_no_change": "BEFORE UPDATE OR DELETE ON phi_labs_events FOR EACH ROW "
    "EXECUTE FUNCTION phi_labs_refuse()",
    "phi_labs_events_no_truncate": "BEFORE TRUNCATE ON phi_labs_events FOR EACH STATEMENT "
    "EXECUTE FUNCTION phi_labs_refuse()",
    "phi_labs_events_only_next": "BEFORE INSERT ON phi_labs_events FOR EACH ROW "
    "EXECUTE FUNCTION phi_labs_only_next()",
}


def guard_statements(dialect: str) -> list[str]:
    """What sets the guards up in a database of that kind (``sqlite`` or ``postgresql``)."""
    if dialect == "sqlite":
        return list(SQLITE_TRIGGERS.values())
    functions = [
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $guard${body}$guard$"
        for name, body in POSTGRESQL_FUNCTIONS.items()
    ]
    return functions + [f"CREATE TRIGGER {name} {what}" for name, what in POSTGRESQL_TRIGGERS.items()]


def missing_guards(connection: sa.Connection) -> list[str]:
    """What is wrong with the guards, in words; empty when all stand as they were set up."""
    found, wanted = _guards(connection)
    problems = [
        f"the trigger {name} is {'changed' if name in found else 'gone or switched off'}: "
        "events could be changed without a refusal"
        for name, what in wanted.items()
        if found.get(name) != what
    ]
    return problems + [
        f"a trigger {name} stands on the events that does not belong" for name in found.keys() - wanted
    ]


def _guards(connection: sa.Connection) -> tuple[dict[str, Any], dict[str, Any]]:
    """Trigger -> what it does, as found and as set up."""
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'phi_labs_events'"
        )
        return {row[0]: row[1] for row in rows}, dict(SQLITE_TRIGGERS)
    rows = connection.exec_driver_sql(
        "SELECT t.tgname, p.prosrc FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
        "WHERE t.tgrelid = 'phi_labs_events'::regclass AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')"
    )
    wanted = {
        name: POSTGRESQL_FUNCTIONS[what.rpartition(" ")[2].removesuffix("()")]
        for name, what in POSTGRESQL_TRIGGERS.items()
    }
    return {row[0]: row[1] for row in rows}, wanted
