"""Containers of labs: how a host becomes one, for a trainee's run or as a pristine copy."""

from __future__ import annotations

import io
import json
import secrets
import tarfile
import time
from collections.abc import Mapping, Sequence

from phi_labs.engine.docker import LABEL_PREFIX, ContainerSpec, Engine, Limits
from phi_labs.engine.stream import ExecStream
from phi_labs.errors import EngineError, ProbeError, UntrustedRoot
from phi_labs.lifecycle.accounts import Accounts, parse_accounts
from phi_labs.lifecycle.installation import Installation
from phi_labs.model.lab import Host
from phi_labs.probe.client import Probe

BOOT = "/usr/local/sbin/phi-boot"
BOOT_FINISHED = "/run/phi-boot.finished"
BOOT_DEADLINE = 30.0
QUICK_DEADLINE = 5.0
SSH_PORT = 22
BANNER = b"SSH-2.0-"
# Waits for the end of the boot, then becomes the connection to sshd: one exec for both. -N passes our
# end of file on, so that neither nc nor a half-open sshd session stays behind.
WAIT_THEN_SSH = (
    f"until [ -e {BOOT_FINISHED} ] && nc -z 127.0.0.1 22; do sleep 0.005; done; exec nc -N 127.0.0.1 22"
)


def host_spec(  # noqa: PLR0913 - the facts of one container
    host: Host,
    image: str,
    *,
    kind: str,
    labels: Mapping[str, str],
    command: Sequence[str],
    network: str | None = None,
    capabilities: Sequence[str] | None = None,
) -> ContainerSpec:
    """How a host's container is created, with its limits and our labels."""
    marked = {"kind": kind, "host": host.name, "image": image, **labels}
    return ContainerSpec(
        image=image,
        command=list(command),
        name=f"phi-labs-{kind}-{secrets.token_hex(6)}",
        hostname=host.name,
        labels={LABEL_PREFIX + key: value for key, value in marked.items()},
        limits=Limits(memory=host.memory_bytes, pids=host.pids, cpus=host.cpus),
        capabilities=host.capabilities if capabilities is None else capabilities,
        network=network,
        attachable=True,
    )


def start_with(engine: Engine, container: str, archive: bytes) -> None:
    """Start a container whose first process is ``phi-boot --stay``, sending files along (maybe none)."""
    engine.start(container)
    send_along(engine, container, archive)


def send_along(engine: Engine, container: str, archive: bytes) -> None:
    """Give a started ``phi-boot --stay`` the files it waits for; then it boots."""
    stream = engine.attach(container)
    try:
        stream.sendall(f"{len(archive)}\n".encode() + archive)
    except OSError as error:
        raise EngineError(f"container {container[:12]} ended while it was started: {error}") from error
    finally:
        stream.close()


def image_accounts(installation: Installation, image: str, container: str) -> Accounts:
    """The accounts of an image, read from a container of it that was not started; kept by image id."""
    folder = installation.state.root / "images"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{image.removeprefix('sha256:')}.json"
    if path.exists():
        texts = json.loads(path.read_text(encoding="utf-8"))
    else:
        names = ("passwd", "group", "shadow")
        texts = [read_stopped(installation.engine, container, f"/etc/{name}") for name in names]
        installation.state.write_json(path, texts)
    return parse_accounts(*texts)


def read_stopped(engine: Engine, container: str, path: str) -> str:
    """A text file of a container that was not started yet."""
    with tarfile.open(fileobj=io.BytesIO(engine.get_archive(container, path))) as tar:
        member = tar.next()
        data = tar.extractfile(member) if member else None
        return data.read().decode(errors="surrogateescape") if data else ""


def wait_for_ssh(engine: Engine, container: str, deadline: float = BOOT_DEADLINE) -> ExecStream:
    """Wait until a machine has booted and its sshd greets; return the stream, greeting unread.

    Raises:
        EngineError: it did not within ``deadline`` seconds; with its state and last log lines.
    """
    stream = engine.exec_stream(container, ["/bin/sh", "-c", WAIT_THEN_SSH])
    until = time.monotonic() + deadline
    greeting = b""
    try:
        while not greeting.startswith(BANNER) and len(greeting) < len(BANNER):
            stream.settimeout(max(until - time.monotonic(), 0.001))
            data = stream.recv(len(BANNER) - len(greeting))
            if not data:
                break
            greeting += data
    except TimeoutError:
        greeting = b""
    if greeting.startswith(BANNER):
        return stream.put_back(greeting)
    stream.close()
    raise not_up(engine, container)


def sshd_listens(engine: Engine, container: str, probe: Probe, deadline: float = QUICK_DEADLINE) -> bool:
    """Whether a starting machine finishes its boot and listens on port 22 soon, asked of the probe."""
    try:
        pid = engine.inspect(container).pid
        return probe.awaited(pid, BOOT_FINISHED, port=SSH_PORT, within=deadline)
    except (ProbeError, UntrustedRoot):
        return False  # whatever it is, waiting for the greeting tells it better


def not_up(engine: Engine, container: str) -> EngineError:
    """The error for a machine that did not come up: its state and what its boot said last."""
    state = engine.inspect(container)
    said = ""
    if state.running:
        log = engine.exec_stream(container, ["/usr/bin/tail", "-n", "5", "/run/phi-boot.log"])
        try:
            said = log.read_until_end(limit=4096, deadline=time.monotonic() + 3).decode(errors="replace")
        except (OSError, TimeoutError):
            said = ""
        finally:
            log.close()
    reason = "; it ran out of memory" if state.oom_killed else ""
    return EngineError(
        f"{state.name} is {state.status} but does not answer over SSH{reason}",
        "its boot said last:\n" + said if said.strip() else "try phi-labs reset, then phi-labs doctor",
    )
