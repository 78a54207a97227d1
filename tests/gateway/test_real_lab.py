"""The gateway before a real machine: ``phi-labs gateway`` as a process, OpenSSH's client, the engine."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.gateway.conftest import DEADLINE
from tests.gateway.test_sessions import Terminal, soon
from tests.tiny_lab import write_tiny_lab

from phi_labs.gateway.local import codes_of, send_message
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.runs import start_run, stop_run

pytestmark = pytest.mark.docker


@dataclass
class Site:
    """A lab that runs for alice, and a gateway in a process of its own."""

    installation: Installation
    content: Path
    folder: Path
    container: str
    gateway: subprocess.Popen[str]
    port: int

    def client(
        self, login: str, *words: str, options: tuple[str, ...] = (), program: str = "ssh"
    ) -> list[str]:
        port = ["-P" if program in {"scp", "sftp"} else "-p", str(self.port)]
        settings = (
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "StrictHostKeyChecking=accept-new",
            f"UserKnownHostsFile={self.folder / 'known_hosts'}",
            "LogLevel=ERROR",
        )
        more = [word for setting in settings for word in ("-o", setting)]
        place = [f"{login}@127.0.0.1"] if program != "scp" else []
        return [
            program,
            "-F",
            "/dev/null",
            "-i",
            str(self.folder / "alice"),
            *port,
            *more,
            *options,
            *place,
            *words,
        ]

    def run(
        self, login: str, *words: str, data: bytes = b"", **more: tuple[str, ...]
    ) -> subprocess.CompletedProcess[bytes]:
        argv = self.client(login, *words, options=more.get("options", ()))
        return subprocess.run(argv, input=data, capture_output=True, timeout=60, check=False)

    def processes(self) -> list[str]:
        """Command lines in the lab that are neither its own services nor its first processes."""
        engine = self.installation.engine
        listing = "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done 2>/dev/null"
        stream = engine.exec_stream(self.container, ["/bin/sh", "-c", listing])
        text = b""
        while data := stream.recv():
            text += data
        stream.close()
        usual = (
            "docker-init",
            "phi-boot",
            "sleep infinity",
            "rsyslogd",
            "cron",
            "[listener]",
            "for p in",
            "tr ",
        )
        return [
            line for line in text.decode().splitlines() if line.strip() and not any(u in line for u in usual)
        ]


def begin(installation: Installation, content: Path, folder: Path) -> tuple[subprocess.Popen[str], int]:
    """A gateway on a port of the system's choice."""
    argv = [sys.executable, "-P", "-m", "phi_labs", "gateway", "--users", str(folder / "users"), "--json"]
    argv += ["--listen", "127.0.0.1:0", "--content", str(content)]
    environment = {**os.environ, "PHI_LABS_STATE": str(installation.state.root)}
    gateway = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True)
    assert gateway.stdout is not None
    said = ""
    while "}" not in said:
        line = gateway.stdout.readline()
        assert line, "the gateway did not start"
        said += line
    port = re.search(r'"port": (\d+)', said)
    assert port is not None
    return gateway, int(port[1])


@pytest.fixture(scope="module")
def make_site(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Site]]:
    folder = tmp_path_factory.mktemp("gateway")
    content = folder / "content"
    lab = write_tiny_lab(content)
    (content / "labs" / "tiny" / "brief.md").write_text("# {{ lab.title }}\n")
    mine = Installation(installation.state, content=content)
    mine.__dict__["engine"] = installation.engine
    run = start_run(mine, lab, "alice", spares=False).run
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "alice")], check=True)
    (folder / "users").write_text("alice " + (folder / "alice.pub").read_text() + "carol\n")
    gateways: list[subprocess.Popen[str]] = []

    def make() -> Site:
        gateway, port = begin(mine, content, folder)
        gateways.append(gateway)
        return Site(mine, content, folder, run.containers["one"], gateway, port)

    try:
        yield make
    finally:
        for gateway in gateways:
            if gateway.poll() is None:
                gateway.terminate()
            gateway.wait(DEADLINE)
            assert gateway.stdout is not None
            gateway.stdout.close()
        stop_run(mine, lab.id, "alice")


@pytest.fixture(scope="module")
def site(make_site: Callable[[], Site]) -> Site:
    return make_site()


