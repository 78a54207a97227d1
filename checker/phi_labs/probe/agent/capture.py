"""A machine's changed paths as an archive."""

from __future__ import annotations

import base64
import errno
import json
import os
import stat
import struct
from collections.abc import Iterator

from phi_labs.probe.agent.kernel import READ, extents, openat2
from phi_labs.probe.agent.memory import Memory
from phi_labs.probe.agent.stream import Json, Out
from phi_labs.probe.agent.walking import ENGINE_FILES, Walked, below, is_cut, known_of, told, walk

CHUNK = 1 << 20
CHOSEN_LIMIT = 400
MAX_LINKS = 200
UNENDING = frozenset({stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK})


def attributes(fd: int) -> dict[str, str]:
    """Extended attributes, ACLs and file capabilities among them, raw and base64."""
    place = f"/proc/self/fd/{fd}"
    try:
        names = os.listxattr(place)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EPERM):
            return {}
        raise
    return {name: base64.b64encode(os.getxattr(place, name)).decode() for name in names}


class Capture:
    """Writes the changed paths of one machine as a stream of records.

    A record is a length-prefixed JSON head, then the bytes of its extents. What cannot be
    taken is listed by name: a capture that is not whole must never look whole.
    """

    def __init__(self, out: Out, limit_bytes: int, limit_entries: int) -> None:
        self._out = out
        self.left = limit_bytes
        self.entries_left = limit_entries
        self.entries = 0
        self.bytes = 0
        self.missed: list[list[str]] = []
        self._links: dict[tuple[int, int], str] = {}

    def add(self, item: Walked) -> None:
        if self.entries_left <= 0:
            self.missed.append([item.path, "more changed files than one submission may hold"])
            return
        try:
            self._add(item)
        except BlockingIOError:
            self.missed.append([item.path, "a process holds a lease on it"])
        except OSError as error:
            self.missed.append([item.path, os.strerror(error.errno or 0)])

    def _add(self, item: Walked) -> None:
        status, kind = item.status, stat.S_IFMT(item.status.st_mode)
        if kind == stat.S_IFSOCK:
            return  # an address of a running process, not data; services make it again
        head: Json = {
            "p": item.path,
            "m": status.st_mode,
            "u": status.st_uid,
            "g": status.st_gid,
            "t": status.st_mtime_ns,
        }
        identity = (status.st_dev, status.st_ino)
        if kind != stat.S_IFDIR and status.st_nlink > 1:
            if identity in self._links:
                self._emit({"p": item.path, "h": self._links[identity]})
                return
            self._links[identity] = item.path
        if kind == stat.S_IFREG:
            self._regular(item, head)
            return
        if kind == stat.S_IFLNK:
            head["l"] = os.readlink(item.name, dir_fd=item.directory)
        else:
            fd = os.open(item.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=item.directory)
            try:
                head["x"] = attributes(fd)
            finally:
                os.close(fd)
            if kind in (stat.S_IFCHR, stat.S_IFBLK):
                head["r"] = [os.major(status.st_rdev), os.minor(status.st_rdev)]
        self._emit(head)

    def _regular(self, item: Walked, head: Json) -> None:
        fd = os.open(item.name, READ | os.O_NOFOLLOW, dir_fd=item.directory)
        try:
            now = os.fstat(fd)
            if not stat.S_ISREG(now.st_mode):
                raise OSError(errno.ESTALE, "changed while it was captured")
            found = extents(fd, now.st_size)
            total = sum(length for _, length in found)
            head.update(n=now.st_size, e=found, x=attributes(fd))
            if not self._emit(head, total):
                return
            self.bytes += total
            for offset, length in found:
                self._copy(fd, offset, length)
        finally:
            os.close(fd)

    def _copy(self, fd: int, offset: int, length: int) -> None:
        while length:
            data = os.pread(fd, min(CHUNK, length), offset)
            if not data:
                data = bytes(min(CHUNK, length))  # truncated under our eyes: keep the stream in step
            self._out.chunk(data)
            offset += len(data)
            length -= len(data)

    def _emit(self, head: Json, data: int = 0) -> bool:
        """Write a record's head, unless it or the data that belongs to it is too much.

        Names and attributes count as well: paths may be long, attributes many.
        """
        text = json.dumps(head, separators=(",", ":")).encode()
        if data + len(text) > self.left:
            self.missed.append([head["p"], f"{data + len(text)} bytes: more than one submission may hold"])
            return False
        self.left -= data + len(text)
        self.entries += 1
        self.entries_left -= 1
        self._out.chunk(struct.pack(">I", len(text)) + text)
        return True


