"""A roster's bytes as a table: encoding, separator, header; nothing here knows what a learner is."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from phi_labs.model.nearest import did_you_mean

SEPARATORS = ",;\t"
# column -> other words that people write over it; case, blanks and punctuation do not matter
COLUMNS: dict[str, tuple[str, ...]] = {
    "name": ("login", "login name", "username", "user", "account", "learner", "trainee"),
    "full_name": ("display name", "person", "employee"),
    "email": ("mail", "e-mail address"),
    "public_key": ("key", "SSH key", "SSH public key", "pubkey"),
    "role": ("roles", "job", "job title", "title", "position"),
    "entity": ("CE/BA", "CE or BA", "organisation type", "organization type"),
    "employment": ("employment type", "contract", "contract type"),
    "hired": ("hire date", "date hired", "hired on"),
    "access_since": ("access", "access date", "access granted"),
    "role_changed": ("role change", "role change date", "role changed on"),
    "manager": ("supervisor", "line manager", "reports to", "manager name"),
}
# A whole letter beyond ASCII in UTF-8: in CP1252 it would be an accented letter followed by signs.
_UTF8_LETTER = re.compile(rb"[\xc3-\xdf][\x80-\xbf]|[\xe1-\xef][\x80-\xbf]{2}")
REQUIRED = ("name", "full_name", "email")


@dataclass(frozen=True)
class RosterProblem:
    """One complaint. ``row`` counts as a spreadsheet does, the header being 1; 0 is the file itself."""

    row: int
    column: str
    text: str

    def __str__(self) -> str:
        where = f"row {self.row}" + (f", column {self.column}" if self.column else "")
        return f"{where}: {self.text}" if self.row else self.text


@dataclass
class Table:
    """The rows of a roster by column, and what is wrong with its form.

    Attributes:
        headings: column -> the word that the file has for it.
        rows: (row number, column -> cell) of every row that is not blank.
        ignored: headings that mean nothing here; their cells are not read.
        encoding: how the bytes were read.
    """

    headings: dict[str, str] = field(default_factory=dict)
    rows: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    ignored: tuple[str, ...] = ()
    encoding: str = ""
    problems: list[RosterProblem] = field(default_factory=list)

    def heading(self, column: str) -> str:
        """What the file calls a column."""
        return self.headings.get(column, column)


class _Unreadable(Exception):
    """The file is no CSV text at all."""


def read_table(content: bytes, optional: Sequence[str] = ()) -> Table:
    """The table in ``content``; what is wrong with encoding, header or form is among its problems.

    Args:
        optional: columns of REQUIRED and ``entity`` that may be missing here.
    """
    table = Table()
    try:
        text, table.encoding = _decoded(content)
    except _Unreadable as error:
        table.problems.append(RosterProblem(0, "", str(error)))
        return table
    first, text = _without_separator_line(text)
    separator = first or _separator(text)
    lines = _records(text, separator, table.problems)
    skipped = 1 if first else 0
    header = next(((number, cells) for number, cells in lines if any(cells)), None)
    if header is None:
        table.problems.append(RosterProblem(0, "", "the file is empty"))
        return table
    places = _read_header(table, header[0] + skipped, header[1], optional)
    for number, cells in lines:
        _read_row(table, number + skipped, cells, places, len(header[1]))
    return table


def _decoded(content: bytes) -> tuple[str, str]:
    """The text, and the encoding's name."""
    if content.startswith(b"PK\x03\x04") or content.startswith(b"\xd0\xcf\x11\xe0"):
        raise _Unreadable("this is a spreadsheet, not CSV; save it as 'CSV UTF-8'")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in content:
        raise _Unreadable("this is UTF-16, or no text at all; save it as 'CSV UTF-8'")
    try:
        name = "UTF-8 with BOM" if content.startswith(b"\xef\xbb\xbf") else "UTF-8"
        return content.decode("utf-8-sig"), name
    except UnicodeDecodeError:
        pass
    if mixed := _UTF8_LETTER.search(content):
        line = content.count(b"\n", 0, mixed.start()) + 1
        raise _Unreadable(
            f"two encodings are mixed: line {line} is UTF-8, others are not; save it as 'CSV UTF-8'"
        )
    try:
        return content.decode("cp1252"), "CP1252"
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _Unreadable(f"line {line} is neither UTF-8 nor CP1252; save the file as 'CSV UTF-8'") from error


def _without_separator_line(text: str) -> tuple[str, str]:
    """The separator that Excel's own first line ``sep=;`` names, and the rest."""
    match = re.match(r'"?sep=([,;\t])"?\r?\n', text)
    return (match[1], text[match.end() :]) if match else ("", text)


def _separator(text: str) -> str:
    """The separator under which the first line that says anything has the most columns that we know."""
    line = next((line for line in io.StringIO(text) if line.strip()), "")
    return max(SEPARATORS, key=lambda separator: _known_in(line, separator))


def _known_in(line: str, separator: str) -> tuple[int, int]:
    cells = line.split(separator)
    return sum(_column(cell) is not None for cell in cells), len(cells)


def _records(text: str, separator: str, problems: list[RosterProblem]) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            said = "a quotation mark is not closed, or stands inside a cell; double it there"
            shown = said if "'\"'" in str(error) or "unexpected end" in str(error) else str(error)
            problems.append(RosterProblem(number, "", f"{shown}; nothing after this row was read"))
            return
        yield number, [cell.strip() for cell in cells]


def _word(heading: str) -> str:
    return re.sub(r"[^a-z0-9]", "", heading.lower())


_COLUMN_OF = {_word(said): column for column, others in COLUMNS.items() for said in (column, *others)}


def _column(heading: str) -> str | None:
    return _COLUMN_OF.get(_word(heading))


def _read_header(table: Table, number: int, cells: list[str], optional: Sequence[str]) -> list[str | None]:
    """The column of each place; problems with the header go to the table's."""
    places: list[str | None] = []
    ignored: list[str] = []
    for heading in cells:
        column = _column(heading)
        if column in table.headings:
            text = f"means {column}, as {table.headings[column]!r} does; remove one of the two"
            table.problems.append(RosterProblem(number, heading, text))
            column = None
        elif column is not None:
            table.headings[column] = heading
        elif heading:
            ignored.append(heading)
        places.append(column)
    table.ignored = tuple(ignored)
    for column in (*REQUIRED, "entity"):
        if column not in table.headings and column not in optional:
            table.problems.append(RosterProblem(number, "", _missing(column, ignored)))
    return places


def _missing(column: str, ignored: Sequence[str]) -> str:
    mistyped = [heading for heading in ignored if did_you_mean(heading, [column])]
    if column == "entity" and not mistyped:
        only = "it may be only if the scenario is for one of them: --entity"
        return f"the column entity (CE or BA) is missing; {only}"
    advice = f"is {mistyped[0]!r} meant?" if mistyped else f"other words for it: {', '.join(COLUMNS[column])}"
    return f"the column {column} is missing; {advice}"


def _read_row(table: Table, number: int, cells: list[str], places: Sequence[str | None], width: int) -> None:
    if not any(cells):
        return
    if len(cells) > width and any(cells[width:]):
        text = f"has {len(cells)} cells under {width} headings; is a separator inside a cell? quote the cell"
        table.problems.append(RosterProblem(number, "", text))
        return
    named = {column: cell for column, cell in zip(places, cells, strict=False) if column}
    table.rows.append((number, named))
