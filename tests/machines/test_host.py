"""What checks can ask of a rebooted clone: every facet of ``host``, on one machine full of cases."""

# ruff: noqa: S108 - the paths are the clone's

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.machines.conftest import Box

from phi_labs.errors import ProbeError
from phi_labs.grading.clone import Machine, boot, bring_to, fresh_machine
from phi_labs.grading.host import Host
from phi_labs.grading.interpreter import Grant, Interpreter
from phi_labs.grading.record import read_record
from phi_labs.grading.submission import capture_run
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.keys import derived_key
from phi_labs.lifecycle.pool import lease, take
from phi_labs.lifecycle.runs import start_run, stop_run
from phi_labs.model.lab import Lab
from phi_labs.probe.client import Probe

pytestmark = pytest.mark.docker

MANY_CASES = """
cd /srv
cp secret.txt copy.txt; gzip -k copy.txt; chmod 600 copy.txt copy.txt.gz
cat copy.txt.gz > twice.gz; echo more | gzip >> twice.gz
chmod 600 secret.txt
cp secret.txt acl.txt; setfacl -m u:intern:r acl.txt
cp secret.txt masked.txt; setfacl -m u:intern:r,m::--- masked.txt
mkdir closed open; cp secret.txt closed/; chmod 644 closed/secret.txt; chmod 700 closed; chmod 711 open
cp secret.txt group.txt; chgrp adm group.txt; chmod 640 group.txt
ln -s /srv/secret.txt link; ln -s nowhere dangling; mkfifo -m 666 fifo
printf 'from memory' > /dev/shm/gone; printf 'kept' > /tmp/kept
groupadd -g 3000 readers; usermod -aG readers,adm intern; usermod -e 1 ehr; useradd -m -u 1500 newcomer
printf 'people: 3\\n' > records/report.yml
cp /bin/cat /usr/local/bin/reader; chmod 4755 /usr/local/bin/reader
cp /bin/cat /usr/local/bin/capable; setcap cap_dac_read_search+ep /usr/local/bin/capable
chmod u-s /usr/bin/passwd; chmod 4755 /usr/bin/passwd; touch /usr/bin/head
cat > /etc/sudoers.d/rules <<'RULES'
User_Alias DESK = intern, %readers
Runas_Alias SERVICES = ehr, reviewer
Cmnd_Alias LOOK = /usr/bin/less /var/log/ehr/*, /usr/bin/tail
DESK ALL = (SERVICES) NOPASSWD: LOOK, !/usr/bin/less /var/log/ehr/secret
%#3000 ALL = (root) /usr/bin/true
#1002 ALL = NOPASSWD: /usr/bin/id
ALL, !intern ALL = /usr/bin/whoami
@include /srv/sudo-more
RULES
printf 'newcomer ALL = (ALL) ALL\\n@includedir /srv/sudo.d\\n' > /srv/sudo-more
mkdir /srv/sudo.d; ln -s /srv/real-rule /srv/sudo.d/rule
printf 'reviewer ALL = NOPASSWD: /usr/bin/zcat\\n' > /srv/real-rule
chmod 440 /etc/sudoers.d/rules /srv/sudo-more /srv/real-rule
cat > /etc/ssh/sshd_config.d/50-match.conf <<'RULES'
PermitRootLogin no
Match User intern
    AllowTcpForwarding no
Match Group readers Address 198.51.100.0/24
    X11Forwarding no
RULES
cat > /etc/logrotate.d/ehr <<'RULES'
/var/log/ehr/access.log /srv/other.log {
    daily
    rotate 2190
    create 0640 root adm
}
/srv/big.log { size 4096
 rotate 0
}
RULES
"""

MakeHost = Callable[[str, str], Host]


