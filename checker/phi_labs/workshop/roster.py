"""Who takes part: a CSV file, checked as a whole before anything starts."""

from __future__ import annotations

import datetime
import hashlib
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from phi_labs.errors import UserError
from phi_labs.model.cohort import Learner
from phi_labs.model.entity import ENTITY_NAMES, Entity
from phi_labs.workshop.roster_keys import BadKey, public_key
from phi_labs.workshop.roster_table import REQUIRED, RosterProblem, Table, read_table

SIZE_LIMIT = 32 * 1024 * 1024  # bytes; 10,000 rows with RSA keys are 7
ROW_LIMIT = 100_000
SHOWN_PROBLEMS = 40
CELL_LIMIT = 200  # characters
_LOGIN = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_EMAIL = re.compile(r"[^\s@,;<>\"'()\[\]\\]+@[^\s@,;<>\"'()\[\]\\]+\.[^\s@.,;<>\"'()\[\]\\]{2,}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
_ENTITY_WORDS: dict[str, Entity] = {
    word: entity
    for entity, name in ENTITY_NAMES.items()
    for word in (entity, name, name.replace(" ", "-"), f"{name} ({entity})")
}
_DATES = ("hired", "access_since", "role_changed")
_UNIQUE = ("name", "email", "public_key")  # nobody shares


@dataclass(frozen=True)
class Roster:
    """A roster without problems.

    Attributes:
        sha256: of the file's bytes.
        encoding: as which it was read.
        ignored: headings of columns that were not read.
    """

    learners: tuple[Learner, ...]
    sha256: str
    encoding: str = "UTF-8"
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class RosterCheck:
    """What a file holds, and everything that is wrong with it, by row."""

    roster: Roster
    problems: tuple[RosterProblem, ...]


class RosterError(UserError):
    """A roster with problems: all of them in ``problems``, the first of them in the message."""

    def __init__(self, path: Path, problems: Sequence[RosterProblem]) -> None:
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        super().__init__(
            "\n".join([f"{path}: {count}, nothing was started", *listed(problems)]),
            "mend the file and check it again: phi-labs roster FILE",
        )
        self.problems = tuple(problems)


def listed(problems: Sequence[RosterProblem]) -> list[str]:
    """A line for each problem, at most SHOWN_PROBLEMS, and how many more there are."""
    lines = [f"  {problem}" for problem in problems[:SHOWN_PROBLEMS]]
    left = len(problems) - SHOWN_PROBLEMS
    return [*lines, f"  ... and {left} more"] if left > 0 else lines


def read_roster(path: Path, entity: Entity | None = None) -> Roster:
    """The roster in ``path``.

    Args:
        entity: what the scenario is for: rows that say nothing take it, rows that say otherwise are refused.

    Raises:
        RosterError: anything wrong with it, everything at once.
        UserError: the file cannot be read.
    """
    found = check_roster(path, entity)
    if found.problems:
        raise RosterError(path, found.problems)
    return found.roster


def check_roster(path: Path, entity: Entity | None = None) -> RosterCheck:
    """What the file holds and what is wrong with it; UserError when it cannot be read at all."""
    content = _read(path)
    table = read_table(content, optional=("entity",) if entity else ())
    found = _Reading(table, entity)
    learners = found.learners()
    if not learners and not found.problems:
        found.problems.append(RosterProblem(0, "", "there is nobody on the roster"))
    sha256 = hashlib.sha256(content).hexdigest()
    roster = Roster(tuple(learners), sha256, table.encoding, table.ignored)
    return RosterCheck(roster, tuple(sorted(found.problems, key=lambda problem: problem.row)))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}", "name a CSV file") from error
    if len(content) > SIZE_LIMIT:
        raise UserError(f"{path}: larger than {SIZE_LIMIT // 1024**2} MiB", "this is no roster; split it")
    return content


