"""The entry script: a checkout of stubs stands in for the project, so that set-up needs no network."""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]

PYPROJECT = """
[project]
name = "stub"
dependencies = []
[project.optional-dependencies]
test = []
"""

# Every module that the script runs, told by name; FAIL names those that exit with 7.
STUB = """
import json, os, sys
def lint_imports_command(prog_name):
    say("import-linter")
def say(name):
    print(json.dumps([name, *sys.argv[1:]]), flush=True)
    if name in os.environ.get("FAIL", "").split(","):
        sys.exit(7)
"""


@dataclass(frozen=True)
class Checkout:
    """A folder that holds the real entry script and stubs of what it runs."""

    root: Path

    @property
    def script(self) -> str:
        return str(self.root / "phi-labs")

    @property
    def python(self) -> Path:
        return self.root / ".venv" / "bin" / "python"

    @property
    def notes(self) -> Path:
        return self.root / ".venv" / ".phi-labs"

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.script, *arguments],
            env=clean_environment() | environment,
            cwd=self.root.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.script, *arguments],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def clean_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PHI_LABS_", "PYTHON"))}
    kept.pop("DOCKER_HOST", None)
    return kept | {"PHI_LABS_PYTHON": sys.executable}


def lay_out(root: Path) -> Checkout:
    root.mkdir()
    shutil.copy2(PROJECT / "phi-labs", root)
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "constraints.txt").write_text("")
    (root / "fixtures").mkdir()
    for name in ("phi_labs", "ruff", "mypy", "pytest", "importlinter"):
        package = root / "checker" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "cli.py").write_text(STUB)
        (package / "__main__.py").write_text(f"from {name}.cli import say\nsay({name!r})\n")
    return Checkout(root)


@pytest.fixture(scope="session")
def first_use(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkout, subprocess.CompletedProcess[str]]:
    """A checkout after its first command, and what that command printed."""
    checkout = lay_out(tmp_path_factory.mktemp("ready") / "checkout")
    return checkout, checkout.run("labs", "a  b", "--json")


@pytest.fixture
def ready(first_use: tuple[Checkout, object], tmp_path: Path) -> Checkout:
    """A copy of a checkout that is set up: also proof that a checkout may be moved."""
    shutil.copytree(first_use[0].root, tmp_path / "moved", symlinks=True)
    return Checkout(tmp_path / "moved")


@pytest.fixture
def fresh(tmp_path: Path) -> Checkout:
    return lay_out(tmp_path / "fresh")


def calls(output: str) -> list[list[str]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("[")]


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.01)


def test_first_use_tells_its_progress_apart_from_the_commands_output(
    first_use: tuple[Checkout, subprocess.CompletedProcess[str]],
) -> None:
    _, done = first_use
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ['["phi_labs", "labs", "a  b", "--json"]']
    assert "making .venv with Python 3." in done.stderr
    assert done.stderr.rstrip().endswith("ready")


def test_what_runs_is_compiled_even_where_python_may_keep_nothing(fresh: Checkout) -> None:
    fresh.run("labs", PYTHONDONTWRITEBYTECODE="1")
    compiled = {path.name.partition(".")[0] for path in fresh.root.glob("checker/phi_labs/__pycache__/*.pyc")}
    assert compiled == {"__init__", "__main__", "cli"}


def test_a_second_start_is_silent_and_hands_on_the_exit_code(ready: Checkout) -> None:
    done = ready.run("labs", FAIL="phi_labs")
    assert (done.returncode, done.stderr) == (7, "")


def test_a_second_start_runs_no_program_but_cmp(ready: Checkout, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    cmp = shutil.which("cmp")
    assert cmp is not None
    (programs / "cmp").symlink_to(cmp)
    done = ready.run("labs", PATH=str(programs))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_second_start_costs_at_most_50_ms(ready: Checkout) -> None:
    def milliseconds(*command: str) -> float:
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=clean_environment())
        return (time.perf_counter() - begin) * 1000

    direct = [str(ready.python), "-P", "-m", "phi_labs", "labs"]
    pairs = [(milliseconds(ready.script, "labs"), milliseconds(*direct)) for _ in range(15)]
    assert statistics.median(through - without for through, without in pairs) <= 50  # about 4 on 2 cores


@pytest.mark.parametrize("target", ["absolute", "relative"])
def test_a_symbolic_link_finds_the_checkout(ready: Checkout, tmp_path: Path, target: str) -> None:
    link = tmp_path / "linked"
    link.symlink_to(ready.script if target == "absolute" else Path("moved") / "phi-labs")
    output = subprocess.run(
        [link, "labs"], capture_output=True, text=True, check=True, env=clean_environment()
    )
    assert calls(output.stdout) == [["phi_labs", "labs"]]


