"""The trusted reader: runs in the probe container, answers questions about lab containers.

One process per client. Requests are JSON lines on standard input, answers JSON lines on
standard output; ``capture`` streams an archive. It reaches a container's files through
``/proc/<pid>/root`` and never runs anything of the lab. Standard library only: this file is
copied into the probe image and run with ``python3 -I``.

Every path below a lab's root is resolved with openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
or relative to directory descriptors with O_NOFOLLOW; opens never block (FIFOs, leases).
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import errno
import hashlib
import json
import marshal
import os
import re
import resource
import stat
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]

SYS_OPENAT2 = 437  # the same number on every architecture
SYS_FACCESSAT2 = 439  # the same; kernel >= 5.8
AT_EACCESS = 0x200
AT_EMPTY_PATH = 0x1000
RESOLVE_IN_ROOT = 0x10
RESOLVE_NO_MAGICLINKS = 0x02
STATX_ATTR_MOUNT_ROOT = 0x2000
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
# File systems that a container shows besides its own root: PID 1 chrooted into one is a decoy.
PSEUDO = {0x9FA0: "proc", 0x62656572: "sysfs", 0x01021994: "tmpfs", 0x1CD1: "devpts", 0x19800202: "mqueue"}
PSEUDO |= {0x27E0EB: "cgroup", 0x63677270: "cgroup2"}
# Written by the engine itself, never by the trainee's image; host lines travel separately.
ENGINE_FILES = frozenset({"etc/hosts", "etc/hostname", "etc/resolv.conf"})
# Emptied at every boot, so it is no part of what survives a restart.
VOLATILE = "run"
LIVE_MOUNTS = frozenset({"dev", "dev/shm", "dev/mqueue"})
MAX_DEPTH = 1500
LONG_PATH = 4000
HELD_LIMIT = 100_000
CHOSEN_LIMIT = 400
MAX_LINKS = 200
CHUNK = 1 << 20
GZIP = b"\x1f\x8b"
CACHE = "/run/phi"
LIBC = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """A question that cannot be answered; the text goes to the client."""


# -- roots and paths -------------------------------------------------------------------


def openat2(directory: int, path: str, flags: int) -> int:
    """Open ``path`` as if ``directory`` were the root; magic links refused."""
    how = struct.pack("QQQ", flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    fd = LIBC.syscall(SYS_OPENAT2, directory, os.fsencode(path) or b".", how, len(how))
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return int(fd)


def open_inside(root: int, path: str, flags: int) -> int:
    """``openat2`` for a path of any length: beyond PATH_MAX it descends piece by piece."""
    if len(os.fsencode(path)) < LONG_PATH:
        return openat2(root, path, flags)
    parts = path.strip("/").split("/")
    step = len(parts) // 2
    upper = open_inside(root, "/".join(parts[:step]), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return open_inside(upper, "/".join(parts[step:]), flags)
    finally:
        os.close(upper)


def is_mount_root(fd: int) -> bool:
    """Whether a descriptor is the top of a mount (statx attribute, kernel >= 5.8)."""
    buffer = ctypes.create_string_buffer(256)
    if LIBC.statx(fd, b"", AT_EMPTY_PATH, 0, buffer) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    attributes, known = struct.unpack_from("=Q", buffer, 8)[0], struct.unpack_from("=Q", buffer, 56)[0]
    return bool(attributes & known & STATX_ATTR_MOUNT_ROOT)


def file_system(fd: int) -> int:
    """The magic number of the file system behind a descriptor."""
    buffer = ctypes.create_string_buffer(256)
    if LIBC.fstatfs(fd, buffer) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(struct.unpack_from("=q", buffer, 0)[0])


def started_at(pid: int) -> int:
    """When a process started, in clock ticks since the boot of the engine's machine."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read(4096).rpartition(b")")[2].split()[19])


class Roots:
    """Root directories of containers by the pid of their first process, checked once each.

    A conversation may outlive many machines, and pids come again: the start time tells them apart.
    """

    def __init__(self) -> None:
        self._open: dict[int, tuple[int, int]] = {}

    def __getitem__(self, pid: int) -> int:
        started = started_at(pid)
        known = self._open.get(pid)
        if known is None or known[0] != started:
            self.forget(pid)
            known = self._open[pid] = (started, self._checked(pid))
        return known[1]

    def forget(self, pid: int) -> None:
        known = self._open.pop(pid, None)
        if known is not None:
            os.close(known[1])

    @staticmethod
    def _checked(pid: int) -> int:
        fd = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        kind = PSEUDO.get(file_system(fd))
        if kind or not is_mount_root(fd):
            os.close(fd)
            raise Refused(
                "decoy: PID 1 of this machine no longer stands in the machine's own root directory"
                + (f" but on {kind}" if kind else "")
            )
        return fd


