"""The gateway's parts one by one: limits, codes, users, names, frames, typed lines, words."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import asyncssh
import pytest
from tests.fakes.engine import frame

from phi_labs.cli.gateway import parse_listen
from phi_labs.engine.stream import ExecStream
from phi_labs.errors import UserError
from phi_labs.gateway.codes import Codes, new_code, tidied
from phi_labs.gateway.commands import Command, choose_lab, parse_command
from phi_labs.gateway.directory import LabView, Request, Verb
from phi_labs.gateway.door import Door
from phi_labs.gateway.errands import Errands
from phi_labs.gateway.keys import host_key, key_line, public_key
from phi_labs.gateway.limits import Bounds, Guard, Rate, Strikes, network_of
from phi_labs.gateway.line_reader import LineReader
from phi_labs.gateway.local import gateway_folder, send_message, users_of
from phi_labs.gateway.names import Login, parse_login, printable
from phi_labs.gateway.uplink import Deframer, pumped
from phi_labs.gateway.users import KEYS_KEPT, read_users
from phi_labs.gateway.words import time_left, translated
from phi_labs.lifecycle.state import State


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


# -- limits ---------------------------------------------------------------------------------------------


def test_strikes_lock_longer_each_time_and_are_forgotten(clock: Clock) -> None:
    strikes: Strikes[str] = Strikes(3, window=100, lock=60, longest=200, clock=clock)
    assert [strikes.strike("a") for _ in range(3)] == [False, False, True]
    assert strikes.locked("a") == 60
    assert strikes.locked("b") == 0
    clock.now += 61
    assert [strikes.strike("a") for _ in range(3)] == [False, False, True]
    assert strikes.locked("a") == 120
    strikes.forget("a")
    assert strikes.locked("a") == 0


def test_strikes_far_apart_do_not_add_up(clock: Clock) -> None:
    strikes: Strikes[str] = Strikes(2, window=100, lock=60, longest=200, clock=clock)
    for _ in range(5):
        assert not strikes.strike("a")
        clock.now += 101


def test_a_rate_lets_a_burst_through_and_then_so_many_a_second(clock: Clock) -> None:
    rate: Rate[str] = Rate(3, 1.0, clock)
    assert [rate.take("a") for _ in range(4)] == [True, True, True, False]
    clock.now += 2
    assert [rate.take("a") for _ in range(3)] == [True, True, False]
    assert rate.take("b")


def test_a_guards_memory_is_bounded_whatever_is_tried(clock: Clock) -> None:
    guard = Guard(Bounds(), clock)
    for number in range(25_000):
        address, user = f"10.{number % 250}.{number // 250}.1", f"user{number}"
        if not guard.arrive(address):
            guard.settle(address)
        guard.failed(address, user)
        guard.wrong_code(address, user)
        guard.succeeded(address, user)
    assert guard.entries() <= 7 * 10_000


def test_one_forgotten_script_does_not_close_the_classs_address(clock: Clock) -> None:
    guard = Guard(Bounds(), clock)
    for _ in range(1000):
        guard.failed("10.0.0.1", "script")
        clock.now += 0.1
    assert not guard.may_try("10.0.0.1", "script")
    assert guard.may_try("10.0.0.1", "alice")
    assert guard.arrive("10.0.0.1") == ""


def test_trying_many_names_closes_an_address_unless_somebody_logged_in_from_there(clock: Clock) -> None:
    guard = Guard(Bounds(), clock)
    guard.succeeded("10.0.0.2", "alice")
    for number in range(60):
        guard.failed("10.0.0.1", f"user{number}")
        guard.failed("10.0.0.2", f"user{number}")
    assert guard.arrive("10.0.0.1") == "address locked after failures"
    assert guard.arrive("10.0.0.2") == ""
    clock.now += 301
    assert guard.arrive("10.0.0.1") == ""


def test_failures_elsewhere_do_not_lock_a_user_out(clock: Clock) -> None:
    guard = Guard(Bounds(), clock)
    for number in range(100):
        guard.failed(f"10.9.0.{number}", "alice")
        guard.wrong_code(f"10.9.0.{number}", "alice")
    assert guard.may_try("10.0.0.1", "alice")
    assert not guard.may_try_code("10.0.0.1", "alice"), "only code entry closes"


def test_addresses_of_one_ipv6_network_count_as_one() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:2") == "2001:db8::/64"
    assert network_of("::ffff:10.0.0.1") == "10.0.0.1"
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert network_of("?") == "?"


# -- codes and users ------------------------------------------------------------------------------------


def test_a_code_works_once_for_one_user_until_it_expires(state: State, tmp_path: Path) -> None:
    clock = Clock()
    codes = Codes(state, tmp_path / "codes.json", clock)
    code = codes.issue("alice", 100)
    typed = code.lower().replace("-", " ").replace("0", "o")
    assert codes.fits("alice", typed)
    assert not codes.fits("bob", code)
    assert code not in (tmp_path / "codes.json").read_text()
    assert oct((tmp_path / "codes.json").stat().st_mode & 0o777) == "0o600"
    assert codes.use("alice", typed)
    assert not codes.use("alice", code)
    late = codes.issue("alice", 100)
    clock.now += 101
    assert not codes.fits("alice", late)


def test_a_new_code_voids_the_old_one(state: State, tmp_path: Path) -> None:
    codes = Codes(state, tmp_path / "codes.json")
    first = codes.issue("alice")
    assert codes.use("alice", codes.issue("alice"))
    assert not codes.fits("alice", first)
    assert len({new_code() for _ in range(1000)}) == 1000
    assert len(tidied(new_code())) == 16


def key() -> str:
    return key_line(asyncssh.generate_private_key("ssh-ed25519"))


def test_a_file_of_users_is_read_again_when_it_changes(state: State, tmp_path: Path) -> None:
    path, first, second, own = tmp_path / "users", key(), key(), key()
    path.write_text(f"\ufeff# a class\nAna Ruiz {first} ana@desk\nAna Ruiz {second}\n\nbob\n")
    users = users_of(state, path)
    assert users.names() == ["Ana Ruiz", "bob"]
    found = users.find("Ana Ruiz")
    assert found is not None
    assert found.keys == (first, second)
    users.add_key("bob", own)
    bob = users_of(state, path).find("bob")
    assert bob is not None
    assert bob.keys == (own,)
    path.write_text(f"bob\ncarol {first}\n")
    assert users.find("Ana Ruiz") is None
    assert users.find("carol") is not None
    path.write_text("carol ssh-ed25519 damaged\n")
    assert users.find("bob") is not None, "a file in the middle of being edited changes nothing"


def test_uploaded_keys_are_bounded(state: State, tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("bob\n")
    users, keys = users_of(state, path), [key() for _ in range(KEYS_KEPT + 2)]
    for line in keys:
        users.add_key("bob", line)
    bob = users.find("bob")
    assert bob is not None
    assert list(bob.keys) == keys[2:]


def test_every_wrong_line_of_a_file_of_users_is_named(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text(f"alice ssh-ed25519 AAAA\nbo+b {key()}\nok\n-----BEGIN OPENSSH PRIVATE KEY-----\n")
    with pytest.raises(UserError) as caught:
        read_users(path)
    for part in (
        "line 1: this public key is damaged",
        "line 2: the name 'bo+b'",
        "line 4: this is a private key",
    ):
        assert part in caught.value.message
    with pytest.raises(UserError, match="cannot be read"):
        read_users(tmp_path / "absent")


def test_old_and_short_keys_are_not_taken() -> None:
    short = asyncssh.generate_private_key("ssh-rsa", key_size=1024)
    with pytest.raises(UserError, match="2048 bits"):
        public_key(key_line(short))
    with pytest.raises(UserError, match="kind that is taken"):
        public_key("ssh-dss AAAAB3NzaC1kc3MAAACB")
    assert key_line(public_key(key() + " a comment"))


def test_the_host_key_stays_the_same_and_private(state: State) -> None:
    folder = gateway_folder(state)
    first = host_key(state, folder)
    assert key_line(host_key(state, folder)) == key_line(first)
    assert oct((folder / "ssh_host_ed25519_key").stat().st_mode & 0o777) == "0o600"
    (folder / "ssh_host_ed25519_key").write_text("damaged")
    with pytest.raises(UserError, match="cannot be read"):
        host_key(state, folder)


def test_messages_are_kept_in_order(state: State) -> None:
    assert [send_message(state, "one").number, send_message(state, "two", "alice").number] == [1, 2]
    lines = (gateway_folder(state) / "messages.jsonl").read_text().splitlines()
    assert [json.loads(line)["to"] for line in lines] == ["", "alice"]


# -- names and words ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "login"),
    [
        ("alice", Login("alice")),
        ("Ana Ruiz+log-access", Login("Ana Ruiz", "log-access")),
        ("a+pair+front", Login("a", "pair", "front")),
        ("a+b+c+d", Login("")),
        ("a+", Login("")),
        ("+lab", Login("")),
        ("", Login("")),
    ],
)
def test_a_login_says_who_and_where_to(name: str, login: Login) -> None:
    assert parse_login(name) == login


def test_log_lines_stay_lines() -> None:
    assert printable("a\nb\x1b[0m") == "a?b?[0m"
    assert printable("x" * 100) == "x" * 80 + "..."


LABS = [LabView("log-access", "A", "ready", ("ehr1",)), LabView("pair", "B", "ready", ("front", "store"))]


def test_commands_are_taken_as_people_type_them() -> None:
    assert parse_command("  ") is None
    assert parse_command("phi-labs grade log-access --json") == Command(
        "grade", "log-access", (), frozenset({"as_json"})
    )
    assert parse_command("EXIT") == Command("quit")
    assert parse_command("hint 1 todays-log -y") == Command("hint", "1", ("todays-log",), frozenset({"yes"}))
    for wrong in ("dance", "grade a b", "grade a --from 1", "debrief a --force", "labs x", 'brief "'):
        with pytest.raises(UserError):
            choose_lab(LABS, (parse_command(wrong) or Command("")).lab)


def test_a_lab_is_meant_by_id_number_or_being_the_only_one() -> None:
    assert choose_lab(LABS, "2").id == "pair"
    assert choose_lab(LABS[:1], "").id == "log-access"
    with pytest.raises(UserError, match="which lab"):
        choose_lab(LABS, "")


def test_advice_is_in_the_words_of_the_gateway() -> None:
    assert translated("Next: phi-labs hint log-access --trainee 'Ana Ruiz'") == "Next: hint log-access"


def test_options_that_only_the_command_line_has_are_not_advised() -> None:
    said = "phi-labs grade temp-phi first; --force reads it all the same"
    assert translated(said) == "grade temp-phi first"


def test_time_left_in_words() -> None:
    now = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def left(**more: int) -> str:
        return time_left(LabView("a", "A", "ready", ("h",), now + timedelta(**more)), now)

    assert [left(minutes=125), left(minutes=43), left(seconds=20), left(seconds=0)] == [
        "2 h 5 min left",
        "43 min left",
        "20 s left",
        "time is up",
    ]
    assert time_left(LABS[0], now) == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [("127.0.0.1:2222", ("127.0.0.1", 2222)), ("[::1]:0", ("::1", 0)), ("[::]:22", ("::", 22))],
)
def test_an_address_to_listen_on(text: str, found: tuple[str, int]) -> None:
    assert parse_listen(text) == found


@pytest.mark.parametrize("text", ["2222", ":2222", "::1:22", "host:", "host:99999", "host:x"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="ADDRESS:PORT"):
        parse_listen(text)


# -- frames and lines -----------------------------------------------------------------------------------


def test_frames_are_taken_apart_wherever_they_are_cut() -> None:
    dice = random.Random(7)  # noqa: S311 - where to cut is no secret
    parts = [(dice.randbytes(dice.randrange(0, 3000)), dice.random() < 0.3) for _ in range(50)]
    wire = b"".join(frame(data, 2 if stderr else 1) for data, stderr in parts)
    heard: dict[bool, bytes] = {True: b"", False: b""}

    def hear(data: bytes, is_stderr: bool) -> None:
        heard[is_stderr] += data

    deframer = Deframer(hear)
    while wire:
        cut = dice.randrange(1, 700)
        deframer.feed(wire[:cut])
        wire = wire[cut:]
    assert heard[False] == b"".join(data for data, stderr in parts if not stderr)
    assert heard[True] == b"".join(data for data, stderr in parts if stderr)


@dataclass
class Paper:
    """A door that only takes what is said."""

    said: str = ""
    closed: bool = False
    calls: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said += text


def typed(keys: str, lines: int = 1) -> tuple[list[str | None], str]:
    async def read() -> tuple[list[str | None], str]:
        paper: Any = Paper()
        reader = LineReader(cast(Door, paper))
        reader.feed(keys.encode())
        reader.end()
        return [await reader.line("> ") for _ in range(lines)], paper.said

    return asyncio.run(read())


def test_lines_are_edited_as_every_terminal_can() -> None:
    assert typed("helo\x7flo\r")[0] == ["hello"]
    assert typed("wrong\x15right\r\n")[0] == ["right"]
    assert typed("two words\x17\x1b[A\x1bOB\x1b[3~x\r")[0] == ["twox"]
    assert typed("日本\x7f語\r") == (["日語"], "> 日本\b \b\b \b語\n")
    assert typed("gone\x03kept\r")[0] == ["kept"]
    assert typed("a\rb\n\x04", 3)[0] == ["a", "b", None]
    assert typed("\x07\x00a\r")[0] == ["a"]
    assert typed("x" * 5000 + "\r")[0] in ([None], ["x" * 1000])


def test_a_message_leaves_the_line_that_is_typed_whole() -> None:
    async def read() -> tuple[str | None, str]:
        paper: Any = Paper()
        reader = LineReader(cast(Door, paper))
        line = asyncio.ensure_future(reader.line("> "))
        await asyncio.sleep(0)
        reader.feed(b"gra")
        reader.announce("hello")
        reader.feed(b"de\r")
        return await line, paper.said

    assert asyncio.run(read()) == ("grade", "> gra\nhello\n> grade\n")


# -- errands and engines that asyncio cannot wait for -----------------------------------------------------

PROGRAM = """
import os, sys, time
if sys.argv[1] == "grade":
    open(os.environ["MARK"], "a").write("begun ")
    time.sleep(0.3)
    open(os.environ["MARK"], "a").write("done ")
