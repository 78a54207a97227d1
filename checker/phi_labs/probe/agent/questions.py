"""Single questions: files, who may open them, processes, sockets."""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import os
import stat
import struct
import sys
import time
from collections.abc import Iterator

from phi_labs.probe.agent.kernel import READ, Refused, may_make_names, open_inside, permitted
from phi_labs.probe.agent.memory import Memory
from phi_labs.probe.agent.stream import Json

CHUNK = 1 << 20
TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")  # nanoseconds; /proc counts a process's start in ticks
MEMORY_LIMIT = 64 << 20
LOOK_AGAIN = 0.002  # seconds


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


def answer_hello(_memory: Memory, _question: Json) -> Json:
    return {"agent": 1, "python": sys.version.split()[0], "now": time.time_ns()}


def answer_root(memory: Memory, question: Json) -> Json:
    """Check (again) that this pid shows a container's own root."""
    memory.roots.forget(question["pid"])
    return {"ok": bool(memory.roots[question["pid"]] >= 0)}


def answer_stat(memory: Memory, question: Json) -> Json:
    """Status of a path; ``follow`` resolves a final symlink inside the lab's root."""
    flags = os.O_PATH | os.O_CLOEXEC | (0 if question.get("follow") else os.O_NOFOLLOW)
    try:
        fd = open_inside(memory.roots[question["pid"]], question["path"], flags)
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


def answer_await(memory: Memory, question: Json) -> Json:
    """Wait until a path exists and something listens on the ``port``, if one is named; ``within`` seconds.

    Looking here every 2 ms costs a hundredth of a processor, a question for each look a fifth of one.
    """
    until = time.monotonic() + question["within"]
    while not (there := _is_up(memory, question)) and time.monotonic() < until:
        time.sleep(LOOK_AGAIN)
    return {"there": there}


def _is_up(memory: Memory, question: Json) -> bool:
    pid, port = question["pid"], question.get("port")
    if not answer_stat(memory, question)["exists"]:
        return False
    return port is None or any(at == port for _, at, _ in listening_rows(pid))


