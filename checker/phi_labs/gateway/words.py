"""What trainees read: how to use the gateway, the list of their labs, refusals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from phi_labs.errors import PhiLabsError, UserError
from phi_labs.gateway.directory import LabView, Message
from phi_labs.gateway.names import printable

USAGE = """\
In the menu, or behind ssh:   ssh -p PORT {user}@HOST COMMAND

  story                             what this workshop is about
  labs [--json]                     your labs, their state, the time left
  brief LAB [--json]                the task
  shell LAB [HOST]                  log in (in the menu)
  hint LAB [OBJECTIVE] [--yes]      the hints and their prices; the next one
  grade LAB [--full] [--json]       be graded, as often as you like
  debrief LAB [--json]              what there is to learn, after a grading
  rescue LAB [HOST] [--yes]         a root console, if you locked yourself out; the scorecard says so
  time [--json]                     the time left
  messages [--json]                 what your trainer wrote
  help, quit

Straight into a lab, also for scp, sftp, -L and editors:   ssh -p PORT {user}+LAB@HOST
A machine of a lab that has several:                       ssh -p PORT {user}+LAB+HOST@HOST
"""
# The command line's own advice, in the words of whoever has no command line of phi-labs.
_TYPED = re.compile(r"phi-labs ((?:brief|hint|grade|debrief|rescue|shell|labs)\b)")
_OTHERS = re.compile(r"""[ \t]--trainee (?:'[^']*'|"[^"]*"|\S+)""")
_FORCED = re.compile(r"; --force reads it all the same")  # an option that only the command line has
_HOUR = 3600


def no_such_lab(lab: str) -> UserError:
    """The same words for a lab that does not exist and for somebody else's."""
    return UserError(f"you have no lab {printable(lab)!r}", "`labs` lists yours")


def no_such_host(lab: LabView, host: str) -> UserError:
    """A machine that the lab does not have."""
    return UserError(f"{lab.id} has no machine {printable(host)!r}", f"there are: {', '.join(lab.hosts)}")


def problem(error: PhiLabsError) -> str:
    """An error as a trainee reads it."""
    hint = f"\n{error.hint}" if error.hint else ""
    return translated(f"phi-labs: {error.message}{hint}\n")


def translated(text: str) -> str:
    """The command line's text without what only its own users can type."""
    return _FORCED.sub("", _OTHERS.sub("", _TYPED.sub(r"\1", text)))


def time_left(lab: LabView, now: datetime | None = None) -> str:
    """``43 min left``, ``2 h 5 min left``, ``time is up``, ``60 min once you log in``; else empty."""
    if lab.due_at is None:
        return f"{lab.minutes} min once you log in" if lab.minutes else ""
    seconds = int((lab.due_at - (now or datetime.now(UTC))).total_seconds())
    if seconds <= 0:
        return "time is up"
    hours, minutes = divmod(seconds, _HOUR)
    if seconds < 60:
        return f"{seconds} s left"
    return (f"{hours} h " if hours else "") + f"{minutes // 60} min left"


def lab_list(labs: Sequence[LabView]) -> str:
    """One line per lab, numbered as the menu takes them."""
    if not labs:
        return "  You have no lab yet. If that is wrong, tell your trainer.\n"
    rows = [(lab.id, lab.title, lab.state, time_left(lab), lab.score) for lab in labs]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows, 1):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width]
        lines.append(f"  {number:>2}  " + "  ".join(cells).rstrip() + "\n")
    return "".join(lines)


def lab_data(lab: LabView, now: datetime | None = None) -> dict[str, object]:
    """A lab for ``--json``."""
    left = None
    if lab.due_at is not None:
        left = max(int((lab.due_at - (now or datetime.now(UTC))).total_seconds()), 0)
    return {
        "lab": lab.id,
        "title": lab.title,
        "state": lab.state,
        "machines": list(lab.hosts),
        "due_at": lab.due_at.isoformat() if lab.due_at else None,
        "seconds_left": left,
        "minutes": lab.minutes or None,
        "score": lab.score or None,
    }


def message_text(message: Message) -> str:
    """A message as it appears in a session; control characters are not the trainer's to send."""
    text = "\n    ".join(printable(line, 2000) for line in message.text.splitlines())
    return f"*** {message.at.astimezone(UTC):%H:%M} UTC, your trainer: {text}"
