"""Head files: where the log stood, kept apart from it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TextIO

from phi_labs.errors import UserError
from phi_labs.records.event import Head

_HASH = re.compile(r"[0-9a-f]{64}")
_LIMIT = 64 * 1024  # bytes


@dataclass(frozen=True)
class HeadFile:
    """What a head file says.

    Attributes:
        time: when it was written; UTC, ISO 8601.
        workshop: at whose close; empty when it was asked for in between.
        install: id of the installation that wrote it.
    """

    hash: str
    count: int
    time: str
    workshop: str
    install: str

    @property
    def head(self) -> Head:
        """Where the log stood."""
        return Head(self.hash, self.count)

    def to_json(self) -> str:
        """As the file holds it."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


def write_head_file(path: Path, head: HeadFile) -> None:
    """Write it 0600, whole or not at all; one that is there is replaced.

    Raises:
        UserError: it cannot be written.
    """
    with whole_file(path) as file:
        file.write(head.to_json())


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A file, 0600, that has its name only once all of it is on the disk.

    Raises:
        UserError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}", "name another file") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def read_head_file(path: Path) -> HeadFile:
    """Read one.

    Raises:
        UserError: it cannot be read or is no head file.
    """
    try:
        with path.open("rb") as file:
            found = _parsed(file.read(_LIMIT))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "name the file that close wrote") from error
    except (ValueError, TypeError, KeyError) as error:
        hint = "name the file that close or records head wrote"
        raise UserError(f"{path} is no head file", hint) from error
    return found


def _parsed(text: bytes) -> HeadFile:
    data = json.loads(text)
    found = HeadFile(**{item.name: data[item.name] for item in fields(HeadFile)})
    if not (_HASH.fullmatch(found.hash) and type(found.count) is int and found.count >= 0):
        raise ValueError("no hash, or no count")
    return found
