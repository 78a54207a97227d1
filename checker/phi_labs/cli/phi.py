"""Synthetic patient data on its own: phi writes it, trace tells whose a string is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from phi_labs.cli.options import AsJson, command
from phi_labs.cli.session import Session
from phi_labs.errors import UserError

if TYPE_CHECKING:
    from phi_labs.authoring.synthetic import Found, Order

PANEL = "Synthetic data"
SHOWN = 40


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app, "phi", panel=PANEL, trainee=False)(phi)
    command(app, "trace", panel=PANEL, trainee=False)(trace)


def phi(  # noqa: PLR0913 - options of a command
    session: Session,
    *,
    patients: Annotated[int, typer.Option("--patients", metavar="N", help="How many patients.")] = 200,
    seed: Annotated[
        str, typer.Option("--seed", metavar="TEXT", help="The same seed, the same bytes.")
    ] = "phi-labs",
    writer: Annotated[
        list[str] | None,
        typer.Option("--writer", metavar="NAME,...", help="Which artefacts; all when none is named."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where to write; lists the writers without it."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that holds something.")] = False,
    as_json: AsJson = False,
) -> int:
    """Write synthetic patient data, in every kind of artefact where it really leaks, into a folder.

    No identifier can be a real person's. Says how much disk it needs before it starts.

    Examples: phi-labs phi;  phi-labs phi --patients 1000 --seed march --writer ehr-log,hl7 --out data
    """
    from phi_labs.authoring.synthetic import ordered  # noqa: PLC0415 - tables of names

    names = [name.strip() for given in writer or () for name in given.split(",") if name.strip()]
    order = ordered(patients, seed, names)
    if out is None:
        return _list_writers(session, as_json=as_json)
    return _write(session, order, out.expanduser(), force=force, as_json=as_json)


def _list_writers(session: Session, *, as_json: bool) -> int:
    from phi_fixtures.writers import WRITERS  # noqa: PLC0415

    if as_json:
        session.emit([{"name": item.name, "summary": item.summary} for item in WRITERS.values()])
        return 0
    table = Table(box=None, show_header=False, pad_edge=False)
    for item in WRITERS.values():
        table.add_row(f"[bold cyan]{item.name}[/]", item.summary)
    session.show(table)
    session.show("\nNext: [bold]phi-labs phi --out DIR[/], or some of them: [bold]--writer NAME,NAME[/]")
    return 0


def _write(session: Session, order: Order, out: Path, *, force: bool, as_json: bool) -> int:
    from rich.progress import (  # noqa: PLC0415 - only where something is written
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from phi_labs.authoring.synthetic import megabytes, prepare, write  # noqa: PLC0415

    needed = prepare(order, out, force=force)
    session.say(f"writing {order.patients} patients to {out}: about {megabytes(needed)}")
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=session.err, disable=not session.err.is_terminal) as bar:
        task = bar.add_task("", total=needed)
        written = write(order, out, lambda name, size: bar.update(task, advance=size, description=name))
    if as_json:
        session.emit({"out": str(out), "files": [asdict(item) for item in written]})
    else:
        session.show(f"{len(written)} files in {out}")
        session.show(f"Next: [bold]phi-labs trace STRING --in {out}[/] tells whose a string is")
    return 0


def trace(
    session: Session,
    string: Annotated[
        str, typer.Argument(metavar="STRING", help="An identifier, in any of its usual forms.")
    ],
    *,
    folder: Annotated[
        Path | None,
        typer.Option("--in", metavar="DIR", help="A folder that phi-labs phi wrote; else all runs."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Tell whose a string is and where it was planted: in every run and kept attempt, or in a folder of data.

    One identifier names the trainee and the place it came from, so a copied answer or a leak can be traced.

    Exit code: 0 found, 1 nobody's.

    Examples: phi-labs trace 0123456789;  phi-labs trace 912345678 --in data
    """
    if not string.strip():
        raise UserError("there is nothing to trace", "give an identifier, such as a record number")
    found = list(dict.fromkeys(_found(session, string, folder)))
    if as_json:
        session.emit([asdict(item) for item in found])
    else:
        _show(session, string, found)
    return 0 if found else 1


def _found(session: Session, string: str, folder: Path | None) -> Iterator[Found]:
    from phi_labs.authoring.synthetic import trace_in_folder, trace_in_manifest  # noqa: PLC0415

    if folder is not None:
        yield from trace_in_folder(string, folder.expanduser())
        return
    for trainee, lab, manifest in session.installation.state.manifests():
        yield from trace_in_manifest(string, manifest, trainee=trainee, lab=lab)


def _show(session: Session, string: str, found: list[Found]) -> None:
    if not found:
        session.show(f"{string!r} is nobody's: it was not planted here")
        return
    table = Table(box=None, pad_edge=False)
    of_runs = any(item.trainee for item in found)
    for name in (*(("trainee", "lab") if of_runs else ()), "place", "field", "record number", "file"):
        table.add_column(name, overflow="fold")
    for item in found[:SHOWN]:
        path = f"{item.host}:{item.path}" if item.host else item.path
        whose = (item.trainee, item.lab) if of_runs else ()
        table.add_row(*whose, item.site, item.field, item.mrn, path)
    session.show(table)
    if len(found) > SHOWN:
        session.show(f"and {len(found) - SHOWN} more (--json shows all)")
