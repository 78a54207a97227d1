"""What a workshop was opened with: kept in the state directory, so that it can be taken up again."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from phi_labs.errors import UserError

if TYPE_CHECKING:  # `workshop status` is there in a tenth of a second: pydantic alone would cost as much
    from phi_labs.lifecycle.state import State

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")


class Rooted(Protocol):
    """Whatever knows where the state directory is."""

    @property
    def root(self) -> Path:
        """The state directory."""


@dataclass(frozen=True)
class Settings:
    """How a workshop is held.

    Attributes:
        scenario, roster: paths of this workshop's own copies.
        content, organisation: paths, empty for the defaults.
        listen: the gateway's address and port.
        starters, graders: how many labs are started, and how many graded, at a time.
        idle_minutes: without a session a lab is paused after so many.
        stuck_minutes: without new points a learner is shown as stuck after so many.
        disk_limit: MiB that one lab may write before it is handed in and stopped.
    """

    id: str
    scenario: str
    roster: str
    trainer: str
    content: str = ""
    organisation: str = ""
    listen: str = "127.0.0.1:2222"
    starters: int = 4
    graders: int = 2
    idle_minutes: float = 15.0
    stuck_minutes: float = 15.0
    disk_limit: int = 2048


@dataclass(frozen=True)
class WorkshopFolder:
    """Where a workshop's own files are."""

    path: Path

    @property
    def settings(self) -> Path:
        """What it was opened with."""
        return self.path / "settings.json"

    @property
    def scenario(self) -> Path:
        """Folder of the copy of its scenario, whose name its id is."""
        return self.path / "scenario"

    @property
    def roster(self) -> Path:
        """The copy of its roster."""
        return self.path / "roster.csv"

    @property
    def access(self) -> Path:
        """A sheet for each learner."""
        return self.path / "access"

    @property
    def socket(self) -> Path:
        """Where the process that holds it listens to commands."""
        return self.path / "control.sock"

    @property
    def log(self) -> Path:
        """What that process says."""
        return self.path / "workshop.log"

    @property
    def head(self) -> Path:
        """The head of the records at its close."""
        return self.path / "head.json"


def workshop_folder(state: Rooted, workshop: str) -> WorkshopFolder:
    """The folder of a workshop; UserError for a name that cannot be one."""
    if not _ID.fullmatch(workshop):
        raise UserError(
            f"{workshop!r} cannot be a workshop's name", "lower-case letters, digits and hyphens, up to 60"
        )
    return WorkshopFolder(state.root / "workshops" / workshop)


def save_settings(state: State, settings: Settings) -> WorkshopFolder:
    """Write them; the folder is made."""
    folder = workshop_folder(state, settings.id)
    for path in (folder.path.parent, folder.path):
        path.mkdir(mode=0o700, exist_ok=True)
    state.write_json(folder.settings, asdict(settings))
    return folder


def load_settings(state: Rooted, workshop: str) -> Settings:
    """What a workshop was opened with; UserError when there is none or its file is damaged."""
    folder = workshop_folder(state, workshop)
    try:
        data = json.loads(folder.settings.read_text(encoding="utf-8"))
        known = {item.name for item in fields(Settings)}
        return Settings(**{key: value for key, value in data.items() if key in known})
    except FileNotFoundError as error:
        there = ", ".join(workshops(state)) or "none"
        raise UserError(f"there is no workshop {workshop!r} here", f"there are: {there}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{folder.settings} is damaged: {error}", "restore it from a backup") from error


def workshops(state: Rooted) -> list[str]:
    """Ids of the workshops that this installation has held, by name."""
    return sorted(path.parent.name for path in (state.root / "workshops").glob("*/settings.json"))
