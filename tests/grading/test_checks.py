"""What every lab's checks ask: read as it was meant, and failed in words that say what was seen."""

from __future__ import annotations

import base64
import datetime
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from phi_labs import checks
from phi_labs.checks.private_keys import UNKNOWN, private_keys, public_halves
from phi_labs.checks.report import stated
from phi_labs.grading.host import Host, HostProcess, HostUser
from phi_labs.grading.leaks import Leak, Leaks
from phi_labs.grading.planted import Planted
from phi_labs.grading.record import Record
from phi_labs.lifecycle.accounts import Accounts, parse_accounts

ACCOUNTS = (
    "root:x:0:0::/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/bash\nsvc:x:990:990::/:/usr/sbin/nologin\n"
)
GROUP = "root:x:0:\nann:x:1000:\nsvc:x:990:\nreaders:x:1100:ann\n"
SHADOW = "root:*:20000:0:99999:7:::\nann:*:20000:0:99999:7:::\nsvc:!:20000::::::\n"
GSHADOW = "root:*::\nann:!::\nsvc:!::\nreaders:!::ann\n"
CHROOTED = "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n"


@dataclass(eq=False)
class Machine:
    """As much of a host as these checks ask."""

    files: dict[str, str] = field(default_factory=dict)
    running: list[list[HostProcess]] = field(default_factory=lambda: [[]])
    untouched: list[HostProcess] = field(default_factory=list)
    ports: frozenset[int] = frozenset({22})
    options: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    writable: Mapping[str, Sequence[str]] = field(default_factory=dict)
    defaults: list[dict[str, Any]] = field(default_factory=list)
    memory: bytes = b""
    name: str = "one"

    def __post_init__(self) -> None:
        for path, text in (("passwd", ACCOUNTS), ("group", GROUP), ("shadow", SHADOW), ("gshadow", GSHADOW)):
            self.files.setdefault(f"/etc/{path}", text)

    @property
    def accounts(self) -> Accounts:
        return parse_accounts(*(self.files[f"/etc/{name}"] for name in ("passwd", "group", "shadow")))

    @property
    def sudoers(self) -> SimpleNamespace:
        return SimpleNamespace(valid=True, defaults=self.defaults)

    def user(self, name: str) -> HostUser:
        known = self.accounts.users.get(name)
        return HostUser(name, known, self.accounts.groups_of(name) if known else frozenset())

    def file(self, path: str) -> SimpleNamespace:
        there = path in self.files
        return SimpleNamespace(exists=there, is_file=there, uid=0, changed=self.times.get(path, 0.0))

    def read(self, path: str, _limit: int) -> bytes:
        return self.files[path].encode("latin-1")

    def listing(self, folder: str) -> list[str]:
        return sorted(path.rpartition("/")[2] for path in self.files if path.startswith(f"{folder}/"))

    def socket(self, spec: str) -> SimpleNamespace:
        return SimpleNamespace(is_listening=int(spec.rpartition(":")[2].strip("/")) in self.ports)

    def holds(self, _port: int, texts: Sequence[bytes]) -> list[bool]:
        return [text in self.memory for text in texts]

    def listening(self) -> frozenset[int]:
        return self.ports

    def processes(self) -> list[HostProcess]:
        return self.running.pop(0) if len(self.running) > 1 else self.running[0]

    def pristine_question(self, _op: str) -> dict[str, Any]:
        return {"processes": [{"program": item.program, "argv": list(item.argv)} for item in self.untouched]}

    def sshd_config_for(self, user: str) -> dict[str, list[str]]:
        return self.options.get(user, self.options.get("", {"pubkeyauthentication": ["yes"]}))

    def can(self, user: str, paths: Sequence[str], _how: str) -> list[bool]:
        return [path in self.writable.get(user, ()) for path in paths]


def machine(**facts: Any) -> Host:
    return cast("Host", Machine(**facts))


def complaint(check: Any, *arguments: Any) -> str:
    with pytest.raises(AssertionError) as failed:
        check(*arguments)
    return str(failed.value)