ROOTS = Roots()


def path_of(question: Json) -> str:
    path: str = question["path"]
    return path


def described(status: os.stat_result) -> Json:
    """What a client learns of one file."""
    return {
        "mode": status.st_mode,
        "uid": status.st_uid,
        "gid": status.st_gid,
        "size": status.st_size,
        "mtime": status.st_mtime_ns,
        "ctime": status.st_ctime_ns,
        "inode": status.st_ino,
        "links": status.st_nlink,
    }


# -- single questions ------------------------------------------------------------------


def answer_hello(_question: Json) -> Json:
    return {"agent": 1, "python": sys.version.split()[0]}


def answer_root(question: Json) -> Json:
    """Check (again) that this pid shows a container's own root."""
    ROOTS.forget(question["pid"])
    return {"ok": bool(ROOTS[question["pid"]] >= 0)}


def answer_stat(question: Json) -> Json:
    """Status of a path; ``follow`` resolves a final symlink inside the lab's root."""
    flags = os.O_PATH | os.O_CLOEXEC | (0 if question.get("follow") else os.O_NOFOLLOW)
    try:
        fd = open_inside(ROOTS[question["pid"]], path_of(question), flags)
    except OSError as error:
        return {"exists": False, "errno": errno.errorcode.get(error.errno or 0, "?")}
    try:
        status = os.fstat(fd)
        answer = {"exists": True, **described(status)}
        if stat.S_ISLNK(status.st_mode):
            answer["target"] = os.readlink("", dir_fd=fd)
        return answer
    finally:
        os.close(fd)


