"""One-time codes with which a trainee uploads a public key; kept as hashes, until used or expired."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from phi_labs.lifecycle.state import State

# Crockford's: no I, L, O, U, so that nothing is misread from paper.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LETTERS = 16  # 80 bits: a plain hash of it cannot be searched through
GROUP = 4
LIFETIME = 7 * 86400.0
_MISREAD = str.maketrans({"O": "0", "I": "1", "L": "1"})


def new_code() -> str:
    """A random code in groups of four: ``7K3Q-9XTB-...``."""
    letters = "".join(secrets.choice(ALPHABET) for _ in range(LETTERS))
    return "-".join(letters[at : at + GROUP] for at in range(0, LETTERS, GROUP))


def tidied(code: str) -> str:
    """A code as it was typed, without blanks and dashes, misread letters mended."""
    return "".join(letter for letter in code.upper().translate(_MISREAD) if letter.isalnum())


def hashed(user: str, code: str) -> str:
    """What is kept: SHA-256 over user and code."""
    return hashlib.sha256(json.dumps([user, tidied(code)]).encode()).hexdigest()


class Codes:
    """The codes that are out, one per user at most; safe between processes.

    Args:
        clock: seconds since the epoch, since codes outlive a restart.
    """

    def __init__(self, state: State, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._state, self._path, self._clock = state, path, clock

    def issue(self, user: str, lifetime: float = LIFETIME) -> str:
        """A new code; an older one of the same user is void from now on."""
        code = new_code()
        with self._state.lock("gateway-codes"):
            kept = self._read()
            kept[user] = {"hash": hashed(user, code), "expires": self._clock() + lifetime}
            self._state.write_json(self._path, kept)
        return code

    def fits(self, user: str, code: str) -> bool:
        """Whether it is the user's, unused and not expired."""
        entry = self._read().get(user, {"hash": "", "expires": 0.0})
        same = hmac.compare_digest(str(entry["hash"]), hashed(user, code))
        return same and self._clock() < float(entry["expires"])

    def use(self, user: str, code: str) -> bool:
        """Use a code up; False when it does not fit (any more)."""
        with self._state.lock("gateway-codes"):
            if not self.fits(user, code):
                return False
            kept = self._read()
            del kept[user]
            self._state.write_json(self._path, kept)
        return True

    def _read(self) -> dict[str, dict[str, str | float]]:
        """What is kept, expired codes left out."""
        if not self._path.exists():
            return {}
        found: dict[str, dict[str, str | float]] = json.loads(self._path.read_text(encoding="utf-8"))
        return {user: entry for user, entry in found.items() if float(entry["expires"]) > self._clock()}