@dataclass(frozen=True)
class Facets:
    """Makes hosts: a run is started, changed by a script, captured, and its clone booted."""

    installation: Installation
    lab: Lab
    probe: Probe
    folder: Path
    ends: ExitStack

    def host(self, script: str, trainee: str) -> Host:
        engine = self.installation.engine
        run = start_run(self.installation, self.lab, trainee).run
        self.ends.callback(stop_run, self.installation, self.lab.id, trainee)
        box = Box(engine, run.containers["one"])
        box.sh(script)
        image = run.images["one"]
        machine, reader = self._machine(image, "clone"), self._machine(image, "interpreter")
        self.probe.baseline(image, machine.pid)
        folder = self.folder / trainee
        folder.mkdir()
        submission = capture_run(engine, self.probe, run, {"one": box.pid}, folder)
        assert submission.problems == []
        assert bring_to(machine, submission) == []
        boot([machine], self.probe)
        return Host(
            machine,
            self.probe,
            known=self.installation.state.load_manifest(trainee, self.lab.id).identifiers(),
            interpreter=Interpreter(reader, self.probe),
            connect=lambda container: engine.exec_stream(container, ["/bin/nc", "-N", "127.0.0.1", "22"]),
        )

    def _machine(self, image: str, kind: str) -> Machine:
        held = self.ends.enter_context(lease(self.installation))
        container = take(self.installation, self.lab, self.lab.hosts[0], image, held, kind=kind)
        machine = fresh_machine(self.installation.engine, "one", container, image)
        self.ends.callback(machine.close)
        return machine


@pytest.fixture(scope="module")
def make_host(
    installation: Installation, tiny: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeHost]:
    with ExitStack() as ends:
        probe = Probe(installation.engine, installation.probe_container())
        ends.callback(probe.close)
        yield Facets(installation, tiny, probe, tmp_path_factory.mktemp("facets"), ends).host


@pytest.fixture(scope="module")
def host(make_host: MakeHost) -> Host:
    """One clone for all tests that only look at it."""
    return make_host(MANY_CASES, "facets")


@pytest.fixture(scope="module")
def identifiers(host: Host) -> frozenset[str]:
    return host._known


# -- files and accounts ------------------------------------------------------------------------


def test_files_are_described_as_testinfra_would(host: Host) -> None:
    file = host.file("/srv/group.txt")
    assert (file.exists, file.is_file, file.is_directory, file.is_symlink) == (True, True, False, False)
    assert (file.mode, file.user, file.group, file.uid, file.gid) == (0o640, "root", "adm", 0, 4)
    assert file.size == len(file.content)
    assert file.sha256 == host.file("/srv/copy.txt").sha256
    assert file.content_string.count("\n") == 3
    assert host.file("/srv/closed").is_directory
    assert host.file("/srv/fifo").type == stat.S_IFIFO


def test_links_are_followed_and_told_apart(host: Host) -> None:
    link, dangling = host.file("/srv/link"), host.file("/srv/dangling")
    assert (link.is_symlink, link.linked_to, link.is_file) == (True, "/srv/secret.txt", True)
    assert (dangling.exists, dangling.is_symlink, dangling.linked_to) == (False, True, "nowhere")


def test_what_is_not_there_is_a_failed_expectation_not_an_error(host: Host) -> None:
    missing = host.file("/srv/missing")
    assert not missing.exists
    for ask in (lambda: missing.mode, lambda: missing.content, lambda: missing.sha256, lambda: missing.size):
        with pytest.raises(AssertionError, match="/srv/missing"):
            ask()
    with pytest.raises(AssertionError, match="/srv/fifo"):
        _ = host.file("/srv/fifo").content


def test_a_restart_empties_memory_and_keeps_tmp(host: Host) -> None:
    assert not host.file("/dev/shm/gone").exists
    assert host.file("/tmp/kept").content == b"kept"


def test_accounts_and_groups_are_read_from_the_machines_own_files(host: Host) -> None:
    intern = host.user("intern")
    assert (intern.exists, intern.uid, intern.shell, intern.home) == (True, 1001, "/bin/bash", "/home/intern")
    assert intern.groups == {"intern", "readers", "adm"}
    assert (intern.locked, host.user("ehr").locked) == (False, True)
    assert not host.user("nobody-here").exists
    readers = host.group("readers")
    assert (readers.exists, readers.gid) == (True, 3000)
    assert readers.members == {"intern"}
    assert host.group("intern").members == {"intern"}
    assert not host.group("nothing").exists


