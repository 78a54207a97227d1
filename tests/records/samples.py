"""Events and scorecards that several tests of the records use."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from phi_labs.model.citations import Citation
from phi_labs.model.scorecard import CheckOutcome, CheckStatus, ObjectiveScore, Scorecard
from phi_labs.records.event import Kind, NewEvent
from phi_labs.records.store import Records

OPENED: dict[str, Any] = {
    "scenario": {"id": "ce-it", "title": "CE IT foundations"},
    "entity": "ce",
    "trainer": "sam",
    "pass_mark": 70,
    "count_rule": "last",
    "labs": [{"id": "log-access", "points": 100}, {"id": "temp-phi", "points": 100}],
}


def scorecard(points: int) -> Scorecard:
    """One with so many of 100 points."""
    status = CheckStatus.PASSED if points else CheckStatus.FAILED
    objectives = tuple(
        ObjectiveScore(
            id=name,
            title=name,
            points=most,
            earned=earned,
            withheld=0,
            hint_cost=0,
            withheld_by=(),
            messages=(),
            expected="closed",
            citations=(Citation("164.312(b)", "Audit controls", "standard"),),
            checks=(CheckOutcome("check", name, status),),
        )
        for name, most, earned in (("got", points, points), ("missed", 100 - points, 0))
    )
    return Scorecard("log-access", "Logs", "IT-07", objectives, ())


def graded(number: int, points: int, **more: Any) -> dict[str, Any]:
    """Data of a ``graded`` event."""
    return {
        "lab": "log-access",
        "number": number,
        "graded_at": "2026-03-02T09:00:00+00:00",
        "scorecard": scorecard(points).to_data(),
        "assurance": "supervised",
        **more,
    }


def note(text: str = "hello", *, subject: str = "", workshop: str = "march") -> NewEvent:
    """The smallest event there is."""
    return NewEvent(Kind.MESSAGE_SENT, workshop, "sam", subject, {"text": text})


def fill(url: str, count: int) -> None:
    """Make records with so many events."""
    with Records(url) as records:
        records.append_all(note(str(number)) for number in range(count))


@contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as somebody with another program sees it; what is written is committed."""
    with closing(sqlite3.connect(path)) as connection, connection:
        yield connection


@contextmanager
def without_guards(path: Path) -> Iterator[sqlite3.Connection]:
    """The same with the triggers taken away, and put back afterwards as if nothing had been."""
    with raw(path) as connection:
        kept = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in kept:
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        for _, sql in kept:
            connection.execute(sql)


def python(program: str, *arguments: str) -> subprocess.Popen[str]:
    """A Python process of its own that runs ``program``; its output is to be read from the pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


# -- PostgreSQL ------------------------------------------------------------------------------

SERVER_USER = "postgres"


def program(name: str) -> str:
    """The newest of what Debian installs apart from the path, else what is on the path."""
    newest = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    found = str(newest[-1]) if newest else shutil.which(name)
    assert found is not None, f"{name} is missing: install Debian's package postgresql"
    return found


class Server:
    """A PostgreSQL server of its own, on a socket in its folder and on no network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # It refuses to be root's.
        self._user = SERVER_USER if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(folder, self._user)
        folder.chmod(0o755)
        self._run(
            "initdb", "-D", folder / "data", "-U", SERVER_USER, "-A", "trust", "-E", "UTF8", "--no-sync"
        )

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder} -c fsync=off"
        self._control("-l", self.folder / "log", "-o", options, "start")

    def stop(self) -> None:
        """Stop at once."""
        self._control("-m", "immediate", "stop")

    def url(self, database: str, user: str = SERVER_USER) -> str:
        """Where a database is."""
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def sql(self, database: str, statement: str) -> str:
        """What a statement answers, unaligned."""
        return self._run(
            "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.folder,
            "-U", SERVER_USER, "-d", database, "-c", statement,
        ).strip()  # fmt: skip

    def _control(self, *words: str | Path) -> None:
        self._run("pg_ctl", "-D", self.folder / "data", "-w", "-s", *words)

    def _run(self, name: str, *words: str | Path) -> str:
        done = subprocess.run(
            [program(name), *words],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
            user=self._user,
            cwd=self.folder,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout
