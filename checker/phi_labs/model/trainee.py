"""Names of trainees: what is accepted, and how one becomes part of a path or container name."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from phi_labs.errors import UserError

LENGTH_LIMIT = 100  # characters
_SLUG_LETTERS = 24
_HASH_DIGITS = 10  # 40 bits: a collision among 10,000 trainees has a chance of 1 in 20,000
_JOINERS = "\u200c\u200d"  # part of correctly written Persian and Indic names
_REFUSED = {"Cc": "a control character", "Cf": "an invisible character", "Cs": "bytes that are not UTF-8",
            "Cn": "an unassigned character", "Zl": "a line break", "Zp": "a line break"}  # fmt: skip


def trainee_name(text: str) -> str:
    """``text`` as a trainee's name: trimmed, Unicode NFC, inner blanks single.

    Empty names, names over 100 characters and names with control or invisible characters are UserErrors.
    """
    for character in text:
        kind = _REFUSED.get(unicodedata.category(character))
        if kind and character not in _JOINERS:
            raise UserError(f"the trainee's name holds {kind} ({character!a})", "give a plain name")
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name.strip(_JOINERS):
        raise UserError("the trainee's name is empty", "give one with --trainee NAME")
    if len(name) > LENGTH_LIMIT:
        raise UserError(
            f"the trainee's name has {len(name)} characters, more than {LENGTH_LIMIT}", "give a shorter one"
        )
    return name


def slug(name: str) -> str:
    """A short ASCII form, safe in paths and container names: lower-case letters, digits and hyphens.

    A hash of the whole name keeps different names apart, also where their letters fold to the same.
    """
    name = trainee_name(name)
    folded = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    letters = re.sub(r"[^a-z0-9]+", "-", folded)[:_SLUG_LETTERS].strip("-") or "trainee"
    return f"{letters}-{hashlib.sha256(name.encode()).hexdigest()[:_HASH_DIGITS]}"
