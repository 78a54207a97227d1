"""passwd, shadow and group files, read as data: no name of a lab is ever resolved by the lab itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from phi_labs.errors import UserError

_SPACE = " \t\v\f\r"  # what the C library passes over
_LONGEST_NUMBER = 100


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
        groups: group name -> gid, by the first line of each name.
        members: group name -> the names that the group file lists, in all lines of that name.
        rows: (group name, gid, names) of every line: a login is given the group of each that lists it.
        duplicates: names that appear again, and uids that several names share.
    """

    users: Mapping[str, Account]
    groups: Mapping[str, int]
    members: Mapping[str, frozenset[str]]
    duplicates: tuple[str, ...] = field(default=())
    rows: tuple[tuple[str, int, frozenset[str]], ...] = field(default=())

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
        return frozenset({account.gid} | {gid for _, gid, names in self.rows if name in names})


def parse_accounts(passwd: str, group: str, shadow: str = "") -> Accounts:
    """Read the three files as the C library does, whatever it would make of a line.

    A line that we passed over and it did not would hide an account.
    """
    locks = _shadow(shadow)
    users: dict[str, Account] = {}
    doubled: list[str] = []
    owners: dict[int, str] = {}
    for fields in _rows(passwd, least=4, most=7):
        name, word, uid, gid = fields[0], fields[1], _number(fields[2]), _number(fields[3])
        if uid is None or gid is None or not name or name[0] in "+-":
            continue
        if name in users:
            doubled.append(f"account {name} appears twice")
            continue
        if uid in owners:
            doubled.append(f"accounts {owners[uid]} and {name} share uid {uid}")
        owners.setdefault(uid, name)
        home, shell = [*fields[5:7], "", ""][:2]
        locked, expired = locks.get(name, (True, False))
        if word != "x":  # a password may also stand here; an empty one asks for none
            locked = word.startswith(("!", "*"))
        users[name] = Account(name, uid, gid, home, shell or "/bin/sh", locked, expired)
    groups: dict[str, int] = {}
    members: dict[str, frozenset[str]] = {}
    rows = []
    for fields in _rows(group, least=3, most=4):
        number = _number(fields[2])
        if number is None:
            continue
        names = frozenset(filter(None, (name.lstrip(_SPACE) for name in "".join(fields[3:]).split(","))))
        rows.append((fields[0], number, names))
        groups.setdefault(fields[0], number)
        members[fields[0]] = members.get(fields[0], frozenset()) | names
    return Accounts(users, groups, members, tuple(doubled), tuple(rows))


def _rows(text: str, *, least: int, most: int) -> list[list[str]]:
    """Fields of each line; the last one holds what is left, colons included."""
    lines = (line.partition("\0")[0].lstrip(_SPACE) for line in text.split("\n"))
    rows = (line.split(":", most - 1) for line in lines if line and not line.startswith("#"))
    return [row for row in rows if len(row) >= least]


def _number(text: str) -> int | None:
    """As strtoul reads it, blanks and a sign before it included; None for what is no 32 bits."""
    bare = text.lstrip(_SPACE)
    minus = bare.startswith("-")
    digits = bare[bare.startswith(("+", "-")) :]
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _LONGEST_NUMBER:
        return None
    number = -int(digits) if minus else int(digits)
    return number if 0 <= number < 1 << 32 else None


def _shadow(text: str) -> dict[str, tuple[bool, bool]]:
    """Name -> (no password opens it, the account has expired)."""
    found: dict[str, tuple[bool, bool]] = {}
    for fields in _rows(text, least=2, most=9):
        expires = _number(fields[7]) if len(fields) > 7 else None
        # Past their expiry (days since 1970) accounts refuse keys, too; 0 and 1 are the usual lock.
        expired = expires is not None and expires <= 1
        found.setdefault(fields[0], (fields[1].startswith(("!", "*")), expired))
    return found
