"""Accounts: that people stay who they were, and that nobody becomes somebody else."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping

from phi_labs.checks.files import text_of
from phi_labs.grading.host import Host

# Where Debian's useradd puts people, and the number that stands for nobody.
FIRST_PERSON, NOBODY = 1000, 65534
SECONDS_OF_A_DAY = 86400
SHADOW_FIELDS, GSHADOW_FIELDS, GROUP_FIELDS = 9, 4, 4
# What can never be a password's hash.
NO_HASH = ("!", "*")


def assert_accounts_unchanged(host: Host, accounts: Mapping[str, tuple[int, str | None]]) -> None:
    """Every account is who it was.

    Args:
        accounts: name -> number and login shell; no shell where it is free.
    """
    for name, (uid, shell) in accounts.items():
        user = host.user(name)
        assert user.exists, f"The account {name} of {host.name} is gone."
        assert user.uid == uid, (
            f"The account {name} of {host.name} has another number than before ({user.uid}, it was {uid})."
        )
        assert shell in (None, user.shell), (
            f"The account {name} of {host.name} has another shell than before: {user.shell}."
        )


def assert_accounts_distinct(host: Host) -> None:
    """No two accounts share a name or a number."""
    assert not host.accounts.duplicates, f"On {host.name}, {'; '.join(host.accounts.duplicates)}."


def assert_nobody_locked_out(host: Host, names: Iterable[str]) -> None:
    """None of the accounts was locked or given an end, and none has to change a password first."""
    shadow = shadow_of(host)
    for name in names:
        assert name in shadow, f"The account {name} of {host.name} is missing from /etc/shadow."
        assert not shadow[name][1].startswith("!"), f"The account {name} of {host.name} is locked."
        assert not shadow[name][7], f"The account {name} of {host.name} has been given an expiry date."
        assert not barred(host, name), f"The account {name} of {host.name} must change its password first."


def assert_nobody_new_has_a_password(host: Host, known: Collection[str] = ()) -> None:
    """No account has a password, but those that may: whoever knows it could become that account."""
    strange = sorted(set(password_hashes(host)) - set(known))
    assert not strange, f"The account {', '.join(strange)} has been given a password."


def assert_own_groups_only(host: Host, keepers: Collection[str] = ("root",)) -> None:
    """Nobody can join a group by a password, or add people to one as its administrator.

    Args:
        keepers: accounts that may have been made administrators of a group.
    """
    for line in text_of(host, "/etc/group").splitlines():
        row = line.split(":")
        told = len(row) == GROUP_FIELDS and row[1] != "x" and row[1][:1] not in ("", *NO_HASH)
        assert not told, f"Anybody with the password can join the group {row[0]}."
    for line in text_of(host, "/etc/gshadow").splitlines():
        row = line.split(":")
        if len(row) == GSHADOW_FIELDS:
            assert row[1][:1] in ("", *NO_HASH), f"Anybody with the password can join the group {row[0]}."
            others = sorted(set(filter(None, row[2].split(","))) - set(keepers))
            assert not others, f"{', '.join(others)} can put people into the group {row[0]}."


def barred(host: Host, name: str) -> bool:
    """Whether PAM refuses log-ins and cron jobs: the account has expired, or must change its password."""
    today = int(time.time() // SECONDS_OF_A_DAY)
    changed, longest, expires = (
        shadow_of(host).get(name, [""] * SHADOW_FIELDS)[number] for number in (2, 4, 7)
    )
    if expires.isdigit() and int(expires) <= today:
        return True
    if changed == "0":
        return True
    return changed.isdigit() and longest.isdigit() and int(changed) + int(longest) < today


def shadow_of(host: Host) -> dict[str, list[str]]:
    """Name -> the nine fields of /etc/shadow."""
    rows = (line.split(":") for line in text_of(host, "/etc/shadow").splitlines())
    return {row[0]: row for row in rows if len(row) == SHADOW_FIELDS}


def password_hashes(host: Host) -> dict[str, str]:
    """Account -> what a password is checked against, where one could be right; empty: no password at all."""
    shadow = shadow_of(host)
    found = {}
    for line in text_of(host, "/etc/passwd").splitlines():
        name, _, rest = line.partition(":")
        place = rest.partition(":")[0]
        hashed = shadow[name][1] if place == "x" and name in shadow else "!" if place == "x" else place
        if not hashed.startswith(NO_HASH):
            found[name] = hashed
    return found


def new_accounts(host: Host) -> list[str]:
    """Accounts in the range of people, whoever made them."""
    return [user.name for user in host.accounts.users.values() if FIRST_PERSON <= user.uid < NOBODY]
