"""Asking the process that holds a workshop, and ``workshop status``, which does nothing else.

A trainer looks at it all day: it imports neither typer nor rich (0.3 s together, pydantic included), let
alone the SDK, and is there in a tenth of a second.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phi_labs.cli.bridge import state_folder
from phi_labs.cli.workshop_view import status_lines
from phi_labs.errors import UserError
from phi_labs.workshop.control import ask, held, nobody_holds_it
from phi_labs.workshop.settings import Rooted, WorkshopFolder, load_settings, workshop_folder, workshops

EVERY = 2.0  # seconds between two looks
NARROW = 80  # columns where no terminal says its own
_VALUED = {"--workshop": "workshop", "--content": "content"}
_FLAGS = {"--watch": "watch", "--json": "as_json", "--debug": "debug"}
_OTHER_SCREEN, _OWN_SCREEN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _END_OF_LINE, _BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


@dataclass(frozen=True)
class StateFolder:
    """Where the state directory is; nothing is made there."""

    root: Path


@dataclass(frozen=True)
class Wanted:
    """What was typed behind ``workshop status``; ``content`` and ``debug`` mean nothing to it."""

    workshop: str | None = None
    content: str | None = None
    watch: bool = False
    as_json: bool = False
    debug: bool = False


def quick_status(arguments: Sequence[str]) -> int | None:
    """``workshop status`` before anything heavy is imported.

    Returns:
        The exit code; None for words that are not known here: the command line proper says what is wrong.
    """
    wanted = _parsed(arguments)
    return None if wanted is None else show_status(StateFolder(Path(state_folder())), wanted)


def _parsed(arguments: Sequence[str]) -> Wanted | None:
    found: dict[str, Any] = {}
    left = list(arguments)
    while left:
        name, equals, value = left.pop(0).partition("=")
        if name in _VALUED and (equals or left):
            found[_VALUED[name]] = value if equals else left.pop(0)
        elif name in _FLAGS and not equals:
            found[_FLAGS[name]] = True
        else:
            return None
    return Wanted(**found)


def show_status(place: Rooted, wanted: Wanted) -> int:
    """Print it once, or again and again until Ctrl-C."""

    def look() -> Any:
        return ask_it(place, wanted.workshop, {"do": "status"})

    if wanted.as_json:
        print(json.dumps(look(), indent=2, ensure_ascii=False))
    elif wanted.watch:
        _watch(look)
    else:
        for line in status_lines(look(), width=_width(), colours=_colours()):
            print(line)
    return 0


def ask_it(
    place: Rooted, workshop: str | None, request: dict[str, Any], say: Callable[[str], None] = print
) -> Any:
    """The answer of the process that holds the workshop which is meant."""
    folder = the_one_meant(place, workshop)
    if folder.head.exists() and not held(folder.socket):
        raise closed(folder)
    return ask(folder.socket, request, say=say)


def the_one_meant(place: Rooted, workshop: str | None) -> WorkshopFolder:
    """The folder of a workshop: the named one, or the only one that is open.

    Raises:
        UserError: there is no such workshop; none is named, and none is open.
    """
    if workshop is not None:
        load_settings(place, workshop)
        return workshop_folder(place, workshop)
    folders = [workshop_folder(place, known) for known in workshops(place)]
    open_now = [folder for folder in folders if held(folder.socket)]
    if len(open_now) == 1:
        return open_now[0]
    if not folders:
        raise no_workshop()
    ended = [folder for folder in folders if folder.head.exists()]
    raise closed(ended[-1]) if ended == folders else nobody_holds_it()


def closed(folder: WorkshopFolder) -> UserError:
    """What to say of a workshop that has ended."""
    name = folder.path.name
    return UserError(
        f"workshop {name} was closed",
        f"phi-labs records show --workshop {name}, or workshop export, tell of it",
    )


def no_workshop() -> UserError:
    """What to say where none was ever opened."""
    return UserError("no workshop was opened here", "phi-labs scenarios lists what workshop open can take")


def _watch(look: Callable[[], Any]) -> None:
    """On a screen of its own, as much as fits; the trainer's own screen comes back at the end."""
    seen = look()  # what is wrong is said where it stays to be read
    if not sys.stdout.isatty():
        raise UserError("--watch needs a terminal", "leave it out, or add --json, and look again later")
    print(_OTHER_SCREEN, end="")
    try:
        while True:
            size = shutil.get_terminal_size()
            lines = _fitting(status_lines(seen, width=size.columns, colours=_colours()), size.lines)
            text = "\n".join(line + _END_OF_LINE for line in lines)
            print(f"{_HOME}{text}{_BELOW}", end="", flush=True)
            time.sleep(EVERY)
            seen = look()
    except KeyboardInterrupt as end:
        if type(end) is not KeyboardInterrupt:  # SIGTERM and the like, not the end that was announced
            raise
    finally:
        print(_OWN_SCREEN, end="", flush=True)


def _fitting(lines: list[str], height: int) -> list[str]:
    if len(lines) <= height:
        return lines
    more = f"... {len(lines) - height + 1} more lines: phi-labs workshop status shows all of them"
    return [*lines[: height - 1], more]


def _colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _width() -> int | None:
    """The terminal's; None where whoever reads it wants whole lines (a pipe, a file)."""
    return shutil.get_terminal_size((NARROW, 24)).columns if sys.stdout.isatty() else None
