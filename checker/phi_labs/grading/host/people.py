"""Accounts and groups, as the machine's own files say."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any

from phi_labs.grading.host.asked import Asked
from phi_labs.lifecycle.accounts import Account, Accounts, parse_accounts

ACCOUNT_FILE_LIMIT = 1024 * 1024
# Where the image's name service looks; systemd's part of it is not installed and answers nothing.
NAME_SOURCES = ("files", "systemd")
_NAME_SERVICE = re.compile(r"^[ \t]*(passwd|group|shadow|initgroups)[ \t]*:([^#\n]*)", re.MULTILINE)


@dataclass(frozen=True)
class HostUser:
    """An account, as the machine's own passwd, group and shadow files say."""

    name: str
    account: Account | None
    groups: frozenset[str]

    @property
    def exists(self) -> bool:
        """Whether passwd has the name."""
        return self.account is not None

    @property
    def uid(self) -> int:
        """The number; -1 when there is no such account."""
        return self.account.uid if self.account else -1

    @property
    def gid(self) -> int:
        """The primary group's number; -1 when there is no such account."""
        return self.account.gid if self.account else -1

    @property
    def shell(self) -> str:
        """The login shell."""
        return self.account.shell if self.account else ""

    @property
    def home(self) -> str:
        """The home directory."""
        return self.account.home if self.account else ""

    @property
    def locked(self) -> bool:
        """Whether the account has expired, so that even keys do not open it."""
        return self.account is None or self.account.expired

    @property
    def password_locked(self) -> bool:
        """Whether no password opens it."""
        return self.account is None or self.account.password_locked


@dataclass(frozen=True)
class HostGroup:
    """A group, as the machine's own files say; ``members`` includes those with it as primary group."""

    name: str
    gid: int
    members: frozenset[str]

    @property
    def exists(self) -> bool:
        """Whether the group file has the name."""
        return self.gid >= 0


class People(Asked):
    """Who is who on a machine."""

    def user(self, name: str) -> HostUser:
        """An account."""
        known = self.accounts.users.get(name)
        return HostUser(name, known, self.accounts.groups_of(name) if known else frozenset())

    def group(self, name: str) -> HostGroup:
        """A group."""
        gid = self.accounts.groups.get(name, -1)
        primary = {
            account.name for account in self.accounts.users.values() if account.gid == gid and gid >= 0
        }
        return HostGroup(name, gid, frozenset(primary) | self.accounts.members.get(name, frozenset()))

    @property
    def accounts(self) -> Accounts:
        """The machine's passwd, group and shadow files, parsed."""
        accounts: Accounts = self._remembered("accounts", self._read_accounts)
        return accounts

    def _read_accounts(self) -> Accounts:
        texts = []
        for name in ("passwd", "group", "shadow"):
            answer = self.question("read", path=f"/etc/{name}", limit=ACCOUNT_FILE_LIMIT)
            assert "data" in answer, f"/etc/{name} cannot be read"
            assert answer["size"] <= ACCOUNT_FILE_LIMIT, f"/etc/{name} is too large to be read"
            texts.append(_decoded(answer))
        self._expect_plain_name_service()
        return parse_accounts(*texts)

    def _expect_plain_name_service(self) -> None:
        """Accounts come from the files that are read here, and from nowhere else."""
        text = _decoded(self.question("read", path="/etc/nsswitch.conf", limit=ACCOUNT_FILE_LIMIT))
        for database, sources in _NAME_SERVICE.findall(text):
            others = [word for word in sources.split() if word not in NAME_SOURCES]
            assert not others, (
                f"/etc/nsswitch.conf takes {database} from {others[0]}, not from the files alone"
            )

    def _ids(self, user: str | int) -> tuple[int, int, list[int]]:
        if isinstance(user, int):
            return user, user, []
        if user == "root":
            return 0, 0, [0]
        account = self.accounts.users.get(user)
        assert account is not None, f"there is no account {user} on {self.name}"
        return account.uid, account.gid, sorted(self.accounts.gids_of(user))


def _decoded(answer: dict[str, Any]) -> str:
    return base64.b64decode(answer.get("data", "")).decode(errors="surrogateescape")
