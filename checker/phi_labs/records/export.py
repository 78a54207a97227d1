"""The log as text that can be checked without this program."""

from __future__ import annotations

from collections.abc import Iterator

from phi_labs.records.chain import canonical
from phi_labs.records.store import Records


def write_events(records: Records) -> Iterator[str]:
    """One line of JSON for each event, in order: the table's columns, ``data`` as an object."""
    for event in records.events():
        yield canonical(event.to_data()) + "\n"
