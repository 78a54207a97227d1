"""Ways into a machine: shell, connect, rescue."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from phi_labs.cli.options import LabId, Yes, command
from phi_labs.cli.session import Session
from phi_labs.errors import EngineError, UserError

if TYPE_CHECKING:
    import paramiko

    from phi_labs.engine.docker import Engine
    from phi_labs.engine.stream import ExecStream
    from phi_labs.model.lab import Lab

WAY_IN = "Ways into the machine"
# Whatever the trainee did to accounts and paths, this finds a shell if there is one left.
ROOT_SHELL = (
    "cd /root 2>/dev/null; export HOME=/root TERM=$1 "
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; "
    "[ -x /bin/bash ] && exec /bin/bash; exec /bin/sh"
)
LOGIN_DEADLINE = 15.0  # seconds

HostName = Annotated[
    str | None, typer.Option("--host", metavar="HOST", help="Which machine, for labs that have several.")
]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    command(app, "shell", panel=WAY_IN)(shell)
    command(app, "connect", panel=WAY_IN)(connect)
    command(app, "rescue", panel=WAY_IN)(rescue)


def shell(
    session: Session,
    lab: LabId,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND]", help="Run this and come back.")
    ] = None,
    *,
    host: HostName = None,
) -> int:
    """Log in to the lab's machine over SSH, as the administrator you are there. `exit` comes back.

    Examples: phi-labs shell log-access;  phi-labs shell log-access -- sudo ls -l /var/log

    The exit code is that of ssh, which is that of COMMAND.

    Next: phi-labs grade LAB
    """
    from phi_labs.lifecycle.ssh_config import alias  # noqa: PLC0415 - pydantic

    run = session.run_of(lab)
    found = session.lab(lab)
    machine = found.host(host or found.hosts[0].name)
    folder = session.installation.state.run_folder(session.trainee, lab)
    ssh = shutil.which("ssh")
    if ssh:
        argv = ["ssh", "-F", str(folder.ssh_config), alias(lab, machine.name, len(found.hosts))]
        argv += ["--", *words] if words else []
        sys.stdout.flush()
        os.execv(ssh, argv)  # noqa: S606 - no shell on purpose
    key = folder.key.read_text(encoding="utf-8")
    container = run.containers[machine.name]
    with _logged_in(session, container, machine.login, key) as channel:
        return _over_paramiko(channel, words)


@contextlib.contextmanager
def _logged_in(session: Session, container: str, login: str, key: str) -> Iterator[paramiko.Channel]:
    """A channel to the machine's sshd, for systems without OpenSSH's client."""
    import io  # noqa: PLC0415

    import paramiko  # noqa: PLC0415 - 150 ms

    stream = session.installation.engine.exec_stream(container, ["nc", "-N", "127.0.0.1", "22"])
    transport = paramiko.Transport(cast(Any, stream))  # an exec stream has the methods that are used
    try:
        transport.start_client(timeout=LOGIN_DEADLINE)
        transport.auth_publickey(login, paramiko.Ed25519Key.from_private_key(io.StringIO(key)))
        yield transport.open_session()
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise UserError(
            f"the machine refuses the login ({error or type(error).__name__})",
            "phi-labs rescue LAB opens a root console; phi-labs reset LAB starts afresh",
        ) from error
    finally:
        transport.close()


def _over_paramiko(channel: paramiko.Channel, words: list[str] | None) -> int:
    from phi_labs.cli.terminal import interact, window  # noqa: PLC0415

    if words:
        channel.set_combine_stderr(True)
        channel.exec_command(" ".join(words))
        channel.shutdown_write()
        while data := channel.recv(65536):
            sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return channel.recv_exit_status()
    if not sys.stdin.isatty():
        raise UserError("there is no terminal here", "phi-labs shell LAB -- COMMAND runs one command")
    rows, columns = window()
    channel.get_pty(os.environ.get("TERM", "xterm"), columns, rows)
    channel.invoke_shell()
    interact(channel, lambda rows, columns: channel.resize_pty(columns, rows))
    return max(channel.recv_exit_status(), 0)


def connect(
    session: Session,
    lab: LabId,
    *,
    host: HostName = None,
    state: Annotated[str | None, typer.Option("--state", hidden=True)] = None,
) -> int:
    """Join standard input and output to the machine's SSH server: the ProxyCommand of `ssh -F`.

    phi-labs start writes it into the run's ssh_config. You do not type it yourself.
    """
    from phi_labs.cli.bridge import connect as join  # noqa: PLC0415

    words = [lab, "--trainee", session.trainee]
    words += ["--host", host] if host else []
    words += ["--state", state] if state else []
    return join(words)


def rescue(session: Session, lab: LabId, *, host: HostName = None, yes: Yes = False) -> int:
    """Open a root console without SSH, for when you locked yourself out. Scorecards say that it was used.

    Commands may also come from a pipe: echo 'systemctl start ssh' | phi-labs rescue log-access --yes
    """
    from phi_labs.lifecycle.runs import need_live_run  # noqa: PLC0415 - the SDK

    found = session.lab(lab)
    machine = _machine(found, host)
    run = need_live_run(session.installation, lab, session.trainee)
    if not session.confirm(
        "Every later scorecard of this run will say that the rescue console was used. Open it?",
        yes=yes,
        unless="--yes opens it",
    ):
        return 0
    session.installation.state.flag(session.trainee, lab, "rescue")
    _console(session, run.containers[machine])
    return 0


def _machine(lab: Lab, host: str | None) -> str:
    return lab.host(host or lab.hosts[0].name).name


def _console(session: Session, container: str) -> None:
    engine = session.installation.engine
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    argv = ["/bin/sh", "-c", ROOT_SHELL, "rescue", os.environ.get("TERM", "xterm")]
    stream = engine.exec_stream(container, argv, tty=interactive)
    stream.settimeout(None)
    try:
        if interactive:
            _interactive_console(session, engine, stream)
        else:
            _piped_console(stream)
        code = engine.exec_exit_code(stream.exec_id, deadline=1.0)
        if code in {126, 127}:
            raise EngineError(
                "there is no shell left on the machine that could be a console",
                "phi-labs reset LAB starts afresh (what you changed is gone, attempts are kept)",
            )
    finally:
        _end_console(engine, stream, interactive)


def _interactive_console(session: Session, engine: Engine, stream: ExecStream) -> None:
    from phi_labs.cli.terminal import interact  # noqa: PLC0415

    session.say("root console; `exit` or Ctrl-D ends it")
    interact(stream, lambda rows, columns: engine.exec_resize(stream.exec_id, rows, columns))


def _piped_console(stream: ExecStream) -> None:
    stream.sendall(sys.stdin.buffer.read())
    stream.end_input()
    while data := stream.recv():
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    sys.stderr.buffer.write(stream.stderr)


def _end_console(engine: Engine, stream: ExecStream, interactive: bool) -> None:
    """Closing does not end a shell that has a terminal; Ctrl-C and Ctrl-D do."""
    with contextlib.suppress(OSError, EngineError):
        if interactive and engine.exec_exit_code(stream.exec_id, deadline=0.0) is None:
            stream.sendall(b"\x03\x04")
    stream.close()
