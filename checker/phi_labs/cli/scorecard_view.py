"""A scorecard as a tired engineer reads it: pure functions from Scorecard to something rich can print.

Everything is words first; colour and marks only repeat them, so that it reads the same in black
and white, in 80 columns, and aloud.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from phi_labs.model.entity import ENTITY_NAMES
from phi_labs.model.scorecard import GuardScore, ObjectiveScore, Scorecard

MESSAGES = 2  # per objective; an untouched machine fails many checks at once
MESSAGE_LENGTH = 260  # characters
_STAMPS = {
    "practice": "practice: nobody supervised it",
    "supervised": "supervised",
    "rescue console used": "the rescue console was used",
}


@dataclass(frozen=True)
class View:
    """What is shown beside the scorecard itself.

    Attributes:
        hints: objective id -> price of its next hint, without those that have none left.
        full: every message in full length.
        seconds: how long grading took, None for not shown.
        next_steps: whether to say what to type next.
        trainee_words: `` --trainee NAME`` where it has to be typed again.
    """

    hints: Mapping[str, int]
    full: bool = False
    seconds: float | None = None
    next_steps: bool = True
    trainee_words: str = ""


def scorecard_view(card: Scorecard, view: View) -> RenderableType:
    """The whole scorecard."""
    parts: list[RenderableType] = [_head(card, view), Text()]
    parts += [_objective(card, item, view) for item in card.objectives]
    parts += [Text(), Rule("What had to stay true", style="dim", align="left")]
    parts += _guards(card, view)
    if view.next_steps:
        parts += [Text(), _next_steps(card, view)]
    return Group(*parts)


# -- head ------------------------------------------------------------------------------------


def _head(card: Scorecard, view: View) -> RenderableType:
    return Group(_title(card), _whose(card, view), Text(), _score(card), *_stamps(card))


def _title(card: Scorecard) -> Text:
    attempt = f", attempt {card.about.attempt}" if card.about.attempt else ""
    return Text.assemble((card.title, "bold"), (f"   {card.lab}{attempt}", "dim"))


def _whose(card: Scorecard, view: View) -> Text:
    about = card.about
    entity = ENTITY_NAMES.get(about.entity, "")  # type: ignore[call-overload]
    minute = about.graded_at[:16].replace("T", " ")
    # Non-breaking blanks: a narrow terminal must not part a number from its unit.
    seconds = f" in\u00a0{view.seconds:.1f}\u00a0s" if view.seconds is not None else ""
    when = f"graded {minute}\u00a0UTC{seconds}" if minute else ""
    words = [about.trainee, str(entity), f"policy {card.policy}", when]
    return Text(" · ".join(filter(None, words)), style="dim")


def _score(card: Scorecard) -> Text:
    style = "bold green" if card.passed else "bold yellow" if card.score else "bold red"
    text = Text.assemble((f"{card.score} of {card.points} points", style))
    if card.passed:
        text.append("   every objective reached", "green")
    if card.withheld or card.hint_cost:
        text.append(f"   earned {card.earned}")
    if card.withheld:
        text.append(f", {card.withheld} withheld", "magenta")
    if card.hint_cost:
        text.append(f", {card.hint_cost} spent on hints", "dim")
    return text


def _stamps(card: Scorecard) -> list[Text]:
    return [Text(f"[{_STAMPS.get(stamp, stamp)}]", style="dim") for stamp in card.stamps]


# -- objectives ------------------------------------------------------------------------------


def _objective(card: Scorecard, item: ObjectiveScore, view: View) -> RenderableType:
    mark, style = _mark(item)
    line = Table.grid(padding=(0, 1))
    line.add_column(width=10, no_wrap=True)
    line.add_column(width=7, justify="right", no_wrap=True)
    line.add_column()
    line.add_row(
        Text(mark, style=style),
        Text(f"{item.score}/{item.points}", style=style),
        Text(item.title, style="bold"),
    )
    details = list(_details(card, item, view))
    if not details:
        return line
    table = Table.grid(padding=(0, 1))
    table.add_column(width=8, style="dim", no_wrap=True)
    table.add_column()
    for label, text in details:
        table.add_row(label, text)
    return Group(line, Padding(table, (0, 0, 1, 4)))


def _mark(item: ObjectiveScore) -> tuple[str, str]:
    if item.withheld:
        return "! withheld", "magenta"
    return ("✔ reached", "green") if item.passed else ("✘ missed", "red")


def _details(card: Scorecard, item: ObjectiveScore, view: View) -> Iterable[tuple[str, Text]]:
    if item.hint_cost:
        yield "hints", Text(f"{item.hint_cost} points spent")
    if item.withheld:
        titles = {guard.id: guard.title for guard in card.guards}
        broken = "; ".join(titles.get(name, name) for name in item.withheld_by)
        yield "withheld", Text(f"earned {item.earned}, but this no longer holds: {broken}", style="magenta")
    if item.passed:
        return
    yield from _lines("seen", _shortened(item.messages, view), "red")
    yield "expected", Text(" ".join(item.expected.split()))
    yield from _lines("why", [str(source) for source in item.citations], "")
    if item.id in view.hints:
        yield "hint", _pointer(card, item, view)


def _pointer(card: Scorecard, item: ObjectiveScore, view: View) -> Text:
    price = view.hints[item.id]
    costs = "free" if price == 0 else f"costs {price}"
    return Text.assemble((f"phi-labs hint {card.lab} {item.id}{view.trainee_words}", "cyan"), f"  ({costs})")


def _lines(label: str, texts: Sequence[str], style: str) -> Iterable[tuple[str, Text]]:
    for index, text in enumerate(texts):
        yield "" if index else label, Text(text, style=style)


def _shortened(messages: Sequence[str], view: View) -> list[str]:
    if view.full:
        return list(messages)
    shown = [
        textwrap.shorten(" ".join(text.split()), MESSAGE_LENGTH, placeholder=" ...")
        for text in messages[:MESSAGES]
    ]
    if len(messages) > MESSAGES:
        shown.append(f"and {len(messages) - MESSAGES} more (--full)")
    return shown


# -- guards ------------------------------------------------------------------------------------


def _guards(card: Scorecard, view: View) -> list[RenderableType]:
    parts = [_broken_guard(card, guard, view) for guard in card.failed_guards]
    held = len(card.guards) - len(card.failed_guards)
    if held:
        every = "everything holds" if not card.failed_guards else "the rest holds"
        parts.append(Text(f"✔ {every} ({held} of {len(card.guards)})", style="green"))
    return parts


def _broken_guard(card: Scorecard, guard: GuardScore, view: View) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=8, style="dim", no_wrap=True)
    table.add_column()
    for label, text in _lines("seen", _shortened(guard.messages, view), "red"):
        table.add_row(label, text)
    withheld = [item for item in card.objectives if guard.id in item.withheld_by]
    if withheld:
        points = sum(item.withheld for item in withheld)
        names = ", ".join(item.id for item in withheld)
        table.add_row("so", Text(f"{points} points are withheld: {names}", style="magenta"))
    else:
        table.add_row("so", Text("it would withhold points of what it protects, once earned"))
    for label, text in _lines("why", [str(source) for source in guard.citations], ""):
        table.add_row(label, text)
    return Group(Text(f"✘ {guard.title}", style="bold red"), Padding(table, (0, 0, 0, 4)))


# -- what next -----------------------------------------------------------------------------------


def _next_steps(card: Scorecard, view: View) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)  # to be copied in one piece
    table.add_column()
    for words, what in _commands(card):
        table.add_row(Text(words + view.trainee_words, style="bold cyan"), Text(what))
    return Group(Text("Next", style="bold"), Padding(table, (0, 0, 0, 2)))


def _commands(card: Scorecard) -> list[tuple[str, str]]:
    if card.passed:
        return [
            (f"phi-labs debrief {card.lab}", "why it matters, the rule, other good solutions"),
            (f"phi-labs stop {card.lab}", "remove the machine; scores are kept"),
        ]
    return [
        (f"phi-labs shell {card.lab}", "go on where you were; the machine was not touched"),
        (f"phi-labs grade {card.lab}", "as often as you like"),
        (f"phi-labs debrief {card.lab}", "gives solutions away; for afterwards"),
    ]


# -- before and after ------------------------------------------------------------------------------


def comparison_view(before: Scorecard, after: Scorecard) -> RenderableType:
    """Two scorecards of one lab side by side, one line per objective."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_footer=True)
    table.add_column("objective", footer=Text("score", style="bold"))
    table.add_column("before", justify="right", footer=_total(before))
    table.add_column("after", justify="right", footer=_total(after))
    for left, right in zip(before.objectives, after.objectives, strict=True):
        table.add_row(left.title, _cell(left), _cell(right))
    for left_guard, right_guard in zip(before.guards, after.guards, strict=True):
        if not (left_guard.held and right_guard.held):
            table.add_row(left_guard.title, _held(left_guard), _held(right_guard))
    return table


def _total(card: Scorecard) -> Text:
    return Text(f"{card.score}/{card.points}", style="bold green" if card.passed else "bold red")


def _cell(item: ObjectiveScore) -> Text:
    mark, style = _mark(item)
    return Text(f"{mark[0]} {item.score}/{item.points}", style=style)


def _held(guard: GuardScore) -> Text:
    return Text("holds", style="green") if guard.held else Text("broken", style="red")
