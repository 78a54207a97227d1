"""The database dumps, as PostgreSQL's own tools take them: listed, restored, and loaded into a server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from phi_fixtures.care import encounters
from phi_fixtures.people import Hospital, Patient
from phi_fixtures.population import cohort
from phi_fixtures.writers import Cast, writer

PACKAGE = "install Debian's package postgresql"
SERVER_USER = "postgres"


@pytest.fixture(scope="module")
def cast() -> Cast:
    hospital = Hospital(b"a seed", 10004)
    return Cast(hospital, list(cohort(hospital, 400)))


@pytest.fixture(scope="module")
def patients(cast: Cast) -> list[Patient]:
    return list(cast.patients)


def dump(name: str, cast: Cast, folder: Path) -> Path:
    (artefact,) = writer(name)(cast)
    path = folder / artefact.path.rpartition("/")[2]
    path.write_bytes(artefact.content)
    return path


def program(name: str) -> str:
    """The newest of what Debian installs apart from the path, else what is on the path."""
    newest = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    found = str(newest[-1]) if newest else shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is missing: {PACKAGE}", pytrace=False)
    return found


def run(*command: str | Path, user: str | None = None) -> str:
    """What a program prints; it must succeed."""
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, user=user
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_pg_restore_lists_the_archive(cast: Cast, tmp_path: Path) -> None:
    listed = run(program("pg_restore"), "-l", dump("pg-dump-custom", cast, tmp_path))
    assert "Archive created at 2026-03-02" in listed
    assert "Dumped from database version: 15.13" in listed
    kinds = re.findall(r"^\d+; \d+ \d+ (TABLE DATA|TABLE|CONSTRAINT|FK CONSTRAINT) ", listed, re.MULTILINE)
    assert [kinds.count(kind) for kind in ("TABLE", "TABLE DATA", "CONSTRAINT", "FK CONSTRAINT")] == [
        5,
        5,
        5,
        4,
    ]


def test_pg_restore_makes_the_plain_dump_from_the_archive(cast: Cast, tmp_path: Path) -> None:
    plain = dump("pg-dump", cast, tmp_path).read_text()
    restored = run(program("pg_restore"), "-f", "-", dump("pg-dump-custom", cast, tmp_path))
    # Newer minor versions put these around every script.
    restored = re.sub(r"^\\(un)?restrict \w+\n\n", "", restored, flags=re.MULTILINE)
    assert restored == plain


# --- with a server ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    """A server of its own, reached through a socket in its folder."""

    folder: Path

    def sql(self, database: str, statement: str) -> str:
        """The rows, unaligned: columns parted by |."""
        return run(*self._psql(database), "-c", statement).strip()

    def load(self, database: str, script: Path) -> None:
        run(*self._psql(database), "-f", script)

    def restore(self, database: str, archive: Path) -> None:
        run(program("pg_restore"), "-h", self.folder, "-U", SERVER_USER, "-e", "-d", database, archive)

    def _psql(self, database: str) -> tuple[str | Path, ...]:
        how = ("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
        return (program("psql"), *how, "-h", self.folder, "-U", SERVER_USER, "-d", database)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A PostgreSQL server that listens on no network; not root's, for it would refuse to start."""
    # Not below pytest's folder: that is closed to the server's account, and its path too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="phi-pg-"))
    user = SERVER_USER if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    folder.chmod(0o755)
    data, log = folder / "data", folder / "log"
    control = (program("pg_ctl"), "-D", data, "-w", "-s")
    run(program("initdb"), "-D", data, "-U", SERVER_USER, "-A", "trust", "-E", "UTF8", "--no-sync", user=user)
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
    run(*control, "-l", log, "-o", options, "start", user=user)
    try:
        yield Server(folder)
    finally:
        run(*control, "-m", "immediate", "stop", user=user)
        shutil.rmtree(folder)


@pytest.mark.slow
def test_both_dumps_load_into_a_server_and_hold_the_same_rows(
    server: Server, cast: Cast, patients: list[Patient], tmp_path: Path
) -> None:
    server.sql("postgres", "create role ehr")
    for database in ("from_plain", "from_custom"):
        server.sql("postgres", f"create database {database} owner ehr")
    server.load("from_plain", dump("pg-dump", cast, tmp_path))
    server.restore("from_custom", dump("pg-dump-custom", cast, tmp_path))
    visits = [visit for patient in patients for visit in encounters(patient)]
    for database in ("from_plain", "from_custom"):
        rows = server.sql(
            database, "select mrn, ssn, dob, coalesce(fax, '-') from public.patients order by mrn"
        )
        assert rows.splitlines() == sorted(f"{p.mrn}|{p.ssn}|{p.dob}|{p.fax or '-'}" for p in patients)
        assert server.sql(database, "select count(*) from public.encounters") == str(len(visits))
        results = "select count(*) from public.results where value is not null"
        assert server.sql(database, results) == str(sum(len(visit.results) for visit in visits))
        note = f"select body from public.notes where encounter = '{visits[0].number}'"  # noqa: S608  # our own number
        assert server.sql(database, note) == visits[0].note
        owners = "select distinct tableowner from pg_tables where schemaname = 'public'"
        assert server.sql(database, owners) == "ehr"
    assert dumped(server, "from_plain") == dumped(server, "from_custom")


def dumped(server: Server, database: str) -> str:
    text = run(program("pg_dump"), "-h", server.folder, "-U", SERVER_USER, database)
    return re.sub(r"^\\(un)?restrict \w+$", "", text, flags=re.MULTILINE)
