"""The gateway on the command line: run it, give out one-time codes, write to trainees."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phi_labs.cli.options import AsJson, command
from phi_labs.cli.session import Session
from phi_labs.errors import UserError

if TYPE_CHECKING:
    from phi_labs.gateway.limits import Bounds

LISTEN = "127.0.0.1:2222"
PANEL = "Workshops"
HOUR = 3600.0

UsersFile = Annotated[
    Path | None,
    typer.Option("--users", metavar="FILE", help="Who may log in: a line `NAME KEY` for each key."),
]


def add_to(app: typer.Typer) -> None:
    """Register the command and what goes with it."""
    command(app, "gateway", panel=PANEL, trainee=False)(gateway)


def gateway(  # noqa: PLR0913 - options of a command
    session: Session,
    *,
    users: UsersFile = None,
    listen: Annotated[
        str, typer.Option("--listen", metavar="ADDRESS:PORT", help="Where to listen; 0 chooses a port.")
    ] = LISTEN,
    code: Annotated[
        str | None,
        typer.Option("--code", metavar="NAME", help="Only print a one-time code for NAME's first login."),
    ] = None,
    hours: Annotated[
        float, typer.Option("--hours", metavar="N", min=0.1, help="With --code: how long it is good for.")
    ] = 168.0,
    message: Annotated[
        str | None,
        typer.Option("--message", metavar="TEXT", help="Only write to everybody, or to --to NAME."),
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="NAME", help="With --message: to whom.")] = None,
    idle: Annotated[
        float, typer.Option("--idle", metavar="MINUTES", min=1, help="End sessions in which nothing happens.")
    ] = 60.0,
    sessions: Annotated[
        int, typer.Option("--sessions", metavar="N", min=1, help="Connections in all; 12 for one trainee.")
    ] = 400,
    as_json: AsJson = False,
) -> int:
    """Let trainees in over SSH, each to their own labs, through one port. Runs until Ctrl-C.

    Examples: phi-labs gateway --users FILE --listen 0.0.0.0:2222;  phi-labs gateway --users FILE --code alice

    They log in with: ssh -p 2222 alice@HOST, or straight into a lab: ssh -p 2222 alice+log-access@HOST
    """
    if code is not None and message is not None:
        raise UserError("--code and --message are two different things", "give one of them")
    if message is not None:
        return _message(session, message, to, as_json=as_json)
    if users is None:
        raise UserError("who may log in?", "--users FILE names a file with a line `NAME KEY` for each key")
    if code is not None:
        return _code(session, users, code, hours, as_json=as_json)
    address, port = parse_listen(listen)
    from phi_labs.gateway.limits import Bounds  # noqa: PLC0415 - asyncssh costs 200 ms

    bounds = Bounds(idle=idle * 60, sessions=sessions)
    debug = "--debug" in sys.argv  # main looks for it itself, too
    return asyncio.run(_serve(session, users, address, port, bounds, as_json=as_json, debug=debug))


def parse_listen(text: str) -> tuple[str, int]:
    """Address and port of ``127.0.0.1:2222``, ``[::]:2222``, ``0.0.0.0:2222``; UserError otherwise."""
    address, colon, port = text.rpartition(":")
    if not colon or not address or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UserError(f"{text!r} is no ADDRESS:PORT", f"as in {LISTEN}, 0.0.0.0:2222 or [::1]:2222")
    if ":" in address and not (address.startswith("[") and address.endswith("]")):
        raise UserError(f"{text!r} is no ADDRESS:PORT", "an IPv6 address stands in brackets: [::1]:2222")
    return address.strip("[]"), int(port)


def _code(session: Session, path: Path, name: str, hours: float, *, as_json: bool) -> int:
    from phi_labs.gateway.local import codes_of, users_of  # noqa: PLC0415 - asyncssh

    state = session.installation.state
    if users_of(state, path).find(name) is None:
        raise UserError(f"{path} has no user {name!r}", "a line with the name alone is enough")
    code = codes_of(state).issue(name, hours * HOUR)
    if as_json:
        session.emit({"user": name, "code": code, "hours": hours})
    else:
        print(code)
        session.say(f"{name} types it once, at: ssh -p PORT {name}@HOST. It is good for {hours:g} hours")
    return 0


def _message(session: Session, text: str, to: str | None, *, as_json: bool) -> int:
    from phi_labs.gateway.local import send_message  # noqa: PLC0415 - asyncssh

    if not text.strip():
        raise UserError("the message is empty", '--message "back at 13:00"')
    sent = send_message(session.installation.state, text.strip(), to or "")
    if as_json:
        session.emit({"number": sent.number, "to": sent.to or None, "text": sent.text})
    else:
        session.say(f"sent to {to or 'everybody'}")
    return 0


async def _serve(  # noqa: PLR0913 - what decides how it runs
    session: Session, users: Path, address: str, port: int, bounds: Bounds, *, as_json: bool, debug: bool
) -> int:
    """Run until Ctrl-C or SIGTERM, then end every session in order."""
    from phi_labs.gateway.keys import fingerprint, host_key  # noqa: PLC0415 - asyncssh
    from phi_labs.gateway.local import InstallationDirectory, gateway_folder, users_of  # noqa: PLC0415
    from phi_labs.gateway.log import Log  # noqa: PLC0415
    from phi_labs.gateway.server import Gateway  # noqa: PLC0415

    allow_many_files()
    installation = session.installation
    folder = gateway_folder(installation.state)
    with installation.state.lock("gateway", wait=False) as alone:
        if not alone:
            raise UserError("a gateway runs already on this state directory", "stop it, or use another one")
        directory = InstallationDirectory(installation, users_of(installation.state, users))
        key = host_key(installation.state, folder)
        log = Log(folder / "gateway.log", to_stderr=debug)
        gateway = Gateway(directory, key, bounds, log)
        stop = asyncio.Event()
        _on_signals(stop)
        try:
            chosen = await gateway.start(address, port)
            if as_json:
                session.emit({"address": address, "port": chosen, "host_key": fingerprint(key)})
            else:
                session.out.print(f"listening on {address}:{chosen}, host key {fingerprint(key)}")
            session.out.file.flush()
            await stop.wait()
        finally:
            await gateway.stop()
            await directory.close()
            log.close()
    return 0


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            loop.add_signal_handler(number, stop.set)


def allow_many_files() -> None:
    """Three descriptors for a session: a default of 1024 is soon used up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard if soft < hard else soft, hard))