def open_regular(pid: int, path: str) -> int:
    """Open a regular file for reading without ever blocking."""
    fd = open_inside(ROOTS[pid], path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Refused(f"{path} is not a regular file")
    finally:
        os.close(fd)
    fd = open_inside(ROOTS[pid], path, READ)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Refused(f"{path} is not a regular file")
    return fd


def answer_read(question: Json) -> Json:
    """Up to ``limit`` bytes of a regular file from ``offset``, base64."""
    fd = open_regular(question["pid"], path_of(question))
    try:
        data = os.pread(fd, question["limit"], question.get("offset", 0))
        return {"data": base64.b64encode(data).decode(), "size": os.fstat(fd).st_size}
    finally:
        os.close(fd)


def answer_hash(question: Json) -> Json:
    """SHA-256 of a regular file of at most ``limit`` bytes."""
    fd = open_regular(question["pid"], path_of(question))
    try:
        if os.fstat(fd).st_size > question["limit"]:
            raise Refused(f"{question['path']} is larger than {question['limit']} bytes")
        digest = hashlib.sha256()
        while data := os.read(fd, CHUNK):
            digest.update(data)
        return {"sha256": digest.hexdigest()}
    finally:
        os.close(fd)


def answer_list(question: Json) -> Json:
    """Names in a directory, at most ``limit``."""
    fd = open_inside(ROOTS[question["pid"]], path_of(question), READ | os.O_DIRECTORY)
    try:
        names: list[str] = []
        with os.scandir(fd) as entries:
            for entry in entries:
                if len(names) >= question["limit"]:
                    raise Refused(f"{question['path']} has more than {question['limit']} entries")
                names.append(entry.name)
        return {"names": sorted(names)}
    finally:
        os.close(fd)


# -- who can -----------------------------------------------------------------------------

OPENINGS = {
    "read": READ,
    "write": os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY,
    "list": READ | os.O_DIRECTORY,
}


def can_open(root: int, path: str, how: str) -> bool:
    """Let the kernel decide, as whoever this process is now. Only files and directories are opened."""
    try:
        fd = open_inside(root, path, os.O_PATH | os.O_CLOEXEC)
        try:
            mode = os.fstat(fd).st_mode
            if stat.S_ISDIR(mode) and how == "write":
                flags = AT_EACCESS | AT_EMPTY_PATH
                return bool(LIBC.syscall(SYS_FACCESSAT2, fd, b"", os.W_OK | os.X_OK, flags) == 0)
        finally:
            os.close(fd)
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            return False
        os.close(open_inside(root, path, OPENINGS[how]))
    except BlockingIOError:
        return True  # a lease delays the open, but the permission was granted
    except OSError:
        return False
    return True


@contextlib.contextmanager
def acting_as(uid: int, gid: int, groups: list[int]) -> Iterator[None]:
    """Be somebody else to the file system for a moment; the kernel drops our capabilities meanwhile.

    0.02 ms, where a forked process costs 2 to 5. Nobody of that uid can trace us: a process that
    changed its effective uid is not dumpable.
    """
    os.setgroups(groups)
    try:
        os.setresgid(-1, gid, -1)
        os.setresuid(-1, uid, -1)
        yield
    finally:
        os.setresuid(-1, 0, -1)
        os.setresgid(-1, 0, -1)
        os.setgroups([])


def answer_can(question: Json) -> Json:
    """For each [path, how]: may this uid with these groups do that? Answered by the kernel."""
    root = ROOTS[question["pid"]]
    with acting_as(question["uid"], question["gid"], question["groups"]):
        return {"can": [can_open(root, path, how) for path, how in question["items"]]}


# -- processes and sockets ---------------------------------------------------------------


def answer_processes(question: Json) -> Json:
    """Processes of the lab's PID namespace: inner pid, uid, argv, executable's identity."""
    space = os.readlink(f"/proc/{question['pid']}/ns/pid")
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            if os.readlink(f"/proc/{name}/ns/pid") != space:
                continue
            with open(f"/proc/{name}/status", encoding="utf-8", errors="surrogateescape") as file:
                lines = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
            with open(f"/proc/{name}/cmdline", "rb") as file:
                argv = os.fsdecode(file.read(65536)).rstrip("\0").split("\0")
        except OSError:
            continue  # it ended while we looked
        found.append(
            {
                "pid": int(lines["NSpid"].split()[-1]),
                "outer": int(name),
                "uid": int(lines["Uid"].split()[1]),
                "name": lines["Name"],
                "argv": argv,
            }
        )
    return {"processes": found}


def answer_listeners(question: Json) -> Json:
    """Listening TCP sockets of the lab's network namespace as [address, port]."""
    found = []
    for table, words in (("tcp", 1), ("tcp6", 4)):
        try:
            with open(f"/proc/{question['pid']}/net/{table}", encoding="ascii") as file:
                rows = file.read().splitlines()[1:]
        except FileNotFoundError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] != "0A":
                continue
            address, port = fields[1].split(":")
            raw = b"".join(struct.pack("=I", int(address[i * 8 : i * 8 + 8], 16)) for i in range(words))
            found.append([raw.hex(), int(port, 16)])
    return {"listeners": found}


# -- walking -----------------------------------------------------------------------------


class Walked:
    """One path below a lab's root: its directory's descriptor, name, relative path and status."""

    __slots__ = ("directory", "name", "path", "status")

    def __init__(self, directory: int, name: str, path: str, status: os.stat_result) -> None:
        self.directory = directory
        self.name = name
        self.path = path
        self.status = status


def walk(root: int, trouble: list[list[str]], *, live: bool = False) -> Iterator[Walked]:
    """Every path of the root file system, parents first.

    What a restart does not keep (/run, and mounts such as /dev/shm) is walked only when ``live``.
    ``trouble`` collects [path, reason] of what could not be entered: nothing is passed over silently.
    """
    top = openat2(root, ".", READ | os.O_DIRECTORY)
    yield Walked(top, ".", ".", os.fstat(top))
    yield from below(top, "", trouble, live=live)


