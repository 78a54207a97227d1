"""workshop: what a trainer does while one is open, and afterwards. Opening has a module of its own."""

from __future__ import annotations

import getpass
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phi_labs.cli import options
from phi_labs.cli.options import AsJson, Yes, command
from phi_labs.cli.session import Session
from phi_labs.cli.workshop_asking import Wanted, ask_it, show_status, the_one_meant
from phi_labs.cli.workshop_opening import UP_DEADLINE, open_, serve
from phi_labs.errors import UserError

if TYPE_CHECKING:
    from phi_labs.workshop.settings import WorkshopFolder

PANEL = "Workshops"
OfWorkshop = Annotated[
    str | None,
    typer.Option("--workshop", metavar="W", help="Which one; not needed while only one is open."),
]


def add_to(app: typer.Typer) -> None:
    """Register the group and its commands."""
    group = options.group("workshop", "A scenario for a roster: open it, watch, help, grade, export, close.")
    command(group, "open", panel=PANEL, trainee=False)(open_)
    command(group, "status", panel=PANEL, trainee=False)(status)
    command(group, "grade", panel=PANEL, trainee=False)(grade)
    command(group, "extend", panel=PANEL, trainee=False)(extend)
    command(group, "reset", panel=PANEL, trainee=False)(reset)
    command(group, "message", panel=PANEL, trainee=False)(message)
    command(group, "export", panel=PANEL, trainee=False)(export)
    command(group, "close", panel=PANEL, trainee=False)(close)
    command(group, "serve", panel=PANEL, trainee=False, hidden=True)(serve)
    app.add_typer(group, rich_help_panel=PANEL)


# -- while it is open ----------------------------------------------------------------------------


def _asked(session: Session, workshop: str | None, **request: Any) -> Any:
    request["by"] = getpass.getuser()
    return ask_it(session.installation.state, workshop, request, session.say)


