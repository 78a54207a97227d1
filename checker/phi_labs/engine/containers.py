"""Containers of an engine: made, started, frozen, measured, removed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping

import docker.errors
import docker.types

from phi_labs.engine.connection import Connection, told
from phi_labs.engine.words import PROJECT, ContainerSpec, ContainerState, ContainerSummary, label_filter
from phi_labs.errors import EngineError, MissingObject

FREEZE_DEADLINE = 5.0


class Containers(Connection):
    """An engine's containers."""

    def create(self, spec: ContainerSpec) -> str:
        """Create a container; return its id. Never starts it.

        Raises:
            EngineError: name taken, image missing, no disk, ...
        """
        with told(f"create container {spec.name}"):
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
        with told(f"start container {container[:12]}"):
            self._api.start(container)

    def inspect(self, container: str) -> ContainerState:
        """Current state of a container.

        Raises:
            MissingObject: it was removed.
        """
        with told(f"inspect container {container[:12]}"):
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
        with told("list containers"):
            found = self._api.containers(all=not running_only, filters={"label": label_filter(labels)})
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
        with told(f"measure container {container[:12]}"):
            found = self._api.containers(all=True, size=True, filters={"id": container})
        return sum(int(item.get("SizeRw") or 0) for item in found)

    def rename(self, container: str, name: str) -> None:
        """Give a container another name."""
        with told(f"rename container {container[:12]}"):
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
                with told(f"pause container {container[:12]}"):
                    self._api.pause(container)
            except EngineError as error:
                if "unable to freeze" not in error.message or time.monotonic() > until:
                    raise
            else:
                return

    def unpause(self, container: str) -> None:
        """Let the processes go on."""
        with told(f"resume container {container[:12]}"):
            self._api.unpause(container)

    def remove(self, container: str) -> None:
        """Remove a container, running or not; one that is gone already is no error."""
        with (
            self.one_removal(),
            contextlib.suppress(MissingObject),
            told(f"remove container {container[:12]}"),
        ):
            try:
                self._api.remove_container(container, force=True, v=True)
            except docker.errors.APIError as error:
                # 409 "removal already in progress": somebody else is doing what we want.
                if error.status_code != 409 or "already in progress" not in str(error.explanation):
                    raise

    def get_archive(self, container: str, path: str, limit: int = 16 * 1024 * 1024) -> bytes:
        """A path of a container as a tar archive, at most ``limit`` bytes of it."""
        with told(f"copy {path} out of container {container[:12]}"):
            chunks, _ = self._api.get_archive(container, path)
            data = bytearray()
            for chunk in chunks:
                data += chunk
                if len(data) > limit:
                    raise EngineError(f"{path} of container {container[:12]} is larger than {limit} bytes")
        return bytes(data)

    def memory(self, container: str) -> int:
        """Memory in use in bytes, without inactive page cache (what ``docker stats`` shows)."""
        with told(f"read the memory of container {container[:12]}"):
            stats = self._api.stats(container, stream=False, one_shot=True)["memory_stats"]
        cache = stats["stats"].get("total_inactive_file", stats["stats"].get("inactive_file", 0))
        return int(stats["usage"]) - int(cache)


def _logging(attachable: bool) -> docker.types.LogConfig:
    if attachable:
        return docker.types.LogConfig(type="none")
    return docker.types.LogConfig(type="json-file", config={"max-size": "1m", "max-file": "1"})
