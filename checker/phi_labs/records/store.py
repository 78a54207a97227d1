"""The event log: append, read, verify. Nothing is ever changed or removed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from phi_labs.records.address import address
from phi_labs.records.chain import canonical, row_hash
from phi_labs.records.database import Database
from phi_labs.records.event import GENESIS, Event, Head, Kind, NewEvent, check
from phi_labs.records.schema import events as table
from phi_labs.records.verify import verify

PATIENCE = 15.0  # seconds
_BATCH = 1000  # rows read at a time
CLOCK_SET_BACK = "clock_set_back"  # in the data of an event: what the clock said


def _now() -> datetime:
    return datetime.now(UTC)


class Records:
    """The records of one installation, or of several that share a PostgreSQL database.

    May be used from several threads; not across a fork.

    Args:
        url: ``sqlite:////path/records.db`` or ``postgresql+psycopg://user@host/database``.
        read_only: open what is there and never write; works on read-only media.
        patience: seconds to wait for another writer.
        clock: the time now, in UTC.

    Raises:
        UserError: a URL that cannot be used, a newer schema, no access, nothing there to read.
        RecordsError: locked beyond ``patience``, full, damaged, out of reach.
    """

    def __init__(
        self,
        url: str,
        *,
        read_only: bool = False,
        patience: float = PATIENCE,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._database = Database(address(url), read_only=read_only, patience=patience)
        self._clock = clock

    @property
    def where(self) -> str:
        """The database, as a message may name it."""
        return self._database.where

    def close(self) -> None:
        """End all connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- writing -------------------------------------------------------------------------

    def append(
        self,
        kind: Kind,
        *,
        workshop: str,
        actor: str,
        subject: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> Event:
        """Add one event; it is on the disk when this returns.

        Raises:
            UserError: a name that cannot be recorded.
            PhiLabsError: data that this kind of event must have is missing.
            RecordsError: nothing was written.
        """
        return self.append_all([NewEvent(kind, workshop, actor, subject, data or {})])[0]

    def append_all(self, new: Iterable[NewEvent]) -> list[Event]:
        """Add events in one transaction: all of them or none."""
        prepared = []
        for item in new:
            check(item)
            prepared.append((item, canonical(item.data)))
        with self._database.writing() as connection:
            last = connection.execute(
                sa.select(table.c.number, table.c.hash, table.c.at).order_by(table.c.number.desc()).limit(1)
            ).first()
            rows = self._chained(prepared, *(last or (0, GENESIS, "")))
            if rows:
                connection.execute(sa.insert(table), rows)
        return [_event(tuple(row.values())) for row in rows]

    def _chained(
        self, prepared: Sequence[tuple[NewEvent, str]], number: int, previous: str, latest: str
    ) -> list[dict[str, Any]]:
        """The rows that follow the last one; the clock is read here, where no other writer can be between."""
        said = self._clock().astimezone(UTC).isoformat(timespec="microseconds")
        at = max(said, latest)
        rows = []
        for item, text in prepared:
            number += 1
            data = text if at == said else canonical({**item.data, CLOCK_SET_BACK: said})
            row = {
                "number": number,
                "at": at,
                "kind": str(item.kind),
                "workshop": item.workshop,
                "subject": item.subject,
                "actor": item.actor,
                "data": data,
                "previous": previous,
            }
            row["hash"] = previous = row_hash(**row)  # type: ignore[arg-type]
            rows.append(row)
        return rows

    # -- reading -------------------------------------------------------------------------

    def events(
        self,
        workshop: str | None = None,
        kind: Kind | None = None,
        subject: str | None = None,
        after: int = 0,
    ) -> Iterator[Event]:
        """Events in order; None means any.

        Args:
            after: leave out events up to this number.
        """
        chosen = sa.select(table).order_by(table.c.number).limit(_BATCH)
        for column, value in ((table.c.workshop, workshop), (table.c.kind, kind), (table.c.subject, subject)):
            if value is not None:
                chosen = chosen.where(column == str(value))
        while True:
            # A batch at a time: whoever leaves in the middle holds no connection.
            with self._database.reading() as connection:
                rows = connection.execute(chosen.where(table.c.number > after)).all()
            for row in rows:
                yield _event(tuple(row))
            if len(rows) < _BATCH:
                return
            after = rows[-1].number

    def workshops(self) -> list[str]:
        """Every workshop that has events, the first one first."""
        query = sa.select(table.c.workshop).group_by(table.c.workshop).order_by(sa.func.min(table.c.number))
        with self._database.reading() as connection:
            return [str(name) for name in connection.execute(query).scalars()]

    def head(self) -> Head:
        """Where the log stands."""
        query = sa.select(table.c.hash, table.c.number).order_by(table.c.number.desc()).limit(1)
        with self._database.reading() as connection:
            last = connection.execute(query).first()
        return Head(*last) if last else Head(GENESIS, 0)

    def verify(self, head: Head | None = None, *more: Head) -> list[str]:
        """Everything that is wrong with the log, in words; empty when it is intact.

        Args:
            head: where the log is known to have stood (a head file); without one, rows cut off at the end
                and a chain that was computed anew stay unseen.
        """
        return verify(self._database, [item for item in (head, *more) if item is not None])


def _event(row: tuple[Any, ...]) -> Event:
    number, at, kind, workshop, subject, actor, data, previous, stated = row
    return Event(number, at, kind, workshop, subject, actor, json.loads(data), previous, stated)
