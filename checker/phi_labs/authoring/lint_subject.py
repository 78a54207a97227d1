"""What the rules of lint look at, and what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from phi_labs.authoring.shell import NotUnderstood, Script, read_script
from phi_labs.errors import PhiLabsError
from phi_labs.model.document import Document
from phi_labs.model.lab import Lab, Verdicts

Severity = Literal["error", "advice"]


@dataclass(frozen=True)
class Finding:
    """One complaint: about which lab, where, what, and how to mend it.

    An error makes ``verify`` refuse the lab; advice does not. Line 0 is a file or folder as a whole.
    """

    lab: str
    path: Path
    line: int
    severity: Severity
    rule: str
    what: str
    mend: str

    @property
    def where(self) -> str:
        """File and line."""
        return f"{self.path}:{self.line}" if self.line else str(self.path)

    def to_data(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "lab": self.lab,
            "file": str(self.path),
            "line": self.line,
            "severity": self.severity,
            "rule": self.rule,
            "what": self.what,
            "mend": self.mend,
        }


def from_error(lab: str, path: Path, rule: str, error: PhiLabsError) -> Finding:
    """An error about a file, as a finding: file and line out of its message."""
    line, what = 0, error.message
    if found := re.match(rf"{re.escape(str(path))}(?::(\d+))?:? ?", what):
        line, what = int(found[1] or 0), what[found.end() :]
    return Finding(lab, path, line, "error", rule, what, error.hint or "mend the file")


@dataclass
class Subject:
    """A lab that could be read, with the files that it came from."""

    lab: Lab
    document: Document
    verdicts: Verdicts | None
    verdict_document: Document | None
    unread: dict[str, NotUnderstood] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The lab's folder."""
        return self.lab.folder

    @cached_property
    def attempts(self) -> dict[str, Path]:
        """The scripts' files by name; the folder is read once."""
        return self.lab.attempts

    @cached_property
    def scripts(self) -> dict[str, Script]:
        """The attempts that can be read, by name; what cannot is in ``unread``."""
        found = {}
        for name, path in self.attempts.items():
            try:
                found[name] = read_script(path.read_text(encoding="utf-8", errors="replace"))
            except OSError as error:
                self.unread[name] = NotUnderstood(error.strerror or "no file")
            except NotUnderstood as error:
                self.unread[name] = error
        return found

    @property
    def right_ways(self) -> dict[str, Script]:
        """The scripts that must reach full score."""
        return {name: script for name, script in self.scripts.items() if not name.startswith("wrong-")}

    def text(self, name: str) -> str:
        """A file of the lab; empty when it cannot be read."""
        try:
            return (self.folder / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def error(self, path: Path, line: int, rule: str, what: str, mend: str) -> Finding:
        """A finding that must be mended."""
        return Finding(self.lab.id, path, line, "error", rule, what, mend)

    def advice(self, path: Path, line: int, rule: str, what: str, mend: str) -> Finding:
        """A finding that a reviewer would ask about."""
        return Finding(self.lab.id, path, line, "advice", rule, what, mend)

    def texts(self) -> Iterator[Path]:
        """Every file whose words a trainee or a reader of the lab sees."""
        names = ("lab.yml", "brief.md", "debrief.md", "attempts/verdicts.yml")
        yield from (self.folder / name for name in names if (self.folder / name).is_file())
        for path in sorted(self.folder.rglob("*")):
            planted = path.suffix in {".txt", ".md", ".yml", ".yaml"} and path.is_file()
            if planted and str(path.relative_to(self.folder)) not in names:
                yield path
