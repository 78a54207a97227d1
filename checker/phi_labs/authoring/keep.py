"""Keeping what a proof found: a file for each, and the newest under a name of its own."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from phi_labs import __version__
from phi_labs.errors import UserError
from phi_labs.lifecycle.state import State

NEWEST = "newest.json"
MOST = 50  # a matrix of four labs is 300 KB


def keep(state: State, kind: str, data: dict[str, Any], output: Path | None = None) -> Path:
    """Write ``data`` with version and time (UTC); return the file.

    Args:
        kind: the folder below the state directory, which keeps the last 50 and ``newest.json``.
        output: another file instead.

    Raises:
        UserError: it cannot be written.
    """
    now = datetime.now(UTC)
    text = json.dumps({"phi_labs": __version__, "at": f"{now:%Y-%m-%dT%H:%M:%SZ}", **data}, indent=1) + "\n"
    if output is not None:
        state.write(output, text)
        return output
    folder = state.root / kind
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {folder}: {error.strerror}", "name a file with --output") from error
    path = folder / f"{now:%Y-%m-%dT%H-%M-%S}.json"
    state.write(path, text)
    state.write(folder / NEWEST, text)
    older = sorted(found for found in folder.glob("*.json") if found.name != NEWEST)[:-MOST]
    for found in older:
        found.unlink(missing_ok=True)
    return path
