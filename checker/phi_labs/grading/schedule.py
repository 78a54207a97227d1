"""What a machine does by itself: the jobs that cron would start, read as data."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phi_labs.grading.host import Host

CRON_LIMIT = 256 * 1024
SYSTEM_TABLES = ("/etc/crontab", "/etc/cron.d/")
USER_TABLES = "/var/spool/cron/crontabs/"
SCRIPTS = re.compile(r"^/etc/cron\.(hourly|daily|weekly|monthly)/[^/]+$")
# Five fields of a time, or one word such as @daily; then what runs.
_WHEN = r"^\s*(?:@\w+|(?:[-\w*,/~]+\s+){4}[-\w*,/~]+)\s+"
_SYSTEM_LINE = re.compile(_WHEN + r"(\S+)\s+(.+)$", re.MULTILINE)
_USER_LINE = re.compile(_WHEN + r"(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class ScheduledJob:
    """One thing that cron starts.

    Attributes:
        path: the table or script it stands in.
        user: the account it runs as.
        command: as for ``/bin/sh -c``.
    """

    path: str
    user: str
    command: str


def changed_jobs(host: Host) -> list[ScheduledJob]:
    """The jobs in tables and scripts that are not as in the image, what was planted included."""
    changes = host.changed()
    files = [
        change.path for change in changes.changes if stat.S_ISREG(change.mode) or stat.S_ISLNK(change.mode)
    ]
    return [job for path in files for job in _jobs_at(host, path)]


def _jobs_at(host: Host, path: str) -> Iterator[ScheduledJob]:
    if SCRIPTS.match(path):
        yield ScheduledJob(path, "root", path)
    elif path.startswith(SYSTEM_TABLES):
        for user, command in _SYSTEM_LINE.findall(_text(host, path)):
            yield ScheduledJob(path, user, _to_shell(command))
    elif path.startswith(USER_TABLES):
        for command in _USER_LINE.findall(_text(host, path)):
            yield ScheduledJob(path, path.rpartition("/")[2], _to_shell(command))


def _text(host: Host, path: str) -> str:
    file = host.file(path)
    return host.read(path, CRON_LIMIT).decode(errors="replace") if file.is_file else ""


def _to_shell(command: str) -> str:
    """Up to the first unescaped %, which cron turns into the end of the line."""
    return re.split(r"(?<!\\)%", command, maxsplit=1)[0].replace("\\%", "%").strip()
