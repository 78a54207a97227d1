"""What several folders of tests share: the real engine, and an installation whose traces are removed."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from phi_labs.errors import EngineError, PhiLabsError
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.state import State


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation with a state directory and an install id of its own, on the real engine.

    Without an engine the tests that need it fail: a suite that skips them proves nothing.
    Whatever carries its install id is removed at the end, also when tests failed.
    """
    installation = Installation(State(tmp_path_factory.mktemp("state")))
    try:
        installation.engine.version()
    except EngineError as error:
        pytest.fail(f"tests marked docker need a container engine: {error}", pytrace=False)
    kept = {name: os.environ.get(name) for name in ("PHI_LABS_SPARES", "PHI_LABS_STATE")}
    os.environ |= {"PHI_LABS_SPARES": "0", "PHI_LABS_STATE": str(installation.state.root)}
    try:
        yield installation
    finally:
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
        remove_traces(installation)


def remove_traces(installation: Installation) -> None:
    """Remove every container and network of an installation, once its housekeeping is over."""
    engine, mine = installation.engine, {"install": installation.state.install}
    with installation.state.lock("housekeeping"):
        for purpose in list(installation._probes):
            installation.drop_probe(purpose)
        for container in engine.containers(mine):
            with contextlib.suppress(PhiLabsError):  # the next one must still go
                engine.remove(container.id)
        for network, _, _ in engine.networks(mine):
            with contextlib.suppress(PhiLabsError):
                engine.remove_network(network)
    engine.close()


@pytest.fixture(scope="module")
def plain_asserts() -> Iterator[None]:
    """Without pytest's rewriting of assertions, which the worker of a grading does not have."""
    kept = sys.meta_path[:]
    sys.meta_path[:] = [finder for finder in kept if type(finder).__name__ != "AssertionRewritingHook"]
    yield
    sys.meta_path[:] = kept


@pytest.fixture
def state(tmp_path: Path) -> State:
    """A state directory of the test's own."""
    return State(tmp_path / "state")
