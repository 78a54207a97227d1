"""A lab with identifiers in every packing and corner: all are found by path, and who can read them."""

from __future__ import annotations

import base64
import json

import pytest
from tests.machines.conftest import Running, TakeClone
from tests.probe.packing import PACKS, WIDE

from phi_labs.grading.clone import Machine
from phi_labs.grading.host import Host
from phi_labs.probe.client import Probe

pytestmark = pytest.mark.docker

# Writes what it is given: [path, base64, mode].
WRITER = """
import base64, json, os, sys
for path, code, mode in json.load(sys.stdin):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(base64.b64decode(code))
    os.chmod(path, mode)
"""
CORNERS = (
    *("/etc/default/ehr", "/root/.bash_history", "/var/tmp/.hidden/x", "/opt/a b\nc/\u00e9"),  # noqa: S108
    *("/usr/lib/python3/dist-packages/x.py", "/home/core.1", "/var/spool/cron/crontabs/x"),
    "/srv/" + "d" * 200 + "/" + "e" * 200,
)


def write(running: Running, files: list[tuple[str, bytes, int]]) -> None:
    given = json.dumps([(path, base64.b64encode(data).decode(), mode) for path, data, mode in files])
    said = running.box.run("/usr/bin/python3", "-I", "-X", "utf8", "-c", WRITER, stdin=given.encode())
    assert said.exit_code == 0, said.stderr.decode()


def host_of(running: Running, probe: Probe, take_clone: TakeClone) -> Host:
    image = running.run.images["one"]
    take_clone(image)  # the probe knows the image afterwards
    machine = Machine("one", running.run.containers["one"], running.box.pid, image)
    return Host(machine, probe, live=True)


def ssn(number: int) -> str:
    return f"955-36-{number:04d}"


KEEPS_OPEN = """
import os, sys, time
left = open("/tmp/left", "w+b"); left.write(b"955-36-0001"); left.flush(); os.unlink("/tmp/left")
memory = os.memfd_create("left"); os.write(memory, b"955-36-0002")
named = open("/tmp/named", "w+b"); named.write(b"955-36-0003"); named.flush()
print("ready", flush=True)
time.sleep(30)
"""


def test_deleted_files_that_a_process_holds_open_are_looked_into(
    running: Running, probe: Probe, take_clone: TakeClone
) -> None:
    host = host_of(running, probe, take_clone)
    numbers = [ssn(1), ssn(2), ssn(3)]
    assert not host.held_open(numbers)
    start = (
        f"python3 -c '{KEEPS_OPEN}' > /tmp/said & echo $!; until grep -q ready /tmp/said; do sleep 0.02; done"
    )
    process = running.box.sh(start).split()[0]
    try:
        found = host.held_open(numbers)
        assert {leak.path: leak.identifiers for leak in found} == {
            "/tmp/left (deleted)": {ssn(1)},  # noqa: S108
            "/memfd:left (deleted)": {ssn(2)},
        }
        assert not found.unread
    finally:
        running.box.sh(f"kill {process}; rm /tmp/named /tmp/said")
    assert not host.held_open([ssn(4)])


def test_identifiers_are_found_wherever_and_however_they_lie(
    running: Running, probe: Probe, take_clone: TakeClone
) -> None:
    corners = [*CORNERS, "/dev/shm/left", "/dev/shm/a/folder/left", "/dev/folder/left"]  # noqa: S108
    places = [*(f"/srv/packed/{number}" for number in range(len(PACKS | WIDE))), *corners]
    packs = [*(PACKS | WIDE).values(), *[PACKS["plain"]] * len(corners)]
    files = [
        (place, pack(ssn(number).encode()), 0o600 if number % 2 else 0o644)
        for number, (place, pack) in enumerate(zip(places, packs, strict=True))
    ]
    write(running, [*files, ("/srv/decoy", b"order 19553600001 and 955-36-00011", 0o644)])
    running.box.sh("mkfifo /srv/fifo; ln -s /srv/packed/0 /srv/link; mknod /srv/device c 1 5")
    host = host_of(running, probe, take_clone)
    found = host.leaks(map(ssn, range(len(places))))
    assert {leak.path: leak.identifiers for leak in found} == {
        place: frozenset({ssn(number)}) for number, place in enumerate(places)
    }
    assert found.unread == ()
    everybody = host.leaks(map(ssn, range(len(places))), readable_by="nobody")
    assert set(everybody.paths) < set(found.paths)
    assert "/srv/packed/0" in everybody.paths
    assert "/srv/packed/1" not in everybody.paths


def test_much_is_searched_as_little_is(running: Running, probe: Probe, take_clone: TakeClone) -> None:
    """More than 2 MiB: here the probe takes the library that its image brings."""
    noise = b"2026-03-02 order 19553600001 of 955-36-00011 and 91000436406\n" * 100_000
    files = [
        (f"/srv/{number}", noise + pack(ssn(number).encode()), 0o644)
        for number, pack in enumerate(
            (
                PACKS["plain"],
                PACKS["mail"],
                PACKS["json"],
                WIDE["utf-16-le"],
            )
        )
    ]
    write(running, files)
    found = host_of(running, probe, take_clone).leaks([*map(ssn, range(9)), "1000436406"])
    assert {leak.path: leak.identifiers for leak in found} == {
        f"/srv/{number}": frozenset({ssn(number)}) for number in range(len(files))
    }


def test_a_bomb_is_named_and_hides_nothing_else(
    running: Running, probe: Probe, take_clone: TakeClone
) -> None:
    bomb = PACKS["gzip"](bytes(80 << 20))
    write(running, [("/srv/bomb.gz", bomb, 0o644), ("/srv/zz", b"955-36-0001", 0o644)])
    found = host_of(running, probe, take_clone).leaks([ssn(1)])
    assert found.paths == ("/srv/zz",)
    assert found.unread == ("/srv/bomb.gz",)
    assert "could not be looked into to its end" in found.notes[0][1]
