"""passwd, group and shadow as the C library would read them."""

from __future__ import annotations

import pytest

from phi_labs.errors import UserError
from phi_labs.lifecycle.accounts import parse_accounts

ACCOUNTS = """\
root:x:0:0:root:/root:/bin/bash
itops:x:1000:1000:IT, operations:/home/itops:/bin/bash
noshell:x:1001:1001::/home/noshell:
"""
GROUP = "root:x:0:\nadm:x:4:itops,noshell\nitops:x:1000:\nstaff:x:1001:\n"


def test_accounts_have_numbers_homes_and_shells() -> None:
    user = parse_accounts(ACCOUNTS, GROUP).user("itops")
    assert (user.uid, user.gid, user.home, user.shell) == (1000, 1000, "/home/itops", "/bin/bash")


def test_an_empty_shell_is_sh_as_login_reads_it() -> None:
    assert parse_accounts(ACCOUNTS, GROUP).user("noshell").shell == "/bin/sh"


def test_groups_are_the_primary_one_and_those_that_list_the_name() -> None:
    accounts = parse_accounts(ACCOUNTS, GROUP)
    assert accounts.groups_of("noshell") == {"staff", "adm"}
    assert accounts.gids_of("noshell") == {1001, 4}


def test_a_primary_group_without_a_name_still_counts_by_number() -> None:
    accounts = parse_accounts("x:x:7:4242::/:/bin/sh\n", GROUP)
    assert accounts.gids_of("x") == {4242}
    assert accounts.groups_of("x") == frozenset()


def test_the_first_line_of_a_name_wins_and_the_doubling_is_noted() -> None:
    accounts = parse_accounts(ACCOUNTS + "itops:x:0:0::/:/bin/sh\n", GROUP)
    assert accounts.user("itops").uid == 1000
    assert accounts.duplicates == ("account itops appears twice",)


def test_a_second_name_for_a_number_is_noted() -> None:
    accounts = parse_accounts(ACCOUNTS + "toor:x:0:0::/root:/bin/sh\n", GROUP)
    assert accounts.duplicates == ("accounts root and toor share uid 0",)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "#root2:x:0:0::/:/bin/sh",
        "short:x:1",
        "a:x:-1:0::/:/x",
        "a:x:\u0663:0::/:/x",
        "+a:x:1:1::/:/x",
        ":x:1:1::/:/x",
    ],
)
def test_lines_that_make_no_sense_are_passed_over(line: str) -> None:
    assert set(parse_accounts(line + "\n" + ACCOUNTS, GROUP).users) == {"root", "itops", "noshell"}


@pytest.mark.parametrize(
    "line",
    [
        " evil:x:0:0::/:/bin/sh",
        "evil:x:+0:0::/:/bin/sh",
        "evil:x: 0:0::/:/bin/sh",
        "evil:x:-0:0::/:/bin/sh",
        "evil:x:000:0::/:/bin/sh",
        "evil:x:0:0",
        "evil:x:0:0:form\x0cfeed:/:/bin/sh",
        "evil:x:0:0:next\x85line\u2028or two:/:/bin/sh",
        "evil:x:0:0:return\r:/:/bin/sh",
        "evil:x:0:0::/:/bin/sh:more",
    ],
)
def test_what_the_c_library_takes_for_an_account_is_one(line: str) -> None:
    """Each was tried with getent."""
    assert parse_accounts(ACCOUNTS + line + "\n", GROUP).user("evil").uid == 0


@pytest.mark.parametrize("number", ["4294967296", "-5", "0x0", "0 ", "", "9" * 5000])
def test_what_the_c_library_takes_for_no_number_is_none(number: str) -> None:
    assert "evil" not in parse_accounts(f"evil:x:{number}:0::/:/bin/sh\n", GROUP).users


def test_every_line_of_a_group_gives_it_to_those_it_lists() -> None:
    """As initgroups does: a second line of a name counts, with its own number, too."""
    group = GROUP + "adm:x:4:extra\nadm:x:42:itops\n shy:x:+7:noshell , itops\nodd:x:8\nlong:x:9:itops:more\n"
    accounts = parse_accounts(ACCOUNTS, group)
    assert accounts.gids_of("itops") == {1000, 4, 42, 7}
    assert accounts.gids_of("noshell") == {1001, 4}
    assert accounts.groups["adm"] == 4
    assert accounts.groups_of("itops") == {"itops", "adm", "shy"}


@pytest.mark.parametrize(("secret", "locked"), [("x", True), ("", False), ("$y$hash", False), ("*", True)])
def test_a_password_may_stand_in_passwd_itself(secret: str, locked: bool) -> None:
    accounts = parse_accounts(f"itops:{secret}:1:1::/:/bin/sh\n", GROUP, "itops:!:19000:0:99999:7:::\n")
    assert accounts.user("itops").password_locked is locked


def test_the_first_password_of_a_name_counts_however_short_its_line() -> None:
    accounts = parse_accounts(ACCOUNTS, GROUP, "itops:$y$hash\nitops:!:19000:0:99999:7:::\n")
    assert not accounts.user("itops").password_locked


@pytest.mark.parametrize(
    ("field", "locked"), [("!", True), ("*", True), ("!$y$hash", True), ("$y$hash", False), ("", False)]
)
def test_a_password_is_locked_by_what_no_hash_starts_with(field: str, locked: bool) -> None:
    shadow = f"itops:{field}:19000:0:99999:7:::\n"
    assert parse_accounts(ACCOUNTS, GROUP, shadow).user("itops").password_locked is locked


@pytest.mark.parametrize(("field", "expired"), [("", False), ("1", True), ("0", True), ("99999", False)])
def test_an_expired_account_refuses_keys_as_well(field: str, expired: bool) -> None:
    shadow = f"itops:*:19000:0:99999:7::{field}:\n"
    assert parse_accounts(ACCOUNTS, GROUP, shadow).user("itops").expired is expired


def test_an_unknown_name_is_the_users_mistake() -> None:
    accounts = parse_accounts(ACCOUNTS, GROUP)
    with pytest.raises(UserError, match="ghost"):
        accounts.user("ghost")
    with pytest.raises(UserError, match="ghosts"):
        accounts.gid("ghosts")
