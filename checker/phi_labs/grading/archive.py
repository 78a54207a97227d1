"""Reading a submission's archive: the records that a capture wrote, one machine's changed paths."""

from __future__ import annotations

import hashlib
import json
import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from phi_labs.errors import UserError

CHUNK = 1 << 20


@dataclass(frozen=True)
class Fingerprint:
    """What a path is, to the byte.

    Attributes:
        detail: a file's sum, a link's target, a device's number; empty for what has none.
        kept: extended attributes, ACLs and file capabilities among them.
    """

    mode: int
    uid: int
    gid: int
    detail: Any
    kept: tuple[tuple[str, str], ...]


def fingerprints(archive: BinaryIO, wanted: Callable[[str], bool], most_bytes: int) -> dict[str, Fingerprint]:
    """The fingerprints of the wanted paths of an archive, made as the probe makes them of a machine.

    Args:
        most_bytes: of a file; of a larger one only its size counts.

    Raises:
        UserError: the archive is damaged.
    """
    links: dict[str, str] = {}
    found = _read(archive, wanted, most_bytes, links)
    if elsewhere := set(links.values()) - set(found):  # rare: a hard link to what lies in no wanted place
        archive.seek(0)
        found |= _read(archive, lambda path: path in elsewhere, most_bytes, {})
    found |= {path: found[target] for path, target in links.items() if target in found}
    return {path: value for path, value in found.items() if wanted(path)}


def _read(
    archive: BinaryIO, wanted: Callable[[str], bool], most_bytes: int, links: dict[str, str]
) -> dict[str, Fingerprint]:
    """Fingerprints of the wanted paths; wanted hard links are put into ``links``."""
    found: dict[str, Fingerprint] = {}
    for head in _heads(archive):
        if not wanted(head["p"]):
            _pass_over(archive, head)
        elif "h" in head:
            links[head["p"]] = head["h"]
        else:
            found[head["p"]] = _fingerprint(archive, head, most_bytes)
    return found


def _heads(archive: BinaryIO) -> Iterator[dict[str, Any]]:
    while prefix := archive.read(4):
        head = json.loads(_exactly(archive, struct.unpack(">I", prefix)[0]))
        yield head


def _fingerprint(archive: BinaryIO, head: dict[str, Any], most_bytes: int) -> Fingerprint:
    detail: Any = ""
    if stat.S_ISLNK(head["m"]):
        detail = head["l"]
    elif stat.S_ISREG(head["m"]):
        detail = _sum(archive, head, most_bytes)
    elif "r" in head:
        detail = list(head["r"])
    return Fingerprint(head["m"], head["u"], head["g"], detail, tuple(sorted(head.get("x", {}).items())))


def _sum(archive: BinaryIO, head: dict[str, Any], most_bytes: int) -> str:
    size = head["n"]
    if size > most_bytes:
        _pass_over(archive, head)
        return f"{size} bytes"
    total, position = hashlib.sha256(), 0
    for start, length in head["e"]:
        _zeros(total.update, start - position)
        for part in _parts(length):
            total.update(_exactly(archive, part))
        position = start + length
    _zeros(total.update, size - position)
    return total.hexdigest()


def _zeros(update: Callable[[bytes], None], count: int) -> None:
    for part in _parts(count):
        update(bytes(part))


def _parts(length: int) -> Iterator[int]:
    while length > 0:
        yield min(CHUNK, length)
        length -= CHUNK


def _pass_over(archive: BinaryIO, head: dict[str, Any]) -> None:
    archive.seek(sum(length for _, length in head.get("e", ())), 1)


def _exactly(archive: BinaryIO, size: int) -> bytes:
    data = archive.read(size)
    if len(data) < size:
        raise UserError("a submission's archive ends in the middle", "choose another attempt")
    return data
