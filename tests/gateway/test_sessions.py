"""Through the gateway into a lab and into the menu, with OpenSSH's own client where that matters."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import select
import signal
import socket
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta

import asyncssh
import pytest
from tests.gateway.conftest import DEADLINE, MakeWorld, World, descriptors

from phi_labs.errors import EngineError
from phi_labs.gateway.limits import Bounds


def soon(condition: object, *, seconds: float = 10.0) -> None:
    """Wait until a condition holds."""
    assert callable(condition)
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


class Terminal:
    """OpenSSH's client in a terminal."""

    def __init__(self, argv: list[str]) -> None:
        self.master, slave = pty.openpty()
        # Codes are asked for on the controlling terminal. setsid(1) becomes the client itself.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "vt100"},
        )
        os.close(slave)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def until(self, wanted: str, seconds: float = DEADLINE) -> str:
        """What came up to ``wanted``; later calls look behind it."""
        end = time.monotonic() + seconds
        while wanted not in self.seen:
            left = end - time.monotonic()
            ready, _, _ = select.select([self.master], [], [], max(left, 0))
            assert ready, f"{wanted!r} did not come; there was {self.seen!r}"
            try:
                self.seen += os.read(self.master, 65536).decode(errors="replace")
            except OSError:
                assert wanted in self.seen, f"{wanted!r} did not come; there was {self.seen!r}"
        before, _, self.seen = self.seen.partition(wanted)
        return before + wanted

    def ends(self) -> int:
        """Its exit code; what it still says is read, or it would wait for us."""
        end = time.monotonic() + DEADLINE
        while self.process.poll() is None and time.monotonic() < end:
            ready, _, _ = select.select([self.master], [], [], 0.1)
            try:
                self.seen += os.read(self.master, 65536).decode(errors="replace") if ready else ""
            except OSError:
                break
        return self.process.wait(DEADLINE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE)
        os.close(self.master)


# -- into a lab -----------------------------------------------------------------------------------------


def test_a_command_runs_in_the_lab_with_its_output_and_exit_code(world: World) -> None:
    done = world.run("alice+log-access", "both")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"to stdout\n", b"to stderr\n")


def test_binary_input_passes_unchanged_both_ways(world: World) -> None:
    data = os.urandom(3_000_000)
    assert world.run("alice+log-access", "cat", data=data).stdout == data


def test_the_engines_frames_are_taken_apart(world: World) -> None:
    world.directory.machines[("alice", "log-access")]["ehr1"].framed = True
    data = os.urandom(300_000)
    assert world.run("alice+log-access", "cat", data=data).stdout == data


def test_a_command_that_dies_of_a_signal_says_so(world: World) -> None:
    async def ending() -> tuple[str, bool, str, str] | None:
        async with world.login("alice+log-access") as client:
            return (await client.run("die")).exit_signal

    assert world.work(ending()) == ("TERM", False, "asked to", "en-US")


def test_signals_and_breaks_reach_the_command(world: World) -> None:
    async def talk() -> list[str]:
        async with world.login("alice+log-access") as client:
            process = await client.create_process("wait")
            lines = [await process.stdout.readline()]
            process.send_signal("INT")
            lines.append(await process.stdout.readline())
            process.channel.send_break(100)
            lines.append(await process.stdout.readline())
            process.stdin.write_eof()
            await process.wait()
            return [str(line) for line in lines]

    assert world.work(talk()) == ["waiting\n", "signal INT\n", "break\n"]


def test_of_the_environment_only_language_and_terminal_travel(world: World) -> None:
    async def environment() -> str:
        async with world.login("alice+log-access") as client:
            done = await client.run(
                "env", env={"LANG": "de_DE.UTF-8", "SECRET": "x"}, request_pty="force", term_type="vt220"
            )
            return str(done.stdout)

    assert world.work(environment()) == repr({"LANG": "de_DE.UTF-8", "TERM": "vt220", "SECRET": None})


def test_a_language_that_is_none_stays_outside(world: World) -> None:
    async def environment() -> str:
        async with world.login("alice+log-access") as client:
            return str((await client.run("env", env={"LANG": "x;reboot"})).stdout)

    assert "'LANG': None" in world.work(environment())


def test_a_shell_follows_the_window_and_ends_with_its_exit_code(world: World) -> None:
    async def talk() -> tuple[str, int | None]:
        async with world.login("alice+log-access") as client:
            process = await client.create_process(term_type="xterm", term_size=(91, 33))
            text = await process.stdout.readuntil("$ ")
            process.change_terminal_size(120, 50)
            text += await process.stdout.readuntil("x50")
            process.stdin.write("exit")
            done = await process.wait()
            return str(text), done.exit_status

    text, code = world.work(talk())
    assert "welcome 91x33" in text
    assert "size 120x50" in text
    assert code == 5