# --- the report ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("Every-Account ", "every-account"),
        (34, "34"),
        ("34", 34),
        (["mrn", "Name"], ["name", "mrn"]),
        ("ehr1", ["ehr1"]),
        (["CHG-2200"], "CHG-2200"),
        (datetime.date(2026, 2, 25), "2026-02-25"),
        (datetime.datetime(2026, 2, 25, 14, 20), "2026-02-25"),
        (datetime.datetime(2026, 3, 4, 10, 15), "2026-03-04 10:15"),
        ("2026-03-04T10:15:00Z", "2026-03-04 10:15"),
        (["/srv/A", "/opt/b"], ["/opt/b", "/srv/A"]),
    ],
)
def test_a_fact_may_be_written_in_several_ways(value: Any, answer: Any) -> None:
    assert stated(value, answer)


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("nobody", "every-account"),
        (["mrn"], ["name", "mrn"]),
        (["mrn", "name", "ssn"], ["name", "mrn"]),
        (["CHG-1", "CHG-2"], "CHG-1"),
        ("2026-02-26", "2026-02-25"),
        ("2026-03-04 10:16", "2026-03-04 10:15"),
        (datetime.date(2026, 3, 4), "2026-03-04 10:15"),
        ("/srv/a", ["/srv/A"]),
        ({"people": 3}, "3"),
    ],
)
def test_another_fact_is_another_fact(value: Any, answer: Any) -> None:
    assert not stated(value, answer)


def test_a_report_is_told_what_it_says_and_never_what_is_right() -> None:
    planted = cast("Planted", SimpleNamespace(answers={"people": 31, "opened": "2026-02-25"}))
    report = Record({"people": 30, "opened": None}, None, "/srv/records/r.yml")
    said = complaint(checks.assert_stated, report, planted, "people")
    assert "it says 30" in said
    assert "31" not in said
    assert complaint(checks.assert_stated, report, planted, "opened") == "`opened` is not filled in."
    gone = Record({}, "there is no record at /srv/records/r.yml", "/srv/records/r.yml")
    assert "there is no record" in complaint(checks.assert_stated, gone, planted, "people")
    long = Record({"people": "x" * 300}, None, "/srv/records/r.yml")
    assert len(complaint(checks.assert_stated, long, planted, "people")) < 200


def test_patients_among_the_records_are_named_by_file() -> None:
    checks.assert_no_patients_in_records(["/var/log/x", "/srv/recordings/y"])
    said = complaint(checks.assert_no_patients_in_records, ["/var/log/x", "/srv/records/notes"])
    assert "/srv/records/notes" in said


# --- accounts ------------------------------------------------------------------------------------------

WHO = {"root": (0, "/bin/bash"), "ann": (1000, "/bin/bash"), "svc": (990, None)}


def test_accounts_that_are_as_they_were_are_unchanged() -> None:
    checks.assert_accounts_unchanged(machine(), WHO)
    checks.assert_nobody_locked_out(machine(), ["ann"])
    checks.assert_nobody_new_has_a_password(machine())
    checks.assert_own_groups_only(machine())


@pytest.mark.parametrize(
    ("passwd", "told"),
    [
        (ACCOUNTS.replace("ann:x:1000", "ann:x:1001"), "another number than before (1001, it was 1000)"),
        (
            ACCOUNTS.replace("ann:x:1000:1000::/home/ann:/bin/bash", "ann:x:1000:1000::/:/bin/sh"),
            "another shell",
        ),
        (ACCOUNTS.replace("ann:", "anna:"), "ann of one is gone"),
    ],
)
def test_accounts_that_are_somebody_else_now_are_told(passwd: str, told: str) -> None:
    assert told in complaint(checks.assert_accounts_unchanged, machine(files={"/etc/passwd": passwd}), WHO)


def test_two_accounts_of_one_number_are_told() -> None:
    checks.assert_accounts_distinct(machine())
    twins = machine(files={"/etc/passwd": ACCOUNTS + "bob:x:0:0::/:/bin/bash\n"})
    assert "On one, accounts" in complaint(checks.assert_accounts_distinct, twins)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "missing from /etc/shadow"),
        ("ann:!*:20000:0:99999:7:::", "is locked"),
        ("ann:*:20000:0:99999:7::30000:", "expiry date"),
        ("ann:*:0:0:99999:7:::", "must change its password"),
        ("ann:*:10000:0:90:7:::", "must change its password"),
    ],
)
def test_somebody_who_cannot_get_in_is_locked_out(line: str, told: str) -> None:
    shadow = SHADOW.replace("ann:*:20000:0:99999:7:::", line)
    assert told in complaint(checks.assert_nobody_locked_out, machine(files={"/etc/shadow": shadow}), ["ann"])


