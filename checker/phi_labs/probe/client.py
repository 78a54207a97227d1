"""The resident probe of an engine, and conversations with it.

The probe container shares the engine's PID namespace, has no network, a read-only root, no
new privileges and four capabilities: a lab can neither see nor signal nor trace it, while it
reaches every lab's files through /proc/<pid>/root.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from phi_labs.engine.docker import LABEL_PREFIX, ContainerSpec, Engine, Limits
from phi_labs.engine.images import Recipe, base_recipe
from phi_labs.errors import EngineError, MissingObject, ProbeError, UntrustedRoot
from phi_labs.interrupts import held
from phi_labs.probe.wire import Json, Wire

AGENT = Path(__file__).with_name("agent")
CAPABILITIES = ("SYS_PTRACE", "DAC_READ_SEARCH", "SETUID", "SETGID")
QUESTION_DEADLINE = 20.0
WALK_DEADLINE = 60.0
CAPTURE_BYTES = 256 * 1024 * 1024
CAPTURE_ENTRIES = 150_000


def probe_recipe() -> Recipe:
    """The probe's image: the base and the agent."""
    return Recipe("phi-labs/probe", Path(__file__).with_name("image"), extra=(AGENT,), below=base_recipe())


def ensure_probe(engine: Engine, image: str, install: str) -> str:
    """Return the id of this installation's running probe, starting it when there is none.

    A probe of another image (an older agent) or one that stopped is replaced.
    """
    for summary in engine.containers({"kind": "probe", "install": install}):
        if summary.image == image and summary.status == "running":
            return summary.id
        engine.remove(summary.id)
    spec = ContainerSpec(
        image=image,
        command=["sleep", "infinity"],
        name=f"phi-labs-probe-{install}",
        labels={LABEL_PREFIX + "kind": "probe", LABEL_PREFIX + "install": install},
        limits=Limits(memory=512 * 1024 * 1024, pids=400, cpus=2.0),
        capabilities=CAPABILITIES,
        host_pids=True,
        read_only=True,
        no_new_privileges=True,
        tmpfs={"/run/phi": "size=256m,mode=0700"},
    )
    try:
        with held():  # a clean-up that comes meanwhile would not find it
            container = engine.create(spec)
    except EngineError:
        # Somebody else of this installation made it in the same moment.
        found = engine.containers({"kind": "probe", "install": install})
        if not found:
            raise
        return found[0].id
    engine.start(container)
    return container


@dataclass(frozen=True)
class CaptureResult:
    """What a capture took: counts, what it missed and what is gone since the image.

    Attributes:
        missed: (path, reason) of everything that was seen but not taken, at most 200.
        removed: paths of the image that are gone or changed their type, deepest first.
    """

    entries: int
    bytes: int
    walked: int
    missed: tuple[tuple[str, str], ...]
    missed_count: int
    removed: tuple[str, ...]


