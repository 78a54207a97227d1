"""workshop: a scenario for a roster, from open to close."""

from __future__ import annotations

import asyncio
import getpass
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phi_labs.cli import options
from phi_labs.cli.gateway import LISTEN, parse_listen
from phi_labs.cli.options import AsJson, Yes, command
from phi_labs.cli.session import Session
from phi_labs.errors import EngineError, UserError

if TYPE_CHECKING:  # the SDK, SQLAlchemy and asyncssh cost 0.6 s
    from phi_labs.workshop.settings import Settings, WorkshopFolder

PANEL = "For authors and trainers"
UP_DEADLINE = 120.0  # seconds until the process that holds the workshop answers
LOG_LINES = 15
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


# -- open --------------------------------------------------------------------------------------


def open_(  # noqa: PLR0913 - options of a command
    session: Session,
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="An id (phi-labs scenarios) or a .yml file.")
    ],
    *,
    roster: Annotated[Path, typer.Option("--roster", metavar="FILE", help="Who takes part: a CSV file.")],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="W", help="The workshop's name; else the scenario's id."),
    ] = None,
    listen: Annotated[
        str, typer.Option("--listen", metavar="ADDRESS:PORT", help="Where trainees log in; 0 chooses a port.")
    ] = LISTEN,
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="NAME", help="What trainees type to reach this machine."),
    ] = None,
    organisation: Annotated[
        Path | None, typer.Option("--organisation", metavar="FILE", help="Names and figures of your own.")
    ] = None,
    trainer: Annotated[
        str | None,
        typer.Option("--trainer", metavar="NAME", help="For the records; else your login name."),
    ] = None,
    starters: Annotated[int, typer.Option(min=1, max=32, help="How many labs are started at a time.")] = 4,
    graders: Annotated[int, typer.Option(min=1, max=32, help="How many labs are graded at a time.")] = 2,
    idle: Annotated[float, typer.Option(min=1, help="Minutes until an idle lab is paused.")] = 15.0,
    stuck: Annotated[float, typer.Option(min=1, help="Minutes without new points: stuck.")] = 15.0,
    disk: Annotated[int, typer.Option(min=64, help="MiB that one lab may write.")] = 2048,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for the first labs.")] = False,
) -> int:
    """Open a workshop: labs are prepared, access sheets written, the gateway listens. Or take it up again.

    It goes on in the background until it is closed. After a crash or a reboot the same command goes on where
    it stopped; with a changed roster it lets new learners in.

    Example: phi-labs workshop open ce-it-foundations --roster roster.csv --listen 0.0.0.0:2222

    Next: phi-labs workshop status
    """
    from phi_labs.workshop.control import ask, held  # noqa: PLC0415
    from phi_labs.workshop.roster import read_roster  # noqa: PLC0415
    from phi_labs.workshop.scenario import find_scenario  # noqa: PLC0415
    from phi_labs.workshop.settings import Settings, save_settings, workshop_folder  # noqa: PLC0415

    parse_listen(listen)
    loaded = find_scenario(scenario, session.content)
    read_roster(roster, loaded.scenario.entity)
    state = session.installation.state
    chosen = name or loaded.scenario.id
    folder = workshop_folder(state, chosen)
    if held(folder.socket):
        state.write(folder.roster, _text(roster))
        changed = ask(folder.socket, {"do": "roster", "path": str(folder.roster)})["changed"]
        session.say(f"workshop {chosen} is open; {changed} learners are new or changed on its roster")
        return 0
    _not_another(session, chosen)
    _not_closed(session, chosen)
    with session.progress.busy("preparing images"):
        for lab in loaded.labs:
            for machine in lab.hosts:
                session.installation.image_of(lab, machine.name)
    settings = Settings(
        id=chosen,
        scenario=str(folder.scenario / f"{loaded.scenario.id}.yml"),
        roster=str(folder.roster),
        trainer=trainer or getpass.getuser(),
        content=str(session.content.absolute()) if session.content else "",
        organisation=str(organisation.absolute()) if organisation else "",
        listen=listen,
        starters=starters,
        graders=graders,
        idle_minutes=idle,
        stuck_minutes=stuck,
        disk_limit=disk,
    )
    save_settings(state, settings)
    folder.scenario.mkdir(mode=0o700, exist_ok=True)
    state.write(Path(settings.scenario), loaded.path.read_text(encoding="utf-8"))
    folder.roster.write_bytes(roster.read_bytes())
    folder.roster.chmod(0o600)
    _spawn(session, settings, folder, host or "")
    _wait_until_up(folder)
    if not no_wait:
        _wait_until_prepared(session, folder)
    return _told_open(session, folder)


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogateescape")


def _not_another(session: Session, chosen: str) -> None:
    """The machine's labs belong to one workshop at a time: a learner's run is found by name and lab."""
    from phi_labs.workshop.control import held  # noqa: PLC0415
    from phi_labs.workshop.settings import workshop_folder, workshops  # noqa: PLC0415

    state = session.installation.state
    other = next(
        (
            known
            for known in workshops(state)
            if known != chosen and held(workshop_folder(state, known).socket)
        ),
        None,
    )
    if other is not None:
        raise UserError(
            f"workshop {other} is open here",
            "close it, or use another state directory (PHI_LABS_STATE)",
        )


def _not_closed(session: Session, chosen: str) -> None:
    """A closed workshop stays closed: its head is out of the house."""
    from phi_labs.records.address import records_url  # noqa: PLC0415
    from phi_labs.records.event import Kind  # noqa: PLC0415
    from phi_labs.records.store import Records  # noqa: PLC0415
    from phi_labs.workshop.settings import workshop_folder  # noqa: PLC0415

    state = session.installation.state
    if not workshop_folder(state, chosen).settings.exists():
        return  # never opened here
    with Records(records_url(state.root)) as records:
        ended = next(records.events(chosen, Kind.WORKSHOP_CLOSED), None)
    if ended is not None:
        raise UserError(f"workshop {chosen} was closed at {ended.at}", "open another one: --name W")


