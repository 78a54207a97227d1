"""What ``lint`` found: errors and advice, with file and line, and how to mend each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

if TYPE_CHECKING:
    from phi_labs.authoring.lint import Finding

_STYLES = {"error": "bold red", "advice": "yellow"}


def lint_view(labs: Sequence[str], found: Sequence[Finding]) -> RenderableType:
    """Each finding with what to do about it, and a line for each lab without any."""
    parts: list[RenderableType] = []
    for lab in labs:
        own = [finding for finding in found if finding.lab == lab]
        parts += [_finding(finding) for finding in own]
        errors = sum(finding.severity == "error" for finding in own)
        advice = len(own) - errors
        style = "bold red" if errors else "bold green"
        parts.append(Text(f"lint of {lab}: {counted(errors, advice)}", style=style))
    return Group(*parts)


def counted(errors: int, advice: int) -> str:
    """``2 errors, 1 piece of advice``; ``nothing found``."""
    told = []
    if errors:
        told.append(f"{errors} error{'s' if errors > 1 else ''}")
    if advice:
        told.append(f"{advice} piece{'s' if advice > 1 else ''} of advice")
    return ", ".join(told) or "nothing found"


def _finding(finding: Finding) -> RenderableType:
    head = Text(finding.severity, style=_STYLES[finding.severity], overflow="fold")
    head.append(f"  {_near(finding.path)}{f':{finding.line}' if finding.line else ''}", style="bold")
    head.append(f"  {finding.rule}", style="dim")
    return Group(head, Padding(Text(f"{finding.what}\n-> {finding.mend}"), (0, 0, 0, 4)))


def _near(path: Path) -> Path:
    """The path as one would type it here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
