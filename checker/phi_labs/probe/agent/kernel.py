"""Opening paths of a hostile machine: system calls that Python has no words for."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

LIBC = ctypes.CDLL(None, use_errno=True)
SYS_OPENAT2 = 437  # the same number on every architecture
SYS_FACCESSAT2 = 439  # the same; kernel >= 5.8
AT_EACCESS = 0x200
AT_EMPTY_PATH = 0x1000
RESOLVE_IN_ROOT = 0x10
RESOLVE_NO_MAGICLINKS = 0x02
STATX_ATTR_MOUNT_ROOT = 0x2000
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
LONG_PATH = 4000


class Refused(Exception):
    """A question that cannot be answered; the text goes to the client."""


class Ended(Refused):
    """The machine that was asked about is no more: nothing can be said of what it had."""


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


def may_make_names(fd: int) -> bool:
    """Whether this process, as whoever it is now, may make names in an open directory."""
    return permitted(fd, os.W_OK | os.X_OK)


def permitted(fd: int, how: int) -> bool:
    """Whether this process, as whoever it is now, has these rights to what a descriptor stands for."""
    return bool(LIBC.syscall(SYS_FACCESSAT2, fd, b"", how, AT_EACCESS | AT_EMPTY_PATH) == 0)


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