def test_exit_codes_output_and_signals_are_the_labs(site: Site) -> None:
    done = site.run("alice+tiny", "id -un; echo oops >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"itops\n", b"oops\n")
    assert site.run("alice+tiny", "kill -TERM $$").returncode == 255, "ssh says 255 for a signal"
    assert site.run("alice+tiny", "cat", data=b"x" * 2_000_000).stdout == b"x" * 2_000_000


def test_files_travel_by_scp_old_and_new_and_sftp(site: Site) -> None:
    source, back = site.folder / "source", site.folder / "back"
    source.write_bytes(os.urandom(1_000_000))
    for options in ((), ("-O",)):
        up = site.client("", str(source), "alice+tiny@127.0.0.1:copy", program="scp", options=options)
        assert subprocess.run(up, timeout=60, check=False, capture_output=True).returncode == 0
        down = site.client("", "alice+tiny@127.0.0.1:copy", str(back), program="scp", options=options)
        assert subprocess.run(down, timeout=60, check=False, capture_output=True).returncode == 0
        assert back.read_bytes() == source.read_bytes()
        back.unlink()
    batch = site.client("alice+tiny", program="sftp", options=("-b", "-"))
    done = subprocess.run(batch, input=b"rm copy\nls -l\n", timeout=60, check=False, capture_output=True)
    assert done.returncode == 0


def test_forwarding_reaches_the_machines_sshd(site: Site) -> None:
    argv = site.client("alice+tiny", options=("-W", "localhost:22"))
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.read(8) == b"SSH-2.0-"
        client.kill()
    assert site.run("alice+tiny", options=("-W", "localhost:9")).returncode == 255


def test_a_terminal_follows_the_window_and_shows_messages(site: Site) -> None:
    terminal = Terminal(site.client("alice+tiny", options=("-tt",)))
    try:
        terminal.until("$ ")
        terminal.type("stty -echo; PS1='ready'\\> \r")
        terminal.until("ready>")
        fcntl.ioctl(terminal.master, termios.TIOCSWINSZ, struct.pack("HHHH", 41, 131, 0, 0))
        os.kill(terminal.process.pid, signal.SIGWINCH)
        for _ in range(20):
            terminal.type("stty size\r")
            if "41 131" in terminal.until("ready>"):
                break
        else:
            raise AssertionError("the window did not change")
        send_message(site.installation.state, "ten minutes left", "alice")
        terminal.until("your trainer: ten minutes left")
        terminal.type("exit 4\r")
        assert terminal.ends() == 4
    finally:
        terminal.close()


def test_nothing_stays_when_clients_are_killed(site: Site) -> None:
    commands = ("sleep 1111", "sudo sleep 2222")
    clients = [
        subprocess.Popen(site.client("alice+tiny", word), stdin=subprocess.DEVNULL) for word in commands
    ]
    terminal = Terminal(site.client("alice+tiny", "sleep 3333", options=("-tt",)))
    console = Terminal(site.client("alice", "rescue tiny --yes", options=("-tt",)))
    try:
        console.until("# ")
        console.type("sleep 4444\r")
        for number in (1111, 2222, 3333, 4444):
            soon(lambda: any(f"sleep {number}" in line for line in site.processes()), seconds=30)  # noqa: B023
        for process in (*clients, terminal.process, console.process):
            process.kill()
            process.wait(DEADLINE)
        soon(lambda: site.processes() == [], seconds=30)
    finally:
        terminal.close()
        console.close()


def test_nothing_stays_when_the_gateway_is_killed(make_site: Callable[[], Site], site: Site) -> None:
    site.gateway.terminate()
    site.gateway.wait(DEADLINE)
    other = make_site()
    client = subprocess.Popen(
        other.client("alice+tiny", "sudo sleep 1111"), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    terminal = Terminal(other.client("alice+tiny", options=("-tt",)))
    console = Terminal(other.client("alice", "rescue tiny --yes", options=("-tt",)))
    try:
        console.until("# ")
        terminal.until("$ ")
        soon(lambda: any("sleep 1111" in line for line in other.processes()), seconds=30)
        other.gateway.kill()
        other.gateway.wait(DEADLINE)
        soon(lambda: other.processes() == [], seconds=30)
        client.wait(DEADLINE)
    finally:
        terminal.close()
        console.close()
    again = make_site()
    site.gateway, site.port = again.gateway, again.port
    assert site.run("alice+tiny", "true").returncode == 0, "the same host key as before"


def test_a_paused_run_is_resumed_on_contact(site: Site) -> None:
    site.installation.engine.pause(site.container)
    assert site.run("alice+tiny", "echo awake").stdout == b"awake\n"


def test_words_and_codes_work_without_the_command_line(site: Site) -> None:
    done = site.run("alice", "labs")
    assert re.search(rb"1  tiny +A tiny lab +ready", done.stdout)
    assert site.run("alice", "brief", "tiny").stdout == b"# A tiny lab\n\n"
    hints = site.run("alice", "hint", "tiny", "closed")
    assert b"Who can read it?" in hints.stdout
    priced = site.run("alice", "hint", "tiny", "closed")
    assert priced.returncode == 2
    assert b"--yes takes it" in priced.stdout
    code = codes_of(site.installation.state).issue("carol")
    terminal = Terminal(site.client("carol", options=("-tt",)))
    try:
        terminal.until("One-time code: ")
        terminal.type(code.lower() + "\r")
        terminal.until("You have no lab yet.")
    finally:
        terminal.close()
    assert site.run("carol", "labs").returncode == 0
    assert b"you have no lab 'tiny'" in site.run("carol+tiny", "id").stderr


def test_a_rescued_machine_says_so_and_a_pipe_works(site: Site) -> None:
    done = site.run("alice", "rescue tiny --yes", data=b"id -u; exit\n")
    assert done.stdout == b"0\n"
    assert site.installation.state.flags("alice", "tiny") == {"rescue": True}


def test_two_gateways_on_one_state_directory_are_one_too_many(site: Site) -> None:
    argv = [sys.executable, "-P", "-m", "phi_labs", "gateway", "--users", str(site.folder / "users")]
    environment = {**os.environ, "PHI_LABS_STATE": str(site.installation.state.root)}
    done = subprocess.run(argv, env=environment, capture_output=True, timeout=60, check=False, text=True)
    assert done.returncode == 2
    assert "a gateway runs already" in done.stderr


def test_a_slow_reader_does_not_stop_the_others(site: Site) -> None:
    near, far = socket.socketpair()
    client = subprocess.Popen(site.client("alice+tiny", "yes"), stdin=subprocess.DEVNULL, stdout=far.fileno())
    far.close()
    try:
        select.select([near], [], [], DEADLINE)  # and it is not read any further
        assert site.run("alice+tiny", "echo quick").stdout == b"quick\n"
    finally:
        client.kill()
        client.wait(DEADLINE)
        near.close()
    soon(lambda: site.processes() == [], seconds=30)
