"""What is imported when: fast paths stay fast by importing nothing that they do not need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def modules_after(words: list[str], tmp_path: Path) -> set[str]:
    """Top-level modules that are loaded once this command has run."""
    script = (
        "import sys\nfrom phi_labs.__main__ import main\n"
        f"main({words!r})\nprint('MODULES', *{{name.split('.')[0] for name in sys.modules}})"
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


@pytest.mark.parametrize("words", [["--help"], ["labs"], ["grade", "--help"], ["hint", "log-access"]])
def test_commands_that_read_need_neither_engine_nor_ssh_nor_pytest(words: list[str], tmp_path: Path) -> None:
    assert not modules_after(words, tmp_path) & set(HEAVY)


def test_connect_imports_next_to_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "anna-55579b5578" / "small"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"containers": {"ehr1": "c"}}')
    words = ["connect", "small", "--trainee", "anna", "--host", "nowhere"]
    assert not modules_after(words, tmp_path) & set(NOT_FOR_CONNECT)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("phi-labs gra", "grade"),
        ("phi-labs grade log", "log-access"),
        ("phi-labs hint log-access next-l", "next-logrotate-file"),
        ("phi-labs attempt log-access refe", "reference"),
        ("phi-labs start log-access --entity b", "ba"),
    ],
)
def test_the_shell_completes_what_exists(typed: str, expected: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "_PHI_LABS_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(typed.count(" ")),
        "PHI_LABS_STATE": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-m", "phi_labs"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [expected]
    assert done.returncode == 0