class Probe:
    """One conversation with the probe; not to be shared between threads.

    Attributes:
        container: the probe's own.
    """

    def __init__(self, engine: Engine, container: str) -> None:
        self.container = container
        stream = engine.exec_stream(container, ["python3", "-I", "-X", "utf8", "/agent"])
        self._wire = Wire(stream, "the probe")

    def close(self) -> None:
        """End the conversation."""
        self._wire.close()

    def ask(self, op: str, *, seconds: float = QUESTION_DEADLINE, **fields: Any) -> Json:
        """Ask one question; return the answer, which may hold ``refused``.

        Raises:
            ProbeError: the probe broke or did not answer in time.
            UntrustedRoot: the machine shows a decoy instead of its own root.
        """
        self._wire.say({"op": op, **fields})
        return self._checked(self._wire.hear(seconds))

    def must(self, op: str, *, seconds: float = QUESTION_DEADLINE, **fields: Any) -> Json:
        """As ``ask``, but a refusal is an error."""
        answer = self.ask(op, seconds=seconds, **fields)
        if "refused" in answer:
            raise ProbeError(f"the probe could not answer {op!r}: {answer['refused']}")
        return answer

    def check_root(self, pid: int) -> None:
        """Refuse a machine whose PID 1 shows another root than its own.

        Raises:
            UntrustedRoot: a decoy.
            MissingObject: the machine ended.
        """
        answer = self.ask("root", pid=pid)
        if answer.get("gone"):
            raise MissingObject("the machine's first process is gone")
        if "refused" in answer:
            raise ProbeError(f"the probe could not reach the machine: {answer['refused']}")

    def baseline(self, key: str, pid: int | None = None) -> bool:
        """Make the pristine listing of image ``key`` known, walking ``pid`` (pristine!) if needed."""
        return bool(self.must("baseline", key=key, pid=pid, seconds=WALK_DEADLINE)["known"])

    def occupied(self, pid: int, key: str) -> int | None:
        """Bytes that a machine has written since image ``key``, as the disk has them; None if unknown.

        Unlike the engine's own figure, holes count for nothing.
        """
        answer = self.ask("occupied", pid=pid, key=key, generation="", seconds=WALK_DEADLINE)
        return None if "refused" in answer or answer["cut"] else int(answer["bytes"])

    def capture(self, pid: int, key: str, sink: BinaryIO, *, seconds: float = WALK_DEADLINE) -> CaptureResult:
        """Write the archive of everything that changed since image ``key`` to ``sink``."""
        limits = {"limit_bytes": CAPTURE_BYTES, "limit_entries": CAPTURE_ENTRIES}
        return self._capture({"pid": pid, "key": key, **limits}, sink, seconds)

    def capture_paths(
        self, pid: int, paths: Sequence[str], sink: BinaryIO, *, not_below: Sequence[str] = ()
    ) -> CaptureResult:
        """Write an archive of just these paths (and what is below them), changed or not.

        What lies in one of the places ``not_below`` is missed, also when a link leads there.
        """
        limits = {"limit_bytes": 16 * 1024 * 1024, "limit_entries": 5000}
        fields = {"pid": pid, "paths": list(paths), "not_below": list(not_below), **limits}
        return self._capture(fields, sink, WALK_DEADLINE)

    def _capture(self, fields: Mapping[str, Any], sink: BinaryIO, seconds: float) -> CaptureResult:
        self._wire.say({"op": "capture", **fields})
        first = self._checked(self._wire.hear(seconds))
        if "refused" in first:
            raise ProbeError(f"the probe could not capture: {first['refused']}")
        for chunk in self._wire.chunks(seconds):
            sink.write(chunk)
        end = self._checked(self._wire.hear(seconds))
        if "refused" in end:
            raise ProbeError(f"the probe broke off a capture: {end['refused']}")
        return CaptureResult(
            entries=end["entries"],
            bytes=end["bytes"],
            walked=end["walked"],
            missed=tuple((path, reason) for path, reason in end["missed"]),
            missed_count=end["missed_count"],
            removed=tuple(end["removed"]),
        )

    def awaited(self, pid: int, path: str, *, within: float, port: int | None = None) -> bool:
        """Whether within so many seconds a path is there, and something listens on a named port."""
        seconds = within + QUESTION_DEADLINE
        return bool(
            self.ask("await", seconds=seconds, pid=pid, path=path, port=port, within=within).get("there")
        )

    def read(self, pid: int, path: str, limit: int) -> bytes:
        """Up to ``limit`` bytes of a regular file; ``ProbeError`` when it is none."""
        return base64.b64decode(self.must("read", pid=pid, path=path, limit=limit)["data"])

    def can(
        self, pid: int, uid: int, gid: int, groups: Iterable[int], items: Sequence[Sequence[str]]
    ) -> list[bool]:
        """For each (path, "read"|"write"|"list"): does the kernel let this uid do it?"""
        answer = self.must(
            "can", pid=pid, uid=uid, gid=gid, groups=sorted(set(groups)), items=[list(item) for item in items]
        )
        verdicts: list[bool] = answer["can"]
        return verdicts

    @staticmethod
    def _checked(answer: Json) -> Json:
        refused = answer.get("refused", "")
        if refused.startswith("decoy:"):
            raise UntrustedRoot(refused.removeprefix("decoy: "))
        return answer