# -- who may what ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "can"),
    [
        ("/srv/secret.txt", False),
        ("/srv/link", False),
        ("/srv/acl.txt", True),
        ("/srv/masked.txt", False),
        ("/srv/group.txt", True),
        ("/srv/closed/secret.txt", False),
        ("/srv/fifo", False),
        ("/srv/missing", False),
        ("/etc/passwd", True),
        ("/etc/shadow", False),
        ("/proc/1/environ", False),
    ],
)
def test_the_kernel_says_who_can_read(host: Host, path: str, can: bool) -> None:
    assert host.as_user("intern").can_read(path) is can


def test_the_kernel_says_who_can_write_and_list(host: Host) -> None:
    intern = host.as_user("intern")
    assert intern.can_write("/home/intern/.bashrc")
    assert not intern.can_write("/srv/acl.txt")
    assert intern.can_list("/srv")
    assert not intern.can_list("/srv/open")
    assert not intern.can_list("/srv/closed")


def test_root_and_strangers_are_answered_too(host: Host) -> None:
    assert host.as_user("root").can_read("/srv/secret.txt")
    assert not host.as_user("nobody-here").can_read("/etc/passwd")
    assert not host.as_user("reviewer").can_read("/srv/group.txt")


# -- sweeps ------------------------------------------------------------------------------------


def test_leaks_are_found_in_plain_and_packed_files(host: Host, identifiers: frozenset[str]) -> None:
    found = host.leaks(identifiers)
    containers = {leak.path: leak.container for leak in found}
    assert containers["/srv/copy.txt"] == "plain"
    assert containers["/srv/copy.txt.gz"] == containers["/srv/twice.gz"] == "gz"
    assert found.identifiers == identifiers
    assert not any(name in found.summary() for name in identifiers)


def test_leaks_can_be_limited_to_what_somebody_reads(host: Host, identifiers: frozenset[str]) -> None:
    readable = host.leaks(identifiers, readable_by="intern")
    assert set(readable.paths) == {"/srv/acl.txt", "/srv/group.txt", "/srv/twice.gz"}
    assert not host.leaks(identifiers, readable_by="nobody-here")


def test_strings_are_found_only_in_what_changed_unless_everywhere_is_asked(host: Host) -> None:
    assert host.find(["people: 3"]).paths == ("/srv/records/report.yml",)
    of_the_image = "root:x:0:0:root:/root:/bin/bash"
    assert "/usr/share/base-passwd/passwd.master" not in host.find([of_the_image]).paths
    assert host.leaks(["Linux-PAM"], everywhere=True)
    assert not host.find(["Linux-PAM"])


def test_what_runs_on_a_copy_can_be_ended(host: Host) -> None:
    ended = host.run(["/bin/sh", "-c", "trap 'exit 7' TERM; kill -TERM $$; exit 0"])
    assert ended.exit_code == 7
    assert host.run(["/bin/sh", "-c", "kill -TERM $$; exit 0"]).exit_code == -15
    # Services of the boot, too.
    host.run(["/usr/sbin/service", "cron", "stop"])
    assert "cron" not in {process.name for process in host.processes()}
    host.run(["/usr/sbin/service", "cron", "start"])


def test_what_a_restart_does_not_keep_is_looked_at_on_demand(host: Host) -> None:
    host.run(["/bin/sh", "-c", "printf 1000412345 > /run/left; printf 1000412345 > /dev/shm/left"])
    assert not host.leaks(["1000412345"])
    found = host.leaks(["1000412345"], volatile=True)
    assert found.paths == ("/dev/shm/left", "/run/left")
    assert host.leaks(["1000412345"], readable_by="intern", volatile=True).paths == found.paths
    host.run(["/bin/rm", "/run/left", "/dev/shm/left"])
    assert not host.leaks(["1000412345"], volatile=True)


def test_the_record_is_read(host: Host) -> None:
    record = read_record(host, "/srv/records/report.yml")
    assert (record.exists, record.field("people")) == (True, 3)
    assert read_record(host, "/srv/records/none.yml").error is not None
    assert read_record(host, "/srv/link").error == "/srv/link is not a regular file"


