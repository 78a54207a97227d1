"""Synthetic patient data on its own: every writer's artefacts in a folder, and whose a string is.

The folder gets ``phi-labs.json``: seed, count, and each file with the fields it holds. That is enough
to tell later whom a string belongs to, since the same seed gives the same patients.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from phi_fixtures import GENERATOR_VERSION, Hospital
from phi_fixtures.identifiers import BLOCK_COUNT
from phi_fixtures.manifest import Manifest
from phi_fixtures.planting import Register, save
from phi_fixtures.population import blocks_needed
from phi_fixtures.writers import WRITERS, Artefact, Cast
from phi_labs.errors import UserError
from phi_labs.lifecycle.state import FIRST_BLOCK
from phi_labs.model.nearest import did_you_mean

MOST_PATIENTS = 1_000_000
LONGEST_SEED = 256
INDEX = "phi-labs.json"
PART = ".part"
FORMAT = 1
TRACE_AT_ONCE = 2_000
Advance = Callable[[str, int], None]


@dataclass(frozen=True)
class Order:
    """What is to be written: how many patients of which seed, by which writers."""

    patients: int
    seed: str
    writers: tuple[str, ...]

    @property
    def hospital(self) -> Hospital:
        """The hospital of this seed; its block of record numbers is decided by the seed, too."""
        seed = self.seed.encode()
        room = BLOCK_COUNT - FIRST_BLOCK - blocks_needed(MOST_PATIENTS)
        block = int.from_bytes(hashlib.sha256(b"block " + seed).digest()[:8], "big") % room
        return Hospital(seed, FIRST_BLOCK + block)

    @property
    def bytes_needed(self) -> int:
        """About how much disk it takes."""
        return sum(WRITERS[name].estimated_bytes(self.patients) for name in self.writers)


@dataclass(frozen=True)
class Written:
    """One file that was written: its writer, its path in the folder, and the fields it holds."""

    writer: str
    path: str
    fields: tuple[str, ...]


def ordered(patients: int, seed: str, writers: Sequence[str]) -> Order:
    """Check an order.

    Raises:
        UserError: a count or seed that makes no sense, or an unknown writer (nearest names in the hint).
    """
    if not 1 <= patients <= MOST_PATIENTS:
        raise UserError(f"{patients} patients cannot be made", f"give a number from 1 to {MOST_PATIENTS}")
    if not 1 <= len(seed) <= LONGEST_SEED or not (seed.isascii() and seed.isprintable()):
        raise UserError(
            "the seed must be 1 to 256 printable ASCII characters",
            "text that looks the same can be different bytes elsewhere; a seed must not",
        )
    known = tuple(WRITERS)
    for name in writers:
        if name not in known:
            hint = "; ".join(filter(None, [did_you_mean(name, known), f"writers: {', '.join(known)}"]))
            raise UserError(f"there is no writer {name!r}", hint)
    return Order(patients, seed, tuple(dict.fromkeys(writers)) or known)


def prepare(order: Order, folder: Path, *, force: bool) -> int:
    """Make the folder ready; return about how many bytes will be needed.

    Raises:
        UserError: it holds something already, cannot be written, or the disk is too small.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not force:
            raise UserError(
                f"{folder} is not empty", "choose another folder, or --force to write into this one"
            )
        probe = folder / f"{INDEX}{PART}"
        probe.write_text("", encoding="utf-8")
        probe.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}", "choose another folder") from error
    if order.bytes_needed > free:
        raise UserError(
            f"about {megabytes(order.bytes_needed)} are needed, and {folder} has {megabytes(free)} left",
            "fewer patients or writers, or another disk",
        )
    return order.bytes_needed


def write(order: Order, folder: Path, advance: Advance = lambda _writer, _bytes: None) -> list[Written]:
    """Write everything; a file has its final name only when it is whole.

    Args:
        advance: called with the writer's name and the bytes just written.

    Raises:
        UserError: the disk is full or the folder cannot be written; what is whole stays, no part does.
    """
    cast = Cast(order.hospital, Register(order.hospital, order.patients))
    written = []
    for name in order.writers:
        for artefact in WRITERS[name](cast):
            target = _save(artefact, folder / name, partial(advance, name))
            written.append(Written(name, str(target.relative_to(folder)), artefact.fields))
    _write_index(order, folder, written)
    return written


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(size / 1e6, 0.1):.1f} MB"


def _save(artefact: Artefact, folder: Path, advance: Callable[[int], None]) -> Path:
    def counted() -> Iterator[bytes]:
        for chunk in artefact.chunks():
            yield chunk
            advance(len(chunk))

    try:
        return save(replace(artefact, chunks=counted), folder)
    except OSError as error:
        raise UserError(
            f"cannot write {folder}{artefact.path}: {error.strerror}",
            "what is whole was left there; free space and go on with --force",
        ) from error


def _write_index(order: Order, folder: Path, written: list[Written]) -> None:
    data = {
        "format": FORMAT,
        "generator_version": GENERATOR_VERSION,
        "patients": order.patients,
        "seed": order.seed,
        "files": [asdict(item) for item in written],
    }
    part = folder / f"{INDEX}{PART}"
    part.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    part.replace(folder / INDEX)


# -- whose is it? --------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """Whose a string is and where it was written; ``trainee`` and ``lab`` are empty outside of runs."""

    field: str
    mrn: str
    site: str
    path: str
    host: str = ""
    trainee: str = ""
    lab: str = ""


def trace_in_folder(text: str, folder: Path) -> Iterator[Found]:
    """Look a string up among the patients of a folder that ``write`` made.

    Raises:
        UserError: the folder has no index, or one of another generator.
    """
    data = _read_index(folder)
    order = Order(data["patients"], data["seed"], ())
    fields = {name for item in data["files"] for name in item["fields"]}
    patients = iter(Register(order.hospital, order.patients))
    while batch := [patient for patient, _ in zip(patients, range(TRACE_AT_ONCE), strict=False)]:
        manifest = Manifest()
        manifest.plant("all", "all", batch, sorted(fields))
        for place in manifest.locate(text):
            for item in data["files"]:
                if place.field in item["fields"]:
                    yield Found(place.field, place.mrn, item["writer"], item["path"])


def trace_in_manifest(text: str, manifest: Manifest, *, trainee: str, lab: str) -> Iterator[Found]:
    """Look a string up in what was planted for a run."""
    for place in manifest.locate(text):
        yield Found(place.field, place.mrn, place.site, place.path, place.host, trainee, lab)


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = data["format"] == FORMAT and data["generator_version"] == GENERATOR_VERSION
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read: {error}", "name a folder that phi-labs phi wrote") from error
    if not known:
        raise UserError(
            f"{path} was written by another version of the generator", "use the phi-labs that wrote it"
        )
    return data
