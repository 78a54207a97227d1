"""Records of a test's own, in SQLite and in PostgreSQL."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.records.samples import Server

from phi_labs.records.store import Records


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a SQLite database that is not there yet."""
    return tmp_path / "records.db"


@pytest.fixture
def url(path: Path) -> str:
    """Its URL."""
    return f"sqlite:///{path}"


@pytest.fixture
def records(url: str) -> Iterator[Records]:
    """Open records in that file."""
    with Records(url) as records:
        yield records


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server for this session."""
    # Not below pytest's folder: that is closed to the server's account, and its path too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="phi-pg-"))
    server = Server(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture
def database(server: Server, request: pytest.FixtureRequest) -> str:
    """The name of an empty database in it."""
    name = f"records_{abs(hash(request.node.nodeid))}"
    server.sql("postgres", f"create database {name}")
    return name


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def either(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, of both kinds in turn."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("url"))
    return str(request.getfixturevalue("server").url(request.getfixturevalue("database")))
