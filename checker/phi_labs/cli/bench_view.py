"""What ``bench`` measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from phi_labs.bench.report import BenchReport, Figure


def bench_view(report: BenchReport) -> RenderableType:
    """A line per figure: the median, its peer's, the ratio and the target; then a grading's stages."""
    table = Table(box=None, pad_edge=False)
    for name in ("figure", "median", "beside", "ratio", "target", ""):
        table.add_column(name, justify="left" if name in ("figure", "beside") else "right")
    for item in report.figures:
        table.add_row(*_cells(item))
    stages = "  ".join(f"{name} {seconds:.3f}" for name, seconds in report.stages.items())
    machine = report.machine
    engine = f"engine {machine['engine']} ({machine['storage']})"
    where = f"{machine['cores']} cores, {engine}, load {machine['load']:.1f}"
    said = [Text(remark, style="yellow") for remark in report.remarks]
    if report.stages:
        said.append(Text(f"stages of a warm grade (s): {stages}"))
    return Group(table, Text(), *said, Text(where, style="dim"))


def _cells(item: Figure) -> tuple[str | Text, ...]:
    beside = f"{item.peer}: {item.peer_value:.3g} {item.unit}" if item.peer else ""
    ratio = f"{item.ratio:.3g} x" if item.peer else ""
    bound = ">=" if item.at_least else "<="
    unit = "x" if item.peer else item.unit
    verdict = Text("met", style="green") if item.met else Text("missed", style="bold red")
    return (
        item.name,
        f"{item.value:.3g} {item.unit}",
        beside,
        ratio,
        f"{bound} {item.target:g} {unit}",
        verdict,
    )
