"""``bundle load``: checked as a whole first; then images go to the engine, and the rest to a folder."""

from __future__ import annotations

import hashlib
import platform
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from phi_labs.bundle.manifest import IMAGES, LIMIT, NAME, Manifest, parse
from phi_labs.engine.docker import Engine
from phi_labs.errors import EngineError, UserError

Tell = Callable[[str], None]
DAMAGED = "copy it again from where it was saved"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Loaded:
    """What a load did; ``foreign`` says why its wheels are not for this machine, empty when they are."""

    manifest: Manifest
    folder: Path | None
    foreign: str


def load(engine: Engine, path: Path, tell: Tell, *, into: Path | None = None) -> Loaded:
    """Check a bundle, give its images to the engine, and unpack wheels and content.

    Args:
        into: folder for wheels, content and install.sh; None leaves them packed.

    Raises:
        UserError: no bundle, a damaged one, or a folder that cannot be written.
        EngineError: the engine did not take an image, or has another one of that name afterwards.
    """
    tell("checking")
    manifest = check(path)
    with _opened(path) as tar:
        for member in tar:
            if member.name == IMAGES:
                tell(f"loading {len(manifest.images)} images")
                file = tar.extractfile(member)
                if file is not None:
                    engine.load_images(file)
            elif into is not None:
                _unpack(tar, member, into)
    for name, wanted in manifest.images.items():
        if engine.image_id(name) != wanted:
            raise EngineError(
                f"{name} is not on the engine as the bundle says", "load it again; phi-labs doctor"
            )
    return Loaded(manifest, into, _foreign(manifest))


def check(path: Path) -> Manifest:
    """Every file is there, once, and as the manifest says; nothing else is.

    Raises:
        UserError: anything else.
    """
    seen: set[str] = set()
    with _opened(path) as tar:
        manifest = _manifest(tar, path)
        for member in tar:
            if member.name == NAME:
                continue
            if member.name not in manifest.files or member.name in seen or not member.isreg():
                raise UserError(f"{path}: {member.name!r} does not belong into it", "do not use this bundle")
            seen.add(member.name)
            if _sum(tar, member) != manifest.files[member.name]:
                raise UserError(
                    f"{path}: {member.name} is not what was saved (its checksum differs)", DAMAGED
                )
    if missing := sorted(set(manifest.files) - seen):
        raise UserError(f"{path}: {missing[0]} is missing", DAMAGED)
    return manifest


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, "r:") as tar:
            yield tar
    except (tarfile.TarError, EOFError) as error:
        raise UserError(f"{path}: this is no bundle, or a part of one: {error}", DAMAGED) from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}", "name a bundle's file") from error


def _manifest(tar: tarfile.TarFile, path: Path) -> Manifest:
    member = tar.next()
    if member is None or member.name != NAME or member.size > LIMIT or not member.isreg():
        raise UserError(f"{path}: this is no bundle: it does not begin with {NAME}", DAMAGED)
    file = tar.extractfile(member)
    text = file.read().decode("utf-8", "replace") if file else ""
    return parse(text, path)


def _sum(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    total, file = hashlib.sha256(), tar.extractfile(member)
    while file is not None and (data := file.read(_CHUNK)):
        total.update(data)
    return total.hexdigest()


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, into: Path) -> None:
    target = into / member.name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = tar.extractfile(member)
        with target.open("wb") as sink:
            while file is not None and (data := file.read(_CHUNK)):
                sink.write(data)
        target.chmod(0o755 if member.mode & 0o111 else 0o644)
    except OSError as error:
        raise UserError(
            f"cannot write {target}: {error.strerror}", "name another folder: --into DIR"
        ) from error


def _foreign(manifest: Manifest) -> str:
    here = (f"{sys.version_info.major}.{sys.version_info.minor}", platform.machine())
    if here == (manifest.python, manifest.machine):
        return ""
    return (
        f"its wheels are for Python {manifest.python} on {manifest.machine}, this is {here[0]} on {here[1]}"
    )