# -- what changed --------------------------------------------------------------------------------


def test_new_privileged_files_are_named_and_the_images_own_are_not(host: Host) -> None:
    changed = host.changed()
    assert changed.setuid == ("/usr/local/bin/reader",)
    assert changed.capabilities == ("/usr/local/bin/capable",)
    assert "/usr/bin/passwd" in changed.modified  # touched, but as it was
    assert "/srv/copy.txt" in changed.added
    assert changed.packaged == ()
    assert changed.login_path == ()


SPOILED = {
    "a program's bytes": ("printf x >> /usr/bin/nc.openbsd", "/usr/bin/nc.openbsd"),
    "a program gone": ("rm /usr/lib/openssh/sftp-server", "/usr/lib/openssh/sftp-server"),
    "a program that is a link now": (
        "mv /usr/sbin/sshd /srv/; ln -s /srv/sshd /usr/sbin/sshd",
        "/usr/sbin/sshd",
    ),
    "a library's link turned": (
        "cp $(readlink -f /lib/x86_64-linux-gnu/libpam.so.0) /srv/evil.so;"
        "ln -sf /srv/evil.so /lib/x86_64-linux-gnu/libpam.so.0",
        "/usr/lib/x86_64-linux-gnu/libpam.so.0",
    ),
    "the libraries' folder turned": (
        "mkdir /srv/lib64; cp -L /lib64/ld-* /srv/lib64/; ln -s /srv/lib64 /srv/to; mv -T /srv/to /lib64",
        "/lib64",
    ),
    "a library preloaded": ("cp /bin/true /srv/x.so; echo > /etc/ld.so.preload", "/etc/ld.so.preload"),
    "a new authentication module": ("cp /bin/true /usr/lib/x86_64-linux-gnu/security/pam_x.so", "pam_x.so"),
    "authentication rules": ("echo 'auth sufficient pam_permit.so' >> /etc/pam.d/sshd", "/etc/pam.d/sshd"),
    "authentication rules as a link": (
        "mv /etc/pam.d/sshd /srv/pam-sshd; ln -s /srv/pam-sshd /etc/pam.d/sshd",
        "/etc/pam.d/sshd",
    ),
    "names from elsewhere": ("echo 'passwd: files extra' > /etc/nsswitch.conf", "/etc/nsswitch.conf"),
}

SPOILED_OTHERWISE = {
    "a library preloaded through a link": (
        "echo > /srv/preload; ln -s /srv/preload /etc/ld.so.preload",
        "/etc/ld.so.preload",
    ),
    "all authentication rules elsewhere": (
        "mv /etc/pam.d /srv/pam.d; ln -s /srv/pam.d /etc/pam.d",
        "/etc/pam.d",
    ),
}


ANSWERED_BY_OTHERS = {
    "another server": (
        "cp /bin/nc /srv/nc; service ssh stop; (/srv/nc -l -k -p 22 >/dev/null 2>&1 &) ; sleep 0.3",
        "/srv/nc answers on port 22",
    ),
    "a library loaded at the start": (
        "cp $(ldconfig -p | sed -n 's/.*libwrap.so.0.*=> //p' | head -1) /srv/evil.so 2>/dev/null"
        " || cp /usr/lib/x86_64-linux-gnu/libutil.so.1 /srv/evil.so;"
        "service ssh stop; LD_PRELOAD=/srv/evil.so /usr/sbin/sshd; sleep 0.3",
        "/srv/evil.so loaded",
    ),
}


@pytest.mark.parametrize(("script", "told"), ANSWERED_BY_OTHERS.values(), ids=ANSWERED_BY_OTHERS)
def test_logins_do_not_count_while_somebody_else_answers_them(
    make_host: MakeHost, script: str, told: str
) -> None:
    host = make_host("true", "answered " + told.split("/")[2].split(maxsplit=1)[0])
    host.run(["/bin/sh", "-c", script])
    with pytest.raises(AssertionError, match=told), host.ssh("itops", key="x"):
        pass


