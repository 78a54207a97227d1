"""The one table of 45 CFR Part 164 citations that labs may use, with title and status."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from phi_labs.errors import UserError
from phi_labs.model.nearest import did_you_mean

Status = Literal["required", "addressable", "standard", "proposed"]


@dataclass(frozen=True)
class Citation:
    """A standard or implementation specification of 45 CFR Part 164, or of a rule proposed for it.

    ``status`` is ``required`` or ``addressable`` for implementation specifications of the Security Rule,
    ``standard`` for what is mandatory without that split, ``proposed`` for what is not law on
    ``rule_status_as_of`` (ISO date, empty for law).
    """

    id: str
    title: str
    status: Status
    rule_status_as_of: str = ""

    def __str__(self) -> str:
        if self.status == "proposed":
            return f"90 FR 898 {self.title} (proposed, not law as of {self.rule_status_as_of})"
        return f"45 CFR {self.id} {self.title} ({self.status})"


def citation(citation_id: str) -> Citation:
    """The citation of that id; the short forms in the table's ``short_forms`` are understood too.

    An id that the table does not hold is a UserError that names the nearest ones.
    """
    known, short_forms = _table()
    found = known.get(short_forms.get(citation_id, citation_id))
    if found is None:
        advice = did_you_mean(citation_id, known) or "see checker/phi_labs/model/citations.yml"
        raise UserError(f"unknown citation {citation_id!r}", advice)
    return found


def all_citations() -> tuple[Citation, ...]:
    """The whole table, in its order."""
    return tuple(_table()[0].values())


@cache
def _table() -> tuple[dict[str, Citation], dict[str, str]]:
    import yaml  # noqa: PLC0415 - scorecards import Citation without needing the table

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = Path(__file__).with_name("citations.yml").read_text(encoding="utf-8")
    data = yaml.load(text, Loader=loader)  # noqa: S506 - a safe loader, in C where there is one
    as_of = str(data["rule_status_as_of"])
    known = {}
    for status in ("standard", "required", "addressable", "proposed"):
        for key, title in data[status].items():
            known[key] = Citation(key, title, status, as_of if status == "proposed" else "")
    return known, data["short_forms"]
