"""Exports on disk: for nobody else's eyes (0600), and whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from phi_labs.errors import UserError


def write_whole(folder: Path, files: Mapping[str, str | bytes]) -> list[Path]:
    """Write every file into ``folder`` (made 0700 where it is missing), or leave things as they were.

    All are written beside their places first, and only then take them, each replacing an earlier export.

    Raises:
        UserError: a place that cannot be written.
    """
    targets = {folder / name: text for name, text in files.items()}
    waiting: list[tuple[Path, Path]] = []
    try:
        for target, text in targets.items():
            _make_folders(folder, target.parent)
            waiting.append((_beside(target, text), target))
        for temporary, target in waiting:
            temporary.replace(target)
    except OSError as error:
        raise UserError(
            f"{error.filename2 or error.filename or folder}: cannot be written: {error.strerror}",
            "name another folder, or make room; files that stood there before are whole",
        ) from error
    finally:
        for temporary, _ in waiting:
            with contextlib.suppress(OSError):
                temporary.unlink()
    return list(targets)


def _make_folders(folder: Path, inner: Path) -> None:
    """``folder`` and what lies between it and ``inner``, for nobody else's eyes where they are new."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = folder
    for step in inner.relative_to(folder).parts:
        place /= step
        place.mkdir(mode=0o700, exist_ok=True)


def _beside(target: Path, text: str | bytes) -> Path:
    """A complete file of a name of its own in the target's folder."""
    if target.is_dir():
        raise IsADirectoryError(21, "a folder stands in its place", str(target))
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".export-")  # 0600
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink()
        raise
    return temporary
