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
