"""``bundle save``: images, wheels and content of this machine, with checksums, in one tar."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from phi_labs import __version__
from phi_labs.bundle.manifest import IMAGES, NAME, Manifest, sha256
from phi_labs.engine.images import ensure_image, lab_recipe
from phi_labs.errors import EngineError, UserError
from phi_labs.lifecycle.installation import Installation
from phi_labs.model.content import all_labs, content_folder
from phi_labs.probe.client import probe_recipe

Tell = Callable[[str], None]
CONTENT = ("labs", "scenarios")
INSTALL = Path(__file__).with_name("install.sh")
PIP_DEADLINE = 1800.0
LAST_LINES = 8


def save(installation: Installation, target: Path, tell: Tell) -> Manifest:
    """Write a bundle; a file that was there is replaced when the new one is whole.

    Raises:
        UserError: no checkout to build the program's wheel from, pip's trouble, no room there.
        EngineError: an image could not be built or saved.
    """
    root = _checkout()
    with tempfile.TemporaryDirectory(prefix="phi-labs-bundle-", dir=_folder(target)) as name:
        place = Path(name)
        images = _images(installation, place / IMAGES, tell)
        _wheels(root, place / "wheels", tell)
        for part in CONTENT:
            source = content_folder(installation.content) / part
            if source.is_dir():
                shutil.copytree(
                    source, place / "content" / part, ignore=shutil.ignore_patterns("__pycache__")
                )
        shutil.copy(INSTALL, place / INSTALL.name)
        tell("checksums")
        manifest = Manifest(
            version=__version__,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
            machine=platform.machine(),
            files={name: sha256(place / name) for name in sorted(_names(place))},
            images=images,
        )
        (place / NAME).write_text(manifest.to_json(), encoding="utf-8")
        _pack(place, manifest, target)
    return manifest


def _folder(target: Path) -> Path:
    folder = target.absolute().parent
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder", "name a file in a folder that is there")
    return folder


def _checkout() -> Path:
    """Where the program's own source is."""
    root = Path(__file__).resolve().parents[3]
    if not (root / "pyproject.toml").is_file() or not (root / "constraints.txt").is_file():
        raise UserError("a bundle is saved from a checkout", "clone the repository, and use its ./phi-labs")
    return root


def _images(installation: Installation, target: Path, tell: Tell) -> dict[str, str]:
    """Every lab's images and the probe's, built where they are missing."""
    recipes = [probe_recipe()]
    listing = all_labs(installation.content)
    if listing.broken:
        raise listing.broken[0].error
    for lab in listing.labs:
        recipes += [lab_recipe(lab.id, host.name, lab.context(host.name)) for host in lab.hosts]
    lock = installation.state.lock_file("images")
    found = {recipe.tag: ensure_image(installation.engine, recipe, lock, tell) for recipe in recipes}
    tell(f"saving {len(found)} images")
    with target.open("wb") as file:
        for data in installation.engine.save_images(list(found)):
            file.write(data)
    return found


def _wheels(root: Path, target: Path, tell: Tell) -> None:
    tell("collecting wheels")
    argv = [sys.executable, "-m", "pip", "wheel", "--no-input", "--disable-pip-version-check", "--quiet"]
    argv += ["--wheel-dir", str(target), "-c", str(root / "constraints.txt"), f"{root}[postgresql]"]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=PIP_DEADLINE, check=False)
    if ran.returncode:
        said = "\n".join(ran.stderr.strip().splitlines()[-LAST_LINES:])
        raise EngineError(
            f"pip could not collect the wheels; it said last:\n{said}", "mend that, then save again"
        )


def _names(place: Path) -> Iterator[str]:
    for path in place.rglob("*"):
        if path.is_file():
            yield path.relative_to(place).as_posix()


def _pack(place: Path, manifest: Manifest, target: Path) -> None:
    """The manifest first: whoever loads it knows what must come."""
    partial = place / "bundle.partial"
    with tarfile.open(partial, "w") as tar:
        for name in (NAME, *manifest.files):
            info = tar.gettarinfo(place / name, name)
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            with (place / name).open("rb") as file:
                tar.addfile(info, file)
    try:
        partial.replace(target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}", "name another place") from error
