"""The hands inside a fresh container: remove, unpack, start the boot, run commands.

Started by the engine in a container that is still pristine, with its own pristine Python and
this source passed on the command line, before anything of a trainee arrives. Everything it
needs is imported by then, so a replaced /usr cannot change it. It holds no secrets, and what
it reports about commands is a hint only: effects are read by the probe.

JSON lines in, JSON lines out; archives follow as length-prefixed chunks. Standard library only.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import os
import select
import signal
import stat
import struct
import subprocess
import sys
import time
from typing import Any, BinaryIO

Json = dict[str, Any]

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
TOLD = 300  # letters of a path
BUSY = (errno.EBUSY, errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Tree:
    """Places below /, reached one component at a time, never through a symlink."""

    def __init__(self) -> None:
        self._top = os.open("/", DIRECTORY)
        self._path: list[str] = []
        self._fds: list[int] = []

    def parent(self, path: str) -> tuple[int, str]:
        """Descriptor of the directory that holds ``path``, and the last name."""
        parts = path.split("/")
        wanted, name = parts[:-1], parts[-1]
        same = 0
        while same < min(len(wanted), len(self._path)) and wanted[same] == self._path[same]:
            same += 1
        self._drop(same)
        for part in wanted[same:]:
            self._fds.append(os.open(part, DIRECTORY, dir_fd=self._fds[-1] if self._fds else self._top))
            self._path.append(part)
        return (self._fds[-1] if self._fds else self._top), name

    def reset(self) -> None:
        """Forget what is open: the tree below may have changed."""
        self._drop(0)

    def _drop(self, keep: int) -> None:
        while len(self._fds) > keep:
            os.close(self._fds.pop())
            self._path.pop()


def remove_all(tree: Tree, paths: list[str]) -> list[list[str]]:
    """Remove paths (deepest first), whole trees where a directory is named; return what resisted."""
    resisted = []
    for path in paths:
        try:
            directory, name = tree.parent(path)
            remove(directory, name)
        except OSError as error:
            if error.errno not in BUSY:
                resisted.append([path, os.strerror(error.errno or 0)])
    tree.reset()
    return resisted


def remove(directory: int, name: str) -> None:
    """Remove one entry; a directory with all it holds."""
    if not stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode):
        os.unlink(name, dir_fd=directory)
        return
    try:
        os.rmdir(name, dir_fd=directory)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        inner = os.open(name, DIRECTORY, dir_fd=directory)
        try:
            for entry in os.listdir(inner):
                remove(inner, entry)
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=directory)


class Chunks:
    """The bytes of an archive that arrives as length-prefixed chunks; read like a file."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._data = b""
        self._at = 0
        self.ended = False

    def exactly(self, size: int) -> bytes:
        """Exactly ``size`` bytes, fewer only at the end of the archive."""
        while len(self._data) - self._at < size and not self.ended:
            more = self._next()
            self._data = self._data[self._at :] + more
            self._at = 0
        data = self._data[self._at : self._at + size]
        self._at += len(data)
        return data

    def drain(self) -> None:
        """Read the rest and throw it away, so that the next request is found."""
        while not self.ended:
            self._next()

    def _next(self) -> bytes:
        (length,) = struct.unpack(">I", self._source.read(4))
        if length == 0:
            self.ended = True
            return b""
        return self._source.read(length)


