"""A container engine in memory: what lifecycle asks of the real one, held to the same contract."""

from __future__ import annotations

import io
import itertools
import socket
import struct
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from phi_labs.engine.docker import (
    LABEL_PREFIX,
    PROJECT,
    ContainerSpec,
    ContainerState,
    ContainerSummary,
    Engine,
)
from phi_labs.engine.stream import ExecStream
from phi_labs.errors import EngineError, MissingObject

ACCOUNTS = "root:x:0:0:root:/root:/bin/bash\nitops:x:1000:1000::/home/itops:/bin/bash\n"
ACCOUNTS += "intern:x:1001:1001::/home/intern:/bin/bash\nehr:x:980:980::/var/lib/ehr:/usr/sbin/nologin\n"
GROUP = "root:x:0:\nadm:x:4:intern\nitops:x:1000:\nintern:x:1001:\nehr:x:980:\n"
FILES = {"/etc/passwd": ACCOUNTS, "/etc/group": GROUP, "/etc/shadow": ""}


@dataclass
class FakeContainer:
    """What the fake knows of one container."""

    id: str
    spec: ContainerSpec
    name: str
    status: str = "created"
    pid: int = 0
    oom_killed: bool = False
    exit_code: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    heard: bytearray = field(default_factory=bytearray)

    @property
    def sent_along(self) -> dict[str, bytes]:
        """The regular files of the archive that was sent to the first process (see ``start_with``)."""
        _, _, tar = bytes(self.heard).partition(b"\n")
        return unpacked(tar)