def test_an_account_whose_end_has_come_is_barred_and_others_are_not() -> None:
    today = int(time.time() // 86400)
    for expires, closed in ((today, True), (today + 2, False)):
        shadow = SHADOW.replace("ann:*:20000:0:99999:7:::", f"ann:*:20000:0:99999:7::{expires}:")
        assert checks.barred(machine(files={"/etc/shadow": shadow}), "ann") is closed


@pytest.mark.parametrize(
    "files",
    [
        {"/etc/shadow": SHADOW.replace("ann:*", "ann:$y$j9T$x")},
        {"/etc/shadow": SHADOW.replace("ann:*", "ann:")},
        {"/etc/passwd": ACCOUNTS.replace("ann:x", "ann:")},
    ],
)
def test_a_new_password_is_told_and_a_known_one_is_not(files: dict[str, str]) -> None:
    assert "ann" in complaint(checks.assert_nobody_new_has_a_password, machine(files=files))
    checks.assert_nobody_new_has_a_password(machine(files=files), ["ann"])


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"/etc/gshadow": GSHADOW.replace("readers:!", "readers:$6$x$y")}, "join the group readers"),
        ({"/etc/group": GROUP.replace("readers:x", "readers:abJnggxhB/yWI")}, "join the group readers"),
        (
            {"/etc/gshadow": GSHADOW.replace("readers:!:", "readers:!:ann")},
            "ann can put people into the group",
        ),
    ],
)
def test_a_group_that_others_can_open_is_told(files: dict[str, str], told: str) -> None:
    assert told in complaint(checks.assert_own_groups_only, machine(files=files))


def test_a_group_may_have_its_keeper() -> None:
    files = {"/etc/gshadow": GSHADOW.replace("readers:!:", "readers:!:ann")}
    checks.assert_own_groups_only(machine(files=files), ["root", "ann"])


def test_people_are_found_by_number_whoever_made_them() -> None:
    passwd = ACCOUNTS + "far:x:61000:1::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"
    assert checks.new_accounts(machine(files={"/etc/passwd": passwd})) == ["ann", "far"]


# --- services ------------------------------------------------------------------------------------------


def process(program: str, *argv: str, started: float = 0.0) -> HostProcess:
    return HostProcess(5, 0, program.rpartition("/")[2][:15], argv, program, started)


SERVICE = process("/usr/bin/perl", "/usr/bin/perl", "/usr/local/sbin/ehrd")
SLEEPER = process("/usr/bin/sleep", "sleep", "900")


def test_a_port_that_is_not_sshs_is_told() -> None:
    checks.assert_only_ssh_listens(machine(), "Now")
    said = complaint(checks.assert_only_ssh_listens, machine(ports=frozenset({22, 9999})), "Now")
    assert said == "Now, something listens on TCP port 9999."


def test_services_and_what_every_copy_runs_are_not_strange() -> None:
    idle = process("/usr/bin/python3.11", "/usr/bin/python3", "-I", "-c", "hands")
    ended = HostProcess(9, 0, "sh", ("",), "")
    running = [SERVICE, idle, ended, process("/usr/sbin/sshd", "sshd: ann@notty")]
    running += [process("/usr/bin/nc.openbsd", "/bin/nc", "-N", "127.0.0.1", "22")]
    host = machine(running=[running], untouched=[idle])
    assert checks.strange_processes(host, ["/usr/local/sbin/ehrd"]) == []


@pytest.mark.parametrize(
    "strange",
    [
        SLEEPER,
        process("/usr/bin/dash", "/usr/sbin/cron"),
        process("/usr/bin/perl", "/usr/bin/perl", "-e", "sleep 900", "/usr/local/sbin/ehrd"),
        process("/root/sshd", "/usr/sbin/sshd"),
    ],
)
def test_what_goes_on_waiting_is_strange(strange: HostProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phi_labs.checks.services.ENDING_SECONDS", 0.0)
    host = machine(running=[[SERVICE, strange]])
    assert checks.strange_processes(host, ["/usr/local/sbin/ehrd"]) == [strange]
    assert strange.name in checks.told_processes([strange, strange])


def test_what_comes_to_its_end_is_waited_for() -> None:
    assert checks.strange_processes(machine(running=[[SLEEPER], [SLEEPER], []]), []) == []


def has_read(live: Host) -> str:
    """The complaint, empty when there is none."""
    try:
        checks.assert_has_read(live, "d", ["/etc/d.conf", "/etc/gone.conf"])
    except AssertionError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("changed", "read"), [(50.0, True), (100.0, True), (101.0, False)])
