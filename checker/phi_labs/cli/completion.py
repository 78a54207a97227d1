"""Shell completion: ids of labs, scenarios, objectives and attempts, read without loading a whole lab."""

from __future__ import annotations

import os
import re
from pathlib import Path

import typer

from phi_labs.errors import PhiLabsError

_OBJECTIVE = re.compile(r"^  - id: ([a-z0-9-]+)")


def labs(incomplete: str) -> list[str]:
    """Ids of labs that begin so."""
    from phi_labs.model.content import lab_ids  # noqa: PLC0415 - pathlib and glob, only when asked

    try:
        return [name for name in lab_ids(_content()) if name.startswith(incomplete)]
    except PhiLabsError:
        return []


def scenarios(incomplete: str) -> list[str]:
    """Ids of scenarios that begin so."""
    from phi_labs.model.content import scenario_ids  # noqa: PLC0415 - see above

    try:
        return [name for name in scenario_ids(_content()) if name.startswith(incomplete)]
    except PhiLabsError:
        return []


def objectives(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of the objectives of the lab that was typed before."""
    folder = _folder(ctx)
    if folder is None:
        return []
    # 1 ms instead of the 150 ms of YAML and pydantic; a lab laid out otherwise completes nothing.
    text = (folder / "lab.yml").read_text(encoding="utf-8")
    _, _, after = text.partition("\nobjectives:")
    block = re.split(r"\n(?=[a-z])", after, maxsplit=1)[0]
    found = (_OBJECTIVE.match(line) for line in block.splitlines())
    return [match[1] for match in found if match and match[1].startswith(incomplete)]


def attempts(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of the attempts of the lab that was typed before."""
    folder = _folder(ctx)
    names = sorted(path.stem for path in (folder / "attempts").glob("*.sh")) if folder else []
    return [name for name in names if name.startswith(incomplete)]


def entities(incomplete: str) -> list[tuple[str, str]]:
    """ce and ba."""
    known = [("ce", "covered entity"), ("ba", "business associate")]
    return [(name, text) for name, text in known if name.startswith(incomplete)]


def _folder(ctx: typer.Context) -> Path | None:
    from phi_labs.model.content import lab_folder  # noqa: PLC0415 - see above

    try:
        return lab_folder(str(ctx.params.get("lab")), _content())
    except PhiLabsError:
        return None


def _content() -> Path | None:
    named = os.environ.get("PHI_LABS_CONTENT")
    return Path(named) if named else None
