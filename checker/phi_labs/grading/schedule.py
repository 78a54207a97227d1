"""What a machine does by itself: the jobs that cron would start, read as data."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phi_labs.grading.host.configuration import Configuration

CRON_LIMIT = 256 * 1024
SYSTEM_TABLES = ("/etc/crontab", "/etc/cron.d/")
USER_TABLES = "/var/spool/cron/crontabs/"
PLACES = (
    "/etc/cron.d",
    "/var/spool/cron/crontabs",
    *(f"/etc/cron.{word}" for word in ("hourly", "daily", "weekly", "monthly")),
)
SCRIPTS = re.compile(r"^/etc/cron\.(hourly|daily|weekly|monthly)/[^/]+$")
# cron and run-parts pass over every other name, `backup.sh` and `table.bak` among them.
NAME = re.compile(r"[A-Za-z0-9_-]+$")
# What cron itself sets; a table may say otherwise.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
# Five fields of a time, or one word such as @daily; then what runs.
_WHEN = r"^\s*(@\w+|(?:[-\w*,/~]+\s+){4}[-\w*,/~]+)\s+"
_SYSTEM_LINE = re.compile(_WHEN + r"(\S+)\s+(.+)$")
_USER_LINE = re.compile(_WHEN + r"(.+)$")
_SETTING = re.compile(r"^\s*([A-Za-z_]\w*)\s*=\s*(.*?)\s*$")
_OTHERS_WRITE = 0o022
_WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Lowest and highest value of the five fields, and names that stand for values.
_FIELDS: tuple[tuple[int, int, Mapping[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, start=1)}),
    (0, 7, {name: number for number, name in enumerate(_DAYS)}),
)
_SUNDAY = 7
_LEAP_YEAR = date(2024, 1, 1)
_EIGHT_YEARS = 2922  # even 29 February comes twice


@dataclass(frozen=True)
class ScheduledJob:
    """One thing that cron starts.

    Attributes:
        path: the table or script it stands in.
        user: the account it runs as.
        command: as for ``/bin/sh -c``.
        when: its time as the table says it, five fields or a word.
        environment: what cron and the table set for it.
    """

    path: str
    user: str
    command: str
    when: str = ""
    environment: Mapping[str, str] = field(default_factory=lambda: dict(ENVIRONMENT))

    @property
    def days_apart(self) -> int | None:
        """How many days lie at most between a day on which it starts and the next; None when it never does.

        1 is every day. ``@reboot`` is no time of its own, so it counts as never.
        """
        fields, values = self._time()
        if not values:
            return None
        days = (_LEAP_YEAR + timedelta(days=number) for number in range(_EIGHT_YEARS))
        starts = [day.toordinal() for day in days if _starts_on(day, fields, values)]
        return max((later - day for day, later in pairwise(starts)), default=None)

    def next_start(self, after: datetime | None = None) -> datetime | None:
        """When it starts next, to the minute; None when it never does, as far as the table's time says.

        Args:
            after: a moment; now in UTC, which is the machines' time, when it is left out.
        """
        fields, values = self._time()
        now = after or datetime.now(UTC)
        times = (
            [time(hour, minute) for hour in sorted(values[1]) for minute in sorted(values[0])]
            if values
            else []
        )
        for number in range(_EIGHT_YEARS if times else 0):
            day = now.date() + timedelta(days=number)
            starts = (datetime.combine(day, at, now.tzinfo) for at in times)
            found = next((start for start in starts if start > now), None)
            if found and _starts_on(day, fields, values):
                return found
        return None

    def _time(self) -> tuple[list[str], list[frozenset[int]]]:
        """The five fields, and what each stands for; nothing where cron would refuse them."""
        fields = _WORDS.get(self.when, self.when).split()
        values = [_values(text, number) for number, text in enumerate(fields)]
        return (fields, values) if len(values) == len(_FIELDS) and all(values) else (fields, [])


def _starts_on(day: date, fields: list[str], values: list[frozenset[int]]) -> bool:
    in_month = day.day in values[2]
    in_week = not values[4].isdisjoint({day.isoweekday(), day.isoweekday() % _SUNDAY})
    # When both are restricted, cron starts on either.
    either = not fields[2].startswith("*") and not fields[4].startswith("*")
    return day.month in values[3] and (in_month or in_week if either else in_month and in_week)


def _values(text: str, place: int) -> frozenset[int]:
    """What one field stands for; empty where cron would refuse it."""
    low, high, names = _FIELDS[min(place, len(_FIELDS) - 1)]
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-") if span != "*" else (str(low), "-", str(high))
        ends = [names.get(word.lower(), word) for word in (first, last or first)]
        if not all(str(end).isdigit() for end in ends) or not (step or "1").isdigit() or step == "0":
            return frozenset()
        start, end = (int(end) for end in ends)
        if not low <= start <= end <= high:
            return frozenset()
        found.update(range(start, end + 1, int(step or 1)))
    return frozenset(found)


def changed_jobs(host: Configuration) -> list[ScheduledJob]:
    """The jobs in tables and scripts that are not as in the image, what was planted included.

    What cron passes over is left out: names with a dot, scripts that cannot be run, tables that
    others than their owner can write.

    Raises:
        AssertionError: a table is too large to be read whole.
    """
    changes = host.changed()
    files = [
        change.path for change in changes.changes if stat.S_ISREG(change.mode) or stat.S_ISLNK(change.mode)
    ]
    linked = {change.path for change in changes.changes if stat.S_ISLNK(change.mode)}
    behind_links = [
        f"{place}/{name}"
        for place in PLACES
        if any(place == link or place.startswith(link + "/") for link in linked)
        for name in host.listing(place)
    ]
    return [job for path in dict.fromkeys(files + behind_links) for job in _jobs_at(host, path)]


def _jobs_at(host: Configuration, path: str) -> Iterator[ScheduledJob]:
    place, _, name = path.rpartition("/")
    if SCRIPTS.match(path):
        if NAME.match(name) and _mode(host, path) & stat.S_IXUSR:
            yield ScheduledJob(path, "root", path, "@" + place.rpartition(".")[2])
    elif path.startswith(SYSTEM_TABLES) and NAME.match(name):
        for when, line, environment in _lines(host, path, _SYSTEM_LINE):
            user, command = line
            yield ScheduledJob(path, user, _to_shell(command), when, environment)
    elif path.startswith(USER_TABLES):
        for when, line, environment in _lines(host, path, _USER_LINE):
            yield ScheduledJob(path, name, _to_shell(line[0]), when, environment)


def _lines(
    host: Configuration, path: str, pattern: re.Pattern[str]
) -> Iterator[tuple[str, tuple[str, ...], Mapping[str, str]]]:
    """(time, the rest, the environment so far) of each line of a table that starts something."""
    environment = dict(ENVIRONMENT)
    for line in _text(host, path).split("\n"):  # as cron does; other ends of a line are letters to it
        setting = _SETTING.match(line)
        starts = pattern.match(line)
        if setting:
            environment[setting[1]] = _unquoted(setting[2])
        elif starts:
            when, *rest = starts.groups()
            yield when, tuple(rest), dict(environment)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _mode(host: Configuration, path: str) -> int:
    file = host.file(path)
    return file.mode if file.is_file else 0


def _text(host: Configuration, path: str) -> str:
    if not host.file(path).is_file or _mode(host, path) & _OTHERS_WRITE:
        return ""
    assert host.file(path).size <= CRON_LIMIT, f"{path} is too large for a table of jobs"
    return host.read(path, CRON_LIMIT).decode(errors="replace")


def _to_shell(command: str) -> str:
    """Up to the first unescaped %, which cron turns into the end of the line."""
    return re.split(r"(?<!\\)%", command, maxsplit=1)[0].replace("\\%", "%").strip()