class Unpacker:
    """Brings the records of a capture to this machine's file system, exactly."""

    def __init__(self, tree: Tree, chunks: Chunks) -> None:
        self._tree = tree
        self._chunks = chunks
        self._times: list[tuple[str, int]] = []
        self.errors: list[list[str]] = []
        self.entries = 0

    def unpack(self) -> None:
        while head := self._head():
            self.entries += 1
            try:
                self._place(head)
            except OSError as error:
                self.errors.append([head["p"], f"{os.strerror(error.errno or 0)}"])
        for path, mtime in reversed(self._times):
            self._set_time(path, mtime)
        self._tree.reset()

    def _head(self) -> Json | None:
        prefix = self._chunks.exactly(4)
        if len(prefix) < 4:
            return None
        head: Json = json.loads(self._chunks.exactly(struct.unpack(">I", prefix)[0]))
        return head

    def _place(self, head: Json) -> None:
        data_left = [tuple(extent) for extent in head.get("e", ())]
        try:
            if "h" in head:
                self._hard_link(head)
                return
            if head["p"] == ".":
                self._finish(os.open("/", DIRECTORY), head)
                return
            directory, name = self._tree.parent(head["p"])
            kind = stat.S_IFMT(head["m"])
            if kind == stat.S_IFDIR:
                self._directory(directory, name, head)
                return
            if kind == stat.S_IFREG:
                fd = self._new_file(directory, name)
                if head["n"]:
                    os.truncate(fd, head["n"])
                while data_left:
                    self._write(fd, *data_left.pop(0))
                self._finish(fd, head)
                return
            self._clear(directory, name)
            if kind == stat.S_IFLNK:
                os.symlink(head["l"], name, dir_fd=directory)
                os.chown(name, head["u"], head["g"], dir_fd=directory, follow_symlinks=False)
                os.utime(name, ns=(head["t"], head["t"]), dir_fd=directory, follow_symlinks=False)
            else:
                device = os.makedev(*head["r"]) if "r" in head else 0
                os.mknod(name, kind | 0o600, device, dir_fd=directory)
                fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
                self._finish(fd, head, f"/proc/self/fd/{fd}")
        finally:
            for _, length in data_left:  # an entry that failed half-way: stay in step with the stream
                self._skip(length)

    def _hard_link(self, head: Json) -> None:
        source_directory, source = self._tree.parent(head["h"])
        source_fd = os.open(source, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source_directory)
        try:
            directory, name = self._tree.parent(head["p"])
            self._clear(directory, name)
            os.link(f"/proc/self/fd/{source_fd}", name, dst_dir_fd=directory, follow_symlinks=True)
        finally:
            os.close(source_fd)

    def _directory(self, directory: int, name: str, head: Json) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=directory)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode):
                os.unlink(name, dir_fd=directory)
                os.mkdir(name, 0o700, dir_fd=directory)
        self._finish(os.open(name, DIRECTORY, dir_fd=directory), head)
        self._times.append((head["p"], head["t"]))

    @staticmethod
    def _clear(directory: int, name: str) -> None:
        try:
            remove(directory, name)
        except FileNotFoundError:
            return

    def _new_file(self, directory: int, name: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            return os.open(name, flags, 0o600, dir_fd=directory)
        except FileExistsError:
            self._clear(directory, name)
            return os.open(name, flags, 0o600, dir_fd=directory)

    def _finish(self, fd: int, head: Json, link: str = "") -> None:
        """Owner, attributes, mode and time of what was made, in the order that keeps all of them.

        What was not really opened is reached by a link to its descriptor.
        """
        place = link or fd
        try:
            os.chown(place, head["u"], head["g"])
            wanted = head.get("x", {})
            for name in self._attribute_names(place):
                if name not in wanted:
                    os.removexattr(place, name)
            os.chmod(place, stat.S_IMODE(head["m"]))
            for name, value in wanted.items():
                os.setxattr(place, name, base64.b64decode(value))
            os.utime(place, ns=(head["t"], head["t"]))
        finally:
            os.close(fd)

    @staticmethod
    def _attribute_names(place: str | int) -> list[str]:
        try:
            return os.listxattr(place)
        except OSError:
            return []

    def _write(self, fd: int, offset: int, length: int) -> None:
        while length:
            data = self._chunks.exactly(min(length, 1 << 18))
            if not data:
                raise OSError(errno.EIO, "the archive ended early")
            length -= len(data)
            while data:
                written = os.pwrite(fd, data, offset)
                offset += written
                data = data[written:]

    def _skip(self, length: int) -> None:
        while length:
            length -= len(self._chunks.exactly(min(length, 1 << 18))) or length

    def _set_time(self, path: str, mtime: int) -> None:
        try:
            directory, name = self._tree.parent(path)
            os.utime(name, ns=(mtime, mtime), dir_fd=directory, follow_symlinks=False)
        except OSError as error:
            self.errors.append([path, os.strerror(error.errno or 0)])


def add_host_lines(lines: list[str]) -> None:
    """Re-apply the host lines that the trainee had added; the file itself belongs to the engine."""
    if lines:
        with open("/etc/hosts", "a", encoding="utf-8", errors="surrogateescape") as file:
            file.write("".join(line + "\n" for line in lines))


def apply(question: Json, source: BinaryIO) -> Json:
    """Bring this machine to a submitted state: removals first, then the archive."""
    tree = Tree()
    resisted = remove_all(tree, question["removed"])
    chunks = Chunks(source)
    unpacker = Unpacker(tree, chunks)
    try:
        unpacker.unpack()
    finally:
        chunks.drain()
    add_host_lines(question.get("host_lines", []))
    return {
        "entries": unpacker.entries,
        "errors": [[path[:TOLD], why] for path, why in (resisted + unpacker.errors)[:100]],
    }


def start(argv: list[str]) -> Json:
    """Start a process that may outlive us (the boot); ``poll`` tells how it ended."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            null = os.open("/dev/null", os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            os.umask(0o022)
            os.execve(argv[0], argv, ENVIRONMENT)
        finally:
            os._exit(127)
    return {"pid": pid}


def poll(pid: int) -> Json:
    """Whether a started process still runs, and its exit code."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return {"exit_code": os.waitstatus_to_exitcode(status) if ended else None}


ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/",
}


