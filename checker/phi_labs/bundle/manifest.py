"""What is in a bundle, with checksums: written last, read first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from phi_labs.errors import UserError

NAME = "MANIFEST.json"
FORMAT = 1
IMAGES = "images.tar"
LIMIT = 16 * 1024 * 1024


@dataclass(frozen=True)
class Manifest:
    """The description of a bundle.

    Attributes:
        version: of the program in it.
        python, machine: what its wheels are for, as in ``3.11`` and ``x86_64``.
        files: name -> SHA-256 of every other file in it.
        images: full name -> id.
    """

    version: str
    created: str
    python: str
    machine: str
    files: Mapping[str, str]
    images: Mapping[str, str]
    format: int = FORMAT

    def to_json(self) -> str:
        """As the bundle holds it."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


def parse(text: str, path: Path) -> Manifest:
    """The manifest of a bundle; UserError when it is none, or one of another format."""
    hint = "save it again with this version of phi-labs"
    try:
        data: dict[str, Any] = json.loads(text)
        if data["format"] != FORMAT:
            raise UserError(f"{path}: a bundle in format {data['format']!r}, not {FORMAT}", hint)
        found = Manifest(**data)
        strange = [name for name in found.files if not is_plain(name)]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: its manifest cannot be read: {error!r}", hint) from error
    if strange:
        raise UserError(f"{path}: {strange[0]!r} is no name for a file of a bundle", "do not use this bundle")
    return found


def is_plain(name: str) -> bool:
    """Whether a name stays below the folder that a bundle is unpacked into."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and str(path) == name


def sha256(path: Path) -> str:
    """The checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
