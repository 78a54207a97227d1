"""A machine as checks see it: testinfra's words where testinfra has one, and questions it lacks.

Everything is asked of the probe and remembered until something is run on the machine. No
verdict depends on a binary, library, shell or name service of the lab.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from typing import Any

from phi_fixtures.manifest import date_forms
from phi_labs.errors import ProbeError
from phi_labs.grading.changes import LIMIT, Changes
from phi_labs.grading.clone import Machine
from phi_labs.grading.files import HostFile
from phi_labs.grading.interpreter import Interpreter, Rotation, Sudoers
from phi_labs.grading.leaks import Leak, Leaks
from phi_labs.grading.schedule import ScheduledJob, changed_jobs
from phi_labs.grading.ssh import Login, SshSession, ssh_session
from phi_labs.lifecycle.accounts import Account, Accounts, parse_accounts
from phi_labs.probe.client import Probe
from phi_labs.probe.hands_client import Hands, Ran

ACCOUNT_FILE_LIMIT = 1024 * 1024
LIST_LIMIT = 20_000
WRITE_LIMIT = 16 * 1024 * 1024
SWEEP_BYTES = 2 * 1024 * 1024 * 1024
SWEEP_SECONDS = 15.0  # of processor time
SWEEP_DEADLINE = 60.0  # a check ends earlier
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
SSH_PORT = 22
SSHD = "/usr/sbin/sshd"
FAKETIME = "/usr/$LIB/faketime/libfaketime.so.1"  # the loader puts its own word for $LIB
# Where the image's name service looks; systemd's part of it is not installed and answers nothing.
NAME_SOURCES = ("files", "systemd")
_NAME_SERVICE = re.compile(r"^[ \t]*(passwd|group|shadow|initgroups)[ \t]*:([^#\n]*)", re.MULTILINE)
NO_DIRECTORY = ("ENOTDIR", "ELOOP", "ENAMETOOLONG")
Connect = Callable[[str], Any]


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


@dataclass(frozen=True)
class HostProcess:
    """A running process; ``pid`` as the machine itself counts."""

    pid: int
    uid: int
    name: str
    argv: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """How a command ended: a hint; judge its effects through files."""

    exit_code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class HostSocket:
    """A listening socket, asked as ``tcp://0.0.0.0:22`` or ``tcp://22`` (any address)."""

    is_listening: bool


class AsUser:
    """What an account may do directly; sudo and set-id helpers are asked about separately."""

    def __init__(self, host: Host, user: str) -> None:
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