def test_a_daemon_has_read_what_is_older_than_its_start(changed: float, read: bool) -> None:
    live = machine(
        files={"/etc/d.conf": "x\n"},
        times={"/etc/d.conf": changed},
        running=[[process("/usr/sbin/d", "d", started=100.0)]],
    )
    assert ("older than the last change of /etc/d.conf" in has_read(live)) is not read


def test_a_second_daemon_of_that_name_hides_no_old_one_and_a_pid_file_is_no_proof_of_a_start() -> None:
    live = machine(
        files={"/run/d.pid": "5\n", "/etc/d.conf": "x\n"},
        times={"/run/d.pid": 500.0, "/etc/d.conf": 200.0},
        running=[[process("/usr/sbin/d", "d", started=100.0), process("/usr/sbin/d", "d", started=300.0)]],
    )
    assert "older than the last change" in has_read(live)


def test_a_daemon_that_does_not_run_has_read_nothing() -> None:
    assert "does not run" in has_read(machine())


# --- sshd ----------------------------------------------------------------------------------------------

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHm ann@home"
PLAIN = {"pubkeyauthentication": ["yes"], "authorizedkeysfile": [".ssh/authorized_keys /etc/ssh/keys/%u"]}


def test_keys_are_read_from_wherever_sshd_takes_them() -> None:
    files = {
        "/etc/ssh/sshd_config": "Include conf.d/*\n",
        "/etc/ssh/conf.d/a": "Match Address 192.0.2.9\n  AuthorizedKeysFile /srv/%U.keys\n",
        "/etc/ssh/keys/ann": f"{KEY}\n",
        "/srv/1000.keys": '# note\nfrom="192.0.2.9" ssh-rsa AAAAB3NzaC1yc2E x\n',
    }
    found = checks.keys_of(machine(files=files, options={"": PLAIN}), "ann")
    assert found == {("/etc/ssh/keys/ann", KEY.split()[1]), ("/srv/1000.keys", "AAAAB3NzaC1yc2E")}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("authorizedkeyscommand", "/srv/find-keys"),
        ("trustedusercakeys", "/etc/ssh/ca.pub"),
        ("hostbasedauthentication", "yes"),
        ("gssapiauthentication", "yes"),
    ],
)
def test_another_proof_than_a_key_is_told(name: str, value: str) -> None:
    checks.assert_keys_only(machine(options={"": PLAIN}), ["ann"])
    assert "sshd also" in complaint(
        checks.assert_keys_only, machine(options={"": {**PLAIN, name: [value]}}), ["ann"]
    )


def test_an_authority_that_holds_for_some_addresses_only_is_told() -> None:
    files = {"/etc/ssh/sshd_config": "Match Address 192.0.2.*\nTrustedUserCAKeys /etc/ssh/ca.pub\n"}
    assert "under some condition" in complaint(
        checks.assert_keys_only, machine(files=files, options={"": PLAIN}), ["ann"]
    )


@pytest.mark.parametrize(
    ("more", "let_in"),
    [
        ({}, True),
        ({"allowusers": ["bob a*"]}, True),
        ({"allowgroups": ["readers"]}, True),
        ({"allowusers": ["bob"]}, False),
        ({"allowgroups": ["wheel"]}, False),
        ({"denyusers": ["ann@192.0.2.1"]}, False),
        ({"denygroups": ["read*"]}, False),
        ({"pubkeyauthentication": ["no"]}, False),
    ],
)
def test_rules_on_accounts_and_groups_are_read_as_sshd_does(more: dict[str, list[str]], let_in: bool) -> None:
    host = machine(options={"": {**PLAIN, **more}})
    if let_in:
        checks.assert_let_in(host, "ann", "Ann")
    else:
        assert "Ann" in complaint(checks.assert_let_in, host, "ann", "Ann")


MAIN = "# ours\nInclude conf.d/*.conf\n  PermitRootLogin no\n"
KEPT = b"\x11\0\0\0# ours\nInclude conf.d/*.conf\nPermitRootLogin no\n\0\0"
OPEN = "PasswordAuthentication yes\n"