print(" ".join(sys.argv[1:]), os.environ["COLUMNS"])
print("a remark", file=sys.stderr)
sys.exit(2 if "nothing" in sys.argv else 1)
"""


def errands(tmp_path: Path) -> Errands:
    return Errands({"MARK": str(tmp_path / "mark")}, [sys.executable, "-c", PROGRAM])


def test_an_errand_says_what_the_command_line_says(tmp_path: Path) -> None:
    async def run(request: Request) -> tuple[int, str]:
        said: list[str] = []
        code = await errands(tmp_path).run("Ana Ruiz", request, said.append)
        return code, "".join(said)

    code, said = asyncio.run(run(Request(Verb.HINT, "small", ("logs",), yes=True, full=True, width=70)))
    assert (code, said) == (1, "hint small logs --trainee Ana Ruiz --yes 70\na remark\n")
    assert "remark" not in asyncio.run(run(Request(Verb.BRIEF, "small", as_json=True)))[1]
    assert "remark" in asyncio.run(run(Request(Verb.BRIEF, "nothing", as_json=True)))[1]


def test_a_grading_outlives_whoever_asked_for_it(tmp_path: Path) -> None:
    async def run() -> None:
        here = errands(tmp_path)
        task = asyncio.ensure_future(here.run("alice", Request(Verb.GRADE, "small"), lambda _: None))
        while not (tmp_path / "mark").exists():
            await asyncio.sleep(0.01)
        task.cancel()
        await here.close()

    asyncio.run(run())
    assert (tmp_path / "mark").read_text() == "begun done "


def test_nobody_fills_the_queue_alone(tmp_path: Path) -> None:
    async def run() -> list[int | BaseException]:
        here, said = errands(tmp_path), list[str]()
        asked = [here.run("alice", Request(Verb.GRADE, "small"), said.append) for _ in range(4)]
        asked.append(here.run("bob", Request(Verb.BRIEF, "small"), said.append))
        tasks = []
        for work in asked:
            tasks.append(asyncio.ensure_future(work))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert "waiting: 1 gradings come first" in "".join(said)
        return found

    found = asyncio.run(run())
    assert [found[at] for at in (0, 1, 2, 4)] == [1, 1, 1, 1]
    assert isinstance(found[3], UserError)


def test_a_stream_of_the_sdk_is_pumped_by_threads_that_end() -> None:
    engine, ours = socket.socketpair()
    near = pumped(ExecStream(ours, "exec"))
    try:
        near.sendall(b"question")
        assert engine.recv(100) == b"question"
        engine.sendall(frame(b"answer"))
        near.settimeout(10)
        assert near.recv(100) == b"answer"
        near.close()
        assert engine.recv(100) == b"", "the machine hears of the end"
    finally:
        near.close()
        engine.close()
    for thread in threading.enumerate():
        if thread.name.startswith("gateway-"):
            thread.join(10)
            assert not thread.is_alive()


def test_a_machine_that_ends_first_is_noticed() -> None:
    engine, ours = socket.socketpair()
    near = pumped(ExecStream(ours, "exec"))
    engine.sendall(frame(b"bye"))
    engine.close()
    near.settimeout(10)
    assert near.recv(100) == b"bye"
    assert near.recv(100) == b""
    near.close()