def _spawn(session: Session, settings: Settings, folder: WorkshopFolder, host: str) -> None:
    """A process of its own that holds the workshop; what it says goes to its log."""
    import os  # noqa: PLC0415

    argv = [sys.executable, "-I", "-m", "phi_labs", "workshop", "serve", settings.id]
    argv += ["--host", host] if host else []
    environment = {**os.environ, "PHI_LABS_STATE": str(session.installation.state.root)}
    if settings.content:
        environment["PHI_LABS_CONTENT"] = settings.content
    with folder.log.open("ab") as log:
        folder.log.chmod(0o600)
        process = subprocess.Popen(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    from phi_labs.workshop.control import held  # noqa: PLC0415

    until = time.monotonic() + UP_DEADLINE
    with session.progress.busy("opening"):
        while not held(folder.socket):
            if process.poll() is not None:
                raise _did_not_open(folder)
            if time.monotonic() > until:
                raise EngineError(
                    f"the workshop did not open within {UP_DEADLINE:.0f} seconds", f"see {folder.log}"
                )
            time.sleep(0.05)


def _did_not_open(folder: WorkshopFolder) -> EngineError:
    lines = folder.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
    return EngineError(
        "the workshop could not be opened; it said last:\n" + "\n".join(lines), f"see {folder.log}"
    )


def _wait_until_up(folder: WorkshopFolder) -> None:
    from phi_labs.workshop.control import ask  # noqa: PLC0415

    ask(folder.socket, {"do": "status"}, deadline=UP_DEADLINE)


def _wait_until_prepared(session: Session, folder: WorkshopFolder) -> None:
    from phi_labs.workshop.control import ask  # noqa: PLC0415

    with session.progress.busy("preparing labs") as tell:
        while True:
            now = ask(folder.socket, {"do": "status"})
            if not now["starting"] and not now["waiting_in_all"]:
                return
            held = f"; {now['held_by']}" if now["held_by"] else ""
            tell(
                f"{now['prepared']} labs ready, {now['starting']} starting, {now['waiting_in_all']} waiting "
                f"(about {now['seconds_left']:.0f} s){held}"
            )
            time.sleep(0.5)


def _told_open(session: Session, folder: WorkshopFolder) -> int:
    from phi_labs.workshop.control import ask  # noqa: PLC0415

    now = ask(folder.socket, {"do": "status"})
    port = now["listen"].rpartition(":")[2]
    session.out.print(
        f"workshop [bold]{now['workshop']}[/] is open: {now['learners']} learners, "
        f"{now['prepared']} labs ready, "
        f"gateway at {now['listen']}"
    )
    session.out.print(f"access sheets: {folder.access}", soft_wrap=True, markup=False)
    session.out.print(f"trainees log in with: ssh -p {port} NAME@HOST", markup=False)
    if now["failed_starts"]:
        session.say(f"{now['failed_starts']} labs could not be started; status says why")
    session.out.print("Next: [bold]phi-labs workshop status[/]")
    return 0


def serve(
    session: Session,
    workshop: Annotated[str, typer.Argument(metavar="W")],
    *,
    host: Annotated[str | None, typer.Option("--host", metavar="NAME")] = None,
) -> int:
    """Hold a workshop in the foreground until it is closed (what `open` starts in the background)."""
    from phi_labs.cli.workshop_serving import serve as hold  # noqa: PLC0415

    return asyncio.run(hold(session, workshop, host or ""))


# -- while it is open ----------------------------------------------------------------------------


def _folder(session: Session, workshop: str | None) -> WorkshopFolder:
    """The folder of the workshop that is meant: the named one, or the only one that is open."""
    from phi_labs.workshop.control import held, nobody_holds_it  # noqa: PLC0415
    from phi_labs.workshop.settings import load_settings, workshop_folder, workshops  # noqa: PLC0415

    state = session.installation.state
    if workshop is not None:
        load_settings(state, workshop)
        return workshop_folder(state, workshop)
    open_now = [
        folder for known in workshops(state) if held((folder := workshop_folder(state, known)).socket)
    ]
    if len(open_now) != 1:
        raise nobody_holds_it()
    return open_now[0]


def _asked(session: Session, workshop: str | None, **request: Any) -> Any:
    from phi_labs.workshop.control import ask  # noqa: PLC0415

    return ask(_folder(session, workshop).socket, {**request, "by": getpass.getuser()}, say=session.say)


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
    from phi_labs.cli.workshop_view import status_view  # noqa: PLC0415

    if as_json:
        session.emit(_asked(session, workshop, do="status"))
        return 0
    if not watch:
        session.show(status_view(_asked(session, workshop, do="status")))
        return 0
    from rich.live import Live  # noqa: PLC0415

    with Live(console=session.out, auto_refresh=False, screen=True) as live:
        while True:
            live.update(status_view(_asked(session, workshop, do="status")), refresh=True)
            time.sleep(2)


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
        session.say(f"{len(paths)} files in {out}")
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
        session.out.print(f"closed: {answer['graded']} final grades", markup=False)
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
    return _folder(session, workshop)


def _wait_until_gone(folder: WorkshopFolder) -> None:
    from phi_labs.workshop.control import held  # noqa: PLC0415

    until = time.monotonic() + UP_DEADLINE
    while held(folder.socket) and time.monotonic() < until:
        time.sleep(0.05)
