"""The table of a workshop: a line for each learner and lab that is begun, stuck ones first.

Written by hand: rich took 0.45 s for two hundred learners, this takes a hundredth of it.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

HEADINGS = ("learner", "lab", "state", "score", "attempts", "hints", "left", "")
GAP = "  "
NARROWEST = 20  # columns that remarks have at least, however narrow the terminal is
BOLD, YELLOW, RED, PLAIN = "\x1b[1m", "\x1b[33m", "\x1b[31m", "\x1b[0m"


def status_lines(data: Mapping[str, Any], *, width: int | None = None, colours: bool = False) -> list[str]:
    """What ``workshop status`` prints.

    Args:
        width: of the terminal, in columns; None leaves lines as long as they are.
        colours: whether the terminal shows them.
    """
    paint = _painted if colours else _plain
    return [*_head(data, paint), "", *_table(data, width, paint), *_remarks(data, paint)]


def _painted(text: str, colour: str) -> str:
    return f"{colour}{text}{PLAIN}" if text.strip() else text


def _plain(text: str, _colour: str) -> str:
    return text


def _head(data: Mapping[str, Any], paint: Any) -> Iterator[str]:
    stuck = sum(row["stuck"] for row in data["rows"])
    yield f"{paint(data['workshop'], BOLD)}  {data['title']}"
    yield (
        f"{data['learners']} learners, {data['present']} in a lab now, {stuck} stuck; "
        f"{data['prepared']} labs ready, {data['starting']} starting, {data['waiting_in_all']} waiting; "
        f"{len(data['grading'])} being graded, {data['grading_waits']} waiting"
    )
    if data.get("trouble"):
        yield paint(f"{data['trouble']}: starts and gradings wait and go on by themselves", RED)


def _table(data: Mapping[str, Any], width: int | None, paint: Any) -> Iterator[str]:
    rows = [HEADINGS, *_rows(data)]
    widths = [max(_cells_of(row[column]) for row in rows) for column in range(len(HEADINGS) - 1)]
    used = sum(widths) + len(GAP) * len(widths)
    for number, row in enumerate(rows):
        cells = GAP.join(_filled(cell, size) for cell, size in zip(row, widths, strict=False))
        remark, *more = _wrapped(row[-1], width, used)
        line = paint(cells, BOLD) if number == 0 else cells
        yield f"{line}{GAP}{paint(remark, YELLOW)}".rstrip()
        yield from (" " * used + paint(text, YELLOW) for text in more)


def _rows(data: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for row in sorted(data["rows"], key=lambda row: not row["stuck"]):
        shown = [lab for lab in row["labs"] if _is_shown(lab)] or row["labs"][:1]
        for number, lab in enumerate(shown):
            yield (row["learner"] if number == 0 else "", *_cells(lab))


def _wrapped(remark: str, width: int | None, used: int) -> list[str]:
    if width is None:
        return [remark]
    return textwrap.wrap(remark, max(width - used, NARROWEST)) or [""]


def _filled(text: str, size: int) -> str:
    return text + " " * (size - _cells_of(text))


def _cells_of(text: str) -> int:
    """Columns that a text takes on a terminal: names come in every script."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(letter) in {"W", "F"} for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def _is_shown(lab: Mapping[str, Any]) -> bool:
    return lab["state"] not in {"not started", "ready"} or bool(lab["attempts"])


def _cells(lab: Mapping[str, Any]) -> tuple[str, ...]:
    score = "" if lab["score"] is None else str(lab["score"])
    if lab["best"] not in {None, lab["score"]}:
        score += f" (best {lab['best']})"
    attempts = f"{lab['attempts']}" + (f", {lab['failed']} without gain" if lab["failed"] else "")
    return (
        lab["lab"],
        lab["state"] + (", here" if lab["here"] else ""),
        score,
        attempts if lab["attempts"] else "",
        str(lab["hints"]) if lab["hints"] else "",
        "" if lab["minutes_left"] is None else f"{lab['minutes_left']} min",
        _printable("; ".join(_marks(lab))),
    )


def _printable(text: str) -> str:
    """On one line, without control characters: reasons quote machines that a trainee rules."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _marks(lab: Mapping[str, Any]) -> Iterator[str]:
    if lab["stuck"]:
        yield "stuck"
    if lab["rescued"]:
        yield "rescue used"
    if lab["trouble"]:
        yield f"not graded: {lab['trouble']}"
    elif lab["reason"]:
        yield str(lab["reason"])


def _remarks(data: Mapping[str, Any], paint: Any) -> Iterator[str]:
    if not (data["held_by"] or data["waiting_in_all"] or data["failed_starts"]):
        return
    yield ""
    if data["held_by"]:
        yield paint(f"starts wait: {data['held_by']}", YELLOW)
    if data["waiting_in_all"] and data["seconds_left"]:
        yield f"the queue is done in about {data['seconds_left']:.0f} s"
    if data["failed_starts"]:
        yield paint(f"{data['failed_starts']} labs could not be started: reset tries again", RED)