def test_files_of_the_current_directory_do_not_become_part_of_the_program(
    ready: Checkout, tmp_path: Path
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('imported from the current directory')")
    output = subprocess.run(
        [ready.script, "labs"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env=clean_environment(),
    )
    assert calls(output.stdout) == [["phi_labs", "labs"]]


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_changed_pin_sets_up_again_in_the_same_environment(ready: Checkout, name: str) -> None:
    (ready.notes / "kept").touch()
    before = (ready.root / name).stat()
    (ready.root / name).write_text((ready.root / name).read_text() + "# moved\n")
    os.utime(
        ready.root / name, ns=(before.st_atime_ns, before.st_mtime_ns)
    )  # an unpacked archive keeps times
    assert "ready" in ready.run("labs").stderr
    assert (ready.notes / "kept").exists()
    assert ready.run("labs").stderr == ""


def test_a_broken_interpreter_is_replaced(ready: Checkout) -> None:
    for link in ready.python.parent.glob("python*"):
        link.unlink()
    ready.python.symlink_to("/nonexistent/python3.11")  # the distribution moved on to another Python
    done = ready.run("labs")
    assert (done.returncode, calls(done.stdout)) == (0, [["phi_labs", "labs"]]), done.stderr


def test_a_set_up_that_was_killed_is_not_trusted(fresh: Checkout) -> None:
    script = fresh.start("labs")
    wait_until((fresh.notes / "unfinished").exists, "set-up under way")
    os.killpg(script.pid, signal.SIGKILL)
    script.communicate()
    (fresh.notes / "half").touch()
    done = fresh.run("labs")
    assert (done.returncode, calls(done.stdout)) == (0, [["phi_labs", "labs"]]), done.stderr
    assert not (fresh.notes / "half").exists()
    assert not list(fresh.root.glob(".venv.old.*"))


def test_ctrl_c_says_how_to_go_on(fresh: Checkout) -> None:
    script = fresh.start("labs")
    wait_until((fresh.notes / "unfinished").exists, "set-up under way")
    os.killpg(script.pid, signal.SIGINT)
    _, errors = script.communicate(timeout=30)
    assert script.returncode == 130
    assert "interrupted. Run ./phi-labs again" in errors
    assert fresh.run("labs").returncode == 0


def test_two_first_starts_at_once_set_up_once(fresh: Checkout) -> None:
    scripts = [fresh.start("labs"), fresh.start("brief")]
    results = [script.communicate(timeout=120) for script in scripts]
    assert [script.returncode for script in scripts] == [0, 0]
    assert [calls(output) for output, _ in results] == [[["phi_labs", "labs"]], [["phi_labs", "brief"]]]
    assert sum("making .venv" in errors for _, errors in results) == 1


def test_a_failing_pip_shows_its_last_words(ready: Checkout) -> None:
    broken = PYPROJECT.replace("dependencies = []", 'dependencies = ["./no-such-folder"]', 1)
    (ready.root / "pyproject.toml").write_text(broken)
    done = ready.run("labs")
    assert done.returncode == 3
    assert "no-such-folder" in done.stderr
    assert "run ./phi-labs again" in done.stderr
    (ready.root / "pyproject.toml").write_text(PYPROJECT)
    assert ready.run("labs").returncode == 0


def test_test_runs_what_ci_runs_and_pytest_last(ready: Checkout) -> None:
    socket = {"DOCKER_HOST": "tcp://engine.invalid:2376"}  # left to the tests themselves
    done = ready.run("test", **socket)
    assert done.returncode == 0, done.stderr
    assert calls(done.stdout) == [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["mypy"],
        ["import-linter"],
        ["pytest"],
    ]
    assert done.stdout.splitlines()[-1] == '["pytest"]'


@pytest.mark.parametrize("failing", ["mypy", "pytest", "import-linter"])
def test_test_runs_everything_even_after_a_failure(ready: Checkout, failing: str) -> None:
    done = ready.run("test", DOCKER_HOST="tcp://engine.invalid:2376", FAIL=failing)
    assert done.returncode != 0
    assert len(calls(done.stdout)) == 5
    assert ("FAILED" in done.stdout) == (failing != "pytest")


def test_arguments_after_test_go_to_pytest_alone(ready: Checkout) -> None:
    done = ready.run("test", "-m", "not docker", "-k", "foo", DOCKER_HOST="unix:///nonexistent/engine.sock")
    assert calls(done.stdout) == [["pytest", "-m", "not docker", "-k", "foo"]], done.stderr


@pytest.mark.parametrize("command", ["demo", "start", "grade", "verify"])
def test_a_command_that_needs_an_engine_says_when_none_answers(ready: Checkout, command: str) -> None:
    silent = {"DOCKER_HOST": "unix:///nonexistent/engine.sock", "PHI_LABS_NO_INSTALL": "1"}
    done = ready.run(command, "log-access", **silent)
    assert (done.returncode, done.stdout) == (3, "")
    assert "no container engine answers at DOCKER_HOST=unix:///nonexistent/engine.sock" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["labs"], ["brief", "x"], ["--help"], ["start", "--help"], ["stop"], ["doctor"], []]
)
def test_other_commands_ask_for_no_engine(ready: Checkout, arguments: list[str]) -> None:
    done = ready.run(*arguments, DOCKER_HOST="unix:///nonexistent/engine.sock")
    assert (done.returncode, calls(done.stdout)) == (0, [["phi_labs", *arguments]])


