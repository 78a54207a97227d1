"""What the gateway asks of the rest of the program, and nothing more: who may come in, and where to.

A workshop answers from its records, a single machine from its state directory (``local``), tests from memory.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

Say = Callable[[str], None]


@dataclass(frozen=True)
class User:
    """Somebody who may log in; ``keys`` are public keys as authorized_keys has them, without options."""

    name: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabView:
    """One lab of a trainee as the menu lists it.

    Attributes:
        state: in a word or two: ``ready``, ``paused``, ``waiting, 3rd in the queue``.
        hosts: its machines; the first one is meant when none is named.
        due_at: when time is up (aware); None when there is no limit, or it does not run yet.
        minutes: how long the lab may take once its time runs; 0 when there is no limit.
        score: of the last grading, in words; empty before the first one.
    """

    id: str
    title: str
    state: str
    hosts: tuple[str, ...]
    due_at: datetime | None = None
    score: str = ""
    minutes: int = 0


@dataclass(frozen=True)
class Message:
    """Something the trainer said; ``to`` is empty when it is for everybody. Numbers only grow."""

    number: int
    at: datetime
    text: str
    to: str = ""

    def concerns(self, user: str) -> bool:
        """Whether it is for this trainee."""
        return self.to in {"", user}


@dataclass(frozen=True)
class Stream:
    """A connected socket into a machine; ``framed`` if the engine's 8-byte headers precede what it says."""

    sock: socket.socket
    framed: bool


@dataclass(frozen=True)
class Target:
    """How to reach one machine's sshd.

    Attributes:
        login: the account there.
        key: the run's private key, OpenSSH text; it never leaves the gateway.
        host_key: the machine's public host key, the only one that is taken.
        open: a fresh stream to the sshd; may raise ``PhiLabsError``.
    """

    login: str
    key: str
    host_key: str
    open: Callable[[], Awaitable[Stream]]


class Console(Protocol):
    """A root console on a machine, without its sshd."""

    @property
    def stream(self) -> Stream:
        """What is typed and shown; framed when there is no terminal."""

    async def resize(self, rows: int, columns: int) -> None:
        """The trainee's window changed."""

    async def close(self) -> None:
        """End it, whatever runs in it."""


class Verb(StrEnum):
    """What a trainee can have done to a lab, besides entering it."""

    BRIEF = "brief"
    HINT = "hint"
    GRADE = "grade"
    DEBRIEF = "debrief"


@dataclass(frozen=True)
class Request:
    """One action; ``words`` are what follows the lab (an objective), ``width`` is in columns."""

    verb: Verb
    lab: str
    words: tuple[str, ...] = ()
    as_json: bool = False
    yes: bool = False
    full: bool = False
    width: int = 80


class Directory(Protocol):
    """Everything the gateway needs to know. Any call may raise ``PhiLabsError``; its words reach the trainee.

    No call may block the event loop: slow work belongs into threads or processes.
    """

    async def user(self, name: str) -> User | None:
        """That user, None when nobody has the name."""

    async def labs(self, user: str) -> Sequence[LabView]:
        """The trainee's own labs in their order; whatever is not listed does not exist for them."""

    async def story(self, user: str) -> str:
        """What a trainee reads before any lab, as Markdown; empty where nobody wrote one."""

    async def target(self, user: str, lab: str, host: str) -> Target:
        """How to reach a machine of a listed lab."""

    async def act(self, user: str, request: Request, say: Say) -> int:
        """Carry out a request on a listed lab, saying its text as it comes; return the exit code.

        Work that was begun is finished when the caller is cancelled: a grading is never lost.
        """

    async def console(self, user: str, lab: str, host: str, terminal: str) -> Console:
        """A root console, noted on later scorecards; ``terminal`` is its type, empty for a plain stream."""

    async def on_contact(self, user: str, lab: str) -> None:
        """Somebody is about to enter a lab: resume it if it is paused. Paired with ``on_leave``."""

    async def on_leave(self, user: str, lab: str) -> None:
        """One contact ended; a lab without any may be paused."""

    async def messages(self, after: int) -> Sequence[Message]:
        """Messages with higher numbers, in order."""

    async def code_fits(self, user: str, code: str) -> bool:
        """Whether a one-time code is that user's, unused and not expired. Does not use it up."""

    async def enrol(self, user: str, code: str, key: str) -> bool:
        """Use a code up and keep the public key; False when the code does not fit any more."""