class FakeEngine(Engine):
    """Containers and networks in memory; every image name is known once it was ``built``.

    Attributes:
        boots: whether machines come up, that is whether their sshd greets.
        fail_on: method name -> error to raise there once.
        calls: names of the methods called that change something, in order.
    """

    def __init__(self) -> None:  # no connection: the base class's would need an engine
        self.deadline = 1.0
        self.boots = True
        self.fail_on: dict[str, BaseException] = {}
        self.calls: list[str] = []
        self.machines: dict[str, FakeContainer] = {}
        self.bridges: dict[str, tuple[str, dict[str, str]]] = {}
        self.tags: dict[str, str] = {}
        self.loaded: list[bytes] = []
        self._numbers = itertools.count(1)
        self._sockets: list[socket.socket] = []

    def reconnected(self, deadline: float | None = None) -> FakeEngine:
        return self

    def version(self) -> dict[str, Any]:
        return {"Version": "fake"}

    def info(self) -> dict[str, Any]:
        return {"Driver": "memory"}

    def close(self) -> None:
        while self._sockets:
            self._sockets.pop().close()

    # -- containers --------------------------------------------------------------------

    def create(self, spec: ContainerSpec) -> str:
        self._called("create")
        if any(machine.name == spec.name for machine in self.machines.values()):
            raise EngineError(f"could not create container {spec.name}: the name is taken")
        if spec.image not in {*self.tags, *self.tags.values()}:
            raise MissingObject(f"could not create container {spec.name}: no image {spec.image}")
        identifier = f"{next(self._numbers):064x}"
        files = {name: text.encode() for name, text in FILES.items()}
        self.machines[identifier] = FakeContainer(identifier, spec, spec.name, files=files)
        return identifier

    def start(self, container: str) -> None:
        self._called("start")
        machine = self._machine(container)
        machine.status, machine.pid, machine.oom_killed = "running", next(self._numbers) + 1000, False

    def inspect(self, container: str) -> ContainerState:
        machine = self._machine(container)
        return ContainerState(
            id=machine.id,
            name=machine.name,
            status=machine.status,
            pid=machine.pid,
            image=self.tags.get(machine.spec.image, machine.spec.image),
            oom_killed=machine.oom_killed,
            exit_code=machine.exit_code,
            labels={**PROJECT, **machine.spec.labels},
            started_at="2026-03-02T00:00:00Z",
        )

    def containers(self, labels: Mapping[str, str], *, running_only: bool = False) -> list[ContainerSummary]:
        found = []
        for machine in self.machines.values():
            carried = {**PROJECT, **machine.spec.labels}
            wanted = {LABEL_PREFIX + key: value for key, value in labels.items()}
            if not wanted.items() <= carried.items():
                continue
            if running_only and machine.status not in {"running", "paused"}:
                continue
            image = self.tags.get(machine.spec.image, machine.spec.image)
            found.append(
                ContainerSummary(machine.id, machine.name, machine.status, image, 1_700_000_000, carried)
            )
        return found

    def written(self, container: str) -> int:
        return sum(map(len, self._machine(container).files.values()))

    def rename(self, container: str, name: str) -> None:
        self._called("rename")
        if any(machine.name == name for machine in self.machines.values()):
            raise EngineError(f"could not rename container {container[:12]}: the name is taken")
        self._machine(container).name = name

    def pause(self, container: str) -> None:
        self._move(container, "pause", "running", "paused")

    def unpause(self, container: str) -> None:
        self._move(container, "unpause", "paused", "running")

    def remove(self, container: str) -> None:
        self._called("remove")
        self.machines.pop(container, None)

    def get_archive(self, container: str, path: str, limit: int = 16 * 1024 * 1024) -> bytes:
        machine = self._machine(container)
        if path not in machine.files:
            raise MissingObject(f"could not copy {path} out of container {container[:12]}")
        data = machine.files[path]
        if len(data) > limit:
            raise EngineError(f"{path} of container {container[:12]} is larger than {limit} bytes")
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            info = tarfile.TarInfo(path.rsplit("/", 1)[1])
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        return buffer.getvalue()

    # -- processes ---------------------------------------------------------------------

    def exec_stream(
        self, container: str, argv: Sequence[str], *, user: str = "0:0", tty: bool = False
    ) -> ExecStream:
        """A process that greets as sshd does when it is asked for one, and says nothing otherwise."""
        self._called("exec_stream")
        if self._machine(container).status != "running":
            raise EngineError(f"could not start {argv[0]} in container {container[:12]}: it is not running")
        mine, theirs = socket.socketpair()
        if self.boots and "nc -N 127.0.0.1 22" in " ".join(argv):
            theirs.sendall(frame(b"SSH-2.0-fake\r\n"))
            self._sockets.append(theirs)
        else:
            theirs.close()
        mine.settimeout(self.deadline)
        return ExecStream(mine, "exec")

    def attach(self, container: str) -> ExecStream:
        """What is sent is kept in ``heard``; nothing is ever answered."""
        self._called("attach")
        machine = self._machine(container)
        if machine.status != "running":
            raise EngineError(f"could not attach to container {container[:12]}: it is not running")
        mine, theirs = socket.socketpair()
        theirs.close()
        return _Heard(mine, machine.heard)

    # -- networks ----------------------------------------------------------------------

    def create_network(self, name: str, labels: Mapping[str, str]) -> str:
        self._called("create_network")
        identifier = f"{next(self._numbers):064x}"
        self.bridges[identifier] = (name, {**PROJECT, **labels})
        return identifier

    def join(self, container: str, network: str, name: str) -> None:
        self._called("join")
        machine = self._machine(container)
        machine.spec = replace(machine.spec, network=network)

    def networks(self, labels: Mapping[str, str]) -> list[tuple[str, str, Mapping[str, str]]]:
        wanted = {LABEL_PREFIX + key: value for key, value in labels.items()}
        found = self.bridges.items()
        return [(key, name, carried) for key, (name, carried) in found if wanted.items() <= carried.items()]

    def remove_network(self, network: str) -> None:
        self._called("remove_network")
        self.bridges.pop(network, None)

    # -- images ------------------------------------------------------------------------

    def image_id(self, reference: str) -> str | None:
        return reference if reference in self.tags.values() else self.tags.get(reference)

    def build(
        self, context: bytes, tag: str, *, arguments: Mapping[str, str], labels: Mapping[str, str]
    ) -> Iterator[str]:
        self._called("build")
        yield f"Step 1/1 : FROM {arguments.get('BASE', 'below')}"
        self.tags[tag] = f"sha256:{next(self._numbers):064x}"

    def pull(self, reference: str) -> bool:
        self._called("pull")
        return False

    def save_images(self, references: Sequence[str]) -> Iterator[bytes]:
        self._called("save_images")
        yield from (reference.encode() for reference in references)

    def load_images(self, archive: IO[bytes]) -> None:
        self._called("load_images")
        self.loaded.append(archive.read())

    def import_image(self, tar: Path, reference: str) -> str:
        self._called("import_image")
        self.tags[reference] = f"sha256:{next(self._numbers):064x}"
        return self.tags[reference]

    # -- inside ------------------------------------------------------------------------

    def kill(self, container: str, *, oom: bool = False) -> None:
        """What happens to a machine from outside: its processes are gone."""
        machine = self._machine(container)
        machine.status, machine.pid, machine.oom_killed, machine.exit_code = "exited", 0, oom, 137

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fail_on:
            raise self.fail_on.pop(name)

    def _machine(self, container: str) -> FakeContainer:
        if container not in self.machines:
            raise MissingObject(f"container {container[:12]} does not exist")
        return self.machines[container]

    def _move(self, container: str, name: str, before: str, after: str) -> None:
        self._called(name)
        machine = self._machine(container)
        if machine.status != before:
            raise EngineError(f"could not {name} container {container[:12]}: it is {machine.status}")
        machine.status = after


class _Heard(ExecStream):
    """A stream whose other end listens and says nothing."""

    def __init__(self, sock: socket.socket, heard: bytearray) -> None:
        super().__init__(sock, "")
        self._heard = heard

    def sendall(self, data: bytes | memoryview) -> None:
        self._heard.extend(data)


def unpacked(tar: bytes, place: str = "") -> dict[str, bytes]:
    """Path -> content of the regular files of an archive."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            data = archive.extractfile(member) if member.isreg() else None
            if data is not None:
                found[f"{place}/{member.name}"] = data.read()
    return found


def frame(data: bytes, kind: int = 1) -> bytes:
    """Data as the engine multiplexes it: 1 is standard output, 2 standard error."""
    return struct.pack(">BxxxI", kind, len(data)) + data
