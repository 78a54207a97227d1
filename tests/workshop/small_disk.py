"""A file system of a test's own that can be full at once, and have room again at once."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOMY = 3 << 30  # bytes that it may have; it takes what is written


class SmallDisk:
    """Mounted at ``path``, which must be there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def mount(self) -> None:
        """Make it."""
        _run("mount", "-t", "tmpfs", "-o", f"size={ROOMY},mode=0700", "phi-labs-test", str(self.path))

    def fill(self, left: int = 0) -> None:
        """Have nothing left, or so many bytes."""
        used = shutil.disk_usage(self.path).used
        _run("mount", "-o", f"remount,size={used + left}", str(self.path))

    def make_room(self) -> None:
        """Have room again."""
        _run("mount", "-o", f"remount,size={ROOMY}", str(self.path))


@contextlib.contextmanager
def small_disk(path: Path) -> Iterator[SmallDisk]:
    """One that is gone afterwards."""
    path.mkdir(parents=True, exist_ok=True)
    disk = SmallDisk(path)
    disk.mount()
    try:
        yield disk
    finally:
        _run("umount", "--lazy", str(path))


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (
        f"{argv}: {done.stderr} (these tests need root, as a dockerd of their own does)"
    )
