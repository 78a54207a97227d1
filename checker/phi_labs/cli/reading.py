"""Commands that only read: labs, brief, hint, debrief."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phi_labs.cli import completion
from phi_labs.cli.options import AsJson, EntityName, LabId, Yes, command
from phi_labs.cli.session import Session
from phi_labs.errors import UserError

if TYPE_CHECKING:
    from phi_labs.model.entity import Entity
    from phi_labs.model.lab import Hint, Lab, Objective
    from phi_labs.model.run import Run

READING_WIDTH = 100  # columns; longer lines tire
READ = "Read"
UNKNOWN_YET = "(...)"  # what only a started machine has, in a brief that is read before


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app, "labs", panel=READ, trainee=False)(labs)
    command(app, "brief", panel=READ)(brief)
    command(app, "hint", panel=READ)(hint)
    command(app, "debrief", panel=READ)(debrief)


def labs(session: Session, *, as_json: AsJson = False) -> int:
    """List the labs: what each is about, and how long it takes.

    Next: phi-labs brief LAB
    """
    from phi_labs.model.content import all_labs  # noqa: PLC0415 - pydantic

    listing = all_labs(session.content)
    for broken in listing.broken:
        session.say(f"{broken.id} cannot be used: {broken.error.message}")
    if as_json:
        session.emit([_lab_data(lab) for lab in listing.labs])
        return 0
    for lab in listing.labs:
        session.show(f"[bold cyan]{lab.id}[/]  {lab.title}  [dim]{lab.minutes} minutes, {lab.policy}[/]")
        show_indented(session, lab.summary)
    if not listing.labs:
        session.say("there are no labs here; --content DIR names a folder that holds labs/")
    else:
        session.show("\nNext: [bold]phi-labs brief[/] LAB, then [bold]phi-labs start[/] LAB")
    return 0


def _lab_data(lab: Lab) -> dict[str, Any]:
    return {
        "id": lab.id,
        "title": lab.title,
        "summary": lab.summary,
        "policy": lab.policy,
        "minutes": lab.minutes,
        "entities": list(lab.entities),
        "objectives": [
            {"id": item.id, "title": item.title, "points": item.points} for item in lab.objectives
        ],
    }


def brief(session: Session, lab: LabId, *, entity: EntityName = None, as_json: AsJson = False) -> int:
    """Read what a lab asks: the situation, the written policy that you are graded by, the rules.

    Example: phi-labs brief log-access --entity ba

    Next: phi-labs start LAB
    """
    from phi_labs.model.brief import names_of_a_run, render_brief  # noqa: PLC0415 - jinja2

    found = session.lab(lab)
    run = session.installation.state.load_run(session.trainee, lab)
    chosen, organisation = _entity(found, run, entity), _organisation(run)
    words = dict(_variables(session, run))
    preview = [] if run else sorted(names_of_a_run(found, organisation, chosen))
    words |= dict.fromkeys(preview, UNKNOWN_YET)
    text = render_brief(found, organisation, chosen, words)
    show_text(session, text, {"lab": lab, "entity": chosen}, as_json=as_json)
    if preview:
        session.say(f"details of your own machine show as {UNKNOWN_YET} until: phi-labs start {lab}")
    return 0


def debrief(
    session: Session,
    lab: LabId,
    *,
    force: Annotated[bool, typer.Option("--force", help="Read it before any graded attempt.")] = False,
    entity: EntityName = None,
    as_json: AsJson = False,
) -> int:
    """Read what there is to learn: why it matters, the rule, and several good solutions.

    Opens after your first graded attempt, or with --force.
    """
    from phi_labs.model.brief import render_debrief  # noqa: PLC0415 - jinja2

    found = session.lab(lab)
    state = session.installation.state
    if not force and not state.attempts(session.trainee, lab):
        raise UserError(
            f"the debrief gives solutions away, and {session.trainee} has no graded attempt of {lab}",
            f"phi-labs grade {lab} first; --force reads it all the same",
        )
    run = state.load_run(session.trainee, lab)
    text = render_debrief(found, _organisation(run), _entity(found, run, entity), _variables(session, run))
    show_text(session, text, {"lab": lab, "entity": _entity(found, run, entity)}, as_json=as_json)
    return 0


def _entity(lab: Lab, run: Run | None, given: str | None) -> Entity:
    from phi_labs.model.entity import parse_entity  # noqa: PLC0415

    if given is not None:
        return parse_entity(given)
    return run.entity if run else lab.entities[0]


def _organisation(run: Run | None) -> Any:
    from pathlib import Path  # noqa: PLC0415

    from phi_labs.model.organisation import load_organisation  # noqa: PLC0415 - pydantic

    return load_organisation(Path(run.organisation) if run and run.organisation else None)


def _variables(session: Session, run: Run | None) -> Mapping[str, Any]:
    if run is None:
        return {}
    return session.installation.state.load_manifest(run.trainee, run.lab).variables


def show_text(session: Session, markdown: str, about: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a text: laid out on a terminal, as it is elsewhere, with ``about`` beside it as JSON."""
    from rich.markdown import Markdown  # noqa: PLC0415 - 60 ms

    if as_json:
        session.emit({**about, "markdown": markdown})
    elif session.out.is_terminal:
        session.out.print(Markdown(markdown), width=min(session.out.width, READING_WIDTH))
    else:
        print(markdown)


