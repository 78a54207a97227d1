"""The table of a workshop: a line for each learner and lab that is begun, stuck ones first to be seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


def status_view(data: Mapping[str, Any]) -> RenderableType:
    """What ``workshop status`` prints."""
    return Group(_head(data), Text(), _table(data), Text(), *_remarks(data))


def _head(data: Mapping[str, Any]) -> Text:
    rows = data["rows"]
    stuck = sum(row["stuck"] for row in rows)
    text = Text()
    text.append(str(data["workshop"]), style="bold")
    text.append(f"  {data['title']}\n")
    text.append(
        f"{data['learners']} learners, {data['present']} in a lab now, {stuck} stuck; "
        f"{data['prepared']} labs ready, {data['starting']} starting, {data['waiting_in_all']} waiting; "
        f"{len(data['grading'])} being graded, {data['grading_waits']} waiting"
    )
    return text


def _table(data: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("learner", "lab", "state", "score", "attempts", "hints", "left", ""):
        table.add_column(heading, no_wrap=heading in {"learner", "lab"}, justify="left")
    for row in data["rows"]:
        shown = [lab for lab in row["labs"] if _is_shown(lab)] or row["labs"][:1]
        for number, lab in enumerate(shown):
            table.add_row(row["learner"] if number == 0 else "", *_cells(lab))
    return table


def _is_shown(lab: Mapping[str, Any]) -> bool:
    return lab["state"] not in {"not started", "ready"} or bool(lab["attempts"])


def _cells(lab: Mapping[str, Any]) -> list[Text]:
    score = "" if lab["score"] is None else str(lab["score"])
    if lab["best"] not in {None, lab["score"]}:
        score += f" (best {lab['best']})"
    attempts = f"{lab['attempts']}" + (f", {lab['failed']} without gain" if lab["failed"] else "")
    left = "" if lab["minutes_left"] is None else f"{lab['minutes_left']} min"
    return [
        Text(lab["lab"]),
        Text(lab["state"] + (", here" if lab["here"] else "")),
        Text(score),
        Text(attempts if lab["attempts"] else ""),
        Text(str(lab["hints"]) if lab["hints"] else ""),
        Text(left),
        Text("; ".join(_marks(lab)), style="yellow"),
    ]


def _marks(lab: Mapping[str, Any]) -> Iterator[str]:
    if lab["stuck"]:
        yield "stuck"
    if lab["rescued"]:
        yield "rescue used"
    if lab["trouble"]:
        yield f"not graded: {lab['trouble']}"
    elif lab["reason"]:
        yield str(lab["reason"])


def _remarks(data: Mapping[str, Any]) -> Iterator[Text]:
    if data["held_by"]:
        yield Text(f"starts wait: {data['held_by']}", style="yellow")
    if data["waiting_in_all"]:
        yield Text(f"the queue is done in about {data['seconds_left']:.0f} s")
    if data["failed_starts"]:
        yield Text(f"{data['failed_starts']} labs could not be started: reset tries again", style="red")