def test_a_program_that_has_no_part_in_logins_does_not_spoil_them(make_host: MakeHost) -> None:
    changed = make_host("printf x >> /usr/bin/tac", "another program").changed()
    assert changed.packaged == ("/usr/bin/tac",)
    assert changed.login_path == ()


@pytest.mark.parametrize("spoiled", [SPOILED, SPOILED_OTHERWISE])
def test_logins_do_not_count_while_anything_that_answers_them_was_touched(
    make_host: MakeHost, spoiled: dict[str, tuple[str, str]]
) -> None:
    host = make_host("\n".join(script for script, _ in spoiled.values()), f"spoiled {len(spoiled)}")
    suspicious = host.changed().login_path
    trusted = [name for name, (_, path) in spoiled.items() if not any(path in found for found in suspicious)]
    assert trusted == []
    with pytest.raises(AssertionError, match="logins cannot be trusted while"), host.ssh("itops", key="x"):
        pass


# -- configuration -------------------------------------------------------------------------------


def grants(host: Host, user: str) -> set[tuple[str, ...]]:
    """(commands..., "as", run-as...) of each grant."""

    def told(grant: Grant) -> tuple[str, ...]:
        return (*grant.commands, "as", *grant.run_as, *(["freely"] if grant.nopasswd else []))

    return {told(grant) for grant in host.sudoers.grants(user)}


LOOK = ("/usr/bin/less /var/log/ehr/*", "/usr/bin/tail", "!/usr/bin/less /var/log/ehr/secret")


def test_sudo_rules_are_read_with_aliases_groups_numbers_and_includes(host: Host) -> None:
    assert host.sudoers.valid, host.sudoers.complaint
    assert grants(host, "intern") == {
        (*LOOK, "as", "ehr", "reviewer", "freely"),
        ("/usr/bin/true", "as", "root"),
    }
    assert ("/usr/bin/id", "as", "root", "freely") in grants(host, "reviewer")
    assert ("/usr/bin/whoami", "as", "root") in grants(host, "reviewer")
    assert ("/usr/bin/zcat", "as", "root", "freely") in grants(host, "reviewer")  # behind a link
    assert ("ALL", "as", "ALL") in grants(host, "newcomer")  # behind an include
    assert any(grant.commands == ("ALL",) and grant.nopasswd for grant in host.sudoers.grants("itops"))


def test_sudo_rules_with_an_error_are_not_valid(make_host: MakeHost) -> None:
    host = make_host("echo 'intern ALL = (' > /etc/sudoers.d/broken; chmod 440 /etc/sudoers.d/broken", "sudo")
    assert not host.sudoers.valid
    assert "broken" in host.sudoers.complaint


def test_sudo_rules_that_sudo_goes_by_are_valid_whatever_their_mode(make_host: MakeHost) -> None:
    rule = "intern ALL=(root) NOPASSWD: /usr/bin/id"
    host = make_host(f"echo '{rule}' > /etc/sudoers.d/open; chmod 644 /etc/sudoers.d/open", "sudo-mode")
    assert host.sudoers.valid, host.sudoers.complaint
    assert ("/usr/bin/id", "as", "root", "freely") in grants(host, "intern")


def test_another_root_for_a_command_is_read(make_host: MakeHost) -> None:
    rules = "intern ALL=(root) TIMEOUT=1h CWD=/srv CHROOT=* NOPASSWD: /bin/ls\\n"
    rules += "reviewer ALL=(root) CWD=/srv /bin/ls"
    host = make_host(
        f"printf '{rules}\\n' > /etc/sudoers.d/root; chmod 440 /etc/sudoers.d/root", "another-root"
    )
    (grant,) = host.sudoers.grants("intern")
    assert (grant.commands, grant.chroot, grant.nopasswd) == (("/bin/ls",), "*", True)
    assert [grant.chroot for grant in host.sudoers.grants("reviewer")] == [""]


def test_the_ssh_servers_options_hold_with_their_conditions(host: Host) -> None:
    assert host.sshd_config["permitrootlogin"] == ["no"]
    assert host.sshd_config["allowtcpforwarding"] == ["yes"]
    assert host.sshd_config_for("intern")["allowtcpforwarding"] == ["no"]
    assert host.sshd_config_for("reviewer")["allowtcpforwarding"] == ["yes"]