def open_regular(root: int, path: str) -> int:
    """Open a regular file for reading without ever blocking."""
    fd = open_inside(root, path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Refused(f"{path} is not a regular file")
    finally:
        os.close(fd)
    fd = open_inside(root, path, READ)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Refused(f"{path} is not a regular file")
    return fd


def answer_read(memory: Memory, question: Json) -> Json:
    """Up to ``limit`` bytes of a regular file from ``offset``, base64."""
    fd = open_regular(memory.roots[question["pid"]], question["path"])
    try:
        data = os.pread(fd, question["limit"], question.get("offset", 0))
        return {"data": base64.b64encode(data).decode(), "size": os.fstat(fd).st_size}
    finally:
        os.close(fd)


def answer_hash(memory: Memory, question: Json) -> Json:
    """SHA-256 of a regular file of at most ``limit`` bytes."""
    fd = open_regular(memory.roots[question["pid"]], question["path"])
    try:
        if os.fstat(fd).st_size > question["limit"]:
            raise Refused(f"{question['path']} is larger than {question['limit']} bytes")
        digest = hashlib.sha256()
        while data := os.read(fd, CHUNK):
            digest.update(data)
        return {"sha256": digest.hexdigest()}
    finally:
        os.close(fd)


def answer_list(memory: Memory, question: Json) -> Json:
    """Names in a directory, at most ``limit``."""
    fd = open_inside(memory.roots[question["pid"]], question["path"], READ | os.O_DIRECTORY)
    try:
        names: list[str] = []
        with os.scandir(fd) as entries:
            for entry in entries:
                if len(names) >= question["limit"]:
                    refused = f"{question['path']} has more than {question['limit']} entries"
                    return {"refused": refused, "too_many": True}
                names.append(entry.name)
        return {"names": sorted(names)}
    finally:
        os.close(fd)


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
                return may_make_names(fd)
            if how == "hear":  # a pipe is not opened: whoever writes to it would notice
                return stat.S_ISFIFO(mode) and permitted(fd, os.R_OK)
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


def answer_can(memory: Memory, question: Json) -> Json:
    """For each [path, how]: may this uid with these groups do that? Answered by the kernel.

    With ``looks``, also how each path looks at this moment.
    """
    root = memory.roots[question["pid"]]
    with acting_as(question["uid"], question["gid"], question["groups"]):
        can = [can_open(root, path, how) for path, how in question["items"]]
    return {"can": can, **({"looks": looks(root, question["items"])} if question.get("looks") else {})}


def looks(root: int, items: list[list[str]]) -> list[list[int] | None]:
    """What decides who can open each path, and when it changed; None where there is nothing."""
    found: list[list[int] | None] = []
    for path, _ in items:
        try:
            fd = open_inside(root, path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            found.append(None)
            continue
        found.append(look_of(os.fstat(fd)))
        os.close(fd)
    return found


def look_of(status: os.stat_result) -> list[int]:
    """Times of the last change of a file and of its content, then mode, owner and group."""
    return [status.st_ctime_ns, status.st_mtime_ns, status.st_mode, status.st_uid, status.st_gid]


def lab_processes(pid: int) -> Iterator[str]:
    """/proc names of the processes in the PID namespace of ``pid``."""
    space = os.readlink(f"/proc/{pid}/ns/pid")
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):  # it ended while we looked
            if name.isdigit() and os.readlink(f"/proc/{name}/ns/pid") == space:
                yield name


def answer_processes(_memory: Memory, question: Json) -> Json:
    """Processes of the lab's PID namespace: inner pid, uid, argv, start, and the program by its path."""
    found = []
    booted = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    for name in lab_processes(question["pid"]):
        try:
            with open(f"/proc/{name}/status", encoding="utf-8", errors="surrogateescape") as file:
                lines = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
            with open(f"/proc/{name}/cmdline", "rb") as file:
                argv = os.fsdecode(file.read(65536)).rstrip("\0").split("\0")
            with open(f"/proc/{name}/stat", "rb") as file:
                ticks = int(file.read().rpartition(b")")[2].split()[19])
        except OSError:
            continue  # it ended while we looked
        program = ""  # one that has ended and waits for its parent has none
        with contextlib.suppress(OSError):
            program = os.readlink(f"/proc/{name}/exe")
        found.append(
            {
                "started": booted + ticks * TICK,
                "pid": int(lines["NSpid"].split()[-1]),
                "outer": int(name),
                "uid": int(lines["Uid"].split()[1]),
                "name": lines["Name"],
                "argv": argv,
                "program": program,
            }
        )
    return {"processes": found}


def answer_servers(_memory: Memory, question: Json) -> Json:
    """Who listens on a TCP port: the program and every file it has mapped, as the kernel names them."""
    found = []
    for name in listening_on(question["pid"], question["port"]):
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/cmdline", "rb") as file:
                title = os.fsdecode(file.read(4096)).rstrip("\0").replace("\0", " ")
            program = os.readlink(f"/proc/{name}/exe")
            found.append({"program": program, "title": title, "mapped": mapped_files(name)})
    return {"servers": found}


def answer_held(_memory: Memory, question: Json) -> Json:
    """For each of some texts: whether a program that listens on a TCP port holds it in its own memory."""
    texts = [base64.b64decode(text) for text in question["texts"]]
    held: set[int] = set()
    for name in listening_on(question["pid"], question["port"]):
        with contextlib.suppress(OSError):  # it ended while we looked
            for data in own_memory(name):
                held.update(number for number, text in enumerate(texts) if text in data)
    return {"held": [number in held for number in range(len(texts))]}


def own_memory(name: str) -> Iterator[bytes]:
    """What a process has written itself, mapping by mapping, up to a limit."""
    left = MEMORY_LIMIT
    with open(f"/proc/{name}/maps", encoding="utf-8", errors="surrogateescape") as file:
        rows = [line.split(maxsplit=2)[:2] for line in file]
    with open(f"/proc/{name}/mem", "rb", buffering=0) as memory:
        for span, rights in rows:
            start, end = (int(edge, 16) for edge in span.split("-"))
            if rights.startswith("rw") and (left := left - (end - start)) > 0:
                memory.seek(start)
                with contextlib.suppress(OSError):  # mapped, and nothing there
                    yield memory.read(end - start)


def listening_on(pid: int, port: int) -> Iterator[str]:
    """/proc names of the lab's processes that have a listening socket of a port."""
    sockets = {f"socket:[{inode}]" for _, at, inode in listening_rows(pid) if at == port}
    for name in lab_processes(pid):
        with contextlib.suppress(OSError):
            folder = f"/proc/{name}/fd"
            if any(os.readlink(f"{folder}/{fd}") in sockets for fd in os.listdir(folder)):
                yield name


def mapped_files(name: str) -> list[str]:
    """Paths of the files that a process has mapped."""
    with open(f"/proc/{name}/maps", encoding="utf-8", errors="surrogateescape") as file:
        fields = (line.rstrip("\n").split(maxsplit=5) for line in file)
        return sorted({row[5] for row in fields if len(row) > 5 and not row[5].startswith("[")})


def listening_rows(pid: int) -> Iterator[tuple[str, int, str]]:
    """(address in hexadecimal, port, inode) of each listening TCP socket of the lab's network namespace."""
    for table, words in (("tcp", 1), ("tcp6", 4)):
        try:
            with open(f"/proc/{pid}/net/{table}", encoding="ascii") as file:
                rows = file.read().splitlines()[1:]
        except FileNotFoundError:
            continue
        for fields in map(str.split, rows):
            if fields[3] == "0A":
                address, port = fields[1].split(":")
                raw = b"".join(struct.pack("=I", int(address[i * 8 : i * 8 + 8], 16)) for i in range(words))
                yield raw.hex(), int(port, 16), fields[9]


def answer_listeners(_memory: Memory, question: Json) -> Json:
    """Listening TCP sockets of the lab's network namespace as [address, port]."""
    return {"listeners": [[address, port] for address, port, _ in listening_rows(question["pid"])]}
