"""What ``verify`` found: attempts x objectives, expected against got."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from phi_labs.authoring.verify import Matrix, Row, Summary

LEGEND = (
    "+ earned, as expected   . not earned, as expected\n"
    "! earned, but should not be   ? not earned, but should be   x no verdict"
)
MARKS = {(True, True): ("+", "green"), (False, False): (".", "dim"), (False, True): ("!", "bold red")}


def matrix_view(matrix: Matrix) -> RenderableType:
    """One table per lab, a line per attempt, then every difference in words."""
    labs = dict.fromkeys(row.job.lab for row in matrix.rows)
    parts: list[RenderableType] = []
    for lab in labs:
        rows = [row for row in matrix.rows if row.job.lab == lab]
        objectives = _names(name for row in rows for name in (*row.expected, *row.got))
        # A number and its objective stay on one line.
        names = "   ".join(f"{number}\u00a0{name}" for number, name in enumerate(objectives, 1))
        parts += [Text(f"\n{lab}", style="bold"), Text(names), Text(LEGEND, style="dim")]
        parts += [_table(rows, objectives)]
        parts += [_difference(row) for row in rows if not row.ok]
    parts.append(Text())
    parts += [Text(_in_figures(summary)) for summary in matrix.summaries]
    wrong = sum(not row.ok for row in matrix.rows)
    verdict = (
        f"{wrong} of {len(matrix.rows)} verdicts differ"
        if wrong
        else f"all {len(matrix.rows)} verdicts exact"
    )
    if matrix.plan == "covering" and len({row.job.seed for row in matrix.rows}) > 1:
        verdict += ", wrong ways on one seed each"
    if matrix.not_done:
        verdict += f", {len(matrix.not_done)} not done in the time that was given: not proven"
    style = "bold green" if matrix.ok else "bold red"
    parts.append(Text(f"{verdict} ({matrix.seconds:.0f} s)", style=style))
    return Group(*parts)


def _in_figures(summary: Summary) -> str:
    left = f", {summary.not_done} not done" if summary.not_done else ""
    return (
        f"{summary.lab}: {summary.right} right and {summary.wrong} wrong ways, {summary.seeds} seeds: "
        f"{summary.exact} of {summary.tried} exact{left}, {summary.seconds_per_job:.1f} s a job"
    )


def _table(rows: list[Row], objectives: list[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("attempt", no_wrap=True)
    for number in range(1, len(objectives) + 1):
        table.add_column(str(number), justify="center", no_wrap=True)
    table.add_column("seeds", justify="right", no_wrap=True)
    table.add_column("guards that must fail")
    for attempt in _names(row.job.attempt for row in rows):
        tried = [row for row in rows if row.job.attempt == attempt]
        cells = [_cell(tried, objective) for objective in objectives]
        guards = Text(", ".join(tried[0].expected_guards))
        good = sum(row.ok for row in tried)
        seeds = Text(f"{good}/{len(tried)}", style="green" if good == len(tried) else "bold red")
        table.add_row(attempt, *cells, seeds, guards)
    return table


def _cell(rows: list[Row], objective: str) -> Text:
    """The worst of the seeds: a difference anywhere shows."""
    marks = [_mark(row, objective) for row in rows]
    worst = next((mark for mark in marks if mark[0] in "!?x"), marks[0])
    return Text(*worst)


def _mark(row: Row, objective: str) -> tuple[str, str]:
    if row.error:
        return "x", "bold red"
    return MARKS.get((objective in row.expected, objective in row.got), ("?", "bold red"))


def _difference(row: Row) -> Text:
    job = row.job
    text = Text(f"\n{job.attempt}, seed {job.seed}, {job.entity}:", style="red")
    for difference in row.differences:
        text.append(f"\n  - {difference}", style="default")
    return text


def _names(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
