"""Configuration read by pristine programs: files are copied into a throw-away container without privileges.

Nothing of the trainee's machine is executed there; sudo's, sshd's and logrotate's own programs of
the pristine image parse the copies.
"""

from __future__ import annotations

import base64
import io
import json
import os.path
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from phi_labs.errors import ProbeError
from phi_labs.grading.clone import Machine
from phi_labs.lifecycle.accounts import Accounts
from phi_labs.probe.client import Probe
from phi_labs.probe.hands_client import Hands, Ran

DEADLINE = 10.0
SUDO_CONF = "/etc/sudo.conf"
# What the interpreter's own programs run from or go by: a copy of the trainee's would run there.
PROGRAM_PLACES = (
    "usr",
    "bin",
    "sbin",
    *("lib", "lib32", "lib64", "libx32"),
    *("dev", "proc", "sys"),
    *("etc/ld.so.preload", "etc/ld.so.cache", "etc/ld.so.conf", "etc/ld.so.conf.d", "etc/nsswitch.conf"),
    *("etc/sudo.conf", "etc/passwd", "etc/group", "etc/shadow"),
)
# Configuration may pull in files from anywhere: what is included is copied as well, some levels deep.
_SUDO_INCLUDE = re.compile(r"^[ \t]*(?:@|#(?=include))(?:include|includedir)\b(.*)$", re.MULTILINE)
_SUDO_PATH = re.compile(r"\s+(?:\"([^\"\\]+)\"|([^\s\"\\]+))\s*(?:#.*)?")
_SSHD_INCLUDE = re.compile(r"^[ \t]*\"?include\"?[ \t=]+(.+?)[ \t]*$", re.MULTILINE | re.IGNORECASE)
_ROTATE_INCLUDE = re.compile(r"^[ \t]*include[ \t]+(\S+)[ \t]*$", re.MULTILINE)
MODULI = "/etc/ssh/moduli"  # half a megabyte that no option depends on
ADDED = "# Names of the machine whose configuration is read:\n"
INCLUDE_LEVELS = 5
ENTRIES = 1000
Includes = Callable[[str], Iterable[str]]
TEXT_LIMIT = 256 * 1024
_BARE_OPTION = re.compile(rb'^(\s*)("(?:runchroot|runcwd)": "(?:[^"\\\n]|\\.)*")(?=,?$)', re.MULTILINE)
_ROTATING = re.compile(r"^rotating pattern: (.*?)\s+(forced from command line|after .*?|weekly|monthly|yearly|hourly|[0-9]+ bytes)\s*\((-?\d+|no old logs will be kept).*?\)", re.MULTILINE)  # fmt: skip # noqa: E501


@dataclass(frozen=True)
class Grant:
    """One thing that sudo lets a user do, aliases expanded.

    Attributes:
        commands: as sudoers spells them; ``ALL`` is everything; a leading ``!`` forbids.
        run_as: user names, ``ALL`` among them.
        setenv: the user may choose the command's environment, LD_PRELOAD included.
        chroot: the folder that the command takes for the whole machine; ``*`` is the user's choice.
    """

    commands: tuple[str, ...]
    run_as: tuple[str, ...]
    nopasswd: bool
    source_text: str
    setenv: bool = False
    chroot: str = ""


class Sudoers:
    """The machine's sudoers as the pristine cvtsudoers reads it."""

    def __init__(self, data: dict[str, Any], valid: bool, complaint: str, accounts: Accounts) -> None:
        self._data = data
        self._accounts = accounts
        self.valid = valid
        self.complaint = complaint

    def grants(self, user: str, groups: Iterable[str] | None = None) -> list[Grant]:
        """What the rules that apply to a user allow; rules for its groups, its uid and ALL included.

        Args:
            groups: names of the user's groups; by default those of the machine's own files.

        Raises:
            AssertionError: the rules are not valid.
        """
        self._expect_valid()
        found = []
        for spec in self._data.get("User_Specs", ()):
            if self._applies(spec.get("User_List", ()), user, groups):
                found += [_grant(item) for item in spec.get("Cmnd_Specs", ())]
        return [grant for grant in found if grant.commands]

    @property
    def defaults(self) -> list[dict[str, Any]]:
        """The Defaults lines as cvtsudoers gives them."""
        self._expect_valid()
        lines: list[dict[str, Any]] = self._data.get("Defaults", [])
        return lines

    def _expect_valid(self) -> None:
        """Rules that are refused say nothing, while sudo itself may go by those that it understands."""
        assert self.valid, "sudo's rules are not valid"

    def _applies(self, members: Iterable[dict[str, Any]], user: str, groups: Iterable[str] | None) -> bool:
        """The last member that names the user decides, as in sudo itself."""
        verdict = False
        for member in members:
            if self._names(member, user, groups):
                verdict = not member.get("negated", False)
        return verdict

    def _names(self, member: dict[str, Any], user: str, groups: Iterable[str] | None) -> bool:
        account = self._accounts.users.get(user)
        if groups is None:
            groups = self._accounts.groups_of(user) if account else frozenset()
        gids = self._accounts.gids_of(user) if account else frozenset()
        return (
            member.get("username") in (user, "ALL")
            or member.get("usergroup") in set(groups)
            or (account is not None and str(member.get("userid")).lstrip("#") == str(account.uid))
            or str(member.get("usergid")).lstrip("#") in {str(gid) for gid in gids}
        )