def test_setup_refuses_what_it_does_not_know(ready: Checkout) -> None:
    assert ready.run("setup", "everything").returncode == 2


# --- the branch that installs an engine: on a machine made of stubs, in a mount namespace of its own ---

FAKE_APT = """#!/bin/sh
echo "apt-get $*" >>"$STUB_LOG"
case "$*" in *install*) cp "$STUB_DOCKERD" "${0%/*}/dockerd" ;; esac
"""

FAKE_DOCKERD = """#!{python} -IS
import os, socket, sys
print("fake daemon is up", file=sys.stderr, flush=True)
with open(os.environ["STUB_LOG"], "a") as log:
    log.write("dockerd\\n")
server = socket.socket(socket.AF_UNIX)
server.bind("/var/run/docker.sock")
server.listen()
server.settimeout(10)
for _ in range(2):  # the script's question, and the test's
    client, _ = server.accept()
    client.recv(1000)
    client.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nOK")
    client.close()
"""

# Hides this machine's engine, services and distribution; nothing of it is seen outside.
IN_A_BARE_MACHINE = """
set -e
mount --make-rprivate /
for folder in /run /usr/sbin /var/log; do mount -t tmpfs none "$folder"; done
mount --bind "$STUB_OS" /etc/os-release
"$@" || exit $?
cat /var/log/phi-labs-dockerd.log
"""


@dataclass(frozen=True)
class BareMachine:
    """A machine without an engine, whose apt-get and dockerd are stubs."""

    folder: Path

    def run(
        self, checkout: Checkout, *arguments: str, distribution: str = "debian", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        (self.folder / "os-release").write_text(f"ID={distribution}\n")
        settings = {
            "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
            "STUB_LOG": str(self.folder / "log"),
            "STUB_OS": str(self.folder / "os-release"),
            "STUB_DOCKERD": str(self.folder / "dockerd"),
        }
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", IN_A_BARE_MACHINE, "sh", checkout.script, *arguments],
            env=clean_environment() | settings | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @property
    def log(self) -> list[str]:
        log = self.folder / "log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> BareMachine:
    if os.geteuid() != 0:
        pytest.skip("only root may make a mount namespace to hide this machine's engine in")
    (tmp_path / "bin").mkdir()
    base_python = Path(sys.executable).resolve()
    for path, text in (
        (tmp_path / "bin" / "apt-get", FAKE_APT),
        (tmp_path / "dockerd", FAKE_DOCKERD.format(python=base_python)),
    ):
        path.write_text(text)
        path.chmod(0o755)
    if (Path("/usr/bin/dockerd")).exists():
        pytest.skip("this machine's dockerd stands in /usr/bin, where it cannot be hidden")
    return BareMachine(tmp_path)


def test_the_engine_is_installed_and_started(ready: Checkout, machine: BareMachine) -> None:
    done = machine.run(ready, "start", "log-access")
    assert done.returncode == 0, done.stderr
    assert machine.log[0] == "apt-get -q update"
    assert machine.log[1].split("install ")[1].startswith("docker.io iptables mmdebstrap")
    assert machine.log[2] == "dockerd"
    assert calls(done.stdout) == [["phi_labs", "start", "log-access"]]
    assert "installing with apt: docker.io iptables mmdebstrap" in done.stderr
    assert "its log: /var/log/phi-labs-dockerd.log" in done.stderr
    assert "fake daemon is up" in done.stdout  # the log itself


def test_an_engine_that_is_installed_is_only_started(ready: Checkout, machine: BareMachine) -> None:
    shutil.copy2(machine.folder / "dockerd", machine.folder / "bin" / "dockerd")
    done = machine.run(ready, "setup", "engine")
    assert (done.returncode, machine.log) == (0, ["dockerd"]), done.stderr


def test_no_install_prints_the_commands_and_does_nothing(ready: Checkout, machine: BareMachine) -> None:
    done = machine.run(ready, "demo", PHI_LABS_NO_INSTALL="1")
    assert (done.returncode, done.stdout, machine.log) == (3, "", [])
    assert "apt-get install -y docker.io iptables mmdebstrap" in done.stderr
    assert "setsid dockerd" in done.stderr


def test_another_system_is_told_what_to_install(ready: Checkout, machine: BareMachine) -> None:
    done = machine.run(ready, "demo", distribution="plan9")
    assert (done.returncode, machine.log) == (3, [])
    assert "install Docker Engine 20.10 or newer" in done.stderr