def test_what_a_server_has_read_is_in_its_memory_and_since_when_it_runs_is_known(host: Host) -> None:
    read = re.sub(rb"^[ \t\r]+", b"", host.file("/etc/ssh/sshd_config").content, flags=re.MULTILINE)
    texts = [b"\0" + read + b"\0", b"\0" + read[5:] + b"\0", b"nobody ever wrote this"]
    assert host.holds(22, texts) == [True, False, False]
    assert host.holds(23, texts[:1]) == [False]
    (server,) = [
        item for item in host.processes() if item.argv[0].startswith("sshd: /usr/sbin/sshd [listener]")
    ]
    assert server.program == "/usr/sbin/sshd"
    assert host.file("/run/sshd.pid").mtime == pytest.approx(server.started, abs=5.0)


def test_pipes_are_heard_by_whom_the_kernel_lets(make_host: MakeHost) -> None:
    script = "cd /srv; mkfifo -m 666 open; mkfifo -m 640 closed; mkdir -m 700 shut; mkfifo -m 666 shut/open"
    pipes = ["/srv/open", "/srv/closed", "/srv/shut/open", "/srv", "/etc/passwd"]
    assert make_host(script, "pipes").can("intern", pipes, "hear") == [True, False, False, False, False]


def test_rotations_of_a_group_that_the_image_lacks_are_read(make_host: MakeHost) -> None:
    """logrotate refuses names that it cannot look up, wherever it reads the rules."""
    rules = "/var/log/{0}.log {{\n daily\n rotate 5\n su root {0}\n create 0640 root {0}\n}}\n"
    script = "groupadd auditlog\n" + "".join(
        f"cat > /etc/logrotate.d/{name} <<'RULES'\n{rules.format(name)}RULES\n"
        for name in ("auditlog", "nobodys")
    )
    found = {item.patterns for item in make_host(script, "rotation").logrotate()}
    assert ("/var/log/auditlog.log",) in found
    assert ("/var/log/nobodys.log",) not in found


def test_rotations_are_read(host: Host) -> None:
    found = {rotation.patterns: rotation for rotation in host.logrotate()}
    access = found["/var/log/ehr/access.log", "/srv/other.log"]
    assert (access.rotations, access.interval) == (2190, "1 days")
    assert found["/srv/big.log",].rotations == 0
    assert found["/srv/big.log",].interval == "4096 bytes"


# -- doing things ----------------------------------------------------------------------------------


def test_commands_run_with_numbers_and_their_effects_are_seen(host: Host) -> None:
    assert not host.file("/tmp/made").exists
    ran = host.run(["/bin/sh", "-c", "id -u; id -G; cat; echo $GREETING >&2; umask; touch /tmp/made"],
                   user="intern", stdin=b"given\n", env={"GREETING": "hello"})  # fmt: skip
    assert ran.exit_code == 0
    assert ran.stdout.decode().split("\n")[:3] == ["1001", "1001 4 3000", "given"]
    assert ran.stderr == b"hello\n"
    made = host.file("/tmp/made")
    assert (made.exists, made.uid, made.mode) == (True, 1001, 0o644)


def test_exit_codes_and_bare_numbers(host: Host) -> None:
    assert host.run(["/bin/sh", "-c", "exit 7"]).exit_code == 7
    assert host.run(["/usr/bin/id", "-u"], user=4242).stdout == b"4242\n"
    with pytest.raises(AssertionError, match="no account nobody-here"):
        host.run(["/usr/bin/id"], user="nobody-here")


def test_a_command_that_does_not_end_or_says_too_much_is_a_failed_expectation(host: Host) -> None:
    with pytest.raises(AssertionError, match=r"did not end within 0\.3 seconds"):
        host.run(["/bin/sleep", "60"], timeout=0.3)
    with pytest.raises(AssertionError, match="did not end"):
        host.run(["/usr/bin/yes"], timeout=10)
    assert host.run(["/bin/echo", "still here"]).stdout == b"still here\n"