@pytest.mark.parametrize(
    ("more", "memory", "told"),
    [
        ({}, KEPT, ""),
        ({"/etc/ssh/conf.d/README": "no configuration"}, KEPT, ""),
        ({"/etc/ssh/conf.d/a.conf": "\tX11Forwarding no"}, KEPT + b"\0X11Forwarding no\0", ""),
        ({}, b"", "has not read /etc/ssh/sshd_config"),
        ({"/etc/ssh/conf.d/a.conf": "X11Forwarding no\n"}, KEPT, "has not read /etc/ssh/conf.d/a.conf"),
        ({"/etc/ssh/sshd_config": MAIN.replace("# ours\n", "")}, KEPT, "has not read /etc/ssh/sshd_config"),
        ({"/etc/ssh/sshd_config": "# ours\nInclude conf.d/*.conf\n"}, KEPT, "has not read"),
        (
            {},
            KEPT + b"\0PasswordAuthentication yes\n\0",
            "still goes by the earlier /etc/ssh/conf.d/old",
        ),
        ({"/etc/ssh/conf.d/old.conf": OPEN}, KEPT + b"\0PasswordAuthentication yes\n\0", ""),
    ],
)
def test_sshd_has_read_what_it_keeps(more: dict[str, str], memory: bytes, told: str) -> None:
    live = machine(files={"/etc/ssh/sshd_config": MAIN, **more}, memory=memory)
    planted = {"/etc/ssh/conf.d/old.conf": OPEN}
    if told:
        assert told in complaint(checks.assert_sshd_has_read, live, planted)
    else:
        checks.assert_sshd_has_read(live, planted)


def test_an_sshd_that_does_not_listen_has_read_nothing() -> None:
    live = machine(ports=frozenset(), files={"/etc/ssh/sshd_config": MAIN}, memory=KEPT)
    assert "does not listen" in complaint(checks.assert_sshd_has_read, live, {})


PEOPLE = [
    SimpleNamespace(user="ann", public_key=KEY),
    SimpleNamespace(user="bob", public_key="ssh-ed25519 AAAAbob bob"),
    SimpleNamespace(user="svc", public_key=""),
]


@pytest.mark.parametrize(
    ("line", "own"), [(KEY, True), ("ssh-rsa AAAAnobodys x", True), (f"{KEY}\nssh-rsa AAAAbob b", False)]
)
def test_another_personas_key_opens_nothing(line: str, own: bool) -> None:
    host = machine(files={"/home/ann/.ssh/authorized_keys": f"{line}\n"}, options={"": PLAIN})
    planted = cast("Planted", SimpleNamespace(personas=PEOPLE))
    if own:
        checks.assert_own_keys_only(host, planted)
    else:
        said = complaint(checks.assert_own_keys_only, host, planted)
        assert "/home/ann/.ssh/authorized_keys opens the account ann" in said


@pytest.mark.parametrize(
    "path", ["/home/ann/.bashrc", "/home/ann", "/home", "/home/ann/.ssh", "/etc/ssh/keys"]
)
def test_what_somebody_does_at_a_log_in_is_theirs_alone(path: str) -> None:
    files = {"/home/ann/.bashrc": "x\n"}
    closed = machine(files=dict(files), options={"": PLAIN}, writable={"ann": [path]})
    checks.assert_homes_closed(closed, ["ann", "gone"], ["ann", "svc"])
    opened = machine(files=dict(files), options={"": PLAIN}, writable={"svc": [path]})
    assert f"svc can change {path}" in complaint(checks.assert_homes_closed, opened, ["ann"], ["svc"])


# --- sudo ----------------------------------------------------------------------------------------------


def option(name: str, value: Any, operation: str = "") -> list[dict[str, Any]]:
    return [{"Options": [{name: value, **({"operation": operation} if operation else {})}]}]


@pytest.mark.parametrize(
    "defaults",
    [
        option("env_reset", True),
        option("env_keep", ["LANG", "XDG_CURRENT_DESKTOP"], "list_add"),
        option("env_keep", ["LD_PRELOAD"], "list_remove"),
        option("timestamp_timeout", "5"),
        option("secure_path", "/usr/sbin:/usr/bin"),
        option("requiretty", True),
    ],
)
def test_settings_of_sudo_that_change_nothing_are_right(defaults: list[dict[str, Any]]) -> None:
    checks.assert_sudo_protects(machine(defaults=defaults), ["ann"])


