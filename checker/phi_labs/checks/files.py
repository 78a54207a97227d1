"""Files that checks read, and who could change them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

from phi_labs.grading.host import Host

READ_BYTES = 16 * 1024 * 1024
GZIP = b"\x1f\x8b"
EVERYBODYS = frozenset({"/tmp", "/var/tmp"})  # noqa: S108 - named, not used


def text_of(host: Host, path: str) -> str:
    """The text of a regular file of up to 16 MiB, unpacked if it is a gzip file; empty when there is none."""
    if not host.file(path).is_file:
        return ""
    content = host.read(path, READ_BYTES)
    if content.startswith(GZIP):
        try:
            content = zlib.decompressobj(31).decompress(content, READ_BYTES)
        except zlib.error:
            return ""
    return content.decode(errors="replace")


def within_reach(
    host: Host, user: str, paths: Sequence[str], owners: Mapping[str, int] | None = None
) -> list[str]:
    """Those of the paths that an account can write, or owns and so could make writable.

    Args:
        owners: numbers that are known already; each is a question less.
    """
    known = owners or {}
    uid = host.user(user).uid
    writable = host.can(user, paths, "write")
    owned = (known[path] if path in known else _owner(host, path) for path in paths)
    return [path for path, can, whose in zip(paths, writable, owned, strict=True) if can or whose == uid]


def above(path: str) -> list[str]:
    """The path, and every folder above it but those that everybody may write and nobody may tidy."""
    parts = path.split("/")
    places = ["/".join(parts[:number]) for number in range(2, len(parts) + 1)]
    return [place for place in places if place not in EVERYBODYS]


def _owner(host: Host, path: str) -> int:
    file = host.file(path)
    return file.uid if file.exists else -1