def status(
    session: Session,
    *,
    workshop: OfWorkshop = None,
    watch: Annotated[bool, typer.Option("--watch", help="Again every two seconds, until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> int:
    """Who is where, who is stuck, what the engine is doing.

    Example: phi-labs workshop status --watch
    """
    return show_status(session.installation.state, Wanted(workshop, watch=watch, as_json=as_json))


def grade(  # noqa: PLR0913 - options of a command
    session: Session,
    who: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Whose labs.")] = None,
    lab: Annotated[str | None, typer.Argument(metavar="[LAB]", help="Only this lab.")] = None,
    *,
    everybody: Annotated[bool, typer.Option("--all", help="Everybody's labs.")] = False,
    workshop: OfWorkshop = None,
    as_json: AsJson = False,
) -> int:
    """Grade now, without ending anything: the labs that somebody began.

    Examples: phi-labs workshop grade alice;  phi-labs workshop grade --all
    """
    if (who is None) != everybody:
        raise UserError("whose labs?", "name a learner, or say --all")
    answer = _asked(session, workshop, do="grade", who=who or "", lab=lab or "")
    failed = [item for item in answer["graded"] if item["score"] is None]
    if as_json:
        session.emit(answer)
    else:
        session.say(f"{len(answer['graded']) - len(failed)} graded, {len(failed)} could not be graded")
    return 3 if failed else 0


def extend(
    session: Session,
    who: Annotated[str, typer.Argument(metavar="NAME")],
    time_: Annotated[str, typer.Argument(metavar="TIME", help="20m, 1h, 1h30m, or minutes.")],
    lab: Annotated[str | None, typer.Argument(metavar="[LAB]", help="Only in this lab.")] = None,
    *,
    workshop: OfWorkshop = None,
) -> int:
    """Give a learner more time, also where it was over.

    Example: phi-labs workshop extend alice 20m
    """
    minutes = parse_minutes(time_)
    _asked(session, workshop, do="extend", who=who, minutes=minutes, lab=lab or "")
    session.say(f"{who} has {minutes} minutes more" + (f" in {lab}" if lab else ""))
    return 0


def parse_minutes(text: str) -> int:
    """Minutes of ``20m``, ``1h``, ``1h30m`` or ``20``; UserError otherwise."""
    import re  # noqa: PLC0415

    found = re.fullmatch(r"(?:(\d{1,3})h)?(?:(\d{1,4})m?)?", text.strip())
    minutes = int(found[1] or 0) * 60 + int(found[2] or 0) if found else 0
    if minutes < 1:
        raise UserError(f"{text!r} is no time", "as in 20m, 1h or 1h30m")
    return minutes


def reset(
    session: Session,
    who: Annotated[str, typer.Argument(metavar="NAME")],
    lab: Annotated[str, typer.Argument(metavar="LAB")],
    *,
    workshop: OfWorkshop = None,
    yes: Yes = False,
) -> int:
    """Give a learner a lab afresh: their changes are gone, attempts stay. A failed start is tried again.

    Example: phi-labs workshop reset alice log-access
    """
    if not session.confirm(f"throw away what {who} changed in {lab}?", yes=yes, unless="add --yes"):
        return 0
    _asked(session, workshop, do="reset", who=who, lab=lab)
    session.say(f"{who} has {lab} afresh")
    return 0


def message(
    session: Session,
    who: Annotated[str | None, typer.Argument(metavar="NAME|--all")] = None,
    text: Annotated[str | None, typer.Argument(metavar="TEXT")] = None,
    *,
    everybody: Annotated[bool, typer.Option("--all", help="To everybody; then TEXT alone is given.")] = False,
    workshop: OfWorkshop = None,
) -> int:
    """Write to a learner, or to everybody: it appears in their sessions.

    Examples: phi-labs workshop message alice "well done";  phi-labs workshop message --all "ten minutes left"
    """
    if everybody and text is None:
        who, text = None, who
    if text is None or (who is None) != everybody:
        raise UserError("to whom, and what?", 'message NAME "TEXT", or message --all "TEXT"')
    _asked(session, workshop, do="message", who=who or "", text=text)
    session.say(f"sent to {who or 'everybody'}")
    return 0


# -- afterwards ----------------------------------------------------------------------------------


def export(
    session: Session,
    *,
    format_: Annotated[
        str,
        typer.Option("--format", metavar="FORMAT", help="csv, json, junit, ctrf, gradescope, ..."),
    ] = "csv",
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files go.")],
    workshop: OfWorkshop = None,
    as_json: AsJson = False,
) -> int:
    """Write gradebooks, reports and records of a workshop, open or closed.

    Example: phi-labs workshop export --format html --out records/
    """
    from phi_labs.records.address import records_url  # noqa: PLC0415
    from phi_labs.records.cohort import read_cohort  # noqa: PLC0415
    from phi_labs.records.store import Records  # noqa: PLC0415
    from phi_labs.workshop.exports import export_cohort  # noqa: PLC0415
    from phi_labs.workshop.settings import workshops  # noqa: PLC0415

    state = session.installation.state
    known = workshops(state)
    chosen = workshop or (known[0] if len(known) == 1 else None)
    if chosen is None:
        raise UserError("which workshop?", f"--workshop W; there are: {', '.join(known) or 'none'}")
    with Records(records_url(state.root), read_only=True) as records:
        cohort = read_cohort(records, chosen)
    paths = export_cohort(cohort, format_, out, session.content)
    if as_json:
        session.emit([str(path) for path in paths])
    else:
        session.say(f"{len(paths)} file{'s' if len(paths) != 1 else ''} in {out}")
    return 0


def close(session: Session, *, workshop: OfWorkshop = None, yes: Yes = False, as_json: AsJson = False) -> int:
    """Grade everybody a last time, end everything, and print the head of the records: keep it somewhere else.

    Example: phi-labs workshop close

    Next: phi-labs workshop export --format html --out records/;  phi-labs records verify --head FILE
    """
    folder = _to_close(session, workshop)
    if not session.confirm("grade everybody a last time and end the workshop?", yes=yes, unless="add --yes"):
        return 0
    from phi_labs.workshop.control import held  # noqa: PLC0415

    with session.progress.busy("closing"):
        if held(folder.socket):
            answer = _asked(session, folder.path.name, do="close")
            _wait_until_gone(folder)
        else:  # its process was killed: what is left to do is done here
            from phi_labs.cli.workshop_serving import close_here  # noqa: PLC0415

            answer = close_here(session, folder.path.name)
    if as_json:
        session.emit(answer)
    else:
        head = answer["head"]
        grades = f"{answer['graded']} final grade" + ("s" if answer["graded"] != 1 else "")
        session.out.print(f"closed: {grades}", markup=False)
        session.out.print(f"head of the records: {head['hash']}", soft_wrap=True, markup=False)
        session.out.print(f"events: {head['count']}; kept in {folder.head}", soft_wrap=True, markup=False)
    for learner, lab, reason in answer["ungraded"]:
        session.say(f"{learner} {lab} has no final grade: {reason}")
    for learner, lab in answer["left"]:
        session.say(f"the machines of {learner} {lab} could not be removed: phi-labs doctor --clean")
    return 3 if answer["ungraded"] or answer["left"] else 0


def _to_close(session: Session, workshop: str | None) -> WorkshopFolder:
    """The workshop that is meant, also one whose process was killed, if it is named or the only one."""
    from phi_labs.workshop.settings import workshop_folder, workshops  # noqa: PLC0415

    known = workshops(session.installation.state)
    if workshop is None and len(known) == 1:
        return workshop_folder(session.installation.state, known[0])
    return the_one_meant(session.installation.state, workshop)


def _wait_until_gone(folder: WorkshopFolder) -> None:
    from phi_labs.workshop.control import held  # noqa: PLC0415

    until = time.monotonic() + UP_DEADLINE
    while held(folder.socket) and time.monotonic() < until:
        time.sleep(0.05)