@pytest.mark.parametrize(
    ("defaults", "told"),
    [
        (option("env_reset", False), "!env_reset"),
        (option("authenticate", False), "!authenticate"),
        (option("secure_path", False), "!secure_path"),
        (option("setenv", True), "setenv"),
        (option("runchroot", "/srv/jail"), "runchroot"),
        (option("targetpw", True), "somebody else's password"),
        (option("timestamp_timeout", "-1"), "for ever"),
        (option("timestamp_timeout", "600"), "600 minutes"),
        (option("timestamp_type", "global"), "all sessions"),
        (option("secure_path", "/srv/tools:/usr/bin"), "/srv/tools, where ann"),
        *(
            (option("env_keep", [name], "list_add"), name)
            for name in ("LD_PRELOAD", "PATH", "LESSOPEN", "EDITOR")
        ),
        (option("env_check", "PERL5LIB", "list_add"), "PERL5LIB"),
        (option("env_keep", ["*"], "list_add"), "*"),
    ],
)
def test_settings_of_sudo_that_make_another_command_of_it_are_told(
    defaults: list[dict[str, Any]], told: str
) -> None:
    host = machine(defaults=defaults, writable={"ann": ["/srv/tools"]})
    assert told in complaint(checks.assert_sudo_protects, host, ["ann"])


# --- private keys --------------------------------------------------------------------------------------


def keygen(folder: Path, *options: str) -> tuple[bytes, str]:
    """A private key that ssh-keygen wrote, and its public half in base64."""
    path = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", path, *options], check=True)
    return path.read_bytes(), path.with_suffix(".pub").read_text().split()[1]


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_whose_a_key_is_can_be_seen_in_spite_of_a_passphrase(kind: str, tmp_path: Path) -> None:
    private, public = keygen(tmp_path, "-t", kind)
    assert public_halves(b"note\n" + private) == {public}
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-N", "secret", "-f", tmp_path / "key"],
        check=True,
    )
    sealed = (tmp_path / "key").read_bytes()
    assert sealed != private
    assert public_halves(sealed) == {public}


def test_other_forms_of_a_key_are_the_same_key(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415

    private, public = keygen(tmp_path, "-t", "ed25519")
    key = form.load_ssh_private_key(private, None)
    plain = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    sealed = key.private_bytes(
        form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"x")
    )
    assert public_halves(plain) == {public}
    assert public_halves(sealed) == {UNKNOWN}
    assert public_halves(private + plain + sealed) == {public, UNKNOWN}


def test_a_key_in_puttys_form_shows_whose_it_is() -> None:
    blob = base64.b64encode(bytes(range(51))).decode()
    text = "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: aes256-cbc\nComment: x\nPublic-Lines: 2\n"
    text += f"{blob[:64]}\n{blob[64:]}\nKey-Derivation: Argon2id\nPrivate-Lines: 1\nAAAA\n"
    assert public_halves(text.encode()) == {blob}
    assert public_halves(text.replace("\n", "\r\n").encode()) == {blob}
    assert public_halves(b"PuTTY-User-Key-File-3: cut off") == {UNKNOWN}


@pytest.mark.parametrize(
    "body", ["AAAA", "not base64!", base64.b64encode(b"openssh-key-v1\0\0\0\0\xff").decode()]
)
def test_a_damaged_key_is_nobodys(body: str) -> None:
    assert public_halves(CHROOTED.format(body).encode()) == {UNKNOWN}
    assert public_halves(b"no key at all") == set()


def test_keys_are_brought_out_of_what_they_are_packed_in(tmp_path: Path) -> None:
    import gzip  # noqa: PLC0415

    private, public = keygen(tmp_path, "-t", "ed25519")
    contents = {
        "/a": (private, "plain"),
        "/b": (gzip.compress(private), "gz"),
        "/c": (base64.b64encode(private), "base64"),
        "/d": (b"PK", "zip"),
        "/e": (gzip.compress(private)[:40], "gz"),
    }
    host = machine(files={path: data.decode("latin-1") for path, (data, _) in contents.items()})
    mark = frozenset({"PRIVATE KEY-----"})
    leaks = Leaks([Leak(path, container, mark) for path, (_, container) in contents.items()])
    found = private_keys(host, leaks)
    assert found == {"/a": {public}, "/b": {public}, "/c": {public}, "/d": {UNKNOWN}}
    other = Leaks([Leak("/a", "plain", frozenset({"something else"}))])
    assert private_keys(host, other) == {}
