"""What differs from the pristine image."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phi_labs.grading.host.asked import Asked

LIMIT = 200_000
HASH_LIMIT = 64 * 1024 * 1024
# Where programs, libraries and what decides about logins live.
PROGRAM_PLACES = ("/usr", "/bin", "/sbin", "/lib", "/lib64")
LIBRARY_PLACES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
# Programs that take part in a login, and folders that would take them elsewhere if they were turned.
LOGIN_PROGRAMS = frozenset({"sshd", "sftp-server", "nc", "nc.openbsd", "sh", "dash", "bash", "login", "env"})
FOLDERS = frozenset({"/usr", "/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local", *LIBRARY_PLACES})
LOGIN_PLACES = (
    "/etc/ld.so.preload",
    "/etc/ld.so.conf",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf.d",
    "/etc/nsswitch.conf",
    "/etc/pam.d",
    "/etc/security",
)


@dataclass(frozen=True, slots=True)
class Change:
    """One path that is not as in the image."""

    path: str
    was_there: bool
    mode: int
    uid: int
    gid: int
    size: int
    capabilities: bool


class Changes:
    """All differences between a machine and the image it was made from (what was planted included)."""

    def __init__(self, host: Asked, answer: dict[str, Any]) -> None:
        self._host = host
        self.changes: Sequence[Change] = [Change("/" + path, *rest) for path, *rest in answer["changed"]]
        self.removed: tuple[str, ...] = tuple("/" + path for path in answer["removed"])

    @property
    def added(self) -> tuple[str, ...]:
        """Paths the image does not have."""
        return tuple(change.path for change in self.changes if not change.was_there)

    @property
    def modified(self) -> tuple[str, ...]:
        """Paths of the image whose content or metadata was touched."""
        return tuple(change.path for change in self.changes if change.was_there)

    @property
    def setuid(self) -> tuple[str, ...]:
        """Regular files that run with another's rights and did not do so, as they are, in the image."""
        return tuple(
            change.path for change in self.changes if _sets_id(change.mode) and not self._as_image(change)
        )

    @property
    def capabilities(self) -> tuple[str, ...]:
        """Regular files with file capabilities that are not, as they are, in the image."""
        return tuple(
            change.path for change in self.changes if change.capabilities and not self._as_image(change)
        )

    @property
    def packaged(self) -> tuple[str, ...]:
        """Programs and libraries of the image that are gone, are something else or have other content."""
        differing = [
            change.path
            for change in self.changes
            if change.was_there and _in(change.path, PROGRAM_PLACES) and self._differs(change)
        ]
        return (*differing, *(path for path in self.removed if _in(path, PROGRAM_PLACES)))

    @property
    def login_path(self) -> tuple[str, ...]:
        """Everything that could make the machine's own sshd, PAM or name service lie."""
        configured = [
            change.path for change in self.changes if _in(change.path, LOGIN_PLACES) and self._differs(change)
        ]
        gone = [path for path in self.removed if _in(path, LOGIN_PLACES)]
        libraries = [
            path
            for path in self.added
            if _in(path, PROGRAM_PLACES) and (".so" in path or "/security/" in path)
        ]
        programs = [path for path in self.packaged if _takes_part_in_logins(path)]
        return (*programs, *configured, *gone, *libraries)

    def _differs(self, change: Change) -> bool:
        """Whether a path is new or of another type, or leads or reads elsewhere; owners and modes aside."""
        pristine = self._host.pristine_question("stat", path=change.path, follow=False)
        kind = stat.S_IFMT(change.mode)
        if not pristine["exists"] or stat.S_IFMT(pristine["mode"]) != kind:
            return kind != stat.S_IFDIR or pristine["exists"]
        if kind == stat.S_IFLNK:
            mine = self._host.question("stat", path=change.path, follow=False)
            return bool(mine.get("target") != pristine["target"])
        return kind == stat.S_IFREG and not self._same_content(change.path)

    def _as_image(self, change: Change) -> bool:
        """Whether the image has the same file with the same owner, mode and content."""
        if not change.was_there:
            return False
        pristine = self._host.pristine_question("stat", path=change.path, follow=False)
        same = all(pristine.get(key) == getattr(change, key) for key in ("mode", "uid", "gid", "size"))
        return same and self._same_content(change.path)

    def _same_content(self, path: str) -> bool:
        mine = self._host.question("hash", path=path, limit=HASH_LIMIT).get("sha256")
        return mine is not None and mine == self._host.pristine_question(
            "hash", path=path, limit=HASH_LIMIT
        ).get("sha256")


def _in(path: str, places: Sequence[str]) -> bool:
    """Whether a path is one of the places or below one: each may also have been made a link."""
    return any(path == place or path.startswith(place + "/") for place in places)


def _takes_part_in_logins(path: str) -> bool:
    library = _in(path, LIBRARY_PLACES) and not path.startswith("/usr/lib/python")
    return library or path in FOLDERS or path.rpartition("/")[2] in LOGIN_PROGRAMS


def _sets_id(mode: int) -> bool:
    return stat.S_ISREG(mode) and (bool(mode & stat.S_ISUID) or mode & 0o2010 == 0o2010)
