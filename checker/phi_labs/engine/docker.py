"""The only module that knows the engine's SDK.

Every call has a deadline and every failure becomes an ``EngineError`` that says which call
on which object failed. Removals are serialised: Debian 12's engine (20.10.24) can deadlock
when containers are removed in parallel (moby#46661).
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import ipaddress
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import docker
import docker.errors
import docker.types
import docker.utils
import requests.exceptions

from phi_labs.engine.stream import ExecStream
from phi_labs.errors import EngineError, MissingObject

CALL_DEADLINE = 30.0
BUILD_DEADLINE = 1200.0
FREEZE_DEADLINE = 5.0
LABEL_PREFIX = "org.phi-labs."
PROJECT = {LABEL_PREFIX + "project": "phi-labs"}
# A /28 per run out of this range: Docker's default pools end at the 29th network.
NETWORK_POOL = ipaddress.ip_network("10.213.0.0/16")
NETWORK_PREFIX = 28


@dataclass(frozen=True)
class Limits:
    """What one container may use; memory in bytes, cpus as a fraction of cores."""

    memory: int = 128 * 1024 * 1024
    pids: int = 200
    cpus: float = 1.0


@dataclass(frozen=True)
class ContainerSpec:
    """Everything that decides how a container is created."""

    image: str
    command: Sequence[str]
    name: str
    labels: Mapping[str, str]
    hostname: str | None = None
    limits: Limits = field(default_factory=Limits)
    capabilities: Sequence[str] = ()
    network: str | None = None
    joins_later: bool = False  # it starts without a network and is given one by ``Engine.join``
    extra_hosts: Mapping[str, str] = field(default_factory=dict)
    read_only: bool = False
    host_pids: bool = False
    no_new_privileges: bool = False
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    attachable: bool = False  # its first process is talked to over ``Engine.attach``, nothing is logged

    @property
    def isolated(self) -> bool:
        """Whether it has its own loopback for ever and nothing else.

        Told so, the engine leaves its network machinery alone: a start takes 90 ms instead of 200. It then
        leaves /etc/hosts empty, too; phi-boot fills it.
        """
        return self.network is None and not self.joins_later


@dataclass(frozen=True)
class ContainerState:
    """What the engine says of one container right now."""

    id: str
    name: str
    status: str
    pid: int
    image: str
    oom_killed: bool
    exit_code: int
    labels: Mapping[str, str]
    started_at: str

    @property
    def running(self) -> bool:
        """Whether its processes exist and are not frozen."""
        return self.status == "running"


@dataclass(frozen=True)
class ContainerSummary:
    """A container as listings show it."""

    id: str
    name: str
    status: str
    image: str
    created: int
    labels: Mapping[str, str]

    def label(self, key: str) -> str:
        """The value of one of our labels, empty when it is absent."""
        return self.labels.get(LABEL_PREFIX + key, "")


class Engine:
    """One container engine, reached through the SDK.

    Args:
        removal_lock: file whose lock serialises removals between processes.
        deadline: seconds that any single call may take.
    """

    def __init__(
        self, removal_lock: Path | None = None, deadline: float = CALL_DEADLINE, version: str = "auto"
    ) -> None:
        self.deadline = deadline
        self._removal_lock = removal_lock
        with _told("reach the container engine"):
            # The stubs cover the SDK unevenly (hijacked sockets, untyped calls): Any on purpose.
            self._api: Any = docker.APIClient(
                version=version, timeout=int(deadline), **docker.utils.kwargs_from_env(dict(os.environ))
            )

    def reconnected(self) -> Engine:
        """The same engine over connections of its own, for a forked process or another thread."""
        return Engine(self._removal_lock, self.deadline, version=self._api.api_version)

    # -- the engine itself -------------------------------------------------------------

    def info(self) -> dict[str, Any]:
        """The engine's own description (storage driver, versions, memory)."""
        with _told("read the engine's description"):
            answer: dict[str, Any] = self._api.info()
        return answer

    def version(self) -> dict[str, Any]:
        """The engine's version table."""
        with _told("read the engine's version"):
            answer: dict[str, Any] = self._api.version()
        return answer

    def close(self) -> None:
        """Give the connections back."""
        self._api.close()

    # -- containers --------------------------------------------------------------------

    def create(self, spec: ContainerSpec) -> str:
        """Create a container; return its id. Never starts it.

        Raises:
            EngineError: name taken, image missing, no disk, ...
        """
        with _told(f"create container {spec.name}"):
            config = self._api.create_host_config(
                init=True,
                network_mode=spec.network or "none",
                mem_limit=spec.limits.memory,
                memswap_limit=spec.limits.memory,
                pids_limit=spec.limits.pids,
                nano_cpus=int(spec.limits.cpus * 1e9),
                cap_drop=["ALL"],
                cap_add=list(spec.capabilities),
                read_only=spec.read_only,
                pid_mode="host" if spec.host_pids else None,
                security_opt=["no-new-privileges"] if spec.no_new_privileges else None,
                tmpfs=dict(spec.tmpfs) or None,
                extra_hosts=dict(spec.extra_hosts) or None,
                dns=["127.0.0.1"] if spec.network or spec.joins_later else None,
                oom_score_adj=500,
                log_config=_logging(spec.attachable),
            )
            networking = None
            if spec.network:
                alias = self._api.create_endpoint_config(aliases=[spec.hostname] if spec.hostname else None)
                networking = self._api.create_networking_config({spec.network: alias})
            answer = self._api.create_container(
                image=spec.image,
                command=list(spec.command),
                name=spec.name,
                hostname=spec.hostname,
                labels={**PROJECT, **spec.labels},
                host_config=config,
                networking_config=networking,
                network_disabled=spec.isolated,
                stop_signal="SIGKILL",
                stdin_open=spec.attachable,
            )
        identifier: str = answer["Id"]
        return identifier

    def start(self, container: str) -> None:
        """Start a created container."""
        with _told(f"start container {container[:12]}"):
            self._api.start(container)

    def inspect(self, container: str) -> ContainerState:
        """Current state of a container.

        Raises:
            MissingObject: it was removed.
        """
        with _told(f"inspect container {container[:12]}"):
            data = self._api.inspect_container(container)
        state = data["State"]
        return ContainerState(
            id=data["Id"],
            name=data["Name"].lstrip("/"),
            status=state["Status"],
            pid=state["Pid"],
            image=data["Image"],
            oom_killed=state["OOMKilled"],
            exit_code=state["ExitCode"],
            labels=data["Config"]["Labels"] or {},
            started_at=state["StartedAt"],
        )

    def containers(self, labels: Mapping[str, str], *, running_only: bool = False) -> list[ContainerSummary]:
        """Our containers that carry all of ``labels`` (keys without the prefix); one call in all."""
        wanted = [f"{LABEL_PREFIX}{key}={value}" for key, value in labels.items()]
        wanted += [f"{key}={value}" for key, value in PROJECT.items()]
        with _told("list containers"):
            found = self._api.containers(all=not running_only, filters={"label": wanted})
        return [
            ContainerSummary(
                id=item["Id"],
                name=item["Names"][0].lstrip("/") if item["Names"] else item["Id"][:12],
                status=item["State"],
                image=item["ImageID"],
                created=item["Created"],
                labels=item["Labels"] or {},
            )
            for item in found
        ]

    def written(self, container: str) -> int:
        """Bytes that a container has written beside its image; the engine walks its files to know."""
        with _told(f"measure container {container[:12]}"):
            found = self._api.containers(all=True, size=True, filters={"id": container})
        return sum(int(item.get("SizeRw") or 0) for item in found)

    def rename(self, container: str, name: str) -> None:
        """Give a container another name."""
        with _told(f"rename container {container[:12]}"):
            self._api.rename(container, name)

    @contextlib.contextmanager
    def frozen(self, container: str) -> Iterator[None]:
        """A container whose processes stand still for a moment."""
        self.pause(container)
        try:
            yield
        finally:
            self.unpause(container)

    def pause(self, container: str) -> None:
        """Freeze every process of a container.

        On a busy machine the kernel sometimes does not freeze in the time that runc gives it
        ("unable to freeze"): tried again for up to five seconds.
        """
        until = time.monotonic() + FREEZE_DEADLINE
        while True:
            try:
                with _told(f"pause container {container[:12]}"):
                    self._api.pause(container)
            except EngineError as error:
                if "unable to freeze" not in error.message or time.monotonic() > until:
                    raise
            else:
                return

    def unpause(self, container: str) -> None:
        """Let the processes go on."""
        with _told(f"resume container {container[:12]}"):
            self._api.unpause(container)

    def remove(self, container: str) -> None:
        """Remove a container, running or not; one that is gone already is no error."""
        with (
            self._removals(),
            contextlib.suppress(MissingObject),
            _told(f"remove container {container[:12]}"),
        ):
            try:
                self._api.remove_container(container, force=True, v=True)
            except docker.errors.APIError as error:
                # 409 "removal already in progress": somebody else is doing what we want.
                if error.status_code != 409 or "already in progress" not in str(error.explanation):
                    raise

    def get_archive(self, container: str, path: str, limit: int = 16 * 1024 * 1024) -> bytes:
        """A path of a container as a tar archive, at most ``limit`` bytes of it."""
        with _told(f"copy {path} out of container {container[:12]}"):
            chunks, _ = self._api.get_archive(container, path)
            data = bytearray()
            for chunk in chunks:
                data += chunk
                if len(data) > limit:
                    raise EngineError(f"{path} of container {container[:12]} is larger than {limit} bytes")
        return bytes(data)

    def memory(self, container: str) -> int:
        """Memory in use in bytes, without inactive page cache (what ``docker stats`` shows)."""
        with _told(f"read the memory of container {container[:12]}"):
            stats = self._api.stats(container, stream=False, one_shot=True)["memory_stats"]
        cache = stats["stats"].get("total_inactive_file", stats["stats"].get("inactive_file", 0))
        return int(stats["usage"]) - int(cache)

    # -- processes ---------------------------------------------------------------------

    def exec_stream(
        self, container: str, argv: Sequence[str], *, user: str = "0:0", tty: bool = False
    ) -> ExecStream:
        """Start a process inside a container and return its standard input and output.

        Args:
            user: numeric ``uid:gid``; a name would be resolved in the container's own passwd.
            tty: give it a terminal; the stream is then raw.
        """
        with _told(f"start {argv[0]} in container {container[:12]}"):
            created = self._api.exec_create(container, list(argv), stdin=True, tty=tty, user=user)
            answer = self._api.exec_start(created["Id"], tty=tty, socket=True)
        sock: socket.socket = getattr(answer, "_sock", answer)
        sock.settimeout(self.deadline)
        return ExecStream(sock, created["Id"], raw=tty, owner=answer)

    def attach(self, container: str) -> ExecStream:
        """The standard input and output of an attachable container's first process.

        2 ms, where starting a process inside costs 50 to 70 ms.
        """
        with _told(f"attach to container {container[:12]}"):
            answer = self._api.attach_socket(
                container, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            )
        sock: socket.socket = getattr(answer, "_sock", answer)
        sock.settimeout(self.deadline)
        return ExecStream(sock, "", owner=answer)

    def exec_exit_code(self, exec_id: str, deadline: float = 5.0) -> int | None:
        """Exit code of an exec'd process, waiting up to ``deadline`` seconds; None while it runs."""
        end = time.monotonic() + deadline
        pause = 0.002
        while True:
            with _told("read a process's exit code"):
                state = self._api.exec_inspect(exec_id)
            if not state["Running"]:
                code: int = state["ExitCode"]
                return code
            if time.monotonic() > end:
                return None
            time.sleep(pause)  # the engine has no event for this; grows to 50 ms
            pause = min(pause * 2, 0.05)

    def exec_resize(self, exec_id: str, rows: int, columns: int) -> None:
        """Tell a terminal exec how large the window is."""
        with _told("resize a terminal"):
            self._api.exec_resize(exec_id, height=rows, width=columns)

    # -- networks ----------------------------------------------------------------------

    def create_network(self, name: str, labels: Mapping[str, str]) -> str:
        """A bridge for one run, with no way out and no address of the machine on it; return its id.

        ``internal`` alone leaves the gateway address reachable; ``inhibit_ipv4`` keeps the bridge
        without any address, and an explicit /28 keeps the default pools free.
        """
        for subnet in self._free_subnets():
            pool = docker.types.IPAMPool(subnet=str(subnet))
            with _told(f"create network {name}"):
                try:
                    answer = self._api.create_network(
                        name,
                        driver="bridge",
                        internal=True,
                        options={"com.docker.network.bridge.inhibit_ipv4": "true"},
                        ipam=docker.types.IPAMConfig(pool_configs=[pool]),
                        labels={**PROJECT, **labels},
                        check_duplicate=True,
                    )
                except docker.errors.APIError as error:
                    if "overlaps" in str(error.explanation):
                        continue
                    raise
            identifier: str = answer["Id"]
            return identifier
        raise EngineError(
            f"no free /{NETWORK_PREFIX} in {NETWORK_POOL} for network {name}",
            "stop runs that are no longer needed: phi-labs stop --all",
        )

    def join(self, container: str, network: str, name: str) -> None:
        """Give a running container without a network one, where others find it by ``name``."""
        with _told(f"join container {container[:12]} to a network"):
            # "none" is exclusive: it has to be left first.
            self._api.disconnect_container_from_network(container, "none")
            self._api.connect_container_to_network(container, network, aliases=[name])

    def networks(self, labels: Mapping[str, str]) -> list[tuple[str, str, Mapping[str, str]]]:
        """Our networks that carry all of ``labels``, as (id, name, labels)."""
        wanted = [f"{LABEL_PREFIX}{key}={value}" for key, value in labels.items()]
        wanted += [f"{key}={value}" for key, value in PROJECT.items()]
        with _told("list networks"):
            found = self._api.networks(filters={"label": wanted})
        return [(item["Id"], item["Name"], item["Labels"] or {}) for item in found]

    def remove_network(self, network: str) -> None:
        """Remove a network; one that is gone already is no error."""
        with self._removals(), contextlib.suppress(MissingObject), _told(f"remove network {network[:12]}"):
            self._api.remove_network(network)

    def _free_subnets(self) -> Iterator[ipaddress.IPv4Network]:
        with _told("list networks"):
            known = self._api.networks()
        taken = [
            ipaddress.ip_network(pool["Subnet"], strict=False)
            for item in known
            for pool in (item.get("IPAM", {}).get("Config") or [])
            if "Subnet" in pool and ":" not in pool["Subnet"]
        ]
        assert isinstance(NETWORK_POOL, ipaddress.IPv4Network)  # noqa: S101 - narrows the type
        for subnet in NETWORK_POOL.subnets(new_prefix=NETWORK_PREFIX):
            if not any(subnet.overlaps(other) for other in taken):
                yield subnet

    # -- images ------------------------------------------------------------------------

    def image_id(self, reference: str) -> str | None:
        """The id behind an image name, None when the engine has no such image."""
        try:
            with _told(f"look up image {reference}"):
                answer: str = self._api.inspect_image(reference)["Id"]
        except MissingObject:
            return None
        return answer

    def build(
        self, context: bytes, tag: str, *, arguments: Mapping[str, str], labels: Mapping[str, str]
    ) -> Iterator[str]:
        """Build an image from a tar context, yielding the engine's progress lines.

        Builds use the engine's own network so that apt works where bridges are filtered.

        Raises:
            EngineError: a step failed; the message holds its last lines.
        """
        tail: list[str] = []
        with _told(f"build image {tag}"):
            events = self._api.build(
                fileobj=io.BytesIO(context),
                custom_context=True,
                tag=tag,
                buildargs=dict(arguments),
                labels={**PROJECT, **labels},
                network_mode="host",
                rm=True,
                forcerm=True,
                decode=True,
                timeout=int(BUILD_DEADLINE),
            )
            for event in events:
                if "error" in event:
                    raise EngineError(
                        f"building image {tag} failed: {event['error'].strip()}",
                        "last lines:\n" + "".join(tail[-12:]),
                    )
                line = event.get("stream", "")
                if line.strip():
                    tail.append(line)
                    yield line.rstrip()

    def pull(self, reference: str) -> bool:
        """Pull an image from a registry; False when none can be reached or it is unknown there."""
        repository, _, tag = reference.partition(":")
        try:
            with _told(f"pull image {reference}"):
                self._api.pull(repository, tag=tag or "latest")
        except EngineError:
            return False
        return self.image_id(reference) is not None

    def save_images(self, references: Sequence[str]) -> Iterator[bytes]:
        """An archive of images by full name, in chunks; layers that they share are in it once."""
        with _told(f"save {len(references)} images"):
            # The SDK saves one image at a time, and every one with all its layers.
            url = self._api._url("/images/get")
            answer = self._api._get(url, params={"names": list(references)}, stream=True)
            self._api._raise_for_status(answer)
            yield from answer.iter_content(1 << 20)

    def load_images(self, archive: IO[bytes]) -> None:
        """Take the images of such an archive."""
        with _told("load images"):
            for line in self._api.load_image(archive, quiet=True):
                if "error" in line:
                    raise EngineError(f"the engine refuses an image: {line['error']}", "phi-labs doctor")

    def import_image(self, tar: Path, reference: str) -> str:
        """Make an image of a root file system's tar; return its id."""
        repository, _, tag = reference.partition(":")
        with _told(f"import image {reference}"), tar.open("rb") as data:
            self._api.import_image_from_data(data, repository=repository, tag=tag)
        identifier = self.image_id(reference)
        if identifier is None:
            raise EngineError(f"the engine did not keep the imported image {reference}")
        return identifier

    def images(self) -> list[str]:
        """Every image of ours: its first name, or its id when it lost its name to a newer one."""
        wanted = [f"{key}={value}" for key, value in PROJECT.items()]
        with _told("list images"):
            found = self._api.images(filters={"label": wanted})
        return [(item["RepoTags"] or [item["Id"]])[0].replace("<none>:<none>", item["Id"]) for item in found]

    def remove_image(self, reference: str) -> None:
        """Remove an image; one that is gone or still in use is left."""
        with contextlib.suppress(EngineError), self._removals(), _told(f"remove image {reference}"):
            self._api.remove_image(reference)

    # -- inside ------------------------------------------------------------------------

    @contextlib.contextmanager
    def _removals(self) -> Iterator[None]:
        if self._removal_lock is None:
            yield
            return
        with self._removal_lock.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _logging(attachable: bool) -> docker.types.LogConfig:
    if attachable:
        return docker.types.LogConfig(type="none")
    return docker.types.LogConfig(type="json-file", config={"max-size": "1m", "max-file": "1"})


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn the SDK's errors into ours, saying which call failed."""
    try:
        yield
    except docker.errors.NotFound as error:
        raise MissingObject(f"could not {what}: {error.explanation or 'it does not exist'}") from error
    except docker.errors.APIError as error:
        raise EngineError(f"could not {what}: {error.explanation or error}", _hint(str(error))) from error
    except requests.exceptions.Timeout as error:
        raise EngineError(
            f"could not {what}: the engine did not answer in time",
            "it may be busy or hung; try again, then look at its log (phi-labs doctor)",
        ) from error
    except (requests.exceptions.RequestException, docker.errors.DockerException, OSError) as error:
        raise EngineError(
            f"could not {what}: no container engine answers at {_address()}",
            f"start it, or run phi-labs doctor to see what is missing ({_short(error)})",
        ) from error


def _address() -> str:
    return os.environ.get("DOCKER_HOST") or "its default socket"


def _short(error: BaseException) -> str:
    text = str(error)
    return text if len(text) < 160 else text[:157] + "..."


def _hint(text: str) -> str:
    if "no space left" in text.lower():
        return "the engine's disk is full: free space there, then try again (phi-labs doctor)"
    if "cannot allocate memory" in text.lower():
        return "the engine's machine has no memory left: stop something, then try again"
    return ""