def run(question: Json) -> Json:
    """Run a command as numeric uid, gid and groups, under a time and an output limit.

    A program that is not there, or cannot be run, ends as in a shell: 127 or 126.
    """
    try:
        return ran(question)
    except OSError as error:
        text = base64.b64encode(f"{question['argv'][0]}: {os.strerror(error.errno or 0)}\n".encode()).decode()
        code = 127 if error.errno == errno.ENOENT else 126
        return {"exit_code": code, "timed_out": False, "stdout": "", "stderr": text}


def ran(question: Json) -> Json:
    """How a command ended that could be started."""
    others: Json = {}
    if question["uid"] or question["gid"]:  # as ourselves nothing is set: an interpreter may not
        others = {
            "user": question["uid"],
            "group": question["gid"],
            "extra_groups": question["groups"],
        }
    process = subprocess.Popen(
        question["argv"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**ENVIRONMENT, **question.get("env", {})},
        cwd=question.get("cwd", "/"),
        **others,
        start_new_session=True,
        umask=0o022,
    )
    outputs, timed_out = collect(process, base64.b64decode(question.get("stdin", "")), question)
    if timed_out:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            timed_out = True
    code = process.wait()
    return {
        "exit_code": code,
        "timed_out": timed_out,
        "stdout": base64.b64encode(outputs[0]).decode(),
        "stderr": base64.b64encode(outputs[1]).decode(),
    }


def collect(process: subprocess.Popen[Any], given: bytes, question: Json) -> tuple[list[bytes], bool]:
    """Feed and read a process until it ends, its time is up or it said too much.

    The command's own end counts, not that of its outputs: a daemon it started may keep them open.
    """
    pipes = (process.stdin, process.stdout, process.stderr)
    stdin, stdout, stderr = (pipe.fileno() for pipe in pipes if pipe is not None)
    ended = os.pidfd_open(process.pid)
    said = {stdout: bytearray(), stderr: bytearray()}
    limit = question.get("output_limit", 1 << 20)
    until = time.monotonic() + question["timeout"]
    waiting = [ended, stdout, stderr]
    for fd in (stdin, stdout, stderr):
        os.set_blocking(fd, False)
    feeding = feed(stdin, given, process) if given else end_input(process)
    try:
        while ended in waiting:
            left = until - time.monotonic()
            if left <= 0 or sum(map(len, said.values())) > limit:
                return [bytes(text[:limit]) for text in said.values()], True
            ready, writable, _ = select.select(waiting, [stdin] if feeding else [], [], left)
            if writable:
                feeding = feed(stdin, feeding, process)
            for fd in ready:
                if fd == ended or not drain(fd, said[fd]):
                    waiting.remove(fd)
    finally:
        os.close(ended)
    for fd, text in said.items():
        drain(fd, text)
    return [bytes(text[:limit]) for text in said.values()], False


def feed(stdin: int, given: bytes, process: subprocess.Popen[Any]) -> bytes:
    """Write some of the input; return what is left, closing the pipe at its end."""
    try:
        given = given[os.write(stdin, given) :]
    except BlockingIOError:
        return given
    except BrokenPipeError:
        given = b""
    return given or end_input(process)


def end_input(process: subprocess.Popen[Any]) -> bytes:
    """Close the command's input; return what is left of it: nothing."""
    if process.stdin is not None:
        process.stdin.close()
    return b""


def drain(fd: int, text: bytearray) -> bool:
    """Take what is there; False at the end of the output."""
    try:
        data = os.read(fd, 1 << 16)
    except BlockingIOError:
        return True
    text += data
    return bool(data)


def write(question: Json) -> Json:
    """Put a new regular file where the path says; whatever had that name goes, a symlink too."""
    path = question["path"]
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as target:
        target.write(base64.b64decode(question["content"]))
        os.fchown(fd, question["uid"], question["gid"])
        os.fchmod(fd, question["mode"])
    return {}


def answered(question: Json, source: BinaryIO) -> Json:
    """One answer; trouble is told to the client."""
    requests = {
        "apply": lambda: apply(question, source),
        "start": lambda: start(question["argv"]),
        "poll": lambda: poll(question["pid"]),
        "run": lambda: run(question),
        "write": lambda: write(question),
    }
    if question["op"] not in requests:
        return {"refused": f"unknown request {question['op']!r}"}
    try:
        return requests[question["op"]]()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return {"refused": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Answer until standard input ends."""
    # Not SIG_IGN: whatever is started here would inherit that, and no service or script could be ended.
    signal.signal(signal.SIGTERM, lambda *_: None)
    out = os.dup(1)
    source = os.fdopen(os.dup(0), "rb", buffering=1 << 18)
    os.umask(0)
    os.write(out, b'{"ready":true}\n')
    while line := source.readline():
        data = json.dumps(answered(json.loads(line), source), separators=(",", ":")).encode() + b"\n"
        while data:
            data = data[os.write(out, data) :]


if __name__ == "__main__":
    sys.setrecursionlimit(5000)
    main()
