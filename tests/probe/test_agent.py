"""The trusted reader's own functions, on folders of this machine: patterns, holes, sweeps, walks, paths."""

from __future__ import annotations

import gzip
import io
import os
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phi_labs.probe.agent import pieces, questions, sweep, walking
from phi_labs.probe.agent.conversation import answered
from phi_labs.probe.agent.kernel import extents, is_mount_root
from phi_labs.probe.agent.memory import LISTINGS_LIMIT, Memory
from phi_labs.probe.agent.patterns import Patterns
from phi_labs.probe.agent.roots import Roots
from phi_labs.probe.agent.stream import Json, Out
from phi_labs.probe.agent.sweep import UNREAD, Sweep
from phi_labs.probe.agent.walking import Listing, load_baseline, walk

GENEROUS = 1 << 30
PID = 4711


# -- holes ---------------------------------------------------------------------------------


def test_holes_are_left_out_and_data_kept(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(20 << 30)
        for offset in (0, 5 << 20, (20 << 30) - 5):
            file.seek(offset)
            file.write(b"data!")
    fd = os.open(path, os.O_RDONLY)
    try:
        found = extents(fd, os.fstat(fd).st_size)
        data = b"".join(os.pread(fd, length, start) for start, length in found)
    finally:
        os.close(fd)
    assert data.replace(b"\0", b"") == b"data!data!data!"
    assert len(data) < 1 << 20
    assert all(start + length <= 20 << 30 for start, length in found)


def test_an_empty_file_and_a_file_of_one_hole_have_no_data(tmp_path: Path) -> None:
    for size in (0, 1 << 20):
        path = tmp_path / str(size)
        path.touch()
        os.truncate(path, size)
        fd = os.open(path, os.O_RDONLY)
        assert extents(fd, size) == []
        os.close(fd)


# -- sweeps --------------------------------------------------------------------------------


def swept(
    path: Path, *strings: str, limit: int = GENEROUS, seconds: float = 10.0
) -> tuple[dict[str, set[str]], list[list[str]]]:
    """Container -> strings found in a file, and the sweep's notes."""
    searched = Sweep(Patterns(list(strings)), limit, seconds)
    fd = os.open(path, os.O_RDONLY)
    try:
        found = {layer: {strings[number] for number in numbers} for layer, numbers in searched.file(fd, "f")}
    finally:
        os.close(fd)
    return found, [[path, reason.removeprefix(UNREAD)] for path, reason in searched.notes]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["ABCDEF", "GHIJ", "KL", ".", "\n", "xyz"]), max_size=20), st.integers(1, 9))
def test_strings_across_the_borders_of_chunks_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: list[str], chunk: int
) -> None:
    monkeypatch.setattr(sweep, "CHUNK", chunk)
    monkeypatch.setattr(pieces, "CHUNK", chunk)
    path = tmp_path / "file"
    path.write_text("".join(parts))
    found, _ = swept(path, "ABCDEF", "GHIJ", "KL")
    assert found.get("plain", set()) == {"ABCDEF", "GHIJ", "KL"} & set(parts)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=30), min_size=1, max_size=5), st.integers(1, 40))
def test_every_member_of_a_gzip_file_is_searched_wherever_it_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: list[bytes], chunk: int
) -> None:
    monkeypatch.setattr(sweep, "CHUNK", chunk)
    monkeypatch.setattr(pieces, "CHUNK", chunk)
    path = tmp_path / "file.gz"
    path.write_bytes(b"".join(gzip.compress(member) for member in [b"text", *members, b"the needle"]))
    found, notes = swept(path, "needle")
    assert found.get("gz") == {"needle"}
    assert notes == []


def noise(size: int) -> bytes:
    """Bytes that do not compress, the same every time."""
    return random.Random(1).randbytes(size)  # noqa: S311 - reproducible on purpose


def test_a_gzip_file_cut_short_is_searched_as_far_as_it_goes_and_noted(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(b"needle" + noise(5000))[:3000])
    found, notes = swept(path, "needle")
    assert found["gz"] == {"needle"}
    assert notes == [["f", "damaged gzip data: it ends early"]]


def test_a_damaged_gzip_file_is_searched_as_far_as_it_goes_and_noted(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(b"needle" + noise(3_000_000)))
    data[2_500_000:2_500_100] = bytes(100)
    path = tmp_path / "file.gz"
    path.write_bytes(data)
    found, notes = swept(path, "needle")
    assert found["gz"] == {"needle"}
    assert [reason.split(":")[0] for _, reason in notes] == ["damaged gzip data"]


