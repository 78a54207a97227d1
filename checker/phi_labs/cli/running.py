"""Commands of a run's life: start, status, reset, stop."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from phi_labs.cli import completion
from phi_labs.cli.options import AsJson, EntityName, LabId, Yes, command
from phi_labs.cli.session import Session
from phi_labs.errors import UserError

if TYPE_CHECKING:
    from phi_labs.lifecycle.installation import Installation
    from phi_labs.lifecycle.runs import RunStatus, Started
    from phi_labs.lifecycle.state import State
    from phi_labs.model.lab import Lab
    from phi_labs.model.run import Run
    from phi_labs.model.scorecard import Scorecard

WORK = "Work on a lab"


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app, "start", panel=WORK)(start)
    command(app, "status", panel=WORK, trainee=False)(status)
    command(app, "reset", panel=WORK)(reset)
    command(app, "stop", panel=WORK)(stop)


def start(  # noqa: PLR0913 - options of a command
    session: Session,
    lab: LabId,
    *,
    retry: Annotated[
        bool, typer.Option("--retry", help="Throw the old machine away; other patients, other details.")
    ] = False,
    entity: EntityName = None,
    organisation: Annotated[
        Path | None,
        typer.Option("--organisation", metavar="FILE", help="Names, contacts and figures to use."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Start your copy of a lab, or come back to it: the machine, its patients, and what is wrong with it.

    Examples: phi-labs start log-access;  phi-labs start log-access --entity ba --trainee "Ana Ruiz"

    Next: phi-labs brief LAB, phi-labs shell LAB, phi-labs grade LAB
    """
    from phi_labs.lifecycle.runs import start_run  # noqa: PLC0415 - the SDK
    from phi_labs.model.entity import parse_entity  # noqa: PLC0415

    found, trainee = session.lab(lab), session.trainee
    chosen = parse_entity(entity) if entity is not None else None
    if organisation is not None:
        _need_file(organisation)
    with session.progress.busy(f"starting {lab} for {trainee}"):
        started = start_run(
            session.installation, found, trainee, entity=chosen, organisation=organisation, retry=retry
        )
    _show_started(session, found, started, as_json=as_json)
    return 0


def _need_file(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"there is no organisation file {path}", "give the path of a YAML file")


def _show_started(session: Session, lab: Lab, started: Started, *, as_json: bool) -> None:
    run, seconds = started.run, session.progress.seconds
    folder = session.installation.state.run_folder(run.trainee, run.lab)
    if as_json:
        session.emit(
            {
                **_run_data(run),
                "resumed": started.resumed,
                "ssh_config": str(folder.ssh_config),
                "ssh": _aliases(lab),
                "seconds": round(seconds, 3),
            }
        )
        return
    said = "is still there, as you left it," if started.resumed else "is ready"
    session.out.print(f"[bold]{lab.id}[/] {said} for {escape(run.trainee)}  [dim]({seconds:.1f} s)[/]")
    _show_next(session, lab, str(folder.ssh_config))


def _show_next(session: Session, lab: Lab, ssh_config: str) -> None:
    from rich.table import Table  # noqa: PLC0415

    mine = escape(session.lab_words(lab.id))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
    table.add_row("read the task", f"[bold]phi-labs brief {mine}[/]")
    table.add_row("log in", f"[bold]phi-labs shell {mine}[/]")
    table.add_row("be graded", f"[bold]phi-labs grade {mine}[/]   as often as you like")
    table.add_row("stuck?", f"[bold]phi-labs hint {mine}[/]")
    session.out.print(table)
    session.out.print("[dim]ssh, scp, sftp and editors reach it, too:[/]")
    session.out.print(f"  ssh -F {ssh_config} {_aliases(lab)[0]}", soft_wrap=True, markup=False)


def _aliases(lab: Lab) -> list[str]:
    from phi_labs.lifecycle.ssh_config import alias  # noqa: PLC0415

    return [alias(lab.id, host.name, len(lab.hosts)) for host in lab.hosts]


def _run_data(run: Run) -> dict[str, Any]:
    return {
        "lab": run.lab,
        "trainee": run.trainee,
        "entity": run.entity,
        "retry": run.retry,
        "run": run.id,
        "state": run.state.value,
        "machines": dict(run.containers),
    }


def reset(session: Session, lab: LabId, *, yes: Yes = False, as_json: AsJson = False) -> int:
    """Throw away what you changed and start the same machine afresh: same patients, same details.

    Attempts and hints stay. phi-labs start LAB --retry gives another seed instead.
    """
    from phi_labs.lifecycle.runs import reset_run  # noqa: PLC0415 - the SDK

    found = session.lab(lab)
    session.run_of(lab)
    if not session.confirm(f"This throws away everything changed on {lab}. Go on?", yes=yes, unless=None):
        session.say("nothing was changed")
        return 0
    with session.progress.busy(f"resetting {lab}"):
        run = reset_run(session.installation, found, session.trainee)
    if as_json:
        session.emit({**_run_data(run), "seconds": round(session.progress.seconds, 3)})
    else:
        session.out.print(f"[bold]{lab}[/] is as it was at first  [dim]({session.progress.seconds:.1f} s)[/]")
        session.out.print(f"Next: [bold]phi-labs shell {escape(session.lab_words(lab))}[/]")
    return 0


# -- status --------------------------------------------------------------------------------------


