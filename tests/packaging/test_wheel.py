"""What a user installs: the wheel, built through the sdist, in an environment of its own."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]

# Made by tools while one works; neither content nor code.
LITTER = ("__pycache__", ".pyc", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache")


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("archives")
    # The pinned hatchling of the test extra builds; an isolated build would fetch it once more.
    run(sys.executable, "-P", "-m", "build", "--no-isolation", "--outdir", folder, PROJECT, cwd=folder)
    return folder


@pytest.fixture(scope="session")
def wheel(archives: Path) -> Path:
    (wheel,) = archives.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a clean environment that holds the wheel and its pinned dependencies."""
    environment = tmp_path_factory.mktemp("clean") / "environment"
    venv.create(environment, with_pip=True)
    python, constraints = environment / "bin" / "python", PROJECT / "constraints.txt"
    run(python, "-m", "pip", "install", "--quiet", "--no-input", "-c", constraints, wheel, cwd=environment)
    return environment / "bin"


def tracked(folder: str) -> set[str]:
    """Files of a folder of the checkout as they stand there, without what tools leave behind."""
    found = (path for path in (PROJECT / folder).rglob("*") if path.is_file())
    names = {path.relative_to(PROJECT).as_posix() for path in found}
    return {name for name in names if not any(litter in name for litter in LITTER)}


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_content_file_travels(wheel: Path) -> None:
    content = {f"phi_labs/content/{name}" for name in tracked("labs") | tracked("scenarios")}
    assert "phi_labs/content/scenarios/ce-it-foundations.yml" in content
    assert "phi_labs/content/labs/log-access/lab.yml" in content
    assert content - names_in(wheel) == set()


def test_every_file_of_the_packages_travels(wheel: Path) -> None:
    packages = {("checker", "phi_labs"), ("fixtures", "phi_fixtures")}
    wanted = {
        name.removeprefix(f"{root}/") for root, package in packages for name in tracked(f"{root}/{package}")
    }
    assert wanted - names_in(wheel) == set()


def test_nothing_else_travels(wheel: Path) -> None:
    names = names_in(wheel)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"phi_labs", "phi_fixtures"}
    assert [name for name in names if any(litter in name for litter in LITTER)] == []


def test_no_pattern_of_gitignore_reaches_into_labs() -> None:
    """An sdist drops what git ignores: a broad pattern such as *.log would take planted logs out of labs."""
    patterns = [line for line in (PROJECT / ".gitignore").read_text().splitlines() if line.strip()]
    assert [p for p in patterns if not p.startswith(("/", "#")) and p != "__pycache__/"] == []


def test_the_sdist_holds_what_a_checkout_needs(archives: Path) -> None:
    (sdist,) = archives.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        script = archive.getmember(f"{sdist.name.removesuffix('.tar.gz')}/phi-labs")
    assert {"phi-labs", "pyproject.toml", "constraints.txt", "LICENSE", "README.md", ".ci/run"} <= names
    assert script.mode & 0o111, "the entry script is not executable"
    assert tracked("tests") - names == set()
    assert [name for name in names if any(litter in name for litter in LITTER)] == []


def test_the_command_line_runs_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    assert "labs" in run(installed / "phi-labs", "--help", cwd=tmp_path)
    assert "log-access" in run(installed / "phi-labs", "labs", cwd=tmp_path)


def test_the_installed_version_is_the_packages_own(installed: Path, tmp_path: Path) -> None:
    ask = "import importlib.metadata as m, phi_labs; print(m.version('phi-labs'), phi_labs.__version__)"
    distribution, package = run(installed / "python", "-I", "-c", ask, cwd=tmp_path).split()
    assert distribution == package


def test_an_installed_program_makes_its_records(installed: Path, tmp_path: Path) -> None:
    """The scripts of the migrations travel, and are found where they are."""
    make = "from phi_labs.records.store import Records as R; print(R('sqlite:///records.db').head().count)"
    assert run(installed / "python", "-I", "-c", make, cwd=tmp_path) == "0\n"


def test_constraints_pin_every_dependency_of_the_command_line(installed: Path, tmp_path: Path) -> None:
    lines = (PROJECT / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    listing = run(installed / "python", "-m", "pip", "list", "--format=freeze", cwd=tmp_path)
    used = {line.partition("==")[0].lower().replace("_", "-") for line in listing.split()}
    assert used - pinned <= {"phi-labs", "pip", "setuptools"}
