"""What a trainee can ask for in words, in the menu and behind ssh alike."""

from __future__ import annotations

import json
import shlex
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from phi_labs.errors import UserError
from phi_labs.gateway.directory import Directory, LabView, Request, Say, Verb
from phi_labs.gateway.words import (
    USAGE,
    lab_data,
    lab_list,
    message_text,
    no_such_host,
    no_such_lab,
    time_left,
    translated,
)

_OPTIONS = {"--json": "as_json", "--yes": "yes", "-y": "yes", "--full": "full"}
_TAKEN = {
    "story": set(),
    "labs": {"as_json"},
    "status": {"as_json"},
    "time": {"as_json"},
    "messages": {"as_json"},
    "brief": {"as_json"},
    "hint": {"as_json", "yes"},
    "grade": {"as_json", "full"},
    "debrief": {"as_json"},
    "rescue": {"yes"},
    "shell": set(),
    "help": set(),
    "quit": set(),
}
SAME = {"exit": "quit", "logout": "quit", "?": "help", "ls": "labs", "time-left": "time", "ssh": "shell"}
ABOUT_A_LAB = ("brief", "hint", "grade", "debrief", "rescue", "shell")
_WORDS_AFTER_LAB = {"hint": 1, "rescue": 1, "shell": 1}


@dataclass(frozen=True)
class Command:
    """A line taken apart; ``lab`` may still be a number of the list, or empty."""

    name: str
    lab: str = ""
    words: tuple[str, ...] = ()
    options: frozenset[str] = field(default_factory=frozenset)

    @property
    def as_json(self) -> bool:
        """Whether JSON is wanted."""
        return "as_json" in self.options


def parse_command(line: str) -> Command | None:
    """A line as a command, None when it is empty; UserError with a way on when it is none."""
    try:
        words = shlex.split(line)
    except ValueError:
        words = line.split()
    if words[:1] == ["phi-labs"]:  # what every document says
        words = words[1:]
    if not words:
        return None
    name = SAME.get(words[0].lower(), words[0].lower())
    if name not in _TAKEN:
        raise UserError(f"there is no command {words[0][:40]!r}", "`help` lists them")
    options, rest = set(), []
    for word in words[1:]:
        if not word.startswith("-"):
            rest.append(word)
        elif _OPTIONS.get(word) in _TAKEN[name]:
            options.add(_OPTIONS[word])
        else:
            raise UserError(f"{name} has no option {word[:40]}", "`help` lists them")
    about_lab = name in ABOUT_A_LAB
    most = (1 + _WORDS_AFTER_LAB.get(name, 0)) if about_lab else 0
    if len(rest) > most:
        raise UserError(f"{name} does not take {rest[most][:40]!r}", "`help` says what it takes")
    lab = rest[0] if about_lab and rest else ""
    return Command(name, lab, tuple(rest[1:]), frozenset(options))


def choose_lab(labs: Sequence[LabView], wanted: str) -> LabView:
    """The lab that is meant by its id or its number in the list; the only one when nothing is said."""
    if not wanted:
        if len(labs) == 1:
            return labs[0]
        raise UserError("which lab?", "say its id or its number: " + ", ".join(lab.id for lab in labs))
    for number, lab in enumerate(labs, 1):
        if wanted in {lab.id, str(number)}:
            return lab
    raise no_such_lab(wanted)


def choose_host(lab: LabView, wanted: str) -> str:
    """A machine of the lab; its first when nothing is said."""
    if wanted and wanted not in lab.hosts:
        raise no_such_host(lab, wanted)
    return wanted or lab.hosts[0]


@dataclass(frozen=True)
class Speaker:
    """Carries out what needs no more than words.

    Args:
        width: columns for texts.
        port: what the client connected to, for the examples.
    """

    directory: Directory
    user: str
    say: Say
    width: int = 80

    async def run(self, command: Command) -> int:
        """Carry out a command that needs no terminal of its own; return its exit code.

        Raises:
            PhiLabsError: whatever stood in the way.
        """
        answers: dict[str, Callable[[Command], Awaitable[int]]] = {
            "story": self._story,
            "labs": self._labs,
            "status": self._labs,
            "time": self._time,
            "messages": self._messages,
            "help": self._help,
        }
        if command.name in answers:
            return await answers[command.name](command)
        lab = choose_lab(await self.directory.labs(self.user), command.lab)
        request = Request(
            Verb(command.name),
            lab.id,
            command.words,
            as_json=command.as_json,
            yes="yes" in command.options,
            full="full" in command.options,
            width=self.width,
        )
        say = self.say if command.as_json else lambda text: self.say(translated(text))
        return await self.directory.act(self.user, request, say)

    async def _story(self, _command: Command) -> int:
        told = await self.directory.story(self.user)
        self.say(told.rstrip() + "\n" if told.strip() else "  There is none; `brief LAB` tells the task.\n")
        return 0

    async def _labs(self, command: Command) -> int:
        labs = await self.directory.labs(self.user)
        self.say(_json([lab_data(lab) for lab in labs]) if command.as_json else lab_list(labs))
        return 0

    async def _time(self, command: Command) -> int:
        labs = await self.directory.labs(self.user)
        if command.as_json:
            data = [lab_data(lab) for lab in labs]
            self.say(_json([{key: item[key] for key in ("lab", "due_at", "seconds_left")} for item in data]))
            return 0
        for lab in labs:
            self.say(f"  {lab.id}: {time_left(lab) or 'no time limit'}\n")
        return 0

    async def _messages(self, command: Command) -> int:
        found = [item for item in await self.directory.messages(0) if item.concerns(self.user)]
        if command.as_json:
            self.say(_json([{"at": item.at.isoformat(), "text": item.text} for item in found]))
        else:
            self.say("".join(message_text(item) + "\n" for item in found) or "  No messages so far.\n")
        return 0

    async def _help(self, _command: Command) -> int:
        self.say(USAGE.format(user=self.user))
        return 0


def _json(data: object) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
