"""What sudo makes of a rule: the settings that let people choose what really runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from phi_labs.grading.host import Host

REMEMBERED_MINUTES = 15
# Variables that choose what a program loads, runs or reads.
RISKY = re.compile(
    r"LD_|PYTHON|PERL|RUBY|BASH|GIT_|^ENV$|^PATH$|^IFS$|^CDPATH$|^HOME$|^HOSTALIASES$|SHELLOPTS|EDITOR|VISUAL|"
    r"PAGER|LESS|_PRELOAD|^\*"
)
NEVER_OFF = frozenset({"authenticate", "env_reset", "secure_path"})
NEVER_ON = frozenset(
    {
        *("setenv", "exempt_group", "env_file", "restricted_env_file", "runas_default", "pam_service"),
        *("runchroot", "runcwd", "group_plugin", "mailerpath", "sudoedit_follow", "fdexec"),
    }
)
OF_OTHERS = frozenset({"rootpw", "targetpw", "runaspw"})


def assert_sudo_protects(host: Host, people: Sequence[str]) -> None:
    """No setting lets people turn a command they are allowed into another one.

    Args:
        people: accounts that must not be able to put programs where sudo looks for them.
    """
    assert host.sudoers.valid, "The sudo rules have an error in them; sudo refuses to work with such rules."
    for line in host.sudoers.defaults:
        for option in line.get("Options", ()):
            operation = option.get("operation", "")
            for name in option.keys() - {"operation"}:
                _assert_harmless(name, option[name], operation)
                if name == "secure_path":
                    _assert_closed(host, people, str(option[name]))


def _assert_harmless(name: str, value: Any, operation: str) -> None:
    """One option of a Defaults line; whom it is for makes no difference."""
    on = value is not False
    assert on or name not in NEVER_OFF, f"sudo was told !{name}."
    assert not on or name not in NEVER_ON, f"sudo was told {name}."
    assert not on or name not in OF_OTHERS, f"sudo asks for somebody else's password ({name})."
    assert (name, value) != ("timestamp_type", "global"), (
        "sudo remembers a password for all sessions at once."
    )
    if name == "timestamp_timeout":
        minutes = float(value or 0)
        assert minutes >= 0, "sudo remembers a password for ever."
        assert minutes <= REMEMBERED_MINUTES, f"sudo remembers a password for {minutes:g} minutes."
    if name in {"env_keep", "env_check"} and on and operation != "list_remove":
        kept = [item for item in (value if isinstance(value, list) else [value]) if RISKY.search(str(item))]
        assert not kept, f"sudo keeps {', '.join(kept)} of its user's environment."


def _assert_closed(host: Host, people: Sequence[str], path: str) -> None:
    """Nobody can put a program where sudo looks for those that root runs."""
    folders = [folder for folder in path.split(":") if folder]
    for user in people:
        can = zip(folders, host.can(user, folders, "write"), strict=True)
        allowed = [folder for folder, may in can if may]
        assert not allowed, f"sudo looks for programs in {', '.join(allowed)}, where {user} can put some."