@dataclass(frozen=True)
class Rotation:
    """How logrotate treats a set of files.

    Attributes:
        interval: as logrotate words it: ``1 days``, ``weekly``, ``4096 bytes`` ...
        rotations: how many old files are kept; -1 is all of them.
    """

    patterns: tuple[str, ...]
    rotations: int
    interval: str


@dataclass
class Interpreter:
    """A pristine container in which copies of a machine's configuration are parsed."""

    machine: Machine
    probe: Probe
    _laid_out: set[str] = field(default_factory=set)

    def sudoers(self, target: Machine, accounts: Accounts) -> Sudoers:
        """Read /etc/sudoers and what it includes."""
        own, given = (_active(self._text(machine, SUDO_CONF)) for machine in (self.machine, target))
        assert own == given, f"sudo's rules cannot be read while {SUDO_CONF} differs from the image"
        self._lay_out(target, ["/etc/sudoers", "/etc/sudoers.d"], _sudo_includes, "/etc")
        # With a file named, visudo leaves modes alone: sudo itself goes by a file of mode 0644.
        checked = self._run(["/usr/sbin/visudo", "-c", "-f", "/etc/sudoers"])
        converted = self._run(["/usr/bin/cvtsudoers", "-e", "-f", "json", "/etc/sudoers"])
        try:
            data = json.loads(_mended(converted.stdout)) if converted.exit_code == 0 else {}
        except ValueError:
            data = {}
        complaint = (checked.stdout + checked.stderr).decode(errors="replace").strip()
        return Sudoers(data, checked.exit_code == 0 and bool(data), complaint, accounts)

    def sshd(self, target: Machine, connection: str | None = None) -> dict[str, list[str]]:
        """The effective server configuration; ``connection`` as for ``sshd -C`` resolves Match blocks."""
        paths = self._entries(target, "/etc/ssh")
        gone = [path for path in self._entries(self.machine, "/etc/ssh") if path not in paths]
        self._lay_out(target, paths, _sshd_includes, "/etc/ssh", gone=gone)
        extra = ["-C", connection] if connection else []
        self._run(["/bin/mkdir", "-p", "/run/sshd"])
        ran = self._run(["/usr/sbin/sshd", "-T", *extra])
        assert ran.exit_code == 0, f"sshd refuses its configuration: {_last(ran)}"
        options: dict[str, list[str]] = {}
        for line in ran.stdout.decode(errors="replace").splitlines():
            key, _, value = line.partition(" ")
            options.setdefault(key.lower(), []).append(value)
        return options

    def logrotate(self, target: Machine, accounts: Accounts) -> list[Rotation]:
        """What the daily logrotate run would do, as ``logrotate -d`` reads the configuration."""
        self._know(accounts)
        self._lay_out(target, ["/etc/logrotate.conf", "/etc/logrotate.d"], _ROTATE_INCLUDE.findall, "/etc")
        ran = self._run(["/usr/sbin/logrotate", "-d", "/etc/logrotate.conf"])
        text = (ran.stdout + ran.stderr).decode(errors="replace")
        return [
            Rotation(
                patterns=tuple(patterns.split()),
                rotations=int(kept) if kept.lstrip("-").isdigit() else 0,
                interval=interval.removeprefix("after ").strip(),
            )
            for patterns, interval, kept in _ROTATING.findall(text)
        ]

    def _know(self, accounts: Accounts) -> None:
        """Let the interpreter know the target's names, beside its own: logrotate refuses unknown ones.

        An interpreter may have served another grading: what that one added goes.
        """
        users = {
            name: f"{name}:x:{item.uid}:{item.gid}::/:/usr/sbin/nologin"
            for name, item in accounts.users.items()
        }
        groups = {name: f"{name}:x:{gid}:" for name, gid in accounts.groups.items()}
        for path, rows in (("/etc/passwd", users), ("/etc/group", groups)):
            own = self._text(self.machine, path).partition(ADDED)[0]
            names = {line.partition(":")[0] for line in own.splitlines()}
            more = "".join(f"{row}\n" for name, row in rows.items() if name not in names)
            content = (own + ADDED + more).encode(errors="surrogateescape")
            self._hands().write(path, content, uid=0, gid=0, mode=0o644)

    def _lay_out(
        self,
        target: Machine,
        paths: Sequence[str],
        include: Includes,
        base: str,
        gone: Sequence[str] = (),
    ) -> None:
        """Replace these paths of the interpreter, and what they include, by copies of the target's.

        Args:
            gone: paths of the interpreter that the target lacks.
        """
        wanted = [os.path.normpath(path) for path in paths]
        for _ in range(INCLUDE_LEVELS):
            found = map(os.path.normpath, self._included(target, wanted, include, base))
            more = [path for path in found if path not in wanted]
            strange = next((path for path in more if _is_program_place(path)), None)
            assert strange is None, f"{paths[0]} includes {strange}, which is no place for configuration"
            if not more:
                break
            wanted += dict.fromkeys(more)
        else:
            raise AssertionError(f"what {paths[0]} includes is nested too deeply")
        new = [path for path in dict.fromkeys(wanted) if path not in self._laid_out]
        if not new:
            return
        archive = io.BytesIO()
        taken = self.probe.capture_paths(target.pid, new, archive, not_below=PROGRAM_PLACES)
        missed = next((f"/{path}: {reason}" for path, reason in taken.missed), None)
        assert missed is None, f"not all of {paths[0]} and what it includes can be read: {missed}"
        archive.seek(0)
        self._hands().apply([path.strip("/") for path in (*new, *gone)], archive)
        self._laid_out.update(new)

    def _included(self, target: Machine, paths: Sequence[str], include: Includes, base: str) -> list[str]:
        """What the files at ``paths`` (directories: the files in them) include, wildcards cut off."""
        files = [file for path in paths for file in (path, *self._entries(target, path))]
        texts = (self._text(target, file) for file in dict.fromkeys(files))
        named = (word for text in texts for word in include(text))
        return [_without_wildcards(path if path.startswith("/") else f"{base}/{path}") for path in named]

    def _entries(self, target: Machine, path: str) -> list[str]:
        answer = self.probe.ask("list", pid=target.pid, path=path, limit=ENTRIES)
        assert not answer.get("too_many"), f"{path} holds too many files for configuration"
        entries = [f"{path}/{name}" for name in answer.get("names", ())]
        return [entry for entry in entries if entry != MODULI]

    def _text(self, target: Machine, path: str) -> str:
        answer = self.probe.ask("read", pid=target.pid, path=path, limit=TEXT_LIMIT)
        assert answer.get("size", 0) <= TEXT_LIMIT, f"{path} is too large for configuration"
        return base64.b64decode(answer.get("data", "")).decode(errors="surrogateescape")

    def _hands(self) -> Hands:
        if self.machine.hands is None:
            raise ProbeError("the interpreter has no hands")
        return self.machine.hands

    def _run(self, argv: Sequence[str]) -> Ran:
        return self._hands().run(argv, uid=0, gid=0, groups=[], timeout=DEADLINE)


