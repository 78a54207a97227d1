"""Uploading a public key with a one-time code, in the course of logging in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import asyncssh

from phi_labs.errors import PhiLabsError, UserError
from phi_labs.gateway.directory import Directory
from phi_labs.gateway.keys import fingerprint, key_line, public_key
from phi_labs.gateway.limits import Guard, network_of
from phi_labs.gateway.log import Log
from phi_labs.gateway.names import printable

# Whether they are in, or the next question: name, instruction, language, prompts with their echo.
Challenge: TypeAlias = bool | tuple[str, str, str, list[tuple[str, bool]]]
WORDS = "Your key is not known here. If your trainer gave you a one-time code, type it now."
KEYLESS = (
    "Your client offered no key. Leave now (Ctrl-C), make one with  ssh-keygen -t ed25519  and log in again\n"
    "with the same code; or paste the one line of your .pub file here. Never paste the other file."
)
SEVERAL = "Your client offers several keys. Which one shall be yours here?"
KEYS_OFFERED = 8


class Enrolment:
    """One connection's way through: the code, then which key.

    The client has just offered its public keys, which is all we ever need of them: with a single one
    nothing has to be copied or found. A code is used up only together with a key that is kept.

    Attributes:
        enrolled: fingerprint of the key that was kept, empty before.
    """

    def __init__(self, directory: Directory, guard: Guard, log: Log, user: str, address: str) -> None:
        self._directory, self._guard, self._log = directory, guard, log
        self.user, self._address, self._network = user, address, network_of(address)
        self.enrolled = ""
        self._keys: list[asyncssh.SSHKey] = []
        self._code = ""

    def offered(self, key: asyncssh.SSHKey) -> None:
        """The client has this key, or says so."""
        if len(self._keys) < KEYS_OFFERED and all(key_line(key) != key_line(other) for other in self._keys):
            try:
                self._keys.append(public_key(key_line(key)))
            except UserError:
                return  # of a kind that is not taken: not offered back

    async def ask(self) -> Challenge:
        """The first question, the same for everybody."""
        self._code = ""
        return ("", WORDS, "", [("One-time code: ", True)])

    async def answer(self, responses: Sequence[str]) -> Challenge:
        """The next question, or whether they are in."""
        text = responses[0].strip() if len(responses) == 1 else ""
        try:
            if not self._code:
                return await self._take_code(text)
            return await self._take_key(text)
        except PhiLabsError as error:
            self._log.line("trouble", user=self.user, about=error.message)
            return False

    async def _take_code(self, text: str) -> Challenge:
        if not self._guard.may_try_code(self._network, self.user):
            self._log.line("refused", user=self.user, **{"from": self._address}, why="code entry is locked")
            return False
        if not self.user or not text or not await self._directory.code_fits(self.user, text):
            if text:
                self._guard.wrong_code(self._network, self.user)
                self._log.line("refused", user=self.user, **{"from": self._address}, why="wrong code")
            return False
        self._code = text
        if len(self._keys) == 1:
            return await self._keep(self._keys[0])
        if self._keys:
            listed = "\n".join(f"  {number}  {_shown(key)}" for number, key in enumerate(self._keys, 1))
            return ("", f"{SEVERAL}\n{listed}", "", [("Number: ", True)])
        return ("", KEYLESS, "", [("Public key: ", True)])

    async def _take_key(self, text: str) -> Challenge:
        if self._keys:
            chosen = text.isascii() and text.isdigit() and 1 <= int(text[:3]) <= len(self._keys)
            if chosen:
                return await self._keep(self._keys[int(text[:3]) - 1])
            return ("", "Say one of the numbers.", "", [("Number: ", True)])
        try:
            key = public_key(text)
        except UserError as error:
            if not text:
                return False
            said = f"{printable(error.message, 200)}\n{printable(error.hint, 200)}"
            return ("", said, "", [("Public key: ", True)])
        return await self._keep(key)

    async def _keep(self, key: asyncssh.SSHKey) -> bool:
        """Keep a key and use the code up, both or neither."""
        if not await self._directory.enrol(self.user, self._code, key_line(key)):
            return False
        self.enrolled = fingerprint(key)
        self._log.line("key uploaded", user=self.user, **{"from": self._address}, key=self.enrolled)
        return True


def _shown(key: asyncssh.SSHKey) -> str:
    return f"{key_line(key).split()[0]}  {fingerprint(key)}"