@pytest.mark.parametrize("padding", [b"\0" * 512, b"\0" * 3_000_000])
def test_padding_after_a_gzip_member_is_no_damage(tmp_path: Path, padding: bytes) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(b"needle") + padding)
    assert swept(path, "needle") == ({"gz": {"needle"}}, [])


def test_a_file_that_only_begins_like_gzip_is_searched_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(b"\x1f\x8b but then needle")
    found, notes = swept(path, "needle")
    assert found == {"plain": {"needle"}}
    assert len(notes) == 1


def test_a_gzip_bomb_ends_at_the_limit_and_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(50_000_000) + b"needle"))
    found, notes = swept(path, "needle", limit=2_000_000)
    assert found == {}
    assert notes == [["f", "the sweep's limit of bytes was reached"]]


def test_a_sweep_ends_in_time(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("needle")
    found, notes = swept(path, "needle", seconds=-1)
    assert found == {}
    assert notes == [["f", "the sweep's time was up"]]


def test_holes_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(20 << 30)
        file.seek((20 << 30) - 6)
        file.write(b"needle")
    before = time.monotonic()
    assert swept(path, "needle", limit=1 << 20) == ({"plain": {"needle"}}, [])
    assert time.monotonic() - before < 5


# -- a folder as a machine's root ------------------------------------------------------------


class OneRoot(Roots):
    """A folder in place of the root of machine ``PID``."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.fd = os.open(folder, os.O_PATH)

    def __getitem__(self, pid: int) -> int:
        return self.fd


@dataclass
class Machine:
    """A folder that the agent takes for a machine, and what it remembers of it."""

    folder: Path
    memory: Memory

    @property
    def fd(self) -> int:
        return self.memory.roots[PID]

    def ask(self, op: str, **fields: Any) -> Json:
        return answered(self.memory, {"op": op, "pid": PID, **fields})

    def sweep(self, generation: int, **limits: float) -> Json:
        asked: Json = {"strings": ["needle"], "generation": str(generation)}
        return self.ask("sweep", **{**asked, "limit_bytes": GENEROUS, "within": 10, **limits})


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    folder = tmp_path / "root"
    folder.mkdir()
    roots = OneRoot(folder)
    yield Machine(folder, Memory(Out(io.BytesIO()), roots, cache=str(tmp_path)))
    os.close(roots.fd)


@pytest.fixture
def root(machine: Machine) -> Path:
    return machine.folder


def test_a_sweep_that_ran_out_of_time_does_not_make_the_next_one_blind(machine: Machine, root: Path) -> None:
    (root / "file").write_text("needle")
    first = machine.sweep(0, within=-1)
    assert (first["hits"], len(first["notes"])) == ([], 1)
    assert machine.sweep(1)["hits"] == [["/file", "plain", [0]]]


def test_a_sweep_that_ran_out_of_bytes_does_not_make_the_next_one_blind(machine: Machine, root: Path) -> None:
    (root / "file").write_text("x" * 100 + "needle")
    assert machine.sweep(0, limit_bytes=10)["hits"] == []
    assert machine.sweep(1)["hits"] == [["/file", "plain", [0]]]


def test_what_a_note_says_of_a_file_is_said_every_time(machine: Machine, root: Path) -> None:
    (root / "file.gz").write_bytes(gzip.compress(b"needle")[:-4])
    assert machine.sweep(0)["notes"] == machine.sweep(1)["notes"] != []


def test_a_changed_file_is_read_again(machine: Machine, root: Path) -> None:
    (root / "file").write_text("nothing")
    assert machine.sweep(0)["hits"] == []
    (root / "file").write_text("needle.")
    assert machine.sweep(1)["hits"] == [["/file", "plain", [0]]]


def test_every_path_is_walked_and_run_is_not_entered(machine: Machine, root: Path) -> None:
    for place in ("etc/deep/er", "run/lock"):
        (root / place).mkdir(parents=True)
    (root / "etc" / os.fsdecode(b"\xff\xfe\n")).touch()
    (root / "etc/link").symlink_to("/etc")
    os.mkfifo(root / "etc/fifo")
    trouble: list[list[str]] = []
    found = {item.path for item in walk(machine.fd, trouble)}
    odd = "etc/" + os.fsdecode(b"\xff\xfe\n")
    assert found == {".", "etc", "etc/deep", "etc/deep/er", "run", odd, "etc/link", "etc/fifo"}
    assert trouble == []
    live = {item.path for item in walk(machine.fd, trouble, live=True)}
    assert live - found == {"run/lock"}


def test_what_is_nested_too_deeply_is_named(
    machine: Machine, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "MAX_DEPTH", 3)
    (root / "a/b/c/d").mkdir(parents=True)
    trouble: list[list[str]] = []
    assert {item.path for item in walk(machine.fd, trouble)} == {".", "a", "a/b", "a/b/c"}
    assert trouble == [["a/b/c", "nested deeper than 3 directories"]]


def deep_path(root: Path) -> str:
    """A path of more than 4096 bytes below ``root``, a file with a needle at its end."""
    fd = os.open(root, os.O_RDONLY)
    parts = ["d" * 200] * 25
    for part in parts:
        os.mkdir(part, dir_fd=fd)
        inner = os.open(part, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    file = os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    os.write(file, b"needle")
    os.close(file)
    os.close(fd)
    return "/".join([*parts, "file"])


def test_paths_longer_than_the_kernel_takes_are_swept_and_asked(machine: Machine, root: Path) -> None:
    path = deep_path(root)
    assert len(path) > 4096
    assert machine.sweep(0)["hits"] == [["/" + path, "plain", [0]]]
    assert machine.ask("stat", path="/" + path)["size"] == 6
    assert questions.can_open(machine.fd, "/" + path, "read")
    answer = machine.ask("read", path="/" + path, limit=100)
    assert answer["size"] == 6


def test_links_never_lead_out_of_the_root(machine: Machine, root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("of this machine")
    (root / "absolute").symlink_to(tmp_path / "outside")
    (root / "relative").symlink_to("../outside")
    (root / "far").symlink_to("../" * 40 + "etc/shadow")
    (root / "magic").symlink_to("/proc/self/root/etc/shadow")
    for name in ("absolute", "relative", "far", "magic", "../outside", "/../../etc/shadow"):
        assert not machine.ask("stat", path=name, follow=True)["exists"], name
        assert machine.ask("read", path=name, limit=10).get("gone"), name
        assert not questions.can_open(machine.fd, name, "read")


def test_links_inside_are_followed_as_the_machine_would(machine: Machine, root: Path) -> None:
    (root / "etc").mkdir()
    (root / "etc/real").write_text("inside")
    (root / "link").symlink_to("/etc/real")
    answer = machine.ask("stat", path="/link", follow=True)
    assert (answer["exists"], answer["size"]) == (True, 6)
    assert machine.ask("stat", path="/link")["target"] == "/etc/real"


@pytest.mark.parametrize("op", ["read", "hash"])
def test_what_is_no_regular_file_is_refused_at_once(machine: Machine, root: Path, op: str) -> None:
    os.mkfifo(root / "fifo")
    (root / "folder").mkdir()
    (root / "device").symlink_to("/fifo")
    for name in ("fifo", "folder", "device"):
        answer = machine.ask(op, path=name, limit=10)
        assert "not a regular file" in answer["refused"]


def test_a_fifo_is_no_answer_to_who_can_read_and_never_waited_for(machine: Machine, root: Path) -> None:
    os.mkfifo(root / "fifo")
    opened = threading.Thread(target=lambda: questions.can_open(machine.fd, "fifo", "read"), daemon=True)
    opened.start()
    opened.join(5)
    assert not opened.is_alive()
    assert not questions.can_open(machine.fd, "fifo", "read")


def test_a_file_larger_than_asked_is_not_hashed(machine: Machine, root: Path) -> None:
    (root / "file").write_bytes(bytes(11))
    assert "larger" in machine.ask("hash", path="file", limit=10)["refused"]


def test_a_listing_has_a_bound(machine: Machine, root: Path) -> None:
    for name in "abc":
        (root / name).touch()
    assert machine.ask("list", path="/", limit=3) == {"names": ["a", "b", "c"]}
    assert "more than 2" in machine.ask("list", path="/", limit=2)["refused"]


def test_changes_know_what_was_there_what_came_and_what_went(machine: Machine, root: Path) -> None:
    for name in ("kept", "touched", "gone"):
        (root / name).touch()
    assert machine.ask("baseline", key="sha256:a") == {"known": True, "paths": 4}
    (root / "gone").unlink()
    (root / "new").touch()
    os.utime(root / "touched", ns=(0, 0))
    answer = machine.ask("changes", key="sha256:a", generation=0, limit=10, live=False)
    assert {(path, known) for path, known, *_ in answer["changed"]} == {
        (".", True),
        ("touched", True),
        ("new", False),
    }
    assert answer["removed"] == ["gone"]


def test_an_images_listing_is_read_once_and_anew_when_it_was_made_anew(
    machine: Machine, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def counted(cache: str, key: str) -> Listing | None:
        read.append(key)
        return load_baseline(cache, key)

    monkeypatch.setattr("phi_labs.probe.agent.memory.load_baseline", counted)
    machine.ask("baseline", key="sha256:a")
    for generation in range(3):
        assert machine.ask("changes", key="sha256:a", generation=generation, limit=10)["removed"] == []
    assert read == ["sha256:a"]
    place = Path(machine.memory.cache) / "sha256a"
    place.unlink()  # as by another conversation of the probe
    (root / "more").touch()
    machine.ask("baseline", key="sha256:a")
    changed = machine.ask("changes", key="sha256:a", generation=4, limit=10)["changed"]
    assert "more" not in [path for path, *_ in changed]
    assert read == ["sha256:a"] * 2


def test_only_some_listings_are_kept(machine: Machine) -> None:
    for number in range(LISTINGS_LIMIT + 1):
        machine.ask("baseline", key=f"sha256:{number}")
        assert machine.ask("changes", key=f"sha256:{number}", generation=0, limit=9)["changed"] == []
    assert len(machine.memory.listings) == 1


def test_a_question_about_an_unknown_image_is_refused(machine: Machine, root: Path) -> None:
    assert "no baseline" in machine.ask("changes", key="sha256:b", generation=0, limit=10)["refused"]
    assert machine.ask("baseline", key="sha256:b", pid=None) == {"known": False, "paths": 0}


def test_a_pid_whose_root_is_no_mount_is_a_decoy(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_PATH)
    try:
        assert not is_mount_root(fd)
    finally:
        os.close(fd)
    fd = os.open("/", os.O_PATH)
    try:
        assert is_mount_root(fd)
    finally:
        os.close(fd)


# -- the engine's own ----------------------------------------------------------------------


def test_a_mounted_program_of_the_engine_is_passed_over_and_a_file_in_its_place_is_not(
    machine: Machine, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "usr/sbin").mkdir(parents=True)
    for name in ("docker-init", "sshd"):
        (root / "usr/sbin" / name).touch()
    assert {"usr/sbin/docker-init", "usr/sbin/sshd"} <= {item.path for item in walk(machine.fd, [])}
    monkeypatch.setattr(walking, "is_mount_root", lambda _fd: True)
    paths = {item.path for item in walk(machine.fd, [])}
    assert "usr/sbin/docker-init" not in paths
    assert "usr/sbin/sshd" in paths


# -- waiting -------------------------------------------------------------------------------


def test_what_comes_while_it_is_waited_for_is_told(machine: Machine) -> None:
    threading.Timer(0.05, (machine.folder / "finished").touch).start()
    assert machine.ask("await", path="/finished", within=60.0) == {"there": True}


def test_what_does_not_come_is_waited_for_no_longer_than_told(machine: Machine) -> None:
    assert machine.ask("await", path="/finished", within=0.01) == {"there": False}
    assert machine.ask("await", path="/finished", within=0.0) == {"there": False}


def test_a_port_is_waited_for_as_well(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    listening = iter([[], [], [("00000000", 22, "1")]])
    monkeypatch.setattr(questions, "listening_rows", lambda _pid: next(listening))
    (machine.folder / "finished").touch()
    assert machine.ask("await", path="/finished", port=22, within=60.0) == {"there": True}
    monkeypatch.setattr(questions, "listening_rows", lambda _pid: [("00000000", 25, "1")])
    assert machine.ask("await", path="/finished", port=22, within=0.01) == {"there": False}


def test_a_pid_that_ended_is_gone_not_a_decoy() -> None:
    answer = answered(Memory(Out(io.BytesIO())), {"op": "root", "pid": 2**22 + 1})
    assert answer["gone"]
