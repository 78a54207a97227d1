"""A sound lab to spoil: what ``phi-labs new`` writes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from phi_labs.authoring.scaffold import new_lab

Spoil = Callable[[str, str, str], int]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scaffold, written once."""
    content = tmp_path_factory.mktemp("written")
    (content / "labs").mkdir()
    return new_lab("small", "A small lab", content)


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy of the scaffold that a test may spoil."""
    return Path(shutil.copytree(written, tmp_path / "labs" / "small"))


@pytest.fixture
def spoil(folder: Path) -> Spoil:
    """Replace the first text that matches a pattern in one of the lab's files; returns its line."""

    def replace(name: str, old: str, new: str) -> int:
        text = (folder / name).read_text()
        found = re.search(old, text, re.DOTALL)
        assert found, f"{old!r} is not in {name}"
        (folder / name).write_text(text[: found.start()] + new + text[found.end() :])
        return text.count("\n", 0, found.start()) + 1

    return replace
