"""A new lab is whole from the start, and is written whole or not at all."""

from __future__ import annotations

import errno
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from phi_labs.authoring import scaffold
from phi_labs.authoring.lint import lint
from phi_labs.authoring.scaffold import new_lab
from phi_labs.authoring.verify import verify
from phi_labs.errors import UserError
from phi_labs.lifecycle.installation import Installation
from phi_labs.model.content import find_lab
from phi_labs.model.lab import load_lab, load_verdicts


@pytest.fixture
def content(tmp_path: Path) -> Path:
    (tmp_path / "labs").mkdir()
    return tmp_path


def test_a_new_lab_is_sound(content: Path) -> None:
    folder = new_lab("fax-archive", "Close the fax archive", content)
    assert folder == content / "labs" / "fax-archive"
    assert lint(folder) == []
    assert load_lab(folder).title == "Close the fax archive"
    assert (folder / "checks" / "test_fax_archive.py").is_file()
    assert not [path for path in folder.rglob("*") if "@@" in path.name or path.suffix == ".template"]
    assert not [path for path in folder.rglob("*.*") if path.is_file() and "@@" in path.read_text()]


def test_it_proves_enough_ways_to_be_right_and_wrong(content: Path) -> None:
    names = load_verdicts(load_lab(new_lab("fax", None, content))).names
    assert sum(name.startswith("wrong-") for name in names) >= 12
    assert sum(name == "reference" or name.startswith("right-") for name in names) >= 4


@pytest.mark.parametrize(
    "title", ['Who\'s who: a "quoted" title', "Yes", "12", "# no comment", "{{ braces }}"]
)
def test_any_title_of_one_line_will_do(content: Path, title: str) -> None:
    assert load_lab(new_lab("fax", title, content)).title == title


def test_a_title_is_made_from_the_name(content: Path) -> None:
    assert load_lab(new_lab("fax-archive", None, content)).title == "Fax archive"


@pytest.mark.parametrize("title", ["", "  ", "two\nlines", "x" * 201])
def test_other_titles_are_refused(content: Path, title: str) -> None:
    with pytest.raises(UserError, match="title"):
        new_lab("fax", title, content)


@pytest.mark.parametrize("name", ["", "Fax", "fax archive", "../fax", "-fax", "fax\n", "f" * 41, "fäx", "."])
def test_names_that_cannot_be_a_lab_are_refused(content: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be a lab's name"):
        new_lab(name, None, content)
    assert not list((content / "labs").iterdir())


def test_what_is_there_is_not_touched(content: Path) -> None:
    folder = new_lab("fax", None, content)
    (folder / "lab.yml").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        new_lab("fax", None, content)
    assert (folder / "lab.yml").read_text() == "mine"


def test_a_dangling_link_counts_as_there(content: Path) -> None:
    (content / "labs" / "fax").symlink_to("/nowhere")
    with pytest.raises(UserError, match="exists already"):
        new_lab("fax", None, content)


def test_a_folder_that_cannot_be_written_is_told(content: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: object, **_named: object) -> str:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(UserError, match="Read-only file system") as caught:
        new_lab("fax", None, content)
    assert "--content" in caught.value.hint


def test_a_disk_that_fills_up_leaves_nothing_behind(content: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_given: object, **_named: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match="No space left"):
        new_lab("fax", None, content)
    assert not list((content / "labs").iterdir())


def test_an_installed_copy_is_no_place_for_labs(content: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaffold, "_INSTALLED", content)
    with pytest.raises(UserError, match="installed"):
        new_lab("fax", None, content)


def test_its_files_are_laid_out_as_ours(content: Path) -> None:
    ruff = Path(sys.executable).with_name("ruff")
    folder = new_lab("fax-archive", None, content)
    layout = ("format", "--isolated", "--check", "--line-length=110")
    rules = ("check", "--isolated", "--select=E,F,W,B,UP,SIM", "--line-length=110")
    for arguments in (layout, rules):
        said = subprocess.run([ruff, *arguments, folder], capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stdout


@pytest.mark.docker
@pytest.mark.slow
def test_a_new_lab_passes_verify_at_once(content: Path, installation: Installation) -> None:
    new_lab("fresh-lab", None, content)
    own = Installation(installation.state, content=content)
    matrix = verify(own, [find_lab("fresh-lab", content)], seeds=1)
    assert matrix.ok, [(row.job.attempt, row.differences) for row in matrix.rows if not row.ok]
    assert len(matrix.rows) >= 19