def test_sftp_and_scp_carry_files(world: World) -> None:
    source = world.folder / "report.yml"
    source.write_bytes(os.urandom(200_000))
    common = ["-F", "/dev/null", "-i", str(world.folder / "alice"), "-P", str(world.port), *world.options()]
    up = ["scp", *common, str(source), "alice+log-access@127.0.0.1:/uploaded.yml"]
    subprocess.run(up, timeout=DEADLINE, check=False)  # this sftp server ends without an exit code
    assert (world.folder / "labs" / "uploaded.yml").read_bytes() == source.read_bytes()
    down = ["sftp", *common, "-b", "-", "alice+log-access@127.0.0.1"]
    batch = f"get /uploaded.yml {world.folder / 'back.yml'}\n".encode()
    subprocess.run(down, input=batch, timeout=DEADLINE, check=False, capture_output=True)
    assert (world.folder / "back.yml").read_bytes() == source.read_bytes()


def test_forwarding_reaches_the_labs_own_loopback(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as service:
        port = service.getsockname()[1]

        def answer() -> None:
            peer, _ = service.accept()
            with peer:
                peer.sendall(b"hello " + peer.recv(100))

        thread = threading.Thread(target=answer)
        thread.start()
        done = world.run("alice+log-access", options=["-W", f"localhost:{port}"], data=b"alice")
        thread.join(DEADLINE)
    assert done.stdout == b"hello alice"
    assert world.directory.machines[("alice", "log-access")]["ehr1"].forwarded == [("localhost", port)]


@pytest.mark.parametrize("place", ["10.0.0.1:22", "gateway:22", "0.0.0.0:22", "169.254.169.254:80"])
def test_forwarding_reaches_nothing_else(world: World, place: str) -> None:
    done = world.run("alice+log-access", options=["-W", place])
    assert done.returncode == 255
    assert not world.directory.machines[("alice", "log-access")]["ehr1"].forwarded


def test_the_menu_forwards_nothing(world: World) -> None:
    assert world.run("alice", options=["-W", "127.0.0.1:22"]).returncode == 255


def test_remote_forwarding_x11_and_agents_are_refused(world: World) -> None:
    async def tried() -> list[str]:
        found = []
        async with world.login("alice+log-access") as client:
            try:
                await client.forward_remote_port("", 0, "127.0.0.1", 22)
            except asyncssh.ChannelListenError:
                found.append("remote port")
            try:
                await client.forward_remote_path("/there", "/here")
            except asyncssh.ChannelListenError:
                found.append("remote path")
            try:
                await client.open_unix_connection("/var/run/docker.sock")
            except asyncssh.ChannelOpenError:
                found.append("unix socket")
            try:
                await client.run("true", x11_forwarding=True, x11_display="localhost:0")
            except (asyncssh.ChannelOpenError, ValueError):
                found.append("x11")
        return found

    assert world.work(tried()) == ["remote port", "remote path", "unix socket", "x11"]
    done = world.run("alice+log-access", "env", options=["-A"])
    assert done.returncode == 0


def test_a_lab_with_several_machines_takes_its_name(world: World) -> None:
    assert world.run("alice+pair+store", "hello").stdout == b"ran hello\n"
    machines = world.directory.machines[("alice", "pair")]
    assert (machines["front"].opened, machines["store"].opened) == (0, 1)
    unknown = world.run("alice+pair+attic", "hello")
    assert unknown.returncode == 2
    assert b"pair has no machine 'attic'" in unknown.stderr


def test_anothers_lab_is_refused_in_the_words_of_an_unknown_one(world: World) -> None:
    for asked in ("temp-phi", "no-such"):
        done = world.run(f"alice+{asked}", "id")
        assert done.returncode == 2
        assert done.stderr.decode() == f"phi-labs: you have no lab '{asked}'\n`labs` lists yours\n"
        assert world.run(f"alice+{asked}", options=["-W", "127.0.0.1:22"]).returncode == 255
        listed = world.run("alice", "brief", asked)
        assert listed.stderr == done.stderr
    assert world.directory.machines[("bob", "temp-phi")]["desk1"].opened == 0
    assert not world.directory.requests


@pytest.mark.parametrize(
    ("asked", "options", "words"),
    [
        ("alice+Temp-Phi", [], ["id"]),
        ("alice+TEMP-PHI+desk1", [], ["id"]),
        ("alice+temp-phi+desk1", [], ["id"]),
        ("alice+temp-phi+desk1", ["-W", "127.0.0.1:22"], []),
        ("alice+temp-phi+desk1", ["-s"], ["sftp"]),
        ("alice+temp-phi ", [], ["id"]),
        ("alice++temp-phi", [], ["id"]),
        ("alice+bob+temp-phi", [], ["id"]),
        ("alice+../bob/temp-phi", [], ["id"]),
        ("alice+../bob/temp-phi", ["-s"], ["sftp"]),
        ("alice+bob%2Ftemp-phi", [], ["id"]),
        ("alice+temp\u2010phi", [], ["id"]),
        ("bob+temp-phi", [], ["id"]),
        ("bob+temp-phi", ["-W", "127.0.0.1:22"], []),
        ("Bob+temp-phi", [], ["id"]),
        ("alice,bob+temp-phi", [], ["id"]),
        ("bob", [], ["brief", "temp-phi"]),
    ],
)
def test_anothers_lab_is_reached_by_no_spelling(
    world: World, asked: str, options: list[str], words: list[str]
) -> None:
    assert world.run(asked, *words, options=options).returncode != 0
    assert world.directory.machines[("bob", "temp-phi")]["desk1"].opened == 0
    assert not world.directory.requests


def test_a_machine_that_cannot_be_reached_is_told_in_words(world: World) -> None:
    lab = world.directory.machines[("alice", "log-access")]["ehr1"]
    lab.fails = EngineError("the engine does not answer", "wait")
    done = world.run("alice+log-access", "id")
    assert done.returncode == 3
    assert done.stderr == b"phi-labs: the engine does not answer\nwait\n"
    assert world.directory.contacts[("alice", "log-access")] == 0


def test_a_machine_with_another_host_key_is_not_talked_to(world: World) -> None:
    lab = world.directory.machines[("alice", "log-access")]["ehr1"]
    target = lab.target()
    lab.host_key = asyncssh.generate_private_key("ssh-ed25519")
    lab.target = lambda: target  # type: ignore[method-assign]
    done = world.run("alice+log-access", "id")
    assert done.returncode == 2
    assert b"another host key" in done.stderr


def test_a_connection_counts_as_contact_from_begin_to_end(world: World) -> None:
    client = subprocess.Popen(
        world.ssh("alice+log-access", "wait"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert client.stdout is not None
    assert client.stdin is not None
    assert client.stdout.readline() == b"waiting\n"
    assert world.directory.contacts[("alice", "log-access")] == 1
    client.kill()
    client.wait(DEADLINE)
    client.stdout.close()
    client.stdin.close()
    lab = world.directory.machines[("alice", "log-access")]["ehr1"]
    soon(lambda: world.directory.contacts[("alice", "log-access")] == 0)
    soon(lambda: lab.open_now == 0)
    soon(lambda: not world.gateway.visitors)


def test_a_lab_that_dies_ends_its_sessions(world: World) -> None:
    client = subprocess.Popen(
        world.ssh("alice+log-access", "wait"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert client.stdout is not None
    assert client.stdin is not None
    client.stdout.readline()
    lab = world.directory.machines[("alice", "log-access")]["ehr1"]
    world.loop.call_soon_threadsafe(lab.connections[0].abort)
    assert client.wait(DEADLINE) == 255
    client.stdout.close()
    client.stdin.close()


def test_a_hundred_sessions_at_once_leave_nothing_behind(make_world: MakeWorld) -> None:
    world = make_world(Bounds(per_user=200, waiting=200, waiting_per_address=200))
    lab = world.directory.machines[("alice", "log-access")]["ehr1"]
    world.work(_one(world, 0))
    before = descriptors()

    async def everybody() -> list[str]:
        inside = asyncio.Barrier(100)
        return await asyncio.gather(*(_one(world, number, inside) for number in range(100)))

    assert world.work(everybody()) == [f"ran {number}\n" for number in range(100)]
    assert lab.opened == 101
    soon(lambda: lab.open_now == 0)
    soon(lambda: not world.gateway.visitors)
    soon(lambda: descriptors() <= before)


async def _one(world: World, number: int, everybody: asyncio.Barrier | None = None) -> str:
    """A shell and a command beside it; nobody leaves before everybody is inside."""
    async with world.login("alice+log-access") as client:
        shell = await client.create_process(term_type="xterm")
        await shell.stdout.readuntil("$ ")
        done = await client.run(str(number))
        if everybody is not None:
            await everybody.wait()
        shell.close()
        return str(done.stdout)


# -- the menu -------------------------------------------------------------------------------------------


def test_the_menu_lists_labs_and_carries_out_commands(world: World) -> None:
    world.directory.due["log-access"] = datetime.now(UTC) + timedelta(minutes=43, seconds=30)
    terminal = Terminal(world.ssh("alice", options=["-tt"]))
    try:
        shown = terminal.until("phi-labs> ")
        assert re.search(r"1  log-access +About log-access +ready +43 min left", shown)
        assert "temp-phi" not in shown
        terminal.type("grade log-acc\x7f\x7f\x7facccess\x1b[D\x7f\x7f\x7f\x7f\x7f\x7f\x15grade 1\r")
        assert "grade of log-access: see grade log-access\r\n" in terminal.until("phi-labs> ")
        terminal.type("hint\r")
        terminal.until("hint of log-access")
        terminal.until("phi-labs> ")
        terminal.type("brief nothing\r")
        assert "you have no lab 'nothing'" in terminal.until("phi-labs> ")
        terminal.type("dance\r")
        terminal.until("there is no command 'dance'")
        terminal.type("quit\r")
        terminal.until("Bye.")
        assert terminal.ends() == 0
    finally:
        terminal.close()


def test_the_menu_says_where_the_story_is_if_there_is_one(world: World) -> None:
    assert b"There is none" in world.run("alice", "story").stdout
    world.directory.tale = "# A week\n"
    terminal = Terminal(world.ssh("alice", options=["-tt"]))
    try:
        terminal.until("What this is about, and where to begin: story")
        terminal.until("phi-labs> ")
        terminal.type("story\r")
        terminal.until("# A week")
    finally:
        terminal.close()


def test_a_shell_of_the_menu_comes_back_to_the_menu(world: World) -> None:
    terminal = Terminal(world.ssh("alice", options=["-tt"]))
    try:
        terminal.until("phi-labs> ")
        terminal.type("shell log-access\r")
        terminal.until("$ ")
        assert world.directory.contacts[("alice", "log-access")] == 1
        terminal.type("exit")
        terminal.until("Back in the menu.")
        terminal.until("phi-labs> ")
        assert world.directory.contacts[("alice", "log-access")] == 0
        terminal.type("\x04")
        assert terminal.ends() == 0
    finally:
        terminal.close()


def test_messages_appear_in_menu_and_shell_and_not_in_transfers(world: World) -> None:
    menu = Terminal(world.ssh("alice", options=["-tt"]))
    shell = Terminal(world.ssh("alice+log-access", options=["-tt"]))
    client = subprocess.Popen(
        world.ssh("alice+log-access", "cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    other = Terminal(world.ssh("bob", key="bob", options=["-tt"]))
    try:
        menu.until("phi-labs> ")
        other.until("phi-labs> ")
        menu.type("gra")
        shell.until("$ ")
        soon(lambda: len(world.gateway.visitors) == 4)
        world.directory.say("back at \x1b[31m13:00", "alice")
        shown = "*** 09:30 UTC, your trainer: back at ?[31m13:00\r\n"
        menu.until(shown + "phi-labs> gra")
        shell.until("\r\n" + shown)
        other.type("messages\r")
        assert "13:00" not in other.until("No messages so far.")
        assert client.communicate(b"data", DEADLINE)[0] == b"data"
    finally:
        for terminal in (menu, shell, other):
            terminal.close()
        client.kill()


def test_a_message_waits_for_the_end_of_a_full_screen_program(world: World) -> None:
    shell = Terminal(world.ssh("alice+log-access", options=["-tt"]))
    try:
        shell.until("$ ")
        shell.type("\x1b[?1049h")
        shell.until("1049h")
        world.directory.say("time is nearly up")
        world.work(world.gateway.pass_on_messages())
        shell.type("still here")
        assert "nearly" not in shell.until("still here")
        shell.type("\x1b[?1049l")
        shell.until("time is nearly up")
    finally:
        shell.close()


def test_rescue_asks_first_and_opens_a_console(world: World) -> None:
    terminal = Terminal(world.ssh("alice", options=["-tt"]))
    try:
        terminal.until("phi-labs> ")
        terminal.type("rescue log-access\r")
        terminal.until("[y/N] ")
        terminal.type("n\r")
        terminal.until("Not opened.")
        assert not world.directory.consoles
        terminal.type("rescue log-access\r")
        terminal.until("[y/N] ")
        terminal.type("y\r")
        terminal.until("# ")
        console = world.directory.consoles[0]
        terminal.type("id\r")
        console.far.settimeout(DEADLINE)
        assert console.far.recv(100) == b"id\r"
        console.far.close()
        terminal.until("Back in the menu.")
        assert console.closed
        assert console.sizes
    finally:
        terminal.close()


def test_a_console_is_closed_when_the_client_vanishes(world: World) -> None:
    terminal = Terminal(world.ssh("alice", "rescue log-access --yes", options=["-tt"]))
    try:
        terminal.until("# ")
        terminal.process.send_signal(signal.SIGKILL)
        soon(lambda: world.directory.consoles[0].closed)
        soon(lambda: world.directory.contacts[("alice", "log-access")] == 0)
    finally:
        terminal.close()


def test_a_grading_is_finished_when_the_client_vanishes_or_presses_ctrl_c(world: World) -> None:
    release = asyncio.Event()
    world.directory.slow = release
    terminal = Terminal(world.ssh("alice", options=["-tt"]))
    vanishing = subprocess.Popen(world.ssh("alice", "grade pair"))
    try:
        terminal.until("phi-labs> ")
        terminal.type("grade log-access\r")
        soon(lambda: len(world.directory.requests) == 2)
        vanishing.kill()
        terminal.type("\x03")
        terminal.until("finished all the same")
        world.loop.call_soon_threadsafe(release.set)
        soon(lambda: sorted(world.directory.finished) == ["log-access", "pair"])
    finally:
        terminal.close()
        vanishing.wait(DEADLINE)


def test_without_a_terminal_the_menu_says_how_to_use_it(world: World) -> None:
    done = world.run("alice")
    assert done.returncode == 0
    assert b"ssh -p PORT alice+LAB@HOST" in done.stdout


def test_commands_behind_ssh_do_the_same_and_speak_json(world: World) -> None:
    done = world.run("alice", "grade", "log-access", "--json")
    assert (done.returncode, done.stderr) == (1, b"")
    user, request = world.directory.requests[-1]
    assert (user, request.verb, request.lab, request.as_json) == ("alice", "grade", "log-access", True)
    assert b'"lab": "pair"' in world.run("alice", "labs", "--json").stdout
    assert world.run("alice", "grade", "log-access", "--trainee", "bob").returncode == 2
    assert world.run("alice", "rescue", "log-access").returncode == 2
    assert not world.directory.consoles


def test_sftp_needs_a_lab(world: World) -> None:
    async def sftp() -> bool:
        async with world.login("alice") as client:
            try:
                await client.start_sftp_client()
            except asyncssh.ChannelOpenError:
                return True
        return False

    assert world.work(sftp())


# -- the end --------------------------------------------------------------------------------------------


def test_idle_sessions_end_and_say_why(make_world: MakeWorld) -> None:
    world = make_world(Bounds(idle=0.5))
    terminal = Terminal(world.ssh("alice+log-access", options=["-tt"]))
    try:
        terminal.until("$ ")
        terminal.until("nothing happened here for 0 minutes; this session ends.")
        assert terminal.ends() != 0
    finally:
        terminal.close()


def test_too_many_connections_of_one_trainee_are_refused_in_words(make_world: MakeWorld) -> None:
    world = make_world(Bounds(per_user=1))
    terminal = Terminal(world.ssh("alice", options=["-tt"]))
    try:
        terminal.until("phi-labs> ")
        done = world.run("alice", "labs")
        assert done.returncode == 2
        assert b"you have 1 connections open already" in done.stderr
        assert world.run("bob", "labs", key="bob").returncode == 0
    finally:
        terminal.close()


def test_a_client_that_never_logs_in_is_dropped(make_world: MakeWorld) -> None:
    world = make_world(Bounds(grace=0.5))
    with socket.create_connection(("127.0.0.1", world.port), DEADLINE) as quiet:
        received = b""
        while data := quiet.recv(4096):
            received += data
    assert received.startswith(b"SSH-2.0-")


def test_stopping_tells_everybody_and_ends_all(make_world: MakeWorld) -> None:
    world = make_world()
    terminal = Terminal(world.ssh("alice+log-access", options=["-tt"]))
    try:
        terminal.until("$ ")
        world.work(world.gateway.stop())
        terminal.until("the gateway is being stopped")
        assert terminal.ends() != 0
        soon(lambda: world.directory.contacts[("alice", "log-access")] == 0)
    finally:
        terminal.close()
