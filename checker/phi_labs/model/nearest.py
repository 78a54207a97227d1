"""Suggestions for a name that somebody mistyped."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """The known names that look like ``name``, best first; empty when nothing comes close."""
    from difflib import get_close_matches  # noqa: PLC0415 - only ever needed on the way to an error

    lowered = {candidate.lower(): candidate for candidate in known}
    return [lowered[match] for match in get_close_matches(name.lower(), lowered, n=limit, cutoff=0.5)]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``did you mean a or b?``, or an empty string when nothing comes close."""
    found = nearest(name, known)
    return f"did you mean {' or '.join(found)}?" if found else ""