class Host:
    """One machine of a lab.

    Args:
        machine: what is looked at; without hands it is read-only.
        known: identifiers that sweeps look for in any case, so that one sweep serves many checks.
        live: whether it is the running lab (then also /run and /dev/shm are swept).
        interpreter: for configuration; None where it is not offered.
        connect: returns a stream to the machine's sshd; None where SSH is not offered.
        freeze: holds all processes of the machine while it is entered; None where that is not offered.
    """

    def __init__(  # noqa: PLR0913 - what a machine offers
        self,
        machine: Machine,
        probe: Probe,
        *,
        known: frozenset[str] = frozenset(),
        live: bool = False,
        interpreter: Interpreter | None = None,
        connect: Connect | None = None,
        freeze: Callable[[], AbstractContextManager[None]] | None = None,
    ) -> None:
        self._machine = machine
        self._probe = probe
        self._known = known
        self._live = live
        self._interpreter = interpreter
        self._connect = connect
        self._freeze = freeze
        self._memory: dict[Any, Any] = {}
        self._seen: dict[str, list[int]] = {}
        # Unique: the probe remembers a walk per generation, and this machine's pid outlives a grading.
        self._generation = secrets.token_hex(8)

    @property
    def name(self) -> str:
        """The machine's host name."""
        return self._machine.name

    # -- files, accounts, processes ------------------------------------------------------

    def file(self, path: str) -> HostFile:
        """A file or directory."""
        file: HostFile = self._remembered(("file", path), lambda: HostFile(self, path))
        return file

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

    def processes(self) -> list[HostProcess]:
        """What runs on the machine now."""
        found = self._must("processes")["processes"]
        return [HostProcess(item["pid"], item["uid"], item["name"], tuple(item["argv"])) for item in found]

    def socket(self, spec: str) -> HostSocket:
        """Whether something listens at ``tcp://ADDRESS:PORT`` or, on any address, ``tcp://PORT``."""
        address, _, port = spec.removeprefix("tcp://").rpartition(":")
        wanted = ipaddress.ip_address(address.strip("[]")).packed.hex() if address else None
        listeners = self._must("listeners")["listeners"]
        return HostSocket(any(at == int(port) and wanted in (None, where) for where, at in listeners))

    def listening(self) -> frozenset[int]:
        """The TCP ports on which something listens, on any address."""
        return frozenset(port for _, port in self._must("listeners")["listeners"])

    def jobs(self) -> list[ScheduledJob]:
        """What cron would start from tables and scripts that are not as in the image."""
        return changed_jobs(self)

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

    # -- who may what ----------------------------------------------------------------------

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

    # -- sweeps ----------------------------------------------------------------------------

    def leaks(
        self,
        identifiers: Iterable[str],
        readable_by: str | None = None,
        *,
        everywhere: bool = False,
        volatile: bool = False,
    ) -> Leaks:
        """Where identifiers still stand, as they are or written otherwise, in files and inside of them.

        An identifier is found with other separators (an SSN without dashes, a date in another form), in
        UTF-16, in base64, in gz, bz2, xz, zip, tar and pg_dump files, also in each other. Digits that are a
        part of a longer number are none.

        Args:
            readable_by: only files that this account can open.
            everywhere: also in what has not changed since the image.
            volatile: also in what a restart does not keep (/run, /dev/shm). Of the running lab that is
                always looked at; of a copy it matters once something was run on it.
        """
        found = self._sweep(frozenset(identifiers), everywhere, live=self._live or volatile)
        if readable_by is None:
            return found
        open_to = self._open_to(readable_by, list(found.paths))
        return Leaks([leak for leak in found if leak.path in open_to], found.notes)

    def _open_to(self, user: str, paths: Sequence[str]) -> set[str]:
        """Those of the files a sweep found that an account can open.

        A file whose permissions moved since the sweep counts as open: a process that closes it whenever
        somebody looks closes nothing.
        """
        shut = [path for path, can in zip(paths, self.can(user, paths, "read"), strict=True) if not can]
        moving = {path: self._seen[path] for path in shut if path in self._seen}
        account = self.accounts.users.get(user)
        if account is None:
            return set()
        can, looks = self._can_and_looks(account, list(moving))
        pairs = zip(moving, can, looks, strict=True)
        moved = {path for path, may, now in pairs if may or not _settled(moving[path], now)}
        return set(paths) - set(shut) | moved

    def _can_and_looks(
        self, account: Account, paths: Sequence[str]
    ) -> tuple[list[bool], list[list[int] | None]]:
        """Whether an account can open each file, and how each looks at that moment."""
        answer = self._must(
            "can",
            uid=account.uid,
            gid=account.gid,
            groups=sorted(self.accounts.gids_of(account.name)),
            items=[(path, "read") for path in paths],
            looks=True,
        )
        return answer["can"], answer["looks"]

    def find(self, strings: Iterable[str]) -> Leaks:
        """Where strings stand in what changed since the image; as ``leaks`` without a persona."""
        return self._sweep(frozenset(strings), everywhere=False, live=self._live)

    def held_open(self, identifiers: Iterable[str]) -> Leaks:
        """Where identifiers stand in files that were deleted and that a process still holds open."""
        strings = sorted(frozenset(identifiers))
        answer = self._must(
            "unlinked",
            strings=strings,
            also=other_dates(strings),
            limit_bytes=SWEEP_BYTES,
            within=SWEEP_SECONDS,
            seconds=SWEEP_DEADLINE,
        )
        found = [
            Leak(path, container, frozenset(strings[number] for number in numbers))
            for path, container, numbers in answer["hits"]
        ]
        return Leaks(found, [(path, reason) for path, reason in answer["notes"]])

    def _sweep(self, wanted: frozenset[str], everywhere: bool, *, live: bool) -> Leaks:
        for (kind, *key), remembered in list(self._memory.items()):
            if kind == "sweep" and key[0] == (everywhere, live) and wanted <= key[1]:
                swept: Leaks = remembered
                return swept.of(wanted)
        asked = wanted | self._known if wanted & self._known else wanted
        fresh = self._ask_sweep(sorted(asked), everywhere, live=live)
        self._memory["sweep", (everywhere, live), asked] = fresh
        return fresh.of(wanted)

    def _ask_sweep(self, strings: list[str], everywhere: bool, *, live: bool) -> Leaks:
        answer = self._sweep_answer(strings, everywhere, live=live)
        if answer["moved"] and self._freeze is not None:
            with self._freeze():  # what nobody moves, nobody moves out of sight
                self._generation = secrets.token_hex(8)
                answer = self._sweep_answer(strings, everywhere, live=live)
        blocked = answer["blocked"]
        if blocked:
            raise ProbeError(f"{self.name} cannot be searched: /{blocked[0][0]}: {blocked[0][1]}")
        self._seen.update(answer["seen"])
        found = [
            Leak(path, container, frozenset(strings[number] for number in numbers))
            for path, container, numbers in answer["hits"]
        ]
        return Leaks(found, [("/" + path, reason) for path, reason in answer["notes"]])

    def _sweep_answer(self, strings: list[str], everywhere: bool, *, live: bool) -> dict[str, Any]:
        return self._must(
            "sweep",
            strings=strings,
            also=other_dates(strings),
            key=None if everywhere else self._machine.image,
            live=live,
            generation=self._generation,
            limit_bytes=SWEEP_BYTES,
            within=SWEEP_SECONDS,
        )

    # -- what changed, and what configuration means ------------------------------------------

    def changed(self) -> Changes:
        """The differences to the pristine image, what was planted included."""
        changes: Changes = self._remembered(
            "changed",
            lambda: Changes(
                self,
                self._must(
                    "changes",
                    key=self._machine.image,
                    live=self._live,
                    generation=self._generation,
                    limit=LIMIT,
                ),
            ),
        )
        return changes

    @property
    def sudoers(self) -> Sudoers:
        """Who may run what through sudo, as the pristine cvtsudoers reads it."""
        sudoers: Sudoers = self._remembered("sudoers", self._read_sudoers)
        return sudoers

    @property
    def sshd_config(self) -> dict[str, list[str]]:
        """The SSH server's effective options (lower-case keys), as the pristine ``sshd -T`` reads them."""
        options: dict[str, list[str]] = self._remembered("sshd", self._read_sshd)
        return options

    def sshd_config_for(self, user: str, address: str = "192.0.2.1") -> dict[str, list[str]]:
        """The options that hold for one user's connection, Match blocks resolved."""
        return self._read_sshd(f"user={user},host={address},addr={address}")

    def _read_sshd(self, connection: str | None = None) -> dict[str, list[str]]:
        """The files' options, if the server that runs goes by these files alone."""
        for server in self._must("servers", port=SSH_PORT)["servers"]:
            title = server["title"]
            plain = server["program"] != SSHD or title.startswith(f"sshd: {SSHD} [listener]")
            assert plain, "sshd was started with options of its own, beside its configuration"
        return self._reader().sshd(self._machine, connection)

    def logrotate(self) -> list[Rotation]:
        """What the daily logrotate run would do, as the pristine ``logrotate -d`` reads it."""
        rotations: list[Rotation] = self._remembered(
            "logrotate", lambda: self._reader().logrotate(self._machine)
        )
        return rotations

    # -- doing things (clone only) -----------------------------------------------------------

    def run(  # noqa: PLR0913 - the facts of one command
        self,
        argv: Sequence[str],
        user: str | int = "root",
        *,
        timeout: float = 10.0,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        clock: str = "",
    ) -> Result:
        """Run a command with numeric ids; what is remembered about the machine is forgotten.

        A command that does not end in time, or says more than 1 MiB, is a failed expectation.

        Args:
            clock: moves the command's clock, as faketime says it: ``+1d``, ``@2026-03-09 02:00:00``.
        """
        hands = self._hands()
        uid, gid, groups = self._ids(user)
        env = {**(env or {}), **_moved_clock(clock)}
        ran: Ran = hands.run(argv, uid=uid, gid=gid, groups=groups, timeout=timeout, stdin=stdin, env=env)
        self.forget()
        assert not ran.timed_out, f"{argv[0]} did not end within {timeout:g} seconds on {self.name}"
        return Result(ran.exit_code, ran.stdout, ran.stderr)

    def write(self, path: str, content: bytes, *, user: str | int = "root", mode: int = 0o600) -> None:
        """Put a regular file on the machine; whatever had that name goes, its directory must exist.

        Raises:
            ValueError: it is larger than 16 MiB.
        """
        if len(content) > WRITE_LIMIT:
            raise ValueError(f"{path} would have {len(content)} bytes; {WRITE_LIMIT} is the limit")
        hands = self._hands()
        uid, gid, _ = self._ids(user)
        hands.write(path, content, uid=uid, gid=gid, mode=mode)
        self.forget()

    def begin_login(self, user: str, *, key: str, command: str = "true", stdin: bytes = b"") -> Login:
        """Begin to log in over SSH and run a command, to be waited for later; counts as ``ssh`` does.

        Several may be under way. What a command changes is seen after ``wait`` and ``forget``.
        """
        return Login(self._sshd(), user, key=key, command=command, stdin=stdin)

    @contextmanager
    def ssh(self, user: str, *, key: str | None = None, password: str | None = None) -> Iterator[SshSession]:
        """Log in as a user would; counts only while everything that answers a login is the image's own."""
        with ssh_session(self._sshd(), user, key=key, password=password) as session:
            yield session
        self.forget()

    def _sshd(self) -> Any:
        """A stream to the machine's sshd, if everything that answers a login is the image's own."""
        if self._connect is None:
            raise ProbeError(f"SSH to {self.name} is not offered here")
        suspicious = self.changed().login_path
        assert not suspicious, f"logins cannot be trusted while {suspicious[0]} differs from the image"
        self._expect_own_sshd()
        return self._connect(self._machine.container)

    def _expect_own_sshd(self) -> None:
        """What listens on port 22 is the image's sshd, with nothing mapped into it that the image lacks."""
        changes = self.changed()
        foreign = {*changes.added, *changes.packaged}
        for server in self._must("servers", port=SSH_PORT)["servers"]:
            program = server["program"]
            assert program == SSHD, f"logins cannot be trusted while {program} answers on port {SSH_PORT}"
            strange = [path for path in server["mapped"] if path in foreign or path.endswith(" (deleted)")]
            assert not strange, f"logins cannot be trusted while sshd has {strange[0]} loaded"

    def forget(self) -> None:
        """Forget what was remembered: the machine may have changed."""
        self._memory.clear()
        self._seen.clear()
        self._generation = secrets.token_hex(8)

    # -- asking ------------------------------------------------------------------------------

    def question(self, op: str, **fields: Any) -> dict[str, Any]:
        """Ask the probe about this machine; an answer may hold ``refused``."""
        answer = self._probe.ask(op, pid=self._machine.pid, **fields)
        if answer.get("refused", "").startswith("ended:"):  # it must not look as if nothing were there
            raise ProbeError(f"{self.name} has ended")
        return answer

    def pristine_question(self, op: str, **fields: Any) -> dict[str, Any]:
        """Ask the same about a pristine machine of the same image."""
        return self._probe.ask(op, pid=self._reader().machine.pid, **fields)

    def _hands(self) -> Hands:
        if self._machine.hands is None:
            raise ProbeError(f"nothing can be run on {self.name}: it is only looked at")
        return self._machine.hands

    def _must(self, op: str, **fields: Any) -> dict[str, Any]:
        return self._probe.must(op, pid=self._machine.pid, **fields)

    def _remembered(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._memory:
            self._memory[key] = make()
        return self._memory[key]

    def _reader(self) -> Interpreter:
        if self._interpreter is None:
            raise ProbeError(f"configuration of {self.name} cannot be interpreted here")
        return self._interpreter

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

    def _read_sudoers(self) -> Sudoers:
        return self._reader().sudoers(self._machine, self.accounts)

    def _ids(self, user: str | int) -> tuple[int, int, list[int]]:
        if isinstance(user, int):
            return user, user, []
        if user == "root":
            return 0, 0, [0]
        account = self.accounts.users.get(user)
        assert account is not None, f"there is no account {user} on {self.name}"
        return account.uid, account.gid, sorted(self.accounts.gids_of(user))


def other_dates(strings: Sequence[str]) -> list[tuple[str, int]]:
    """The other ways to write those of the strings that are ISO dates, each with the string's number."""
    return [(form, number) for number, text in enumerate(strings) for form in _date_forms(text)]


def _date_forms(text: str) -> tuple[str, ...]:
    if not _ISO_DATE.fullmatch(text):
        return ()
    with suppress(ValueError):  # 30 February is no date
        return date_forms(date.fromisoformat(text))
    return ()


def _settled(before: Sequence[int], now: Sequence[int] | None) -> bool:
    """Whether nothing changed between two looks at a file but, at most, what was written to it."""
    if now is None:
        return False
    (changed, written, *rights), (changed_now, written_now, *rights_now) = before, now
    return changed == changed_now or (written != written_now and rights == rights_now)


def _moved_clock(clock: str) -> dict[str, str]:
    return {"LD_PRELOAD": FAKETIME, "FAKETIME": clock} if clock else {}


def _decoded(answer: dict[str, Any]) -> str:

    return base64.b64decode(answer.get("data", "")).decode(errors="surrogateescape")
