"""passwd, shadow and group files, read as data: no name of a lab is ever resolved by the lab itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from phi_labs.errors import UserError


@dataclass(frozen=True)
class Account:
    """One line of passwd; ``locked`` says that no password opens it (shadow), not that no key does."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str
    password_locked: bool = True
    expired: bool = False


@dataclass(frozen=True)
class Accounts:
    """The accounts and groups of one machine.

    Attributes:
        users: the first line of passwd for each name, as the C library would find it.
        groups: group name -> gid.
        members: group name -> the names that the group file lists.
        duplicates: names that appear again, and uids that several names share.
    """

    users: Mapping[str, Account]
    groups: Mapping[str, int]
    members: Mapping[str, frozenset[str]]
    duplicates: tuple[str, ...] = field(default=())

    def user(self, name: str) -> Account:
        """The account of that name; UserError when there is none."""
        if name not in self.users:
            raise UserError(f"there is no account {name!r} on this machine")
        return self.users[name]

    def gid(self, name: str) -> int:
        """The number of a group; UserError when there is none."""
        if name not in self.groups:
            raise UserError(f"there is no group {name!r} on this machine")
        return self.groups[name]

    def groups_of(self, name: str) -> frozenset[str]:
        """Names of the account's primary and other groups."""
        account = self.user(name)
        primary = {group for group, gid in self.groups.items() if gid == account.gid}
        return frozenset(primary | {group for group, names in self.members.items() if name in names})

    def gids_of(self, name: str) -> frozenset[int]:
        """Numbers of the account's primary and other groups."""
        account = self.user(name)
        return frozenset(
            {account.gid} | {self.groups[group] for group, names in self.members.items() if name in names}
        )


def parse_accounts(passwd: str, group: str, shadow: str = "") -> Accounts:
    """Read the three files; lines that make no sense are passed over, as the C library does."""
    locks = _shadow(shadow)
    users: dict[str, Account] = {}
    doubled: list[str] = []
    owners: dict[int, str] = {}
    for fields in _rows(passwd, 7):
        name, uid, gid = fields[0], _number(fields[2]), _number(fields[3])
        if uid is None or gid is None or not name or name[0] in "+-":
            continue
        if name in users:
            doubled.append(f"account {name} appears twice")
            continue
        if uid in owners:
            doubled.append(f"accounts {owners[uid]} and {name} share uid {uid}")
        owners.setdefault(uid, name)
        locked, expired = locks.get(name, (True, False))
        users[name] = Account(name, uid, gid, fields[5], fields[6] or "/bin/sh", locked, expired)
    groups: dict[str, int] = {}
    members: dict[str, frozenset[str]] = {}
    for fields in _rows(group, 4):
        number = _number(fields[2])
        if number is not None and fields[0] not in groups:
            groups[fields[0]] = number
            members[fields[0]] = frozenset(filter(None, fields[3].split(",")))
    return Accounts(users, groups, members, tuple(doubled))


def _rows(text: str, width: int) -> list[list[str]]:
    rows = (line.split(":") for line in text.splitlines() if line and not line.startswith("#"))
    return [row for row in rows if len(row) == width]


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _shadow(text: str) -> dict[str, tuple[bool, bool]]:
    """Name -> (no password opens it, the account has expired)."""
    found: dict[str, tuple[bool, bool]] = {}
    for fields in _rows(text, 9):
        expires = _number(fields[7])
        # Past their expiry (days since 1970) accounts refuse keys, too; 0 and 1 are the usual lock.
        found[fields[0]] = (fields[1].startswith(("!", "*")), expires is not None and expires <= 1)
    return found