@dataclass
class _Reading:
    """One pass over a table: a learner per row, complaints on the way."""

    table: Table
    entity: Entity | None
    problems: list[RosterProblem] = field(default_factory=list)
    _seen: dict[str, dict[str, int]] = field(default_factory=lambda: {column: {} for column in _UNIQUE})

    def learners(self) -> list[Learner]:
        """Everybody on the table."""
        self.problems += self.table.problems
        if len(self.table.rows) > ROW_LIMIT:
            text = f"more than {ROW_LIMIT} rows; split it into several workshops"
            self.problems.append(RosterProblem(self.table.rows[ROW_LIMIT][0], "", text))
        return [self._learner(number, cells) for number, cells in self.table.rows[:ROW_LIMIT]]

    def _learner(self, number: int, cells: dict[str, str]) -> Learner:
        values = {column: self._value(number, column, cells.get(column, "")) for column in _READERS}
        return Learner(**values)

    def _value(self, number: int, column: str, cell: str) -> str:
        try:
            value = self._checked(column, cell)
        except ValueError as error:
            self._tell(number, column, str(error))
            return ""
        if column in _UNIQUE and value:
            self._refuse_shared(number, column, value)
        return value

    def _checked(self, column: str, cell: str) -> str:
        if column == "entity":
            return self._entity_of(cell)
        if not cell:
            if column in REQUIRED and column in self.table.headings:
                raise ValueError("is empty")
            return ""
        # A key says itself what is wrong with it: a pasted private one has line breaks, too.
        if column != "public_key" and not cell.isprintable() and _INVISIBLE.search(cell):
            raise ValueError("holds a line break or an invisible character; type it again")
        return _READERS[column](cell)

    def _entity_of(self, cell: str) -> Entity | str:
        if not cell:
            if self.entity is None and "entity" in self.table.headings:
                raise ValueError("is empty; CE (covered entity) or BA (business associate)")
            return self.entity or ""
        found = _ENTITY_WORDS.get(" ".join(cell.lower().split()))
        if found is None:
            raise ValueError(f"{_quoted(cell)} is neither CE (covered entity) nor BA (business associate)")
        if self.entity and found != self.entity:
            raise ValueError(f"is {found.upper()}, but the scenario is for {self.entity.upper()}")
        return found

    def _refuse_shared(self, number: int, column: str, value: str) -> None:
        first = self._seen[column].setdefault(value.casefold() if column == "email" else value, number)
        if first != number:
            what = "the same key" if column == "public_key" else _quoted(value)
            self._tell(number, column, f"{what} is already in row {first}; everybody needs their own")

    def _tell(self, number: int, column: str, text: str) -> None:
        self.problems.append(RosterProblem(number, self.table.heading(column), text))


def _quoted(cell: str) -> str:
    return repr(cell if len(cell) <= 60 else f"{cell[:57]}...")


def _login(cell: str) -> str:
    if _LOGIN.fullmatch(cell):
        return cell
    rule = "lower-case letters, digits, _ and -, at most 32, a letter first"
    offered = _plain_letters(cell.partition("@")[0].replace(" ", "-"))[:32]
    such = f", such as {offered}" if _LOGIN.fullmatch(offered) else ""
    raise ValueError(f"{_quoted(cell)} cannot be logged in with: {rule}{such}")


def _plain_letters(text: str) -> str:
    """``text`` in lower case, without accents and signs; empty where other letters would be lost."""
    folded = "".join(
        letter for letter in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(letter)
    )
    return re.sub(r"[^a-z0-9_-]", "", folded) if folded.isascii() else ""


def _text(cell: str) -> str:
    if len(cell) > CELL_LIMIT:
        raise ValueError(f"is longer than {CELL_LIMIT} characters")
    return cell


def _email(cell: str) -> str:
    if len(cell) > 254 or not _EMAIL.fullmatch(cell):
        raise ValueError(f"{_quoted(cell)} is no e-mail address")
    return cell


def _date(cell: str) -> str:
    if not _DATE.fullmatch(cell):
        raise ValueError(f"{_quoted(cell)} is no date such as 2026-01-31; 1/2/2026 could be read in two ways")
    try:
        return datetime.date.fromisoformat(cell).isoformat()
    except ValueError as error:
        raise ValueError(f"{_quoted(cell)} is a day that does not exist") from error


def _key(cell: str) -> str:
    try:
        return public_key(cell)
    except BadKey as error:
        raise ValueError(str(error)) from error


_READERS: dict[str, Callable[[str], str]] = {
    "name": _login,
    "full_name": _text,
    "email": _email,
    "entity": _text,
    "role": _text,
    "employment": _text,
    "manager": _text,
    **dict.fromkeys(_DATES, _date),
    "public_key": _key,
}
