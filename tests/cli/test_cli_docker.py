"""The command line on a real engine: ssh and scp through the bridge, rescue, Ctrl-C, and nothing left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from phi_labs.engine.docker import ContainerSummary, Engine
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.runs import remove_everything
from phi_labs.lifecycle.state import State

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(shutil.which("ssh") is None, reason="needs OpenSSH's client"),
]
LAB = "log-access"
BULK = 20_000_000


@dataclass
class Labs:
    """The program with a state directory of its own."""

    root: Path
    spares: str = "0"

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join(sys.path)
        named = {"PHI_LABS_STATE": str(self.root), "PHI_LABS_TRAINEE": "anna", "PYTHONPATH": path}
        return {**os.environ, **named, "PHI_LABS_SPARES": self.spares}

    def __call__(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "phi_labs", *words],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "phi_labs", *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ssh(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        config = State(self.root).run_folder("anna", LAB).ssh_config
        return subprocess.run(
            [program, "-F", str(config), *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def containers(self) -> list[ContainerSummary]:
        engine = Engine()
        try:
            return engine.containers({"install": State(self.root).install})
        finally:
            engine.close()

    def container(self) -> str:
        run = State(self.root).load_run("anna", LAB)
        assert run is not None
        return run.containers["ehr1"]


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Labs]:
    """One installation for the tests of this module that share a run."""
    with _installed(tmp_path_factory.mktemp("state")) as made:
        yield made


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Labs]:
    """An installation in which nothing was ever started; spares as users have them."""
    with _installed(tmp_path / "state") as made:
        yield replace(made, spares="1")


@contextmanager
def _installed(root: Path) -> Iterator[Labs]:
    installation = Installation(State(root))
    try:
        yield Labs(root)
    finally:
        remove_everything(installation, probe=True)
        installation.engine.close()


@pytest.fixture
def running(labs: Labs) -> Labs:
    """A run of the lab that is up, whatever the test before did to it."""
    if labs("start", LAB).returncode != 0 or labs.ssh("ssh", LAB, "true").returncode != 0:
        done = labs("reset", LAB) if State(labs.root).load_run("anna", LAB) else labs("start", LAB)
        assert done.returncode == 0, done.stderr
    return labs


def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def connections(labs: Labs) -> list[str]:
    """Processes in the machine that belong to connections from outside."""
    listed = labs("rescue", LAB, "--yes", stdin="ps -eo args=\n").stdout.splitlines()
    return [line for line in listed if line.startswith(("nc -N", "sshd: itops"))]


def test_openssh_runs_commands_and_copies_files(running: Labs, tmp_path: Path) -> None:
    done = running.ssh("ssh", LAB, "id -un; exit 7")
    assert (done.stdout, done.returncode) == ("itops\n", 7)
    (tmp_path / "there").write_bytes(os.urandom(BULK))
    for source, target in ((tmp_path / "there", f"{LAB}:/tmp/f"), (f"{LAB}:/tmp/f", tmp_path / "back")):
        copied = running.ssh("scp", "-q", str(source), str(target))
        assert copied.returncode == 0, copied.stderr
    assert (tmp_path / "back").read_bytes() == (tmp_path / "there").read_bytes()
    assert running.ssh("ssh", LAB, "rm /tmp/f").returncode == 0


def test_shell_runs_a_command_and_passes_its_exit_code_on(running: Labs) -> None:
    done = running("shell", LAB, "--", "sudo -n id -u; exit 5")
    assert (done.stdout, done.returncode) == ("0\n", 5)


def test_a_connection_that_is_cut_leaves_no_process_in_the_lab(running: Labs) -> None:
    config = State(running.root).run_folder("anna", LAB).ssh_config
    ssh = subprocess.Popen(
        ["ssh", "-F", str(config), "-N", LAB], env=running.environment, stdin=subprocess.DEVNULL
    )
    try:
        assert until(lambda: len(connections(running)) > 1)
    finally:
        ssh.kill()
        ssh.wait()
    assert until(lambda: not connections(running)), connections(running)


def test_the_rescue_console_works_without_sshd_and_goes_on_record(running: Labs) -> None:
    assert running.ssh("ssh", LAB, "sudo pkill -o sshd; sudo service ssh stop").returncode in {0, 255}
    refused = running.ssh("ssh", LAB, "true")
    assert "no SSH server answers" in refused.stderr
    assert "phi-labs rescue" in refused.stderr
    assert running("rescue", LAB, stdin="id\n").returncode == 2, "it asks first"
    done = running("rescue", LAB, "--yes", stdin="id -u\nservice ssh start >/dev/null\n")
    assert (done.returncode, done.stdout) == (0, "0\n")
    assert running.ssh("ssh", LAB, "true").returncode == 0
    assert State(running.root).flags("anna", LAB)["rescue"]


@pytest.mark.parametrize("what", ["kill", "rm"])
def test_a_machine_that_was_stopped_or_removed_from_outside_is_told(running: Labs, what: str) -> None:
    engine = Engine()
    if what == "rm":
        engine.remove(running.container())
    else:
        running("rescue", LAB, "--yes", stdin="kill -KILL -1\n")
        assert until(lambda: not engine.inspect(running.container()).running)
    engine.close()
    for done in (running.ssh("ssh", LAB, "true"), running("grade", LAB), running("rescue", LAB, "--yes")):
        assert ("removed from outside" if what == "rm" else "stopped") in done.stderr
        assert f"phi-labs {'reset' if what == 'rm' else 'start'} {LAB}" in done.stderr
    assert running("start", LAB).returncode == 0
    assert running.ssh("ssh", LAB, "true").returncode == 0


@pytest.mark.slow
def test_the_demo_ends_with_full_score_and_leaves_nothing(fresh: Labs) -> None:
    done = fresh("demo", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["before"]["score"] < 50
    assert data["after"]["score"] == 100
    assert until(lambda: fresh.containers() == [])


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["starting", "grading", "mending"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing(fresh: Labs, moment: str, number: signal.Signals) -> None:
    demo = fresh.start("demo")
    assert demo.stderr is not None
    said = ""
    while moment not in said:
        line = demo.stderr.readline()
        assert line, said
        said += line
    time.sleep(0.15)  # into the middle of it
    demo.send_signal(number)
    _, rest = demo.communicate(timeout=60)
    assert demo.returncode == 128 + number, said + rest
    assert rest.rstrip().endswith("phi-labs: interrupted")
    assert until(lambda: fresh.containers() == [])


def test_stop_all_leaves_nothing_but_the_probe_and_doctor_removes_that(running: Labs) -> None:
    assert running("stop", "--all").returncode == 0
    assert {item.label("kind") for item in running.containers()} <= {"probe"}
    assert running("doctor", "--clean").returncode == 0
    assert running.containers() == []
    assert not list((running.root / "runs").glob("*/*"))
