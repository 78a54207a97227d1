"""What a trainer looks at before a workshop: scenarios, and whether a roster is sound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phi_labs.cli import completion
from phi_labs.cli.options import AsJson, EntityName, command
from phi_labs.cli.reading import show_indented, show_text
from phi_labs.cli.session import Session

if TYPE_CHECKING:
    from phi_labs.workshop.roster import RosterCheck
    from phi_labs.workshop.scenario import LoadedScenario

WORKSHOPS = "Workshops"


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app, "scenarios", panel=WORKSHOPS, trainee=False)(scenarios)
    command(app, "roster", panel=WORKSHOPS, trainee=False)(roster)


def scenarios(
    session: Session,
    scenario: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]", autocompletion=completion.scenarios, help="One scenario, by id or by file."
        ),
    ] = None,
    *,
    entity: EntityName = None,
    as_json: AsJson = False,
) -> int:
    """List the scenarios: labs in order with a story, for a workshop. With ID: show that one.

    Example: phi-labs scenarios ce-it-foundations
    """
    if scenario is not None:
        return _show_scenario(session, scenario, entity, as_json=as_json)
    from phi_labs.workshop.scenario import all_scenarios  # noqa: PLC0415 - pydantic

    loaded, broken = all_scenarios(session.content)
    for unusable in broken:
        session.say(f"{unusable.id} cannot be used: {unusable.error.message}")
    if as_json:
        session.emit([_scenario_data(item) for item in loaded])
        return 0
    for item in loaded:
        about = (
            f"{len(item.labs)} lab{'s' if len(item.labs) != 1 else ''}, {item.scenario.entity or 'ce or ba'}"
        )
        session.show(f"[bold cyan]{item.scenario.id}[/]  {item.scenario.title}  [dim]{about}[/]")
        show_indented(session, item.scenario.summary)
    if not loaded:
        session.say("there are no scenarios here; --content DIR names a folder that holds scenarios/")
    return 0


def _show_scenario(session: Session, name: str, entity: str | None, *, as_json: bool) -> int:
    from phi_labs.model.entity import parse_entity  # noqa: PLC0415
    from phi_labs.model.organisation import load_organisation  # noqa: PLC0415 - pydantic
    from phi_labs.workshop.scenario import find_scenario, story  # noqa: PLC0415 - pydantic

    item = find_scenario(name, session.content)
    taken_as = item.entity_of(parse_entity(entity) if entity else "ce")
    text = story(item, load_organisation(), taken_as)
    show_text(session, text, _scenario_data(item), as_json=as_json)
    if not as_json:
        session.out.print(_rules(item), markup=False, soft_wrap=True)
    return 0


def _scenario_data(item: LoadedScenario) -> dict[str, Any]:
    return {**item.scenario.model_dump(mode="json", exclude={"story"}), "file": str(item.path)}


def _for_whom(item: LoadedScenario) -> str:
    from phi_labs.model.entity import ENTITY_NAMES  # noqa: PLC0415

    entity = item.scenario.entity
    return f"for a {ENTITY_NAMES[entity]}" if entity else "for either entity"


def _rules(item: LoadedScenario) -> str:
    """The rules of a scenario, a line each."""
    scenario = item.scenario
    lines = [f"{scenario.id}: {_for_whom(item)}; trigger: {scenario.trigger}"]
    for step in scenario.labs:
        after = f", after {' and '.join(step.after)} ({scenario.prerequisite})" if step.after else ""
        lines.append(f"  {step.id}: {_limit(step.minutes)}{after}")
    counts = {"last": "the last before the deadline", "best": "the best", "first": "the first"}
    lines.append(f"all labs: {_limit(scenario.minutes)}; {scenario.pass_mark} of 100 points pass a lab")
    lines.append(f"of several attempts {counts[scenario.count_rule]} counts; hints: {scenario.hints}")
    if scenario.new_seeds:
        lines.append("everybody gets other patients and details than in earlier workshops")
    return "\n".join(lines)


def _limit(minutes: int | None) -> str:
    return f"{minutes} minutes" if minutes else "no time limit"


def roster(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file.")],
    *,
    entity: EntityName = None,
    as_json: AsJson = False,
) -> int:
    """Check a roster: every problem with its row and column, all at once. Nothing is started or kept.

    Example: phi-labs roster roster.csv
    """
    from phi_labs.model.entity import parse_entity  # noqa: PLC0415
    from phi_labs.workshop.roster import RosterError, check_roster  # noqa: PLC0415 - late, like every import

    found = check_roster(file, parse_entity(entity) if entity else None)
    if as_json:
        session.emit(_roster_data(file, found))
        return 2 if found.problems else 0
    for heading in found.roster.ignored:
        session.say(f"the column {heading!r} is not read{_meant(heading)}")
    if found.problems:
        raise RosterError(file, found.problems)
    session.out.print(_roster_summary(file, found), markup=False, soft_wrap=True)
    return 0


def _meant(heading: str) -> str:
    from phi_labs.model.nearest import did_you_mean  # noqa: PLC0415
    from phi_labs.workshop.roster_table import COLUMNS  # noqa: PLC0415

    advice = did_you_mean(heading, COLUMNS)
    return f"; {advice}" if advice else ""


def _roster_data(file: Path, found: RosterCheck) -> dict[str, Any]:
    return {
        "file": str(file),
        "sha256": found.roster.sha256,
        "encoding": found.roster.encoding,
        "learners": len(found.roster.learners),
        "with_key": sum(bool(item.public_key) for item in found.roster.learners),
        "ignored_columns": list(found.roster.ignored),
        "problems": [
            {"row": item.row, "column": item.column, "problem": item.text} for item in found.problems
        ],
    }


def _roster_summary(file: Path, found: RosterCheck) -> str:
    learners = found.roster.learners
    parts = [
        f"{sum(item.entity == entity for item in learners)} {entity.upper()}"
        for entity in ("ce", "ba")
        if any(item.entity == entity for item in learners)
    ]
    without = sum(not item.public_key for item in learners)
    keys = f"; {without} without a public key" if without else ""
    people = f"{len(learners)} learner{'s' if len(learners) != 1 else ''}"
    return f"{file}: {people} ({', '.join(parts)}){keys}; read as {found.roster.encoding}; no problems"
