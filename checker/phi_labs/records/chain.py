"""The hash chain: what is hashed, and what is wrong with a sequence of rows. Pure.

The text that is hashed is the previous hash followed by canonical JSON (keys sorted, no blanks, ASCII) of the
other fields. ``data`` is kept as the text that was hashed, so that verifying parses nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from json.encoder import encode_basestring_ascii as quote
from typing import Any

from phi_labs.errors import PhiLabsError
from phi_labs.records.event import GENESIS, Head

# number, at, kind, workshop, subject, actor, data, previous, hash
Row = tuple[Any, Any, Any, Any, Any, Any, Any, Any, Any]

SHOWN = 100  # problems; a log that somebody rewrote has one in every row


def canonical(data: Any) -> str:
    """The one text of ``data``; the same for equal data, whatever the order of keys.

    Raises:
        PhiLabsError: it holds what JSON does not know.
    """
    try:
        plain = json.loads(json.dumps(data, allow_nan=False))  # keys become text before they are sorted
        return json.dumps(plain, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise PhiLabsError(f"this cannot be recorded: {error}") from error


def row_hash(  # noqa: PLR0913, PLR0917 - the fields of a row, in the order of the table
    number: int, at: str, kind: str, workshop: str, subject: str, actor: str, data: str, previous: str
) -> str:
    """Hash of a row; ``data`` as the text that is kept."""
    return sha256(
        f'{previous}{{"actor":{quote(actor)},"at":{quote(at)},"data":{data},"kind":{quote(kind)},'
        f'"number":{number},"subject":{quote(subject)},"workshop":{quote(workshop)}}}'.encode()
    ).hexdigest()


class _Quoted(dict[str, str]):
    """Texts as JSON; the same few names come again in row after row."""

    def __missing__(self, text: str) -> str:
        self[text] = quoted = quote(text)
        return quoted


def problems(rows: Iterable[Row], heads: Iterable[Head] = ()) -> list[str]:
    """Everything that is wrong with the whole log, in words, at most a hundred; empty when it is intact.

    Args:
        rows: all rows by number.
        heads: where the log is known to have stood.
    """
    found: list[str] = []
    for problem in _problems(rows, list(heads)):
        if len(found) == SHOWN:
            return [*found, "... and more"]
        found.append(problem)
    return found


def _problems(rows: Iterable[Row], heads: list[Head]) -> Iterator[str]:
    # Names of the module are looked up once: this loop is what `verify` costs.
    sha, text, quoted = sha256, _Quoted(), quote
    wanted: dict[
        int, set[str]
    ] = {}  # of two head files that contradict each other, one must not hide the other
    for head in heads:
        wanted.setdefault(head.count, set()).add(head.hash)
    last, before, latest = 0, GENESIS, ""
    for row in rows:
        number, at, kind, workshop, subject, actor, data, previous, stated = row
        try:
            in_place = number == last + 1 and previous == before and at >= latest
            content = (
                f'{previous}{{"actor":{text[actor]},"at":{quoted(at)},"data":{data},"kind":{text[kind]},'
                f'"number":{number},"subject":{text[subject]},"workshop":{text[workshop]}}}'
            ).encode()
        except (TypeError, UnicodeEncodeError):  # not even text any more
            in_place, content = False, b""
        if not in_place:
            yield from _out_of_place(row, last, before, latest)
        if sha(content).hexdigest() != stated:
            yield f"event {number} was altered: its content does not give its hash"
        if number in wanted and wanted[number] != {stated}:
            yield f"event {number} is not the head file's: it, or one before it, was rewritten"
        last = number if isinstance(number, int) else last + 1
        before, latest = stated, at if isinstance(at, str) else latest
    yield from _cut_off(last, heads)


def _out_of_place(row: Row, last: int, before: str, latest: str) -> Iterator[str]:
    number, at, previous = row[0], row[1], row[7]
    if not isinstance(number, int) or number <= last:
        yield f"event {number} stands where event {last + 1} belongs"
    elif number > last + 1:
        missing = f"event {last + 1} is" if number == last + 2 else f"events {last + 1} to {number - 1} are"
        yield f"{missing} missing"
    elif previous != before:
        yield f"event {number} does not follow event {last}: one of them was altered, put in or moved"
    if isinstance(at, str) and at < latest:
        yield f"event {number} says an earlier time than event {last}"


def _cut_off(last: int, heads: list[Head]) -> Iterator[str]:
    for head in heads:
        if head.count > last:
            yield (
                f"the log ends at event {last}, the head file counts {head.count}: "
                f"{head.count - last} were cut off"
            )
        elif head.count == 0 and head.hash != GENESIS:
            yield "the head file counts no events, yet names the hash of one"
