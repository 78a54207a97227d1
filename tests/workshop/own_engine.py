"""A container engine of the tests' own, that may be stopped, killed and frozen: never the machine's.

It has its own data, sockets and processes, and no network of the machine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.workshop.small_disk import SmallDisk, small_disk

from phi_labs.engine.docker import Engine

UP_DEADLINE = 60.0  # seconds


class OwnEngine:
    """A dockerd with a folder of its own.

    Args:
        folder: short, since sockets lie below it.
        disk: under its data.
    """

    def __init__(self, folder: Path, disk: SmallDisk) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.disk = disk
        self.host = f"unix://{folder}/sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        argv = ["dockerd", "--data-root", str(self.data), "--exec-root", str(self.folder / "exec")]
        argv += [
            "--pidfile",
            str(self.folder / "pid"),
            "-H",
            self.host,
            "--bridge",
            "none",
            "--iptables=false",
        ]
        (self.folder / "pid").unlink(missing_ok=True)  # of one that was killed
        self._forget_containerd()
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + UP_DEADLINE
        while not self._answers():
            said = (self.folder / "log").read_text(errors="replace")[-2000:]
            assert self._process.poll() is None and time.monotonic() < end, (
                f"dockerd does not come up: {said}"
            )
            time.sleep(0.1)

    def _forget_containerd(self) -> None:
        """It dies with a daemon that is killed, and leaves a number by which the next looks for it."""
        file = self.folder / "exec" / "containerd" / "containerd.pid"
        if not file.exists():
            return
        command = Path(f"/proc/{file.read_text().strip()}/cmdline")
        end = time.monotonic() + 10
        with contextlib.suppress(OSError):
            while str(self.folder).encode() in command.read_bytes():  # a zombie has no words any more
                if time.monotonic() > end:
                    return  # it lives on, and is found
                time.sleep(0.02)
        file.unlink()

    def ensure(self) -> None:
        """Have it run, whatever was done to it."""
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
        else:
            self.start()

    def _answers(self) -> bool:
        environment = {**os.environ, "DOCKER_HOST": self.host}
        argv = ["docker", "version", "--format", "{{.Server.Version}}"]
        return subprocess.run(argv, env=environment, capture_output=True, check=False).returncode == 0

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The daemon."""
        assert self._process is not None, "it was not started"
        return self._process

    def signal(self, number: signal.Signals) -> None:
        """Stop (TERM, KILL), freeze (STOP) or thaw (CONT) it; one that is to end has ended."""
        self.process.send_signal(number)
        if number in {signal.SIGTERM, signal.SIGKILL}:
            self.process.wait(60)

    def end_all(self) -> None:
        """End the daemon and whatever it started, at once, as when the power goes."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait(30)
        end = time.monotonic() + 30
        while found := self._processes():
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            assert time.monotonic() < end, f"processes of the engine stay: {found}"
            time.sleep(0.05)

    def _processes(self) -> list[int]:
        """containerd and shims name our folder; what they run is in a cgroup of one of our containers."""
        containers = {path.name for path in (self.data / "containers").glob("*")}
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                ours = str(self.folder).encode() in (path / "cmdline").read_bytes()
                groups = (path / "cgroup").read_text().splitlines()
                if ours or any(line.rpartition("/")[2] in containers for line in groups):
                    found.append(int(path.name))
        return [pid for pid in found if pid != os.getpid()]

    @contextlib.contextmanager
    def chosen(self) -> Iterator[Engine]:
        """Connections to it; the environment names it meanwhile."""
        before = os.environ.get("DOCKER_HOST")
        os.environ["DOCKER_HOST"] = self.host
        engine = Engine()
        try:
            yield engine
        finally:
            engine.close()
            os.environ.pop("DOCKER_HOST")
            if before is not None:
                os.environ["DOCKER_HOST"] = before

    def take(self, source: Engine, images: Sequence[str]) -> None:
        """Bring images over from another engine."""
        with tempfile.TemporaryFile() as file, self.chosen() as engine:
            for chunk in source.save_images(images):
                file.write(chunk)
            file.seek(0)
            engine.load_images(file)


@contextlib.contextmanager
def own_engine() -> Iterator[OwnEngine]:
    """One that runs on a small disk, and is gone afterwards with all that it had."""
    folder = Path(tempfile.mkdtemp(prefix="phi-engine-"))  # short, since sockets lie below it
    try:
        with small_disk(folder / "data") as disk:
            engine = OwnEngine(folder, disk)
            try:
                engine.start()
                yield engine
            finally:
                engine.end_all()
                _unmount_below(folder, but=disk.path)
    finally:
        shutil.rmtree(folder)


def _unmount_below(folder: Path, *, but: Path) -> None:
    mounts = [Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines()]
    for place in sorted(mounts, reverse=True):
        if place.is_relative_to(folder) and place != but:
            subprocess.run(["umount", "--lazy", str(place)], check=True)
