"""What no text of phi-labs may say: training is evidence of training, and no agency has approved it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_GAP = r"[\s*_`‐‑–-]+"  # noqa: RUF001 - blanks, line ends, Markdown and any hyphen between the two words
_FORBIDDEN = {
    rf"\bHIPAA{_GAP}certified\b": "supports evidence of training",
    rf"\bHIPAA{_GAP}compliant\b": "supports evidence of training",
    rf"\bOCR{_GAP}approved\b": "supports evidence of training",
}


@dataclass(frozen=True)
class Finding:
    """A forbidden phrase, as it was written, and what to say in its place."""

    line: int
    phrase: str
    instead: str

    def __str__(self) -> str:
        return f"line {self.line}: never say {self.phrase!r}; say {self.instead!r}"


def forbidden_phrases(text: str) -> list[Finding]:
    """Every forbidden phrase in ``text`` (Markdown, YAML, source), also across a line end, by line."""
    return sorted(_found(text), key=lambda finding: finding.line)


def _found(text: str) -> Iterator[Finding]:
    for pattern, instead in _FORBIDDEN.items():
        for match in re.finditer(pattern, text, re.IGNORECASE):
            phrase = " ".join(match.group().split())
            yield Finding(text.count("\n", 0, match.start()) + 1, phrase, instead)
