"""Every path below a root, what is known of a pristine image, and what differs from it."""

from __future__ import annotations

import marshal
import os
import re
import stat
from collections.abc import Generator, Iterator
from contextlib import closing

from phi_labs.probe.agent.kernel import READ, is_mount_root, openat2

# Written by engine and boot, never by the image; lines added to /etc/hosts travel separately. A sweep looks
# into them as into all others.
ENGINE_FILES = frozenset({"etc/hosts", "etc/hostname", "etc/resolv.conf"})
# The engine's own first process, mounted from its machine: an upgrade there is no change of any lab. Only the
# mount is passed over; a file that somebody puts in its place is not.
ENGINE_PROGRAMS = frozenset({"usr/sbin/docker-init", "sbin/docker-init"})
# Emptied at every boot, so it is no part of what survives a restart.
VOLATILE = "run"
LIVE_MOUNTS = frozenset({"dev", "dev/shm", "dev/mqueue"})
MAX_DEPTH = 1500
# What is remembered of a machine: many times what any lab has, and little enough for the probe.
MAX_PATHS = 200_000
MAX_PATH_BYTES = 32 << 20
TOLD_OF_PATH = 600
CUT = "more paths than can be looked at"
# ctime, mode, uid, gid of each path of an image: ctime is beyond a trainee's reach without CAP_SYS_TIME.
Known = tuple[int, int, int, int]
Listing = dict[str, Known]


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
    paths, size = 0, 0
    with closing(below(top, "", trouble, live=live)) as walked:
        for item in walked:
            if item.path in ENGINE_PROGRAMS and _is_mount(item):
                continue
            paths, size = paths + 1, size + len(item.path)
            if paths > MAX_PATHS or size > MAX_PATH_BYTES:
                trouble.append([item.path, CUT])
                return
            yield item


def _is_mount(item: Walked) -> bool:
    try:
        fd = os.open(item.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=item.directory)
    except OSError:  # moved meanwhile: as any other path
        return False
    try:
        return is_mount_root(fd)
    finally:
        os.close(fd)


def is_cut(trouble: list[list[str]]) -> bool:
    """Whether a walk ended before it had seen everything."""
    return bool(trouble) and trouble[-1][1] == CUT


def told(trouble: list[list[str]], limit: int) -> list[list[str]]:
    """The first of these [path, reason], each path so long that it can be told."""
    return [[shortened(path), reason] for path, reason in trouble[:limit]]


def shortened(path: str) -> str:
    """A path without its middle when it is very long: one alone may have 380,000 letters."""
    return (
        path if len(path) <= TOLD_OF_PATH else f"{path[: TOLD_OF_PATH // 2]}...{path[-TOLD_OF_PATH // 2 :]}"
    )


def below(
    top: int, prefix: str, trouble: list[list[str]], *, live: bool = False
) -> Generator[Walked, None, None]:
    """Every path below an open directory, which is closed at the end."""
    device = os.fstat(top).st_dev
    stack: list[tuple[int, str, Iterator[os.DirEntry[str]]]] = [(top, prefix, os.scandir(top))]
    try:
        yield from _descended(stack, device, trouble, live=live)
    finally:
        for directory, _, _ in stack:
            os.close(directory)


def _descended(
    stack: list[tuple[int, str, Iterator[os.DirEntry[str]]]],
    device: int,
    trouble: list[list[str]],
    *,
    live: bool,
) -> Iterator[Walked]:
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
        elsewhere = is_directory and status.st_dev != device
        if elsewhere and not (live and _in_live_mount(directory, path, status)):
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


def _in_live_mount(directory: int, path: str, status: os.stat_result) -> bool:
    """Whether a directory of another file system is one of ours to walk, or lies in one."""
    return path in LIVE_MOUNTS or status.st_dev == os.fstat(directory).st_dev


def listing(root: int) -> Listing:
    """What is known of every path."""
    trouble: list[list[str]] = []
    return {item.path: known_of(item.status) for item in walk(root, trouble)}


def known_of(status: os.stat_result) -> Known:
    return status.st_ctime_ns, status.st_mode, status.st_uid, status.st_gid


def cache_file(cache: str, key: str) -> str:
    return f"{cache}/{re.sub('[^0-9a-zA-Z]', '', key)}"


def load_baseline(cache: str, key: str) -> Listing | None:
    try:
        with open(cache_file(cache, key), "rb") as file:
            found: Listing = marshal.load(file)  # noqa: S302 - our own file on our own tmpfs
            return found
    except (OSError, EOFError, ValueError):
        return None


class Changed:
    """What differs from an image: (path, known before, status) of each path, and what is gone."""

    def __init__(self, root: int, base: Listing, live: bool) -> None:
        self.items: list[tuple[str, bool, os.stat_result]] = []
        self.trouble: list[list[str]] = []
        seen = set()
        for item in walk(root, self.trouble, live=live):
            seen.add(item.path)
            known = base.get(item.path)
            if known != known_of(item.status):
                self.items.append((item.path, known is not None, item.status))
        self.cut = is_cut(self.trouble)
        self.removed = [path for path in base if path not in seen]
