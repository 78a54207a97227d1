"""Files of a machine as checks see them, read by the probe."""

from __future__ import annotations

import stat
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phi_labs.grading.host.files import Files

CONTENT_LIMIT = 4 * 1024 * 1024
HASH_LIMIT = 64 * 1024 * 1024


class HostFile:
    """One path; symlinks on the way and at its end are followed inside the machine only.

    ``is_symlink`` and ``linked_to`` speak of the path itself.
    """

    def __init__(self, host: Files, path: str) -> None:
        self._host = host
        self.path = path

    def __repr__(self) -> str:
        return f"<file {self.path}>"

    @cached_property
    def _own(self) -> dict[str, Any]:
        return self._host.question("stat", path=self.path, follow=False)

    @cached_property
    def _target(self) -> dict[str, Any]:
        return self._host.question("stat", path=self.path, follow=True)

    @property
    def exists(self) -> bool:
        """Whether the path leads to something."""
        return bool(self._target["exists"])

    @property
    def type(self) -> int:
        """The file type bits (``stat.S_IFREG`` ...) of what the path leads to, 0 when it is missing."""
        return stat.S_IFMT(self._target["mode"]) if self.exists else 0

    @property
    def is_file(self) -> bool:
        """Whether it leads to a regular file."""
        return self.type == stat.S_IFREG

    @property
    def is_directory(self) -> bool:
        """Whether it leads to a directory."""
        return self.type == stat.S_IFDIR

    @property
    def is_symlink(self) -> bool:
        """Whether the path itself is a symbolic link."""
        return bool(self._own["exists"]) and stat.S_ISLNK(self._own["mode"])

    @property
    def linked_to(self) -> str:
        """What the symbolic link says, empty when it is none."""
        return str(self._own.get("target", ""))

    @property
    def mode(self) -> int:
        """Permission bits."""
        return stat.S_IMODE(self._known("mode"))

    @property
    def uid(self) -> int:
        """Owner's number."""
        return self._known("uid")

    @property
    def gid(self) -> int:
        """Group's number."""
        return self._known("gid")

    @property
    def user(self) -> str:
        """Owner's name in the machine's own passwd, the number as text when it has none."""
        names = (account.name for account in self._host.accounts.users.values() if account.uid == self.uid)
        return next(names, str(self.uid))

    @property
    def group(self) -> str:
        """Group's name in the machine's own group file, the number as text when it has none."""
        names = (name for name, gid in self._host.accounts.groups.items() if gid == self.gid)
        return next(names, str(self.gid))

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self._known("size")

    @property
    def mtime(self) -> float:
        """Time of the last change of content, seconds since 1970."""
        return self._known("mtime") / 1e9

    @cached_property
    def content(self) -> bytes:
        """The first 4 MiB of a regular file."""
        return self._host.read(self.path, CONTENT_LIMIT)

    @property
    def changed(self) -> float:
        """When content, owner or mode last changed, in seconds since 1970; unlike mtime nobody can set it."""
        return self._known("ctime") / 1e9

    @property
    def content_string(self) -> str:
        """``content`` as text; bytes that are not UTF-8 are replaced."""
        return self.content.decode(errors="replace")

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of a regular file of at most 64 MiB."""
        answer = self._host.question("hash", path=self.path, limit=HASH_LIMIT)
        assert "sha256" in answer, f"{self.path} cannot be read: {answer.get('refused')}"
        return str(answer["sha256"])

    def _known(self, key: str) -> int:
        assert self.exists, f"{self.path} does not exist"
        return int(self._target[key])