# -- hints -----------------------------------------------------------------------------------


def hint(  # noqa: PLR0913 - options of a command
    session: Session,
    lab: LabId,
    objective: Annotated[
        str | None,
        typer.Argument(metavar="[OBJECTIVE]", autocompletion=completion.objectives, help="Its id."),
    ] = None,
    *,
    free: Annotated[bool, typer.Option("--free", hidden=True, help="A workshop says so.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> int:
    """Take the next hint on an objective. The first one is free; later ones cost points and ask first.

    Without OBJECTIVE: list the objectives, the hints taken, and the price of the next one.

    Example: phi-labs hint log-access todays-log
    """
    found = without_prices(session.lab(lab)) if free else session.lab(lab)
    run = session.run_of(lab)
    taken = session.installation.state.hints(session.trainee, lab, run.retry)
    if objective is None:
        return _list_hints(session, found, taken, as_json=as_json)
    item = found.objective(objective)
    had = taken.get(objective, 0)
    if had < len(item.hints):
        following = item.hints[had]
        if not _agreed(session, item, following, yes=yes):
            session.say("no hint taken")
            return 0
        session.installation.state.take_hint(session.trainee, lab, run.retry, objective)
        had += 1
    _show_hints(session, lab, item, had, as_json=as_json)
    return 0


def without_prices(lab: Lab) -> Lab:
    """The lab with hints that cost nothing, as in a workshop whose scenario says ``hints: free``."""

    def gratis(objective: Objective) -> Objective:
        hints = tuple(hint.model_copy(update={"cost": 0}) for hint in objective.hints)
        return objective.model_copy(update={"hints": hints})

    return lab.model_copy(update={"objectives": tuple(map(gratis, lab.objectives))})


def _agreed(session: Session, objective: Objective, following: Hint, *, yes: bool) -> bool:
    if following.cost == 0:
        return True
    return session.confirm(
        f"The next hint on {objective.id} costs {following.cost} of its {objective.points} points. Take it?",
        yes=yes,
        unless="--yes takes it",
    )


def _show_hints(session: Session, lab: str, objective: Objective, had: int, *, as_json: bool) -> None:
    given, left = objective.hints[:had], objective.hints[had:]
    if as_json:
        session.emit(
            {
                "lab": lab,
                "objective": objective.id,
                "hints": [{"text": item.text, "cost": item.cost} for item in given],
                "next_cost": left[0].cost if left else None,
            }
        )
        return
    session.out.print(f"[bold]{objective.title}[/]  [dim]{objective.points} points[/]")
    for number, item in enumerate(given, 1):
        price = f"cost {item.cost}" if item.cost else "free"
        session.out.print(f"\n  hint {number} ({price})")
        show_indented(session, item.text)
    if not given:
        session.out.print("\n  There are no hints on this one.")
    elif left:
        price = f"costs {left[0].cost}" if left[0].cost else "is free"
        session.out.print(f"\nThe next one {price}: [bold]phi-labs hint {lab} {objective.id}[/]")
    else:
        session.out.print("\nThat was the last one.")


def show_indented(session: Session, text: str) -> None:
    """Print one paragraph, four columns in."""
    from rich.padding import Padding  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    width = min(session.out.width, READING_WIDTH)
    session.out.print(Padding(Text(" ".join(text.split())), (0, 0, 0, 4)), width=width)


def _list_hints(session: Session, lab: Lab, taken: Mapping[str, int], *, as_json: bool) -> int:
    from rich.table import Table  # noqa: PLC0415

    rows = [(item, taken.get(item.id, 0)) for item in lab.objectives]
    if as_json:
        session.emit(
            [
                {
                    "objective": item.id,
                    "taken": had,
                    "of": len(item.hints),
                    "next_cost": next_price(item, had),
                }
                for item, had in rows
            ]
        )
        return 0
    table = Table(box=None, pad_edge=False)
    for heading in ("objective", "points", "taken", "next hint"):
        table.add_column(heading, justify="right" if heading == "points" else "left")
    for item, had in rows:
        table.add_row(item.id, str(item.points), f"{had} of {len(item.hints)}", price_text(item, had) or "-")
    session.out.print(table)
    session.out.print(f"\nNext: [bold]phi-labs hint {lab.id}[/] OBJECTIVE")
    return 0


def next_price(objective: Objective, had: int) -> int | None:
    """Points that the next hint costs, None when there is none left."""
    return objective.hints[had].cost if had < len(objective.hints) else None


def price_text(objective: Objective, had: int) -> str:
    """``free``, ``costs 3 points``, or an empty string when none is left."""
    price = next_price(objective, had)
    if price is None:
        return ""
    return "free" if price == 0 else f"costs {price} point{'s' if price != 1 else ''}"