def answer_capture(memory: Memory, question: Json) -> Json:
    """Stream every changed path of ``pid``; answer what is gone and what was missed.

    With ``paths``, only those (files, or directories with what they hold) are taken, changed or not; what
    lies in one of the places ``not_below`` is missed, also when it is reached through a link.
    """
    root = memory.roots[question["pid"]]
    trouble: list[list[str]] = []
    capture = Capture(memory.out, question["limit_bytes"], question["limit_entries"])
    memory.out.line({"stream": True})
    removed: list[str] = []
    walked = 0
    if "paths" in question:
        kept_out = tuple(question.get("not_below", ()))
        for item in chosen(root, question["paths"], trouble):
            walked += 1
            if any(item.path == place or item.path.startswith(place + "/") for place in kept_out):
                trouble.append([item.path, "no place for configuration"])
            elif kept_out and stat.S_IFMT(item.status.st_mode) in UNENDING:
                trouble.append([item.path, "no regular file"])
            else:
                capture.add(item)
    else:
        base = memory.baseline(question["key"])
        seen = set()
        for item in walk(root, trouble):
            walked += 1
            seen.add(item.path)
            known = base.get(item.path)
            if known == known_of(item.status) or item.path in ENGINE_FILES:
                continue
            if known is not None and stat.S_IFMT(known[1]) != stat.S_IFMT(item.status.st_mode):
                removed.append(item.path)
            capture.add(item)
        if not is_cut(trouble):
            removed += [path for path in base if path not in seen and path not in ENGINE_FILES]
    memory.out.chunk(b"")
    return {
        "entries": capture.entries,
        "bytes": capture.bytes,
        "walked": walked,
        "missed": told(capture.missed + trouble, 200),
        "missed_count": len(capture.missed) + len(trouble),
        "removed": sorted(removed, key=lambda path: -path.count("/")),
    }


def chosen(root: int, paths: list[str], trouble: list[list[str]]) -> Iterator[Walked]:
    """The named paths that exist, with their parents and, for directories, everything below.

    What a symlink among them leads to is chosen as well: configuration may hide behind one.
    """
    given: set[str] = set()
    waiting = [path.strip("/") for path in paths]
    for _ in range(CHOSEN_LIMIT):
        if not waiting:
            return
        path = waiting.pop()
        for item in one_chosen(root, path, trouble):
            if stat.S_ISLNK(item.status.st_mode):
                waiting.append(canonical(root, item.path))
            if item.path not in given:
                given.add(item.path)
                yield item
    trouble.append([waiting[0], "too many symbolic links"])


def one_chosen(root: int, path: str, trouble: list[list[str]]) -> Iterator[Walked]:
    """A path's parents, itself, and what is below it; symlinks are not followed."""
    for place in (*ancestors(path), path):
        holder, name = os.path.split(place)
        try:
            directory = openat2(root, holder, READ | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            return
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            yield Walked(directory, name, place, status)
            if place == path and stat.S_ISDIR(status.st_mode):
                inner = os.open(name, READ | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
                yield from below(inner, place + "/", trouble)
        except FileNotFoundError:
            return
        finally:
            os.close(directory)


def canonical(root: int, path: str) -> str:
    """The path with its symlinks resolved inside the root, as far as it exists."""
    done: list[str] = []
    todo = path.split("/")
    for _ in range(MAX_LINKS):
        if not todo:
            break
        part = todo.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            done = done[:-1]
            continue
        target = link_target(root, "/".join([*done, part]))
        if target is None:
            done.append(part)
            continue
        done = [] if target.startswith("/") else done
        todo = target.split("/") + todo
    return "/".join(done)


def link_target(root: int, path: str) -> str | None:
    """What a symlink says; None when the path is none."""
    try:
        fd = openat2(root, path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.readlink("", dir_fd=fd) if stat.S_ISLNK(os.fstat(fd).st_mode) else None
    finally:
        os.close(fd)


def ancestors(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
