"""A submission: the captured state of a run, kept so that it can be graded again."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from phi_labs.engine.docker import Engine
from phi_labs.errors import MissingObject, ProbeGone, ProbeTimeout, UntrustedRoot, UserError
from phi_labs.lifecycle.state import State
from phi_labs.model.run import Run
from phi_labs.probe.client import CaptureResult, Probe

FORMAT = 1
HOSTS_FILE_LIMIT = 64 * 1024
CAPTURE_DEADLINE = 60.0


@dataclass(frozen=True)
class HostCapture:
    """One machine's part of a submission.

    Attributes:
        image: id of the image it was started from.
        removed: paths of the image that are gone or changed type, deepest first.
        missed: (path, reason) of what was seen but could not be taken.
        host_lines: lines the trainee added to /etc/hosts.
        refused: why the machine could not be captured at all, empty when it could.
    """

    image: str
    removed: tuple[str, ...] = ()
    missed: tuple[tuple[str, str], ...] = ()
    missed_count: int = 0
    entries: int = 0
    bytes: int = 0
    host_lines: tuple[str, ...] = ()
    refused: str = ""

    @property
    def whole(self) -> bool:
        """Whether nothing is missing."""
        return not self.refused and not self.missed_count


@dataclass(frozen=True)
class Submission:
    """The state of all machines of a run at one moment, in a folder."""

    folder: Path
    hosts: Mapping[str, HostCapture]

    @property
    def problems(self) -> list[str]:
        """What is missing from it, in words for the trainee."""
        return [problem for name, host in self.hosts.items() for problem in _problems(name, host)]

    def archive(self, host: str) -> BinaryIO:
        """A machine's archive, opened for reading."""
        plain = self.folder / f"{host}.archive"
        return plain.open("rb") if plain.exists() else gzip.open(plain.with_suffix(".archive.gz"))  # type: ignore[return-value]

    def save(self) -> None:
        """Write the description, compress the archives."""
        data = {"format": FORMAT, "hosts": {name: asdict(host) for name, host in self.hosts.items()}}
        State.write(self.folder / "submission.json", json.dumps(data, indent=1))
        for name in self.hosts:
            plain = self.folder / f"{name}.archive"
            if plain.exists():
                packed = plain.with_suffix(".archive.gz")
                packed.touch(mode=0o600)  # it holds a machine's files, whoever may read them there
                with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=1) as target:
                    shutil.copyfileobj(source, target, 1 << 20)
                plain.unlink()


def load_submission(folder: Path) -> Submission:
    """A kept submission; UserError when it is damaged."""
    hint = "choose another attempt"
    try:
        data = json.loads((folder / "submission.json").read_text(encoding="utf-8"))
        known = data["format"] == FORMAT
        hosts = {name: _host_from(host) for name, host in data["hosts"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"the submission in {folder} cannot be read: {error}", hint) from error
    if not known:
        raise UserError(f"the submission in {folder} has another format than {FORMAT}", hint)
    return Submission(folder, hosts)


def capture_run(  # noqa: PLR0913, PLR0917 - what a capture is made of
    engine: Engine,
    probe: Probe,
    run: Run,
    pids: Mapping[str, int],
    folder: Path,
    when_frozen: Callable[[], None] = lambda: None,
) -> Submission:
    """Freeze the run's machines, take their state, let them go on.

    What cannot be taken because of what is on a machine (a decoy root, more than can be walked in
    time) is the submission's own gap and is written into it; only our own trouble raises.

    Args:
        pids: host name -> pid of the machine's first process, as the engine sees it.
        folder: where the archives go.
        when_frozen: called once nothing on the machines can notice any more that it is looked at.
    """
    with frozen(engine, run):
        when_frozen()
        hosts = {
            host: _capture_host(engine, probe, run.images[host], pids[host], folder / f"{host}.archive", host)
            for host in run.containers
        }
    return Submission(folder, hosts)


@contextlib.contextmanager
def frozen(engine: Engine, run: Run) -> Iterator[None]:
    """Pause every machine of a run for a moment."""
    paused = []
    try:
        for container in run.containers.values():
            engine.pause(container)
            paused.append(container)
        yield
    finally:
        for container in paused:
            engine.unpause(container)


def _capture_host(  # noqa: PLR0913, PLR0917 - the facts of one machine
    engine: Engine, probe: Probe, image: str, pid: int, path: Path, host: str
) -> HostCapture:
    try:
        probe.check_root(pid)
        with path.open("wb") as sink:
            path.chmod(0o600)
            result = probe.capture(pid, image, sink, seconds=CAPTURE_DEADLINE)
    except UntrustedRoot as error:
        return HostCapture(image=image, refused=error.message)
    except ProbeTimeout as error:
        if not _lives(engine, probe):
            raise ProbeGone("the probe ended in the middle of a capture") from error
        return HostCapture(
            image=image, refused=f"its files could not be read within {CAPTURE_DEADLINE:.0f} seconds"
        )
    return _captured(image, result, _host_lines(probe, pid, host))


def _lives(engine: Engine, probe: Probe) -> bool:
    """Whether the probe itself is there: engine 20.10 leaves the streams of removed containers open."""
    try:
        return engine.inspect(probe.container).running
    except MissingObject:
        return False


def _captured(image: str, result: CaptureResult, host_lines: tuple[str, ...]) -> HostCapture:
    return HostCapture(
        image=image,
        removed=result.removed,
        missed=result.missed,
        missed_count=result.missed_count,
        entries=result.entries,
        bytes=result.bytes,
        host_lines=host_lines,
    )


def _host_lines(probe: Probe, pid: int, host: str) -> tuple[str, ...]:
    """Lines of /etc/hosts that neither engine nor boot wrote: for no name of the machine or of localhost.

    None when it is no regular file: the boot of a clone writes a new one.
    """
    if not stat.S_ISREG(probe.ask("stat", pid=pid, path="/etc/hosts").get("mode", 0)):
        return ()
    answer = probe.ask("read", pid=pid, path="/etc/hosts", limit=HOSTS_FILE_LIMIT)
    text = base64.b64decode(answer.get("data", "")).decode(errors="surrogateescape")
    own = {host, "localhost", "ip6-localnet", "ip6-mcastprefix", "ip6-allnodes", "ip6-allrouters"}
    added = [line for line in text.splitlines() if line.strip() and not own & set(line.split()[1:])]
    return tuple(line for line in added if not line.lstrip().startswith("#"))


def _problems(name: str, host: HostCapture) -> list[str]:
    if host.refused:
        return [f"{name}: {host.refused}"]
    listed = [f"{name}: /{path}: {reason}" for path, reason in host.missed[:5]]
    more = host.missed_count - len(listed)
    return [*listed, f"{name}: and {more} more paths"] if more > 0 else listed


def _host_from(data: dict[str, object]) -> HostCapture:
    plain = dict(data)
    plain["removed"] = tuple(plain["removed"])  # type: ignore[arg-type]
    plain["missed"] = tuple((path, reason) for path, reason in plain["missed"])  # type: ignore[attr-defined]
    plain["host_lines"] = tuple(plain["host_lines"])  # type: ignore[arg-type]
    return HostCapture(**plain)  # type: ignore[arg-type]
