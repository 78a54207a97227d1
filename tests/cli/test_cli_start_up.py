"""What is imported when: fast paths stay fast by importing nothing that they do not need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.cli.workshops import held, lab, row, status

from phi_labs.cli import completion

HEAVY = ("docker", "paramiko", "pytest", "cryptography", "requests")
NOT_FOR_CONNECT = (
    *HEAVY,
    "typer",
    "rich",
    "pydantic",
    "yaml",
    "phi_fixtures",
    "jinja2",
    "pathlib",
    "argparse",
)
NOT_FOR_STATUS = (
    *HEAVY,
    "typer",
    "rich",
    "pydantic",
    "yaml",
    "phi_fixtures",
    "jinja2",
    "argparse",
    "sqlalchemy",
    "asyncssh",
    "asyncio",
    "_pytest",
)


def modules_after(commands: list[list[str]], tmp_path: Path) -> set[str]:
    """Top-level modules that are loaded once these commands have run."""
    script = (
        "import sys\nfrom phi_labs.__main__ import main\n"
        f"for words in {commands!r}: main(words)\n"
        "print('MODULES', *{name.split('.')[0] for name in sys.modules})"
    )
    environment = {**os.environ, "PHI_LABS_STATE": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.rpartition("MODULES")[2].split())


def test_commands_that_read_need_neither_engine_nor_ssh_nor_pytest(tmp_path: Path) -> None:
    commands = [["--help"], ["grade", "--help"], ["labs"], ["brief", "log-access"], ["hint", "log-access"]]
    assert not modules_after(commands, tmp_path) & set(HEAVY)


def test_the_state_of_a_workshop_is_asked_for_without_anything_heavy(tmp_path: Path) -> None:
    with held(tmp_path, "autumn", status(row("anna", lab()))) as asked:
        loaded = modules_after([["workshop", "status"], ["workshop", "status", "--json"]], tmp_path)
    assert len(asked) == 2
    assert not loaded & {*NOT_FOR_STATUS}


def test_connect_imports_next_to_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "anna-55579b5578" / "small"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"containers": {"ehr1": "c"}}')
    words = ["connect", "small", "--trainee", "anna", "--host", "nowhere"]
    assert not modules_after([words], tmp_path) & set(NOT_FOR_CONNECT)


def test_the_shell_completes_commands_and_labs(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "_PHI_LABS_COMPLETE": "complete_bash",
        "COMP_WORDS": "phi-labs hint log-access next-l",
        "COMP_CWORD": "3",
        "PHI_LABS_STATE": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-m", "phi_labs"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("next-logrotate-file\n", 0)


def test_what_is_typed_after_a_lab_is_completed_from_it(
    content: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHI_LABS_CONTENT", str(content))
    typed = SimpleNamespace(params={"lab": "small"})
    assert completion.labs("sm") == ["small"]
    assert completion.objectives(typed, "") == ["todays-log", "older-logs"]  # type: ignore[arg-type]
    assert completion.attempts(typed, "wrong") == ["wrong-live-only"]  # type: ignore[arg-type]
    unknown = SimpleNamespace(params={"lab": "../x"})
    assert completion.objectives(unknown, "") == []  # type: ignore[arg-type]
