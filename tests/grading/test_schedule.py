"""What cron would start, and how often, read from tables and scripts as cron reads them."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import pytest

from phi_labs.grading.changes import Change
from phi_labs.grading.host import Host
from phi_labs.grading.schedule import ScheduledJob, changed_jobs


@dataclass
class Machine:
    """As much of a host as reading its schedule takes."""

    files: dict[str, tuple[int, str]] = field(default_factory=dict)

    @dataclass(frozen=True)
    class File:
        mode: int
        size: int
        is_file: bool = True

    @dataclass(frozen=True)
    class Changes:
        changes: list[Change]

    def changed(self) -> Changes:
        return self.Changes(
            [
                Change(path, False, stat.S_IFREG | mode, 0, 0, len(text), False)
                for path, (mode, text) in self.files.items()
            ]
        )

    def file(self, path: str) -> File:
        mode, text = self.files[path]
        return self.File(mode, len(text))

    def read(self, path: str, limit: int) -> bytes:
        return self.files[path][1].encode()[:limit]


def jobs(path: str, text: str, mode: int = 0o644) -> list[ScheduledJob]:
    return changed_jobs(cast("Host", Machine({path: (mode, text)})))


@pytest.mark.parametrize(
    ("when", "days"),
    [
        ("30 1 * * *", 1),
        ("*/15 * * * *", 1),
        ("0 2,14 * * 0-6", 1),
        ("0 2 * * 1-7", 1),
        ("@daily", 1),
        ("@hourly", 1),
        ("0 2 * * mon-fri", 3),
        ("0 2 */2 * *", 2),
        ("0 2 * * sun", 7),
        ("@weekly", 7),
        ("0 2 1 * sun", 7),
        ("0 2 1 * *", 31),
        ("0 2 31 2 *", None),
        ("0 25 * * *", None),
        ("0 2 * * *,", None),
        ("0 2 * * 5-1", None),
        ("@reboot", None),
        ("0 2 29 2 *", 1461),
    ],
)
def test_how_many_days_lie_between_two_starts(when: str, days: int | None) -> None:
    assert ScheduledJob("/etc/cron.d/x", "root", "x", when).days_apart == days


SATURDAY = datetime(2026, 11, 28, 15, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "start"),
    [
        ("30 1 * * *", "2026-11-29 01:30"),
        ("*/15 * * * *", "2026-11-28 15:15"),
        ("0 15,16 * * *", "2026-11-28 16:00"),
        ("0 6 * * mon-fri", "2026-11-30 06:00"),
        ("@weekly", "2026-11-29 00:00"),
        ("5 4 1 1 *", "2027-01-01 04:05"),
        ("0 2 29 2 *", "2028-02-29 02:00"),
    ],
)
def test_when_a_job_starts_next(when: str, start: str) -> None:
    found = ScheduledJob("/etc/cron.d/x", "root", "x", when).next_start(SATURDAY)
    assert found is not None
    assert f"{found:%Y-%m-%d %H:%M}" == start


@pytest.mark.parametrize("when", ["@reboot", "0 25 * * *", "0 2 31 2 *", "0 2 * * *,"])
def test_what_no_time_starts_has_no_next_start(when: str) -> None:
    assert ScheduledJob("/etc/cron.d/x", "root", "x", when).next_start(SATURDAY) is None


def test_a_table_of_the_system_names_time_account_and_command() -> None:
    text = "# nightly\n30 1 * * *  root  /usr/local/sbin/dump --day $(date +\\%F) % fed to it\n"
    (job,) = jobs("/etc/cron.d/dump", text)
    assert (job.user, job.when, job.days_apart) == ("root", "30 1 * * *", 1)
    assert job.command == "/usr/local/sbin/dump --day $(date +%F)"
    assert job.environment == {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}


def test_settings_hold_for_the_lines_below_them() -> None:
    text = "PATH=/usr/sbin:/usr/bin\n@daily one\nMAILTO = \"\"\nSHELL='/bin/bash'\n@weekly two\n"
    first, second = jobs("/var/spool/cron/crontabs/postgres", text, 0o600)
    assert (first.user, first.command, first.environment["PATH"]) == ("postgres", "one", "/usr/sbin:/usr/bin")
    assert "MAILTO" not in first.environment
    assert (second.environment["MAILTO"], second.environment["SHELL"]) == ("", "/bin/bash")


def test_a_script_runs_as_root_as_often_as_its_folder_says() -> None:
    (job,) = jobs("/etc/cron.daily/dump", "#!/bin/sh\n", 0o755)
    assert (job.user, job.command, job.days_apart) == ("root", "/etc/cron.daily/dump", 1)


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("/etc/cron.daily/dump.sh", 0o755),
        ("/etc/cron.daily/dump", 0o644),
        ("/etc/cron.d/dump.cron", 0o644),
        ("/etc/cron.d/dump", 0o664),
        ("/etc/cron.d/dump", 0o646),
        ("/etc/dump", 0o644),
    ],
)
def test_what_cron_passes_over_is_no_job(path: str, mode: int) -> None:
    assert jobs(path, "@daily root dump\n", mode) == []


@pytest.mark.parametrize("line", ["#@daily root dump", "root dump", "@daily root", "5 * * * dump"])
def test_a_line_that_starts_nothing_is_no_job(line: str) -> None:
    assert jobs("/etc/cron.d/dump", line + "\n") == []


def test_a_table_too_large_to_be_read_whole_is_a_failed_expectation() -> None:
    with pytest.raises(AssertionError, match="too large"):
        jobs("/etc/cron.d/x", "# nothing\n" * 50_000 + "* * * * * root id\n")


def test_only_a_newline_ends_a_line() -> None:
    (job,) = jobs("/etc/cron.d/x", "* * * * * root \x85; id\n")
    assert job.command.endswith("; id")