def status(session: Session, *, as_json: AsJson = False) -> int:
    """Show every run of this installation: whose, in which state, since when, and the last score."""
    from phi_labs.lifecycle.runs import list_runs  # noqa: PLC0415 - the SDK

    state = session.installation.state
    rows = [(item, _last_card(state, item)) for item in list_runs(session.installation)]
    gone = _without_machines(session.installation, [item for item, _ in rows])
    if as_json:
        session.emit([_status_data(item, card) for item, card in rows] + [_gone_data(run) for run in gone])
        return 0
    for run in gone:
        session.say(
            f"the machine of {run.trainee}'s {run.lab} is gone; phi-labs start {run.lab} makes another"
        )
    if not rows:
        session.out.print("No lab is running. [bold]phi-labs labs[/] lists them.")
        return 0
    _show_status(session, rows)
    return 0


def _without_machines(installation: Installation, running: list[RunStatus]) -> list[Run]:
    known = {(item.trainee, item.lab) for item in running}
    return [run for run in installation.state.runs() if (run.trainee, run.lab) not in known]


def _last_card(state: State, item: RunStatus) -> Scorecard | None:
    from phi_labs.model.scorecard import Scorecard  # noqa: PLC0415

    attempts = state.attempts(item.trainee, item.lab)
    if not attempts or not attempts[-1].scorecard.exists():
        return None
    return Scorecard.from_json(attempts[-1].scorecard.read_text(encoding="utf-8"))


def _status_data(item: RunStatus, card: Scorecard | None) -> dict[str, Any]:
    return {
        "lab": item.lab,
        "trainee": item.trainee,
        "entity": item.entity,
        "state": item.state.value,
        "machines": item.machines,
        "since": datetime.fromtimestamp(item.since, UTC).isoformat(),
        "attempts": card.about.attempt if card else 0,
        "last_score": card.score if card else None,
    }


def _gone_data(run: Run) -> dict[str, Any]:
    return {
        "lab": run.lab,
        "trainee": run.trainee,
        "entity": run.entity,
        "state": "gone",
        "machines": 0,
        "since": run.created_at,
        "attempts": None,
        "last_score": None,
    }


def _show_status(session: Session, rows: list[tuple[RunStatus, Scorecard | None]]) -> None:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    for heading in ("trainee", "lab", "as", "state", "since", "last score"):
        table.add_column(heading)
    for item, card in rows:
        since = datetime.fromtimestamp(item.since, UTC).astimezone().strftime("%d %b %H:%M")
        score = f"{card.score} of {card.points} (attempt {card.about.attempt})" if card else "not graded"
        table.add_row(Text(item.trainee), item.lab, item.entity, item.state.value, since, score)
    session.out.print(table)


# -- stop ----------------------------------------------------------------------------------------


def stop(
    session: Session,
    lab: Annotated[
        str | None, typer.Argument(metavar="[LAB]", autocompletion=completion.labs, help="The lab's id.")
    ] = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Every run of this installation, of every trainee.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Remove your machine and its keys. Attempts, scores and hints stay.

    Examples: phi-labs stop log-access;  phi-labs stop --all
    """
    if everything == (lab is not None):
        raise UserError("stop needs a lab or --all, and not both", _stop_hint(session))
    if everything:
        return _stop_everything(session, as_json=as_json)
    return _stop_one(session, str(lab), as_json=as_json)


def _stop_hint(session: Session) -> str:
    mine = [run.lab for run in session.installation.state.runs() if run.trainee == session.trainee]
    return f"you have: {', '.join(mine)}" if mine else "phi-labs status shows what runs"


def _stop_one(session: Session, lab: str, *, as_json: bool) -> int:
    from phi_labs.lifecycle.pool import request_spares  # noqa: PLC0415 - the SDK
    from phi_labs.lifecycle.runs import stop_run  # noqa: PLC0415

    if "/" in lab or lab.startswith("."):
        session.lab_known(lab)  # raises: no path may be made of it
    with session.progress.busy(f"stopping {lab}"):
        stopped = stop_run(session.installation, lab, session.trainee)
    if not stopped:
        session.lab_known(lab)
        raise UserError(f"{session.trainee} has no run of {lab}", _stop_hint(session))
    with contextlib.suppress(UserError):  # a run outlives a lab that was removed or broken meanwhile
        request_spares(session.installation, session.lab(lab))
    _tell_stopped(session, [(session.trainee, lab)], as_json=as_json)
    return 0


def _stop_everything(session: Session, *, as_json: bool) -> int:
    """Runs first, then, with housekeeping held still, everything that was made beside them."""
    from phi_labs.lifecycle.housekeeping import LOCK  # noqa: PLC0415 - the SDK
    from phi_labs.lifecycle.runs import list_runs, remove_everything, stop_run  # noqa: PLC0415

    installation = session.installation
    with session.progress.busy("stopping everything") as tell:
        # The engine's labels know runs whose files are lost, the files know runs whose machines are.
        found = {(item.trainee, item.lab) for item in list_runs(installation)}
        found |= {(run.trainee, run.lab) for run in installation.state.runs()}
        for trainee, lab in sorted(found):
            tell(f"{lab} of {trainee}")
            stop_run(installation, lab, trainee)
        with installation.state.lock(LOCK):
            remove_everything(installation)
    _tell_stopped(session, sorted(found), as_json=as_json)
    return 0


def _tell_stopped(session: Session, stopped: list[tuple[str, str]], *, as_json: bool) -> None:
    if as_json:
        session.emit([{"trainee": trainee, "lab": lab} for trainee, lab in stopped])
        return
    for trainee, lab in stopped:
        session.out.print(f"stopped [bold]{lab}[/] of {escape(trainee)}")
    session.out.print("Nothing runs any more." if not stopped else "Attempts and scores are kept.")
