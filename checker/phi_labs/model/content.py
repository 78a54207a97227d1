"""Where labs and scenarios are found: a checkout's own, else the copy inside the installed package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phi_labs.errors import UserError
from phi_labs.model.nearest import did_you_mean

if TYPE_CHECKING:  # pydantic costs 70 ms; finding a folder needs none of it
    from phi_labs.model.lab import Lab

_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class BrokenLab:
    """A lab whose lab.yml cannot be read, and why."""

    id: str
    folder: Path
    error: UserError


@dataclass(frozen=True)
class Listing:
    """All labs by id, the broken ones apart."""

    labs: tuple[Lab, ...]
    broken: tuple[BrokenLab, ...]


def content_folder(override: Path | None = None, package: Path = _PACKAGE) -> Path:
    """The folder that holds ``labs/`` and ``scenarios/``.

    ``override`` wins; then the checkout that this package stands in; then the installed copy.
    A folder without ``labs/`` is a UserError.
    """
    if override is not None:
        return _with_labs(override.expanduser(), "the content folder that was named")
    checkout = package.parents[1]
    if (checkout / "pyproject.toml").is_file() and (checkout / "labs").is_dir():
        return checkout
    return _with_labs(package / "content", "this installation of phi-labs")


def _with_labs(folder: Path, what: str) -> Path:
    if not (folder / "labs").is_dir():
        raise UserError(
            f"{what} holds no labs: there is no folder {folder / 'labs'}", "name one that has labs/"
        )
    return folder


def lab_ids(override: Path | None = None) -> tuple[str, ...]:
    """Ids of all labs, sorted; a lab is a folder of ``labs/`` that has a lab.yml."""
    found = (content_folder(override) / "labs").glob("*/lab.yml")
    return tuple(sorted(path.parent.name for path in found if not path.parent.name.startswith(".")))


def lab_folder(lab_id: str, override: Path | None = None) -> Path:
    """The folder of that lab, without reading it; an unknown id is a UserError naming the nearest."""
    known = lab_ids(override)
    if lab_id not in known:
        listed = f"labs: {', '.join(known)}" if known else "there are no labs"
        advice = " ".join(filter(None, [did_you_mean(lab_id, known), listed]))
        raise UserError(f"unknown lab {lab_id!r}", advice)
    return content_folder(override) / "labs" / lab_id


def find_lab(lab_id: str, override: Path | None = None) -> Lab:
    """That lab, loaded; UserError when it is unknown or its lab.yml is wrong."""
    from phi_labs.model.lab import load_lab  # noqa: PLC0415 - see above

    return load_lab(lab_folder(lab_id, override))


def all_labs(override: Path | None = None) -> Listing:
    """Every lab that loads, sorted by id, and every one that does not, with its error."""
    from phi_labs.model.lab import load_lab  # noqa: PLC0415 - see above

    labs: list[Lab] = []
    broken: list[BrokenLab] = []
    for lab_id in lab_ids(override):
        folder = content_folder(override) / "labs" / lab_id
        try:
            labs.append(load_lab(folder))
        except UserError as error:
            broken.append(BrokenLab(lab_id, folder, error))
    return Listing(tuple(labs), tuple(broken))


def scenario_ids(override: Path | None = None) -> tuple[str, ...]:
    """Ids of all scenarios, sorted; a scenario is a .yml file of ``scenarios/``."""
    found = (content_folder(override) / "scenarios").glob("*.yml")
    return tuple(sorted(path.stem for path in found if not path.name.startswith(".")))


def scenario_file(scenario_id: str, override: Path | None = None) -> Path:
    """The file of that scenario, without reading it; an unknown id is a UserError naming the nearest."""
    known = scenario_ids(override)
    if scenario_id not in known:
        listed = f"scenarios: {', '.join(known)}" if known else "there are no scenarios"
        advice = " ".join(filter(None, [did_you_mean(scenario_id, known), listed]))
        raise UserError(f"unknown scenario {scenario_id!r}", advice)
    return content_folder(override) / "scenarios" / f"{scenario_id}.yml"
