"""``phi-labs connect LAB``: standard input and output, joined to the SSH server of a lab's machine.

ssh starts it (ProxyCommand) for every connection, so it imports next to nothing: no SDK, no
typer, no pydantic. Bytes are only passed on; SSH is encrypted from end to end.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence

from phi_labs.cli.identity import trainee_of
from phi_labs.engine.plain_http import NotRunning, open_exec, plain_address
from phi_labs.engine.stream import ExecStream
from phi_labs.errors import MissingObject, UserError

USAGE = "phi-labs connect LAB [--trainee NAME] [--host HOST]"
# -N: when ssh is gone, sshd must hear of it, or its session would stay in the lab.
TO_SSHD = ("nc", "-N", "127.0.0.1", "22")
_OPTIONS = ("--trainee", "--host", "--state")
_CHUNK = 65536


def connect(arguments: Sequence[str]) -> int:
    """Join stdin and stdout with a machine's sshd until either side ends; return the exit code.

    Raises:
        UserError: no such run, or its machine is stopped, removed or without an SSH server.
        EngineError: the engine does not answer.
    """
    lab, options = _parsed(arguments)
    trainee = trainee_of(options.get("--trainee"))
    host, container = _machine(_run_file(lab, trainee, options.get("--state")), lab, trainee, options)
    try:
        stream = _opened(container)
    except MissingObject as error:
        raise UserError(
            f"machine {host} of {lab} was removed from outside",
            f"phi-labs reset {lab} makes a fresh one (attempts are kept)",
        ) from error
    except NotRunning as error:
        raise UserError(
            f"machine {host} of {lab} is stopped",
            f"phi-labs start {lab} brings it up again with everything you changed",
        ) from error
    if _pump(stream, 0, 1) == 0:
        raise UserError(
            f"machine {host} of {lab} runs, but no SSH server answers on it",
            f"phi-labs rescue {lab} opens a root console; phi-labs reset {lab} starts afresh",
        )
    return 0


def _parsed(arguments: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The lab, and the options with their values; by hand, since argparse costs 10 ms."""
    labs: list[str] = []
    options: dict[str, str] = {}
    left = list(arguments)
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if name in _OPTIONS:
            if not equals and not left:
                raise UserError(f"{name} needs a value", f"usage: {USAGE}")
            options[name] = value if equals else left.pop(0)
        elif word.startswith("-") and word != "--debug":
            raise UserError(f"connect has no option {word}", f"usage: {USAGE}")
        elif word != "--debug":
            labs.append(word)
    if len(labs) != 1:
        raise UserError("connect needs one lab" if not labs else "connect takes one lab", f"usage: {USAGE}")
    return labs[0], options


def state_folder(environment: Mapping[str, str] | None = None) -> str:
    """What ``lifecycle.state.default_state_folder`` says (a test compares), without its imports."""
    environment = os.environ if environment is None else environment
    named = environment.get("PHI_LABS_STATE")
    path = named or (environment.get("XDG_STATE_HOME") or "~/.local/state") + "/phi-labs"
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 - pathlib costs 6 ms


def _run_file(lab: str, trainee: str, state: str | None) -> str:
    from phi_labs.model.trainee import slug  # noqa: PLC0415 - hashlib, after the arguments proved right

    if "/" in lab or lab.startswith("."):
        raise UserError(f"{lab!r} is no lab", "phi-labs labs lists them")
    return f"{state or state_folder()}/runs/{slug(trainee)}/{lab}/run.json"


def _machine(path: str, lab: str, trainee: str, options: Mapping[str, str]) -> tuple[str, str]:
    """Host name and container id of the machine that is meant."""
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - see above
            containers: dict[str, str] = json.load(file)["containers"]
    except FileNotFoundError as error:
        raise _no_run(lab, trainee) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read: {error}", f"phi-labs start {lab} --retry") from error
    wanted = options.get("--host") or next(iter(containers), "")
    if wanted not in containers:
        raise UserError(f"{lab} has no machine {wanted!r}", f"there are: {', '.join(containers)}")
    return wanted, containers[wanted]


def _no_run(lab: str, trainee: str) -> UserError:
    from phi_labs.model.content import lab_folder  # noqa: PLC0415 - only on the way to an error

    try:
        lab_folder(lab)
    except UserError as error:
        return error
    return UserError(f"{trainee} has no run of {lab}", f"start one: phi-labs start {lab}")


def _opened(container: str) -> ExecStream:
    address = plain_address()
    if address is not None:
        return open_exec(address, container, TO_SSHD)
    from phi_labs.engine.docker import Engine  # noqa: PLC0415 - the SDK speaks TLS and ssh

    engine = Engine()
    if not engine.inspect(container).running:
        raise NotRunning(f"container {container[:12]} is not running")
    stream = engine.exec_stream(container, TO_SSHD)
    stream.settimeout(None)
    return stream


def _pump(stream: ExecStream, source: int, sink: int) -> int:
    """Pass bytes both ways until the machine's side ends; return how many came from there.

    One thread per direction: with a single one, a full pipe on one side would stop the other
    side, and bulk transfers in both directions would wait for each other for ever.
    """
    threading.Thread(target=_feed, args=(source, stream), daemon=True).start()
    received = 0
    try:
        while data := stream.recv(_CHUNK):
            received += len(data)
            _write_all(sink, data)
    except (BrokenPipeError, ConnectionError):
        pass  # ssh is gone: nobody is left to tell
    finally:
        stream.end_input()
        stream.close()
    if not received and stream.stderr:
        sys.stderr.write(stream.stderr.decode(errors="replace"))
    return received


def _feed(source: int, stream: ExecStream) -> None:
    try:
        while data := os.read(source, _CHUNK):
            stream.sendall(data)
    except OSError:
        pass  # the machine's side ended first; the other direction notices
    finally:
        stream.end_input()


def _write_all(sink: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(sink, view) :]
