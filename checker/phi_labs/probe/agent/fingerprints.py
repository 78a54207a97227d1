"""What some paths are, exactly: to tell whether they are still what they were."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator

from phi_labs.probe.agent.capture import attributes, one_chosen
from phi_labs.probe.agent.kernel import READ, Refused
from phi_labs.probe.agent.memory import Memory
from phi_labs.probe.agent.stream import Json
from phi_labs.probe.agent.walking import ENGINE_FILES, Walked, told

CHUNK = 1 << 20


def answer_fingerprints(memory: Memory, question: Json) -> Json:
    """Of what lies in ``places``: what changed since ``since``, and what is gone.

    A row is [path, mode, uid, gid, detail, attributes, what the image says of it]; ``detail`` is a file's
    sum, a link's target or a device's number, the image's word [mode, uid, gid] or null. ``since`` is in
    nanoseconds on the clock of ``hello``; ctime decides. Gone are paths of the image and of ``expected``
    that do not exist.
    """
    root, base = memory.roots[question["pid"]], memory.baseline(question["key"])
    rows: list[list[object]] = []
    trouble: list[list[str]] = []
    seen: set[str] = set()
    for item in _found(root, question["places"], trouble, seen):
        if item.status.st_ctime_ns < question["since"] or stat.S_ISSOCK(item.status.st_mode):
            continue
        if len(rows) >= question["limit"]:
            raise Refused(f"more than {question['limit']} paths changed")
        known = base.get(item.path)
        rows.append([*_row(item, question["most_bytes"]), known and known[1:]])
    inside = tuple(place + "/" for place in question["places"])
    gone = [
        path for path in base if path not in seen and path.startswith(inside) and path not in ENGINE_FILES
    ]
    gone += [path for path in question["expected"] if path not in seen and path not in base]
    return {"rows": rows, "gone": gone, "trouble": told(trouble, 20)}


def _found(root: int, places: list[str], trouble: list[list[str]], seen: set[str]) -> Iterator[Walked]:
    for place in places:
        for item in one_chosen(root, place, trouble):
            if item.path not in seen and item.path not in ENGINE_FILES:
                seen.add(item.path)
                yield item


def _row(item: Walked, most_bytes: int) -> list[object]:
    status, mode = item.status, item.status.st_mode
    detail: object = ""
    kept: dict[str, str] = {}
    if stat.S_ISLNK(mode):
        detail = os.readlink(item.name, dir_fd=item.directory)
    elif stat.S_ISREG(mode):
        fd = os.open(item.name, READ | os.O_NOFOLLOW, dir_fd=item.directory)
        try:
            detail, kept = _sum(fd, status.st_size, most_bytes), attributes(fd)
        finally:
            os.close(fd)
    else:
        fd = os.open(item.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=item.directory)
        try:
            kept = attributes(fd)
        finally:
            os.close(fd)
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            detail = [os.major(status.st_rdev), os.minor(status.st_rdev)]
    return [item.path, mode, status.st_uid, status.st_gid, detail, kept]


def _sum(fd: int, size: int, most_bytes: int) -> str:
    if size > most_bytes:
        return f"{size} bytes"
    total = hashlib.sha256()
    while data := os.read(fd, CHUNK):
        total.update(data)
    return total.hexdigest()
