"""workshop open: from a roster to a process that holds the workshop; and that process's own entry."""

from __future__ import annotations

import asyncio
import getpass
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phi_labs.cli.gateway import LISTEN, parse_listen
from phi_labs.cli.session import Session
from phi_labs.errors import EngineError, UserError

if TYPE_CHECKING:  # SQLAlchemy, asyncssh and the SDK cost 0.6 s
    from phi_labs.workshop.scenario import LoadedScenario
    from phi_labs.workshop.settings import Settings, WorkshopFolder

UP_DEADLINE = 120.0  # seconds until the process that holds the workshop answers
HELD_PATIENCE = 30.0  # seconds without a new lab while there is no room for one
WAIT_DEADLINE = 900.0  # seconds that the first labs are waited for at most
LOOK_EVERY = 0.5
LOG_LINES = 15


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
    from phi_labs.workshop.control import held  # noqa: PLC0415
    from phi_labs.workshop.roster import read_roster  # noqa: PLC0415
    from phi_labs.workshop.scenario import find_scenario  # noqa: PLC0415
    from phi_labs.workshop.settings import Settings, workshop_folder  # noqa: PLC0415

    parse_listen(listen)
    loaded = find_scenario(scenario, session.content)
    read_roster(roster, loaded.scenario.entity)
    chosen = name or loaded.scenario.id
    folder = workshop_folder(session.installation.state, chosen)
    if held(folder.socket):
        return _taken_in(session, folder, roster)
    _not_another(session, chosen)
    _not_closed(session, chosen)
    _need_images(session, loaded)
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
    _write_down(session, settings, folder, loaded.path, roster)
    _spawn(session, settings, folder, host or "")
    _wait_until_up(folder)
    waits_for = "" if no_wait else _wait_until_prepared(session, folder)
    return _told_open(session, folder, host or "", waits_for)


def _taken_in(session: Session, folder: WorkshopFolder, roster: Path) -> int:
    """A roster for a workshop that is open: who is new on it takes part."""
    from phi_labs.workshop.control import ask  # noqa: PLC0415

    session.installation.state.write(folder.roster, _text(roster))
    changed = ask(folder.socket, {"do": "roster", "path": str(folder.roster)})["changed"]
    session.say(f"workshop {folder.path.name} is open; {changed} learners are new or changed on its roster")
    return 0


def _need_images(session: Session, loaded: LoadedScenario) -> None:
    """Build what is missing; a lab that cannot be built keeps nobody from the others."""
    failed = []
    with session.progress.busy("preparing images"):
        for lab in loaded.labs:
            try:
                for machine in lab.hosts:
                    session.installation.image_of(lab, machine.name)
            except EngineError as error:
                failed.append(error)
                session.say(f"{lab.id} cannot be started: {error.message}")
    if len(failed) == len(loaded.labs):
        raise failed[0]


def _write_down(
    session: Session, settings: Settings, folder: WorkshopFolder, scenario: Path, roster: Path
) -> None:
    """The workshop's own copies of what it is opened with."""
    from phi_labs.workshop.settings import save_settings  # noqa: PLC0415

    state = session.installation.state
    save_settings(state, settings)
    folder.scenario.mkdir(mode=0o700, exist_ok=True)
    state.write(Path(settings.scenario), scenario.read_text(encoding="utf-8"))
    state.write(folder.roster, _text(roster))


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
        when = ended.at[:16].replace("T", " ")
        raise UserError(f"workshop {chosen} was closed at {when} UTC", "open another one: --name W")


def _spawn(session: Session, settings: Settings, folder: WorkshopFolder, host: str) -> None:
    """A process of its own that holds the workshop; what it says goes to its log."""
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


def _wait_until_prepared(session: Session, folder: WorkshopFolder) -> str:
    from phi_labs.workshop.control import ask  # noqa: PLC0415

    with session.progress.busy("preparing labs") as tell:
        return wait_until_prepared(lambda: ask(folder.socket, {"do": "status"}), tell)


def wait_until_prepared(
    look: Callable[[], Mapping[str, Any]],
    tell: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> str:
    """Wait until nothing waits or starts; why it is not waited for any longer, empty when all is settled.

    Where there is no room, nobody knows for how long: half a minute without a new lab is enough.
    """
    began = moved = clock()
    ready = -1
    while (now := look())["starting"] or now["waiting_in_all"]:
        if now["prepared"] != ready or now["starting"]:
            ready, moved = now["prepared"], clock()
        if now["held_by"] and clock() - moved >= HELD_PATIENCE:
            return str(now["held_by"])
        if clock() - began >= WAIT_DEADLINE:
            return f"it takes longer than {WAIT_DEADLINE / 60:.0f} minutes"
        held = f"; {now['held_by']}" if now["held_by"] else ""
        left = f" (about {now['seconds_left']:.0f} s)" if now["seconds_left"] else ""
        tell(
            f"{now['prepared']} labs ready, {now['starting']} starting, "
            f"{now['waiting_in_all']} waiting{left}{held}"
        )
        pause(LOOK_EVERY)
    return ""


def _told_open(session: Session, folder: WorkshopFolder, host: str, waits_for: str) -> int:
    from phi_labs.workshop.control import ask  # noqa: PLC0415

    now = ask(folder.socket, {"do": "status"})
    port = now["listen"].rpartition(":")[2]
    session.out.print(
        f"workshop [bold]{now['workshop']}[/] is open: {now['learners']} learners, "
        f"{now['prepared']} labs ready, "
        f"gateway at {now['listen']}"
    )
    session.out.print(f"access sheets: {folder.access}", soft_wrap=True, markup=False)
    session.out.print(f"trainees log in with: ssh -p {port} NAME@{host or 'HOST'}", markup=False)
    if now["failed_starts"]:
        session.say(f"{now['failed_starts']} labs could not be started; status says why")
    if waits_for:
        session.say(
            f"{now['waiting_in_all'] + now['starting']} labs are not ready: {waits_for}. "
            "The workshop is open, and goes on with them in the background"
        )
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
