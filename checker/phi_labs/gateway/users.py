"""A file of users, one key to a line, and the keys that trainees uploaded themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from phi_labs.errors import UserError
from phi_labs.gateway.directory import User
from phi_labs.gateway.keys import KINDS, key_line, public_key
from phi_labs.gateway.names import SEPARATOR
from phi_labs.lifecycle.state import State
from phi_labs.model.trainee import trainee_name

_KEYED = re.compile(r"^(?P<name>.+?)\s+(?P<key>(?:" + "|".join(map(re.escape, KINDS)) + r")\s.*)$")
KEYS_KEPT = 10  # uploaded ones of one user


def read_users(path: Path) -> dict[str, User]:
    """Users of a file: ``NAME KEY`` or only ``NAME`` (uploads a key with a code); ``#`` begins a comment.

    A user with several keys has several lines.

    Raises:
        UserError: the file, or a line of it, cannot be used; all wrong lines are named.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the file of users {path} cannot be read: {error}", "give a text file") from error
    keys: dict[str, list[str]] = {}
    wrong = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            name, key = _parsed(line.strip())
        except UserError as error:
            wrong.append(f"line {number}: {error.message}")
            continue
        keys.setdefault(name, []).extend([key] if key else [])
    if wrong:
        raise UserError(f"{path}: " + "; ".join(wrong), "NAME, a blank, and the line of NAME's .pub file")
    return {name: User(name, tuple(lines)) for name, lines in keys.items()}


def _parsed(line: str) -> tuple[str, str]:
    match = _KEYED.match(line)
    name, key = (match["name"], match["key"]) if match else (line, "")
    if not key and len(name.split()) > 1 and any(len(word) > 60 for word in name.split()):
        public_key(" ".join(name.split()[-2:]))  # a key of a kind that is not taken: says so
    if "PRIVATE KEY" in name:
        public_key(name)
    return user_name(name), key_line(public_key(key)) if key else ""


def user_name(text: str) -> str:
    """A trainee's name that can log in: a trainee's name without ``+``; UserError otherwise."""
    name = trainee_name(text)
    if SEPARATOR in name:
        raise UserError(f"the name {name!r} holds a {SEPARATOR}", "it separates user and lab in a login")
    return name


class Users:
    """Users of a file, read again when it changes, with the keys they uploaded."""

    def __init__(self, state: State, path: Path, uploaded: Path) -> None:
        self._state, self._path, self._uploaded = state, path, uploaded
        self._users = read_users(path)
        self._seen = _stamp(path)

    def find(self, name: str) -> User | None:
        """That user, with all keys. A file that went bad meanwhile changes nothing."""
        self._refresh()
        user = self._users.get(name)
        if user is None:
            return None
        return User(name, (*user.keys, *self._read().get(name, ())))

    def names(self) -> list[str]:
        """Everybody in the file."""
        self._refresh()
        return sorted(self._users)

    def add_key(self, name: str, key: str) -> None:
        """Keep a key that a user uploaded; the oldest goes when there are too many."""
        with self._state.lock("gateway-keys"):
            kept = dict(self._read())
            mine = [line for line in kept.get(name, []) if line != key]
            kept[name] = [*mine, key][-KEYS_KEPT:]
            self._state.write_json(self._uploaded, kept)

    def _refresh(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._users = read_users(self._path)
        except UserError:
            return  # in the middle of being edited; the users known so far can go on

    def _read(self) -> Mapping[str, list[str]]:
        if not self._uploaded.exists():
            return {}
        found: dict[str, list[str]] = json.loads(self._uploaded.read_text(encoding="utf-8"))
        return found


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)