def below(top: int, prefix: str, trouble: list[list[str]], *, live: bool = False) -> Iterator[Walked]:
    """Every path below an open directory, which is closed at the end."""
    device = os.fstat(top).st_dev
    stack: list[tuple[int, str, Iterator[os.DirEntry[str]]]] = [(top, prefix, os.scandir(top))]
    while stack:
        directory, prefix, entries = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            os.close(directory)
            continue
        path = prefix + entry.name
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError as error:
            trouble.append([path, os.strerror(error.errno or 0)])
            continue
        is_directory = stat.S_ISDIR(status.st_mode)
        if is_directory and status.st_dev != device and not (live and path in LIVE_MOUNTS):
            continue
        yield Walked(directory, entry.name, path, status)
        if not is_directory or (path == VOLATILE and not live):
            continue
        if len(stack) >= MAX_DEPTH:
            trouble.append([path, f"nested deeper than {MAX_DEPTH} directories"])
            continue
        try:
            inner = os.open(entry.name, READ | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
            stack.append((inner, path + "/", os.scandir(inner)))
        except OSError as error:
            trouble.append([path, os.strerror(error.errno or 0)])


Listing = dict[str, tuple[int, int]]


def listing(root: int) -> Listing:
    """(ctime, type) of every path: ctime is beyond a trainee's reach without CAP_SYS_TIME."""
    trouble: list[list[str]] = []
    return {
        item.path: (item.status.st_ctime_ns, stat.S_IFMT(item.status.st_mode)) for item in walk(root, trouble)
    }


def cache_file(key: str) -> str:
    return f"{CACHE}/{re.sub('[^0-9a-zA-Z]', '', key)}"


def load_baseline(key: str) -> Listing | None:
    try:
        with open(cache_file(key), "rb") as file:
            found: Listing = marshal.load(file)  # noqa: S302 - our own file on our own tmpfs
            return found
    except (OSError, EOFError, ValueError):
        return None


def answer_baseline(question: Json) -> Json:
    """Know the pristine image: by its cached listing, else by walking the pristine container ``pid``."""
    known = load_baseline(question["key"])
    if known is None and question.get("pid"):
        known = listing(ROOTS[question["pid"]])
        temporary = f"{cache_file(question['key'])}.{os.getpid()}"
        with open(temporary, "wb") as file:
            marshal.dump(known, file)
        os.replace(temporary, cache_file(question["key"]))
    return {"known": known is not None, "paths": len(known or ())}


def need_baseline(key: str) -> Listing:
    known = load_baseline(key)
    if known is None:
        raise Refused(f"no baseline of image {key}")
    return known


# -- capture -----------------------------------------------------------------------------


class Out:
    """Standard output, buffered; archive bytes travel as length-prefixed chunks."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.dup(1), "wb", buffering=1 << 18)

    def line(self, answer: Json) -> None:
        self._file.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
        self._file.flush()

    def chunk(self, data: bytes) -> None:
        self._file.write(struct.pack(">I", len(data)))
        self._file.write(data)


OUT = Out()


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


def extents(fd: int, size: int) -> list[tuple[int, int]]:
    """[offset, length] of the data of a file; holes are left out."""
    found = []
    position = 0
    while position < size:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            return [(0, size)]
        end = os.lseek(fd, start, os.SEEK_HOLE)
        found.append((start, min(end, size) - start))
        position = end
    return found


class Capture:
    """Writes the changed paths of one machine as a stream of records.

    A record is a length-prefixed JSON head, then the bytes of its extents. What cannot be
    taken is listed by name: a capture that is not whole must never look whole.
    """

    def __init__(self, limit_bytes: int, limit_entries: int) -> None:
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
            if total > self.left:
                self.missed.append([item.path, f"{total} bytes: more than one submission may hold"])
                return
            self.left -= total
            self.bytes += total
            head.update(n=now.st_size, e=found, x=attributes(fd))
            self._emit(head)
            for offset, length in found:
                self._copy(fd, offset, length)
        finally:
            os.close(fd)

    @staticmethod
    def _copy(fd: int, offset: int, length: int) -> None:
        while length:
            data = os.pread(fd, min(CHUNK, length), offset)
            if not data:
                data = bytes(min(CHUNK, length))  # truncated under our eyes: keep the stream in step
            OUT.chunk(data)
            offset += len(data)
            length -= len(data)

    def _emit(self, head: Json) -> None:
        self.entries += 1
        self.entries_left -= 1
        text = json.dumps(head, separators=(",", ":")).encode()
        OUT.chunk(struct.pack(">I", len(text)) + text)


def answer_capture(question: Json) -> Json:
    """Stream every changed path of ``pid``; answer what is gone and what was missed.

    With ``paths``, only those (files, or directories with what they hold) are taken, changed or not.
    """
    root = ROOTS[question["pid"]]
    trouble: list[list[str]] = []
    capture = Capture(question["limit_bytes"], question["limit_entries"])
    OUT.line({"stream": True})
    removed: list[str] = []
    walked = 0
    if "paths" in question:
        for item in chosen(root, question["paths"], trouble):
            walked += 1
            capture.add(item)
    else:
        base = need_baseline(question["key"])
        seen = set()
        for item in walk(root, trouble):
            walked += 1
            seen.add(item.path)
            kind = stat.S_IFMT(item.status.st_mode)
            known = base.get(item.path)
            if known == (item.status.st_ctime_ns, kind) or item.path in ENGINE_FILES:
                continue
            if known is not None and known[1] != kind:
                removed.append(item.path)
            capture.add(item)
        removed += [path for path in base if path not in seen and path not in ENGINE_FILES]
    OUT.chunk(b"")
    return {
        "entries": capture.entries,
        "bytes": capture.bytes,
        "walked": walked,
        "missed": (capture.missed + trouble)[:200],
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


# -- what changed --------------------------------------------------------------------------


class Changed:
    """What differs from an image: (path, known before, status) of each path, and what is gone."""

    def __init__(self, root: int, base: Listing, live: bool) -> None:
        self.items: list[tuple[str, bool, os.stat_result]] = []
        self.trouble: list[list[str]] = []
        seen = set()
        for item in walk(root, self.trouble, live=live):
            seen.add(item.path)
            known = base.get(item.path)
            same = known == (item.status.st_ctime_ns, stat.S_IFMT(item.status.st_mode))
            if not same and item.path not in ENGINE_FILES:
                self.items.append((item.path, known is not None, item.status))
        self.removed = [path for path in base if path not in seen]


# One walk serves every question until the client says that the machine may have changed.
WALKS: dict[tuple[int, str, bool], tuple[str, Changed]] = {}
WALKS_LIMIT = 16


def changed_since(question: Json) -> Changed:
    """The machine's differences to image ``key`` (all its paths without one), at this ``generation``."""
    pid, key, live = question["pid"], question.get("key") or "", question.get("live", False)
    generation: str = question["generation"]
    known = WALKS.get((pid, key, live))
    if known is None or known[0] != generation:
        base = need_baseline(key) if key else {}
        known = (generation, Changed(ROOTS[pid], base, live))
        if len(WALKS) >= WALKS_LIMIT:
            WALKS.clear()
        WALKS[pid, key, live] = known
    return known[1]


def answer_changes(question: Json) -> Json:
    """Paths that differ from the pristine image: [path, known before, status, file capabilities]."""
    found = changed_since(question)
    if len(found.items) > question["limit"]:
        raise Refused(f"more than {question['limit']} paths changed")
    root = ROOTS[question["pid"]]
    return {
        "changed": [
            [path, known, described(status), capabilities(root, path, status)]
            for path, known, status in found.items
        ],
        "removed": found.removed,
        "trouble": found.trouble[:200],
    }


def capabilities(root: int, path: str, status: os.stat_result) -> bool:
    """Whether a regular file carries file capabilities."""
    if not stat.S_ISREG(status.st_mode):
        return False
    try:
        fd = open_inside(root, path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return "security.capability" in attributes(fd)
    finally:
        os.close(fd)


# -- sweeping ------------------------------------------------------------------------------


def trie_pattern(words: list[bytes]) -> bytes:
    """One expression for many literals, as a trie, longest first: far faster than an alternation."""
    trie: dict[int, Any] = {}
    for word in words:
        node = trie
        for byte in word:
            node = node.setdefault(byte, {})
        node[-1] = {}

    def render(node: dict[int, Any]) -> bytes:
        branches = [
            re.escape(bytes([byte])) + render(child) for byte, child in sorted(node.items()) if byte >= 0
        ]
        if not branches:
            return b""
        body = branches[0] if len(branches) == 1 else b"(?:" + b"|".join(branches) + b")"
        return b"(?:" + body + b")?" if -1 in node else body

    return render(trie)


def data_of(fd: int) -> Iterator[bytes]:
    """The data of a file in chunks; holes hold no identifiers and are not read."""
    for start, length in extents(fd, os.fstat(fd).st_size):
        at, end = start, start + length
        while at < end and (data := os.pread(fd, min(CHUNK, end - at), at)):
            yield data
            at += len(data)


class Sweep:
    """Looks for exact strings in files, plain and gzip, within bounds of bytes and time."""

    def __init__(self, strings: list[str], limit_bytes: int, seconds: float) -> None:
        self._words = [os.fsencode(text) for text in strings]
        self._number = {word: index for index, word in enumerate(self._words)}
        self._pattern = re.compile(trie_pattern(self._words)) if self._words else None
        self._overlap = max((len(word) for word in self._words), default=1) - 1
        self.left = limit_bytes
        self.until = time.monotonic() + seconds
        self.notes: list[list[str]] = []

    def path(self, root: int, path: str) -> list[tuple[str, list[int]]]:
        """(container, numbers of the strings found) for each layer of the file at a path."""
        if time.monotonic() > self.until:
            self.notes.append([path, "the sweep's time was up here"])
            return []
        try:
            fd = open_inside(root, path, READ | os.O_NOFOLLOW)
        except OSError as error:
            self.notes.append([path, os.strerror(error.errno or 0)])
            return []
        try:
            return list(self.file(fd, path)) if stat.S_ISREG(os.fstat(fd).st_mode) else []
        finally:
            os.close(fd)

    def file(self, fd: int, path: str) -> Iterator[tuple[str, list[int]]]:
        """(container, numbers of the strings found) for each layer of one file."""
        head = os.pread(fd, 2, 0)
        found = self._scan(data_of(fd), path)
        if found:
            yield "plain", sorted(found)
        if head == GZIP:
            os.lseek(fd, 0, os.SEEK_SET)
            found = self._scan(self._gunzip(fd, path), path)
            if found:
                yield "gz", sorted(found)

    def _scan(self, chunks: Iterator[bytes], path: str) -> set[int]:
        found: set[int] = set()
        tail = b""
        for chunk in chunks:
            self.left -= len(chunk)
            if self.left < 0 or time.monotonic() > self.until:
                self.notes.append([path, "the sweep's limit was reached here"])
                break
            data = tail + chunk
            if self._pattern is not None:
                found.update(self._number[match] for match in self._pattern.findall(data))
            tail = data[-self._overlap :] if self._overlap else b""
        return found

    def _gunzip(self, fd: int, path: str) -> Iterator[bytes]:
        """Decompressed chunks of every member, bounded; damage is a note, not an error."""
        data, ended, unpacker = b"", False, None
        try:
            while True:
                if len(data) < len(GZIP) and not ended:  # a member's first two bytes may be cut apart
                    more = os.read(fd, CHUNK)
                    data, ended = data + more, not more
                    continue
                if unpacker is None:
                    if not data.startswith(GZIP):
                        return  # the end, or padding, which gzip itself passes over
                    unpacker = zlib.decompressobj(31)
                if not data:
                    self.notes.append([path, "damaged gzip data: it ends early"])
                    yield unpacker.flush()
                    return
                yield unpacker.decompress(data, CHUNK)
                data = unpacker.unconsumed_tail
                if unpacker.eof:
                    data, unpacker = unpacker.unused_data, None
        except zlib.error as error:
            self.notes.append([path, f"damaged gzip data: {error}"])


# What a file of this identity held of these strings: files that did not change are read once.
HELD: dict[tuple[Any, ...], list[tuple[str, list[int]]]] = {}


def answer_sweep(question: Json) -> Json:
    """Find strings in the regular files of a machine.

    ``key``: only what changed since that image; without it everything. ``live``: also what a
    restart would not keep, such as /run and /dev/shm.
    """
    root, found = ROOTS[question["pid"]], changed_since(question)
    strings = question["strings"]
    sweep = Sweep(strings, question["limit_bytes"], question["within"])
    asked = hashlib.sha256("\0".join(strings).encode(errors="surrogateescape")).digest()
    hits: list[list[Any]] = []
    files = 0
    for path, _, status in found.items:
        if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
            continue
        files += 1
        identity = (asked, status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size)
        held = HELD.get(identity)
        if held is None:
            noted = len(sweep.notes)
            held = sweep.path(root, path)
            if len(sweep.notes) == noted:  # what was not read to its end is read again the next time
                HELD[identity] = held
        hits += [["/" + path, layer, numbers] for layer, numbers in held]
    if len(HELD) > HELD_LIMIT:
        HELD.clear()
    return {"hits": hits, "files": files, "notes": (sweep.notes + found.trouble)[:200]}


# -- the loop ------------------------------------------------------------------------------

ANSWERS: dict[str, Callable[[Json], Json]] = {
    name.removeprefix("answer_"): function
    for name, function in globals().items()
    if name.startswith("answer_")
}


def answered(question: Json) -> Json:
    """One answer; trouble with a question is told to the client, not raised."""
    try:
        return ANSWERS[question["op"]](question)
    except Refused as error:
        return {"refused": str(error)}
    except FileNotFoundError as error:
        return {"refused": f"gone: {error}", "gone": True}
    except OSError as error:
        return {
            "refused": f"{type(error).__name__}: {error}",
            "errno": errno.errorcode.get(error.errno or 0, "?"),
        }


def main() -> None:
    """Answer until standard input ends."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for line in sys.stdin.buffer:
        OUT.line(answered(json.loads(line)))


if __name__ == "__main__":
    main()
