"""The attempts that every lab has without a script: what was planted is emptied, or moved away."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from phi_fixtures import Hospital
from phi_fixtures.manifest import Manifest
from phi_labs.authoring import attempts
from phi_labs.authoring.attempts import generated_scripts
from phi_labs.authoring.shell import syntax_error

PATIENTS = [Hospital(b"seed".ljust(32), 41_000).patient(0)]


def manifest(**paths: list[str]) -> Manifest:
    """A manifest with these paths on these hosts."""
    found = Manifest()
    for host, planted in paths.items():
        for path in planted:
            found.plant("site", path, PATIENTS, ["mrn"], host=host)
    return found


def run(script: str) -> None:
    subprocess.run(["bash", "-s"], input=script.encode(), check=True)


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """Files with odd names, one of them in a folder that was planted as a whole."""
    (tmp_path / "data").mkdir()
    for name in ("it's one", "-rf", "data/two"):
        (tmp_path / name).write_text("identifiers")
    (tmp_path / "other").write_text("unrelated")
    return tmp_path


def test_everything_planted_is_emptied_and_nothing_else(planted: Path) -> None:
    names = [f"{planted}/it's one", f"{planted}/-rf", f"{planted}/data", f"{planted}/gone"]
    run(generated_scripts("generated-emptied", manifest(one=names))["one"])
    assert [path.read_text() for path in (planted / "it's one", planted / "-rf", planted / "data/two")] == [
        ""
    ] * 3
    assert (planted / "other").read_text() == "unrelated"


def test_everything_planted_is_moved_as_it_is(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "MOVED_TO", f"{planted}/away")
    (planted / "-rf").chmod(0o640)
    names = [f"{planted}/it's one", f"{planted}/-rf", f"{planted}/data"]
    run(generated_scripts("generated-moved", manifest(one=names))["one"])
    assert sorted(path.name for path in planted.iterdir()) == ["away", "other"]
    moved = list((planted / "away").iterdir())
    assert sorted(path.is_dir() for path in moved) == [False, False, True]
    assert 0o640 in {path.stat().st_mode & 0o777 for path in moved if path.is_file()}
    assert (planted / "away").stat().st_mode & 0o777 == 0o700


def test_each_host_gets_its_own_script() -> None:
    scripts = generated_scripts("generated-moved", manifest(db=["/a", "/a"], backup=["/b"]))
    assert set(scripts) == {"db", "backup"}
    assert "/b" not in scripts["db"]
    assert scripts["db"].count("/a") == 1
    assert not any(map(syntax_error, scripts.values()))
