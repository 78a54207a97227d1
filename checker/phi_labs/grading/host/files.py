"""Files, and who may open them."""

from __future__ import annotations

from collections.abc import Sequence

from phi_labs.errors import ProbeError
from phi_labs.grading.files import HostFile
from phi_labs.grading.host.people import People

LIST_LIMIT = 20_000
NO_DIRECTORY = ("ENOTDIR", "ELOOP", "ENAMETOOLONG")


class AsUser:
    """What an account may do directly; sudo and set-id helpers are asked about separately."""

    def __init__(self, host: Files, user: str) -> None:
        self._host = host
        self._user = user

    def can_read(self, path: str) -> bool:
        """Whether the kernel lets it open the file for reading."""
        return self._host.can(self._user, [path], "read")[0]

    def can_write(self, path: str) -> bool:
        """Whether the kernel lets it open the file for writing."""
        return self._host.can(self._user, [path], "write")[0]

    def can_list(self, path: str) -> bool:
        """Whether the kernel lets it list the directory."""
        return self._host.can(self._user, [path], "list")[0]


class Files(People):
    """What lies on a machine, and for whom."""

    def file(self, path: str) -> HostFile:
        """A file or directory."""
        file: HostFile = self._remembered(("file", path), lambda: HostFile(self, path))
        return file

    def listing(self, path: str) -> list[str]:
        """Names in a directory, sorted; none when it is no directory."""
        answer = self.question("list", path=path, limit=LIST_LIMIT)
        nothing = answer.get("gone") or answer.get("errno") in NO_DIRECTORY
        assert "names" in answer or nothing, f"{path} cannot be listed"
        names: list[str] = answer.get("names", [])
        return names

    def read(self, path: str, limit: int) -> bytes:
        """Up to ``limit`` bytes of a regular file; a failed expectation when there is none."""
        try:
            return self._probe.read(self._machine.pid, path, limit)
        except ProbeError as error:
            raise AssertionError(f"{path} cannot be read") from error

    def as_user(self, name: str) -> AsUser:
        """Look at the machine as an account."""
        return AsUser(self, name)

    def can(self, user: str, paths: Sequence[str], how: str) -> list[bool]:
        """For each path: does the kernel let the account do that? False for an unknown account."""
        account = self.accounts.users.get(user)
        if account is None:
            return [False] * len(paths)
        asked = [path for path in paths if ("can", user, path, how) not in self._memory]
        if asked:
            gids = self.accounts.gids_of(user)
            items = [(path, how) for path in asked]
            verdicts = self._probe.can(self._machine.pid, account.uid, account.gid, gids, items)
            for path, verdict in zip(asked, verdicts, strict=True):
                self._memory["can", user, path, how] = verdict
        return [self._memory["can", user, path, how] for path in paths]
