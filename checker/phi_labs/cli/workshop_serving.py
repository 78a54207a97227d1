"""The process that holds a workshop: everything is put together here."""

from __future__ import annotations

import asyncio
import contextlib
import io
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from phi_labs.cli.gateway import allow_many_files, parse_listen
from phi_labs.cli.scorecard_view import View, scorecard_view
from phi_labs.cli.session import Session
from phi_labs.errors import UserError
from phi_labs.gateway.attending import WorkshopDirectory
from phi_labs.gateway.directory import Request
from phi_labs.gateway.holding import Holding, closed_data
from phi_labs.gateway.keys import fingerprint, host_key
from phi_labs.gateway.limits import Bounds
from phi_labs.gateway.local import gateway_folder
from phi_labs.gateway.log import Log
from phi_labs.gateway.server import Gateway
from phi_labs.gateway.sheets import write_sheets
from phi_labs.lifecycle.state import State
from phi_labs.model.scorecard import Scorecard
from phi_labs.records.address import records_url
from phi_labs.records.store import Records
from phi_labs.workshop.closing import close
from phi_labs.workshop.ledger import Now, last_moment, steady
from phi_labs.workshop.roster import read_roster
from phi_labs.workshop.scenario import load_scenario
from phi_labs.workshop.settings import load_settings, workshop_folder
from phi_labs.workshop.workshop import Workshop

THIS_MACHINE = "HOST"


def rendered(card: Scorecard, request: Request) -> str:
    """A scorecard as the trainee's terminal shows it, without colours."""
    if request.as_json:
        return card.to_json() + "\n"
    console = Console(file=io.StringIO(), width=request.width, color_system=None)
    console.print(scorecard_view(card, View(hints={}, full=request.full, next_steps=False)))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


async def serve(session: Session, workshop_id: str, host: str) -> int:
    """Hold a workshop until it is closed, or until SIGTERM or Ctrl-C: then `open` takes it up again."""
    installation = session.installation
    state = installation.state
    settings = load_settings(state, workshop_id)
    folder = workshop_folder(state, workshop_id)
    loaded = load_scenario(Path(settings.scenario), session.content)
    roster = read_roster(folder.roster, loaded.scenario.entity)
    address, port = parse_listen(settings.listen)
    allow_many_files()
    with state.lock("gateway", wait=False) as alone:
        if not alone:
            raise UserError("a workshop or gateway runs already on this state directory", "close it first")
        now = _steady_clock(state)
        with Records(records_url(state.root), clock=now) as records:
            workshop = Workshop(installation, records, settings, loaded, roster, now=now, tell=say)
            key = host_key(state, gateway_folder(state))
            directory = WorkshopDirectory(workshop, rendered)
            gateway = Gateway(directory, key, Bounds(), Log(folder.path / "gateway.log"))
            holding = Holding(workshop, directory, gateway, folder, say)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, holding.stop)

            def up(chosen: int) -> None:
                written, coded = write_sheets(
                    workshop, folder, host=host or THIS_MACHINE, port=chosen, fingerprint=fingerprint(key)
                )
                say(f"open on {address}:{chosen}; {written} new access sheets, {coded} with a code")

            closed = await holding.run(address, port, up)
            say("closed" if closed else "stopped; open takes it up again")
    return 0


def close_here(session: Session, workshop_id: str) -> dict[str, Any]:
    """Close a workshop that no process holds; doing it again after it was closed removes what is left.

    Raises:
        UserError: a process holds the gateway of this state directory.
    """
    installation = session.installation
    state = installation.state
    settings = load_settings(state, workshop_id)
    loaded = load_scenario(Path(settings.scenario), session.content)
    roster = read_roster(workshop_folder(state, workshop_id).roster, loaded.scenario.entity)
    with state.lock("gateway", wait=False) as alone:
        if not alone:
            raise UserError("a workshop or gateway runs on this state directory", "end it first")
        now, tell = _steady_clock(state), session.progress.tell
        with Records(records_url(state.root), clock=now) as records:
            workshop = Workshop(installation, records, settings, loaded, roster, now=now, tell=tell)
            workshop.gradings.settle()
            return closed_data(close(workshop, session.progress.tell))


def _steady_clock(state: State) -> Now:
    """Time limits and events go by it: the machine's clock may be set while the workshop is open."""
    with Records(records_url(state.root)) as records:
        return steady(last_moment(records))


def say(text: str) -> None:
    """One line of the workshop's log."""
    with contextlib.suppress(OSError):  # a log on a full disk must not end what it tells of
        print(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}", file=sys.stdout, flush=True)