def _sudo_includes(text: str) -> Iterable[str]:
    """The paths after @include and @includedir; a way to write one that is not understood is refused.

    A folder that is included and not there is no error to sudo, so none may be overlooked.
    """
    for rest in _SUDO_INCLUDE.findall(text):
        path = _SUDO_PATH.fullmatch(rest)
        assert path is not None, "sudo's rules include something with an unusual name"
        yield path[1] or path[2]


def _sshd_includes(text: str) -> Iterable[str]:
    """The paths and patterns after Include, quoted or not."""
    for words in _SSHD_INCLUDE.findall(text):
        try:
            yield from shlex.split(words, comments=True)
        except ValueError as error:
            raise AssertionError("sshd's configuration includes something with an unusual name") from error


def _active(text: str) -> list[str]:
    """The lines of a configuration that are no comments."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _is_program_place(path: str) -> bool:
    relative = path.strip("/")
    return any(
        relative == place or relative.startswith(place + "/") or not relative for place in PROGRAM_PLACES
    )


def _without_wildcards(path: str) -> str:
    """The directory above the first part of a path that has a wildcard; the path itself without any."""
    parts = path.split("/")
    for number, part in enumerate(parts):
        if set("*?[%") & set(part):
            return "/".join(parts[:number]) or "/etc"
    return path


def _mended(said: bytes) -> bytes:
    """cvtsudoers' JSON as it was meant: version 1.9.13 forgets the braces around CHROOT and CWD."""
    return _BARE_OPTION.sub(rb"\1{\2}", said)


def _grant(spec: dict[str, Any]) -> Grant:
    options = spec.get("Options", ())
    nopasswd = any(option.get("authenticate") is False for option in options)
    run_as = tuple(_who(member) for member in spec.get("runasusers", ())) or ("root",)
    commands = tuple(
        ("!" if item.get("negated") else "") + str(item.get("command", item))
        for item in spec.get("Commands", ())
    )
    text = f"({','.join(run_as)}) {'NOPASSWD: ' if nopasswd else ''}{', '.join(commands)}"
    setenv = any(option.get("setenv") for option in options)
    chroot = next((str(option["runchroot"]) for option in options if "runchroot" in option), "")
    return Grant(commands, run_as, nopasswd, text, setenv, chroot)


def _who(member: dict[str, Any]) -> str:
    names = {key: value for key, value in member.items() if key != "negated"}
    return ("!" if member.get("negated") else "") + str(next(iter(names.values()), "?"))


def _last(ran: Ran) -> str:
    lines = ran.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {ran.exit_code}"