def test_a_daemon_left_behind_does_not_hold_a_command_up(host: Host) -> None:
    ran = host.run(["/bin/sh", "-c", "sleep 30 & echo done"], timeout=5)
    assert ran.stdout == b"done\n"


def test_a_program_that_is_not_there_is_not_our_trouble(host: Host) -> None:
    ran = host.run(["/usr/bin/no-such"])
    assert (ran.exit_code, ran.stderr) == (127, b"/usr/bin/no-such: No such file or directory\n")
    assert host.run(["/etc/passwd"]).exit_code == 126


def test_a_machine_that_is_only_looked_at_runs_nothing(host: Host) -> None:
    live = Host(Machine("one", "", host._machine.pid, host._machine.image), host._probe, live=True)
    assert live.file("/srv/secret.txt").exists
    for attempt in (lambda: live.run(["/bin/true"]), lambda: live.sudoers, lambda: live.sshd_config):
        with pytest.raises(ProbeError):
            attempt()
    with pytest.raises(ProbeError), live.ssh("itops", key="x"):
        pass


def test_the_right_key_logs_in_and_no_other(host: Host, installation: Installation, tiny: Lab) -> None:
    manifest = installation.state.load_manifest("facets", tiny.id)
    with host.ssh("intern", key=manifest.personas["intern"]["private"]) as session:
        result = session.run("id -un; cat >&2; exit 3", stdin=b"to the other side")
    assert (result.exit_code, result.stdout, result.stderr) == (3, b"intern\n", b"to the other side")
    wrong = derived_key(b"other", "x").private
    for user, key in (("intern", wrong), ("root", manifest.personas["intern"]["private"])):
        with pytest.raises(AssertionError, match="cannot log in"), host.ssh(user, key=key):
            pass


def test_commands_over_several_logins_run_side_by_side(
    host: Host, installation: Installation, tiny: Lab
) -> None:
    manifest = installation.state.load_manifest("facets", tiny.id)
    key = manifest.personas["intern"]["private"]
    logins = [
        host.begin_login("intern", key=key, command=f"cat > ~/{name}; exit {number}", stdin=name.encode())
        for number, name in enumerate(("one", "two"))
    ]
    refused = host.begin_login("reviewer", key=key, command="true")
    assert [login.wait().exit_code for login in logins] == [0, 1]
    host.forget()
    home = host.user("intern").home
    assert [host.file(f"{home}/{name}").content_string for name in ("one", "two")] == ["one", "two"]
    with pytest.raises(AssertionError, match="cannot log in"):
        refused.wait()


def test_a_command_need_not_read_what_it_is_given(host: Host, installation: Installation, tiny: Lab) -> None:
    manifest = installation.state.load_manifest("facets", tiny.id)
    with host.ssh("intern", key=manifest.personas["intern"]["private"]) as session:
        for _ in range(3):  # whether the end or the input is first, is chance
            assert session.run("exit 3", stdin=b"x" * 4_000_000).exit_code == 3


def test_processes_and_sockets_are_seen_from_outside(host: Host) -> None:
    processes = host.processes()
    assert {"sshd", "cron"} <= {process.name for process in processes}
    # A login that just ended may still have processes of other accounts.
    listeners = [process for process in processes if process.name == "sshd" and process.uid == 0]
    assert any(process.argv[0].startswith("sshd: /usr/sbin/sshd [listener]") for process in listeners)
    assert host.socket("tcp://0.0.0.0:22").is_listening
    assert host.socket("tcp://22").is_listening
    assert host.socket("tcp://[::]:22").is_listening
    assert not host.socket("tcp://127.0.0.1:22").is_listening
    assert not host.socket("tcp://23").is_listening


def test_a_large_file_is_read_up_to_a_limit(host: Host) -> None:
    host.run(["/usr/bin/truncate", "-s", "20G", "/tmp/huge"])
    assert len(host.file("/tmp/huge").content) == 4 * 1024 * 1024
    with pytest.raises(AssertionError, match="larger than"):
        _ = host.file("/tmp/huge").sha256
