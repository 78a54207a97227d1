"""A capture fails closed: what it cannot take is named, nothing blocks it, and no decoy deceives it."""

from __future__ import annotations

import json
import platform
import secrets
import time
from pathlib import Path

import pytest
from tests.machines.conftest import HERE, Running, TakeClone

from phi_labs.errors import UntrustedRoot
from phi_labs.grading.submission import HostCapture, Submission, capture_run
from phi_labs.probe import client
from phi_labs.probe.client import Probe

pytestmark = pytest.mark.docker


@pytest.fixture
def capture(running: Running, take_clone: TakeClone, probe: Probe, tmp_path: Path) -> Capture:
    take_clone(running.run.images["one"])
    return Capture(running, probe, tmp_path)


class Capture:
    """Captures of one run."""

    def __init__(self, running: Running, probe: Probe, folder: Path) -> None:
        self.running = running
        self.box = running.box
        self.probe = probe
        self.folder = folder

    def take(self) -> Submission:
        pids = {"one": self.box.pid}
        return capture_run(self.running.installation.engine, self.probe, self.running.run, pids, self.folder)

    def missed(self) -> dict[str, str]:
        """Path -> why it could not be taken."""
        submission = self.take()
        (host,) = submission.hosts.values()
        assert host.whole == (not submission.problems)
        return dict(host.missed)


LEASE = """
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
fd = os.open("/srv/secret.txt", os.O_RDWR)
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
os.write(1, b"ready")
signal.pause()
"""


def test_a_file_under_a_write_lease_is_named_and_never_waited_for(capture: Capture) -> None:
    capture.box.begin(LEASE)
    before = time.monotonic()
    assert capture.missed() == {"srv/secret.txt": "a process holds a lease on it"}
    assert time.monotonic() - before < 20


