"""``alice``, ``alice+log-access``, ``alice+pair+front``: what an SSH user name asks for."""

from __future__ import annotations

from dataclasses import dataclass

SEPARATOR = "+"
_PARTS = 3
_LENGTH = 300  # characters; a trainee's name has at most 100


@dataclass(frozen=True)
class Login:
    """Who logs in, and where to; ``lab`` is empty for the menu, ``host`` for a lab's first machine."""

    user: str
    lab: str = ""
    host: str = ""


def parse_login(name: str) -> Login:
    """The parts of an SSH user name; what cannot be one becomes a user that nobody is."""
    parts = name.split(SEPARATOR)
    if len(name) > _LENGTH or len(parts) > _PARTS or not all(parts):
        return Login("")
    return Login(*parts)


def printable(text: str, limit: int = 80) -> str:
    """``text`` for a log line or a terminal: one line, no control characters, cut at ``limit``."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in text[:limit])
    return clean + ("..." if len(text) > limit else "")
