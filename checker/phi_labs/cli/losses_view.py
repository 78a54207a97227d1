"""What ``verify --mutate`` found: which command's loss was noticed by whom, and which by nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from phi_labs.authoring.mutate import Loss, Losses

_COMMAND = 46  # columns for a command, so that the rest of an 80-column terminal says who noticed
_STYLES = {
    "noticed": "green",
    "half-way": "green",
    "accepted": "yellow",
    "unnoticed": "bold red",
    "no verdict": "bold red",
}


def losses_view(losses: Losses) -> RenderableType:
    """A table for each right way, what nobody noticed, and the count."""
    parts: list[RenderableType] = []
    for lab, attempt in dict.fromkeys((loss.lab, loss.attempt) for loss in losses.losses):
        own = [loss for loss in losses.losses if (loss.lab, loss.attempt) == (lab, attempt)]
        parts += [Text(f"\n{lab} {attempt}", style="bold"), _table(own)]
    parts += [_complaint(loss) for loss in losses.losses if loss.fate == "no verdict" or loss.stale]
    count = {fate: sum(loss.fate == fate for loss in losses.losses) for fate in _STYLES}
    told = ", ".join(f"{number} {fate}" for fate, number in count.items() if number) or "nothing tried"
    if losses.not_done:
        told += f", {losses.not_done} not done in the time that was given"
    style = "bold green" if losses.ok else "bold red"
    parts.append(Text(f"\nof {len(losses.losses)} commands left out: {told}", style=style))
    if losses.unnoticed:
        advice = (
            "An unnoticed command is a check that is missing, a command that the policy does not ask for,\n"
            "or one that you accept: # phi-labs: unnoticed because ..."
        )
        parts.append(Text(advice))
    return Group(*parts)


def _table(losses: list[Loss]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("line", justify="right", no_wrap=True)
    table.add_column("left out", overflow="ellipsis", no_wrap=True, max_width=_COMMAND)
    table.add_column("noticed by", min_width=24)
    for loss in losses:
        table.add_row(str(loss.line), Text(loss.text), Text(_by(loss), style=_STYLES[loss.fate]))
    return table


def _by(loss: Loss) -> str:
    if loss.fate == "noticed":
        return ", ".join(loss.noticed_by)
    if loss.fate == "half-way":
        return "the script, which stops half-way"
    if loss.fate == "accepted":
        return f"nobody, accepted: {loss.reason}"
    return "nobody" if loss.fate == "unnoticed" else "no verdict"


def _complaint(loss: Loss) -> RenderableType:
    where = f"{loss.attempt}, line {loss.line}"
    if loss.stale:
        return Text(f"{where}: its loss is noticed after all; remove the remark", style="yellow")
    return Group(Text(f"{where}: no verdict", style="bold red"), Padding(Text(loss.error), (0, 0, 0, 4)))
