"""What exactly was taken and what graded it: versions for training records."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from phi_labs.model.lab import Lab


def lab_version(lab: Lab) -> str:
    """SHA-256 over names and contents of a lab's files, caches left out; the first 16 digits."""
    return _folder_version(lab.folder)


@cache
def _folder_version(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            name = path.relative_to(folder).as_posix()
            total.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()[:16]


@cache
def checker_version() -> str:
    """The program's own version."""
    try:
        return version("phi-labs")
    except PackageNotFoundError:
        return "source"
