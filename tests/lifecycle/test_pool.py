"""Spares and leases on a fake engine: claimed once, removed when their grading is gone, never before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.engine import FakeEngine
from tests.tiny_lab import write_tiny_lab

from phi_labs.engine.images import base_recipe, lab_recipe
from phi_labs.errors import EngineError
from phi_labs.lifecycle import pool
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.pool import Lease, lease, make_spares, network_for, remove_spares, take, tidy
from phi_labs.lifecycle.state import State
from phi_labs.model.lab import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return write_tiny_lab(tmp_path)


@pytest.fixture
def engine(lab: Lab) -> Iterator[FakeEngine]:
    engine = FakeEngine()
    for recipe in (base_recipe(), lab_recipe(lab.id, "one", lab.context("one"))):
        list(engine.build(b"", recipe.tag, arguments={}, labels={}))
    yield engine
    engine.close()


@pytest.fixture
def installation(engine: FakeEngine, state: State) -> Installation:
    installation = Installation(state)
    installation.__dict__["engine"] = engine
    return installation


@pytest.fixture
def image(installation: Installation, lab: Lab) -> str:
    return installation.image_of(lab, "one")


def taken(installation: Installation, lab: Lab, image: str, held: Lease) -> str:
    return take(installation, lab, lab.hosts[0], image, held, kind="clone")


def test_a_spare_is_taken_once_and_then_machines_are_made(
    installation: Installation, engine: FakeEngine, lab: Lab, image: str
) -> None:
    make_spares(installation, lab, lab.hosts[0], image)
    make_spares(installation, lab, lab.hosts[0], image)
    assert len(engine.machines) == 2  # a clone and an interpreter
    with lease(installation) as held:
        before = set(engine.machines)
        first, second = (taken(installation, lab, image, held) for _ in range(2))
        assert first in before
        assert second not in before
        assert engine.inspect(second).running
    assert len(engine.machines) == 1


def test_a_spare_of_another_image_is_never_taken(
    installation: Installation, engine: FakeEngine, lab: Lab, image: str
) -> None:
    make_spares(installation, lab, lab.hosts[0], image)
    list(engine.build(b"", "other", arguments={}, labels={}))
    with lease(installation) as held:
        assert engine.inspect(taken(installation, lab, engine.tags["other"], held)).image != image


def test_a_spare_that_died_is_not_taken_and_tidied_away(
    installation: Installation, engine: FakeEngine, lab: Lab, image: str
) -> None:
    make_spares(installation, lab, lab.hosts[0], image)
    for container in list(engine.machines):
        engine.kill(container)
    with lease(installation) as held:
        assert engine.inspect(taken(installation, lab, image, held)).running
    tidy(installation, None)
    assert engine.machines == {}


def test_a_lease_ends_with_its_containers_and_networks_also_on_errors(
    installation: Installation, engine: FakeEngine, lab: Lab, image: str
) -> None:
    with pytest.raises(KeyboardInterrupt), lease(installation, later=True) as held:
        taken(installation, lab, image, held)
        network_for(installation, held)
        raise KeyboardInterrupt
    assert engine.machines == {}
    assert engine.bridges == {}


def test_what_a_lease_leaves_for_later_is_tidied_when_it_is_over_and_not_before(
    installation: Installation, engine: FakeEngine, lab: Lab, image: str
) -> None:
    with lease(installation, later=True) as held:
        taken(installation, lab, image, held)
        network_for(installation, held)
        tidy(Installation.beside(installation), None)
        assert (len(engine.machines), len(engine.bridges)) == (1, 1)
    assert len(engine.machines) == 1
    tidy(installation, None)
    assert (engine.machines, engine.bridges) == ({}, {})
    assert list(installation.state.root.glob("locks/lease-*")) == []


def test_unfinished_spares_are_tidied_and_whole_ones_stay(
    installation: Installation, engine: FakeEngine, lab: Lab, image: str
) -> None:
    make_spares(installation, lab, lab.hosts[0], image)
    (clone, *_) = engine.machines.values()
    clone.name += "-new"  # whoever made it was killed before it was ready
    tidy(installation, None)
    assert len(engine.machines) == 1
    remove_spares(installation)
    assert engine.machines == {}


def test_spares_wait_only_for_labs_that_somebody_runs(
    installation: Installation, engine: FakeEngine, lab: Lab, image: str
) -> None:
    make_spares(installation, lab, lab.hosts[0], image)
    tidy(installation, lab)
    assert engine.machines == {}


def test_another_installations_machines_are_left_alone(
    installation: Installation, engine: FakeEngine, lab: Lab, image: str, tmp_path: Path
) -> None:
    other = Installation(State(tmp_path / "other"))
    other.__dict__["engine"] = engine
    make_spares(other, lab, lab.hosts[0], image)
    remove_spares(installation)
    tidy(installation, lab)
    assert len(engine.machines) == 2
    with lease(installation) as held:
        taken(installation, lab, image, held)
        assert len(engine.machines) == 3  # none of theirs was claimed


def test_a_machine_that_could_not_be_started_goes_with_its_lease(
    installation: Installation, engine: FakeEngine, lab: Lab, image: str
) -> None:
    engine.fail_on["start"] = EngineError("no memory")
    with pytest.raises(EngineError, match="no memory"), lease(installation) as held:
        taken(installation, lab, image, held)
    assert engine.machines == {}


def test_spares_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHI_LABS_SPARES", "0")
    assert not pool.spares_wanted()
    monkeypatch.delenv("PHI_LABS_SPARES")
    assert pool.spares_wanted()
