"""A new lab from the template: small, whole, and proven from its first minute on."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from phi_labs.errors import UserError
from phi_labs.model.content import content_folder
from phi_labs.model.validation import NAME_PATTERN

TEMPLATE = Path(__file__).parent / "template"
OWN_PLACE = "work in a checkout, or name a folder of your own that has labs/: --content DIR"
_LONGEST_TITLE = 200
_MODULE = "@@module@@"
_SUFFIX = ".template"  # keeps the template's Python out of what checks this program's own
_INSTALLED = Path(__file__).resolve().parents[1] / "content"


def new_lab(lab: str, title: str | None = None, content: Path | None = None) -> Path:
    """Write a lab that passes lint and ``verify``; return its folder.

    Args:
        lab: its id, the folder's name.
        title: made from the id when not given.
        content: folder that holds ``labs/``; the checkout's own by default.

    Raises:
        UserError: a name that cannot be one, or is taken; a title of more than one line; a folder that
            cannot be written.
    """
    title = _checked(lab, title)
    labs = content_folder(content) / "labs"
    folder = labs / lab
    if os.path.lexists(folder):
        raise UserError(f"{folder} exists already", "choose another name, or remove the folder first")
    if labs.parent == _INSTALLED:
        raise UserError("an installed phi-labs is no place to write labs", OWN_PLACE)
    words = {"@@id@@": lab, "@@title@@": title, _MODULE: lab.replace("-", "_")}
    try:
        # Beside its place, then renamed: a lab is there whole or not at all.
        part = Path(tempfile.mkdtemp(prefix=f".{lab}.", dir=labs))
        try:
            _write(part, words)
            part.chmod(0o755)
            part.rename(folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    except OSError as error:
        raise UserError(f"cannot write to {labs}: {error.strerror}", OWN_PLACE) from error
    return folder


def _checked(lab: str, title: str | None) -> str:
    if not re.fullmatch(NAME_PATTERN.removeprefix("^").removesuffix("$"), lab):
        raise UserError(
            f"{lab!r} cannot be a lab's name", "lower-case letters, digits and hyphens, at most 40 of them"
        )
    chosen = lab.replace("-", " ").capitalize() if title is None else title.strip()
    if not chosen or len(chosen) > _LONGEST_TITLE or not chosen.isprintable():
        raise UserError("the title must be one line of at most 200 characters", "shorten it: --title TEXT")
    return chosen


def _write(folder: Path, words: dict[str, str]) -> None:
    for source in sorted(TEMPLATE.rglob("*")):
        if source.is_dir() or "__pycache__" in source.parts:
            continue
        name = str(source.relative_to(TEMPLATE)).replace(_MODULE, words[_MODULE])
        target = folder / name.removesuffix(_SUFFIX)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text(encoding="utf-8")
        # lab.yml is YAML: a title may hold a colon or a quote.
        own = {**words, "@@title@@": _quoted(words["@@title@@"])} if name == "lab.yml" else words
        for blank, word in own.items():
            text = text.replace(blank, word)
        target.write_text(text, encoding="utf-8")


def _quoted(text: str) -> str:
    plain = re.fullmatch(r"[A-Za-z]\w* [\w ,.()-]*[\w.)]", text) is not None
    return text if plain else "'" + text.replace("'", "''") + "'"
