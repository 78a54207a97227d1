"""records: what is kept, whether it is intact, and one learner's training record."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from phi_labs.cli import options, records_adding, records_regrading, records_releasing
from phi_labs.cli.options import AsJson, command
from phi_labs.cli.session import Session

if TYPE_CHECKING:  # SQLAlchemy costs 0.2 s
    from phi_labs.records.event import Event
    from phi_labs.records.store import Records
    from phi_labs.records.training import TrainingRecord

READ = "Read"
OnlyWorkshop = Annotated[str | None, typer.Option("--workshop", metavar="W", help="Only of this workshop.")]


def add_to(app: typer.Typer) -> None:
    """Register the group and its commands."""
    group = options.group(
        "records", "What workshops recorded: is it intact, who was trained in what, what did people decide."
    )
    command(group, "verify", panel=READ, trainee=False)(verify)
    command(group, "head", panel=READ, trainee=False)(head)
    command(group, "show", panel=READ, trainee=False)(show)
    command(group, "learner", panel=READ, trainee=False)(learner)
    command(group, "export-events", panel=READ, trainee=False)(export_events)
    records_adding.add_to(group)
    records_regrading.add_to(group, records_adding.ADD)
    records_releasing.add_to(group)
    app.add_typer(group, rich_help_panel="Workshops")


@contextmanager
def records_of(session: Session) -> Iterator[Records]:
    """The records that the environment names, for reading only."""
    from phi_labs.records.address import records_url  # noqa: PLC0415 - see above
    from phi_labs.records.store import Records  # noqa: PLC0415

    with Records(records_url(session.installation.state.root), read_only=True) as records:
        yield records


def verify(
    session: Session,
    *,
    heads: Annotated[
        list[Path] | None,
        typer.Option("--head", metavar="FILE", help="Where the log once stood; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Look for events that were altered, removed, moved, put in or, with a head file, cut off.

    Example: phi-labs records verify --head march-head.json

    Exit code: 0 intact, 1 problems found.
    """
    from phi_labs.records.headfile import read_head_file  # noqa: PLC0415

    known = [read_head_file(path) for path in heads or []]
    with records_of(session) as records:
        problems, stands = records.verify(*(item.head for item in known)), records.head()
    if as_json:
        session.emit(
            {"intact": not problems, "events": stands.count, "hash": stands.hash, "problems": problems}
        )
        return 1 if problems else 0
    for problem in problems:
        session.show(Text(problem))
    if problems:
        session.show(
            Text(f"\nThe records are not what was written ({stands.count} events).", style="bold red")
        )
        return 1
    whole = f"{stands.count} events, each as it was written; the last one's hash: {stands.hash}"
    session.out.print(Text(whole), soft_wrap=True)
    if not known:
        session.say("without --head FILE, a cut-off end or a log that was made anew would not be noticed")
    return 0


def head(
    session: Session,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Also write it to a head file.")
    ] = None,
    workshop: Annotated[
        str, typer.Option("--workshop", metavar="W", help="The workshop that the file is about.")
    ] = "",
    as_json: AsJson = False,
) -> int:
    """Show where the log stands: the number of events and the hash of the last one.

    Keep a head file where nobody who can write to the records can write: only then it proves anything.

    Example: phi-labs records head --output march-head.json
    """
    from phi_labs.records.headfile import HeadFile, write_head_file  # noqa: PLC0415

    with records_of(session) as records:
        stands = records.head()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    said = HeadFile(stands.hash, stands.count, now, workshop, session.installation.state.install)
    if output is not None:
        write_head_file(output, said)
    if as_json:
        session.emit(json.loads(said.to_json()))
    else:
        said_so = f"{stands.count} events, the last one's hash: {stands.hash}"
        session.out.print(Text(said_so), soft_wrap=True)
        if output is not None:
            session.say(f"written to {output}; keep it where the records' owner cannot write")
    return 0


def show(
    session: Session,
    *,
    workshop: OnlyWorkshop = None,
    learner: Annotated[
        str | None, typer.Option("--learner", metavar="NAME", help="Only about this learner.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """List the events in words: number, time, workshop, about whom, what happened, by whom.

    Example: phi-labs records show --learner alice
    """
    with records_of(session) as records:
        events = records.events(workshop, subject=learner)
        if as_json:
            session.emit([event.to_data() for event in events])
            return 0
        shown = 0
        for shown, event in enumerate(events, 1):  # noqa: B007 - counted for what follows
            print(_line(event))
    if not shown:
        session.say("there are no such events")
    return 0


def _line(event: Event) -> str:
    from phi_labs.model.scorecard import plain  # noqa: PLC0415
    from phi_labs.records.words import in_words  # noqa: PLC0415

    about = f"  {event.subject}" if event.subject else ""
    text = " ".join(plain(in_words(event)).split())
    return f"{event.number}  {event.at[:19]}Z  {event.workshop}{about}  {text}  [{event.actor}]"


def learner(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The learner's name in the roster.")],
    *,
    workshop: OnlyWorkshop = None,
    as_json: AsJson = False,
) -> int:
    """One learner's training record: who, why, what, every attempt, who vouches for it, how long it is kept.

    Example: phi-labs records learner alice --workshop march
    """
    from phi_labs.records.training import training_records  # noqa: PLC0415

    with records_of(session) as records:
        found = training_records(records, name, workshop)
    if as_json:
        session.emit([record.to_data() for record in found])
        return 0
    for record in found:
        _show_record(session, record)
    return 0


def _show_record(session: Session, record: TrainingRecord) -> None:
    from phi_labs.model.scorecard import plain  # noqa: PLC0415

    session.show(Text(f"Training record of {record.learner}, workshop {record.workshop}", style="bold"))
    session.out.print(Text(record.statement), soft_wrap=True)
    for section in record.sections:
        session.show(Text(f"\n{section.title}", style="bold cyan"))
        for label, text in section.lines:
            session.out.print(Text(f"  {label}: {plain(text)}"), soft_wrap=True)
    session.show("")


def export_events(
    session: Session,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write to this file instead.")
    ] = None,
) -> int:
    """Write the whole log as JSON Lines: an event on each line, its hash included.

    docs/records.md has a script of twenty lines that checks such a file without phi-labs.

    Example: phi-labs records export-events --output events.jsonl
    """
    from phi_labs.records.export import write_events  # noqa: PLC0415

    with records_of(session) as records:
        if output is None:
            for line in write_events(records):
                sys.stdout.write(line)
            return 0
        count = _write_whole(output, write_events(records))
    session.say(f"{count} events written to {output}")
    return 0


def _write_whole(path: Path, lines: Iterator[str]) -> int:
    from phi_labs.records.headfile import whole_file  # noqa: PLC0415

    count = 0
    with whole_file(path) as file:
        for count, line in enumerate(lines, 1):  # noqa: B007 - counted for the caller
            file.write(line)
    return count
