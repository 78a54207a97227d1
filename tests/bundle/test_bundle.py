"""A bundle is whole or refused; what was saved here runs where there is no network at all."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.fakes.engine import FakeEngine
from tests.tiny_lab import write_tiny_lab

from phi_labs.bundle.load import check, load
from phi_labs.bundle.manifest import NAME, Manifest, is_plain
from phi_labs.bundle.save import INSTALL, save
from phi_labs.errors import EngineError, UserError
from phi_labs.lifecycle.installation import Installation

FILES = {"images.tar": b"images", "wheels/a.whl": b"wheel", "content/labs/x/lab.yml": b"id: x"}
Change = Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]


def manifest(**changes: object) -> Manifest:
    files = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
    facts: dict[str, object] = {"version": "1", "created": "", "python": "3.11", "machine": "x86_64"}
    return Manifest(**{**facts, "files": files, "images": {}, **changes})  # type: ignore[arg-type]


def write(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def members(**changes: object) -> list[tuple[str, bytes]]:
    return [(NAME, manifest(**changes).to_json().encode()), *FILES.items()]


def test_a_whole_bundle_passes_and_is_unpacked_where_it_should(tmp_path: Path) -> None:
    path = write(tmp_path / "b", members())
    assert check(path).files.keys() == FILES.keys()
    engine = FakeEngine()
    loaded = load(engine, path, lambda _line: None, into=tmp_path / "out")
    assert (tmp_path / "out/wheels/a.whl").read_bytes() == b"wheel"
    assert not (tmp_path / "out/images.tar").exists()
    assert engine.loaded == [b"images"]
    assert loaded.manifest.version == "1"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda all_: [(n, d if n != "wheels/a.whl" else b"whEel") for n, d in all_], "checksum differs"),
        (lambda all_: all_[:-1], "is missing"),
        (lambda all_: [*all_, ("extra", b"")], "does not belong"),
        (lambda all_: [*all_, all_[-1]], "does not belong"),
        (lambda all_: all_[1:], "does not begin with"),
        (lambda all_: [(NAME, b"{}"), *all_[1:]], "cannot be read"),
        (lambda all_: [], "no bundle"),
    ],
)
def test_anything_else_is_refused_before_the_engine_sees_it(
    tmp_path: Path, change: Change, said: str
) -> None:
    path = write(tmp_path / "b", change(members()))
    engine = FakeEngine()
    with pytest.raises(UserError, match=said):
        load(engine, path, lambda _line: None, into=tmp_path / "out")
    assert engine.loaded == []
    assert not (tmp_path / "out").exists()


def test_a_cut_off_bundle_and_no_bundle_at_all_are_told_apart_from_a_whole_one(tmp_path: Path) -> None:
    path = write(tmp_path / "b", members())
    (tmp_path / "cut").write_bytes(path.read_bytes()[:1600])
    for name in ("cut", "nothing"):
        with pytest.raises(UserError):
            check(tmp_path / name)


@pytest.mark.parametrize("name", ["../up", "/abs", "a/../b", "", "a//b", "."])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    assert not is_plain(name)
    path = write(tmp_path / "b", members(files={name: "0" * 64}))
    with pytest.raises(UserError, match="is no name for a file"):
        check(path)


def test_an_engine_that_has_another_image_afterwards_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "b", members(images={"phi-labs/lab-x-one:1": "sha256:1"}))
    with pytest.raises(EngineError, match="not on the engine as the bundle says"):
        load(FakeEngine(), path, lambda _line: None)


@pytest.mark.docker
@pytest.mark.slow
def test_what_is_saved_here_installs_and_loads_without_any_network(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = tmp_path / "content"
    monkeypatch.setattr(installation, "content", content)
    lab = write_tiny_lab(content)
    with (lab.context("one") / "Dockerfile").open("a") as recipe:
        recipe.write("RUN touch /etc/of-a-bundle\n")  # an image of its own: no other test's machine holds it
    image = installation.image_of(lab, "one")
    bundle = tmp_path / "phi-labs.bundle"
    saved = save(installation, bundle, lambda _line: None)
    assert image in saved.images.values()

    tag = next(name for name, known in saved.images.items() if known == image)
    installation.engine.remove_image(tag)
    assert installation.engine.image_id(tag) is None
    away = tmp_path / "away"
    away.mkdir()
    subprocess.run(["tar", "-xf", bundle, "-C", away, INSTALL.name, "wheels"], check=True)
    alone = {
        key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON", "VIRTUAL"))
    }
    subprocess.run(["unshare", "--net", "sh", INSTALL.name, "here"], cwd=away, env=alone, check=True)
    program = away / "here" / "bin" / "phi-labs"
    environment = {**alone, "PHI_LABS_STATE": str(tmp_path / "state")}

    def run(*words: str) -> str:
        argv = [
            "unshare",
            "--net",
            str(program),
            *words,
        ]  # the engine's socket is a file: no network is needed
        ran = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    assert "phi-labs" in run("--version")
    run("bundle", "load", str(bundle), "--into", str(away))
    assert installation.engine.image_id(tag) == image
    assert (away / "content/labs/tiny/lab.yml").is_file()
    assert "tiny" in run("labs", "--content", str(away / "content"))