def test_a_file_over_the_size_cap_is_named_and_others_are_taken(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CAPTURE_BYTES", 4 * 1024 * 1024)
    capture.box.sh(
        "head -c 5000000 /dev/urandom > /srv/large; echo small > /srv/zz; truncate -s 20G /srv/sparse"
    )
    missed = capture.missed()
    assert list(missed) == ["srv/large"]
    assert "more than one submission may hold" in missed["srv/large"]


def test_more_entries_than_the_cap_are_counted_and_named(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CAPTURE_ENTRIES", 300)
    capture.box.sh("mkdir /srv/many; cd /srv/many; touch {1..2000}")
    (host,) = capture.take().hosts.values()
    assert host.missed_count > 1700
    assert len(host.missed) <= 200
    assert all(reason == "more changed files than one submission may hold" for _, reason in host.missed)


def test_what_is_nested_deeper_than_can_be_walked_is_named(capture: Capture) -> None:
    capture.box.sh('cd /srv; python3 -c \'import os\nfor _ in range(1600):\n os.mkdir("d"); os.chdir("d")\'')
    (reason,) = capture.missed().values()
    assert "nested deeper" in reason


def test_fifos_and_an_endless_log_neither_block_nor_tear_a_capture(capture: Capture) -> None:
    capture.box.sh("mkfifo /srv/fifo; mkfifo /var/log/auth.fifo")
    capture.box.begin(
        "import os\nos.write(1, b'ready')\nfd = os.open('/var/log/endless', os.O_CREAT | os.O_WRONLY)\n"
        "for _ in range(200000): os.write(fd, b'x' * 997)\n"
    )
    assert capture.missed() == {}
    assert capture.missed() == {}


def test_the_trainee_keeps_working_after_a_capture(capture: Capture) -> None:
    capture.take()
    assert capture.running.installation.engine.inspect(capture.running.run.containers["one"]).running
    assert capture.box.sh("echo still here") == "still here\n"


def test_links_to_places_of_the_engines_machine_are_never_followed(capture: Capture, tmp_path: Path) -> None:
    secret = tmp_path / "of-the-grader"
    secret.write_text("never to be read")
    up = "../" * 60
    capture.box.sh(f"ln -s {secret} /srv/a; ln -s {up}{secret} /srv/b; ln -s /proc/1/root{secret} /srv/c")
    pid = capture.box.pid
    direct = (f"/{up}{secret}", f"/proc/1/root{secret}", f"/proc/self/cwd/{up}{secret}")
    for path in ("/srv/a", "/srv/b", "/srv/c", *direct):
        assert "data" not in capture.probe.ask("read", pid=pid, path=path, limit=100), path
    submission = capture.take()
    assert submission.problems == []
    with submission.archive("one") as archive:
        assert b"never to be read" not in archive.read()


def chrooted(capture: Capture, place: str) -> int:
    """The pid (as the engine's machine counts) of a process of the lab that changed its root directory."""
    mark = f"decoy-{secrets.token_hex(4)}"
    capture.box.begin(
        "import os, ctypes, signal\n"
        f"os.chroot({place!r}); os.chdir('/')\n"
        f"ctypes.CDLL(None).prctl(15, {mark!r}.encode(), 0, 0, 0)\n"
        "os.write(1, b'ready')\nsignal.pause()\n"
    )
    found = capture.probe.must("processes", pid=capture.box.pid)["processes"]
    return next(int(item["outer"]) for item in found if item["name"] == mark)


def test_a_first_process_in_a_folder_of_the_machine_is_a_decoy(capture: Capture) -> None:
    capture.box.sh("mkdir -p /srv/decoy/etc; cp /etc/passwd /srv/decoy/etc/")
    with pytest.raises(UntrustedRoot):
        capture.probe.check_root(chrooted(capture, "/srv/decoy"))


def test_a_first_process_on_any_other_mount_of_the_machine_is_a_decoy(capture: Capture) -> None:
    listed = capture.box.sh("awk '{print $5}' /proc/self/mountinfo | sort -u")
    places = [place for place in listed.split() if place != "/"]
    entered = 0
    for place in places:
        if capture.box.run("/usr/bin/test", "-d", place).exit_code == 0:
            with pytest.raises(UntrustedRoot):
                capture.probe.check_root(chrooted(capture, place))
                pytest.fail(f"{place} was taken for the machine's root")
            entered += 1
    assert entered >= 5


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the attack is written for x86-64")
def test_a_first_process_that_root_moved_by_ptrace_is_refused_and_told(capture: Capture) -> None:
    assert capture.probe.ask("root", pid=capture.box.pid) == {"ok": True}
    assert capture.box.python(HERE / "ptrace_chroot.py") == b"chroot: 0"
    (host,) = capture.take().hosts.values()
    assert isinstance(host, HostCapture)
    assert "no longer stands in the machine's own root" in host.refused
    assert not host.whole


def test_lines_added_to_etc_hosts_travel_beside_the_archive(capture: Capture) -> None:
    capture.box.sh(
        "echo '192.0.2.7 loghost.hospital.example loghost' >> /etc/hosts; echo '# note' >> /etc/hosts"
    )
    (host,) = capture.take().hosts.values()
    assert host.host_lines == ("192.0.2.7 loghost.hospital.example loghost",)


def test_a_capture_of_an_untouched_machine_is_small(capture: Capture) -> None:
    (host,) = capture.take().hosts.values()
    assert host.whole
    assert host.entries < 150
    assert host.bytes < 2 * 1024 * 1024
    assert json.dumps(host.removed) == "[]"


@pytest.mark.parametrize(
    "instead", ["mkdir /etc/hosts", "ln -s /etc/shadow /etc/hosts", "mkfifo /etc/hosts", "true"]
)
def test_whatever_stands_in_for_etc_hosts_stalls_nothing(capture: Capture, instead: str) -> None:
    capture.box.sh(f"rm /etc/hosts; {instead}")
    (host,) = capture.take().hosts.values()
    assert (host.host_lines, host.refused, host.missed) == ((), "", ())


def test_the_engines_own_program_is_no_part_of_a_machine(capture: Capture) -> None:
    """It is mounted: after an upgrade of the engine it looked changed in every lab that ran."""
    assert capture.box.sh("stat -c %i /usr/sbin/docker-init") != ""
    found = capture.probe.must(
        "changes", pid=capture.box.pid, key="", generation=secrets.token_hex(4), live=False, limit=50_000
    )
    paths = {row[0] for row in found["changed"]}
    assert "usr/sbin/docker-init" not in paths
    assert "usr/sbin/sshd" in paths
