"""Every path below a root, what is known of a pristine image, and what differs from it."""

from __future__ import annotations

import marshal
import os
import re
import stat
from collections.abc import Iterator

from phi_labs.probe.agent.kernel import READ, openat2

# Written by the engine itself, never by the trainee's image; host lines travel separately.
ENGINE_FILES = frozenset({"etc/hosts", "etc/hostname", "etc/resolv.conf"})
# Emptied at every boot, so it is no part of what survives a restart.
VOLATILE = "run"
LIVE_MOUNTS = frozenset({"dev", "dev/shm", "dev/mqueue"})
MAX_DEPTH = 1500
Listing = dict[str, tuple[int, int]]


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


def listing(root: int) -> Listing:
    """(ctime, type) of every path: ctime is beyond a trainee's reach without CAP_SYS_TIME."""
    trouble: list[list[str]] = []
    return {
        item.path: (item.status.st_ctime_ns, stat.S_IFMT(item.status.st_mode)) for item in walk(root, trouble)
    }


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
            same = known == (item.status.st_ctime_ns, stat.S_IFMT(item.status.st_mode))
            if not same and item.path not in ENGINE_FILES:
                self.items.append((item.path, known is not None, item.status))
        self.removed = [path for path in base if path not in seen]
