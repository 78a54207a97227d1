"""A run's life on a fake engine: start, resume, reset, stop, and nothing left behind when it goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.fakes.engine import FakeEngine
from tests.tiny_lab import write_tiny_lab

from phi_labs.engine.images import base_recipe, lab_recipe
from phi_labs.errors import EngineError, MissingObject, UserError
from phi_labs.lifecycle import runs
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.runs import list_runs, need_live_run, need_run, reset_run, start_run, stop_run
from phi_labs.lifecycle.state import State
from phi_labs.model.lab import Lab, load_lab
from phi_labs.model.run import RunState

BROKEN_PLANT = "def plant(p):\n    raise RuntimeError('broken')\n"
Start = Callable[..., runs.Started]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return write_tiny_lab(tmp_path)


@pytest.fixture
def engine(lab: Lab) -> Iterator[FakeEngine]:
    engine = FakeEngine()
    for recipe in (base_recipe(), lab_recipe(lab.id, "one", lab.context("one"))):
        list(engine.build(b"", recipe.tag, arguments={}, labels={}))
    engine.calls.clear()
    yield engine
    engine.close()


@pytest.fixture
def installation(
    engine: FakeEngine, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Installation:
    monkeypatch.setattr(runs, "request_spares", lambda installation, lab: None)
    installation = Installation(state, content=tmp_path)
    installation.__dict__["engine"] = engine
    return installation


def test_a_start_makes_one_machine_and_keeps_its_secrets(
    installation: Installation, engine: FakeEngine, lab: Lab
) -> None:
    started = start_run(installation, lab, "ada")
    assert not started.resumed
    (machine,) = engine.machines.values()
    assert machine.status == "running"
    assert machine.spec.network is None
    assert machine.spec.hostname == "one"
    assert b"BEGIN OPENSSH" in machine.sent_along["/etc/ssh/ssh_host_ed25519_key"]
    assert need_run(installation, lab.id, "ada") == started.run
    assert installation.state.run_folder("ada", lab.id).key.exists()


def test_nothing_of_checks_or_manifest_enters_the_machine(
    installation: Installation, engine: FakeEngine, lab: Lab
) -> None:
    start_run(installation, lab, "ada")
    (machine,) = engine.machines.values()
    planted = b"".join(machine.sent_along.values())
    intern = installation.state.load_manifest("ada", lab.id).personas["intern"]["private"]
    assert intern.splitlines()[2].encode() not in planted
    assert b"@objective" not in planted


def test_a_second_start_resumes_the_same_machine(
    installation: Installation, engine: FakeEngine, lab: Lab
) -> None:
    first = start_run(installation, lab, "ada")
    engine.calls.clear()
    second = start_run(installation, lab, "ada")
    assert second.resumed
    assert second.run.containers == first.run.containers
    assert "create" not in engine.calls


@pytest.mark.parametrize("oom", [False, True])
def test_a_start_brings_a_dead_machine_up_again(
    installation: Installation, engine: FakeEngine, lab: Lab, oom: bool
) -> None:
    (container,) = start_run(installation, lab, "ada").run.containers.values()
    engine.kill(container, oom=oom)
    assert start_run(installation, lab, "ada").resumed
    assert engine.inspect(container).running


def test_a_start_wakes_a_paused_machine(installation: Installation, engine: FakeEngine, lab: Lab) -> None:
    (container,) = start_run(installation, lab, "ada").run.containers.values()
    engine.pause(container)
    assert start_run(installation, lab, "ada").resumed
    assert engine.inspect(container).running


def test_a_machine_removed_by_hand_is_made_anew_with_the_same_patients(
    installation: Installation, engine: FakeEngine, lab: Lab
) -> None:
    (container,) = start_run(installation, lab, "ada").run.containers.values()
    before = installation.state.load_manifest("ada", lab.id)
    engine.remove(container)
    assert not start_run(installation, lab, "ada").resumed
    assert installation.state.load_manifest("ada", lab.id) == before


def test_a_reset_plants_the_same_bytes(installation: Installation, engine: FakeEngine, lab: Lab) -> None:
    start_run(installation, lab, "ada")
    (before,) = engine.machines.values()
    manifest = installation.state.run_folder("ada", lab.id).manifest.read_bytes()
    key = installation.state.run_folder("ada", lab.id).key.read_bytes()
    reset_run(installation, lab, "ada")
    (after,) = engine.machines.values()
    assert after.id != before.id
    assert after.heard == before.heard
    assert installation.state.run_folder("ada", lab.id).manifest.read_bytes() == manifest
    assert installation.state.run_folder("ada", lab.id).key.read_bytes() == key


def test_a_retry_changes_the_patients(installation: Installation, lab: Lab) -> None:
    start_run(installation, lab, "ada")
    before = installation.state.load_manifest("ada", lab.id).identifiers()
    start_run(installation, lab, "ada", retry=True)
    assert not before & installation.state.load_manifest("ada", lab.id).identifiers()


def test_a_stop_leaves_nothing_but_the_attempts(
    installation: Installation, engine: FakeEngine, lab: Lab
) -> None:
    start_run(installation, lab, "ada")
    installation.state.keep_attempt(
        "ada", lab.id, installation.state.new_attempt("ada", lab.id), lambda number: "{}"
    )
    assert stop_run(installation, lab.id, "ada")
    assert engine.machines == {}
    assert not installation.state.run_folder("ada", lab.id).path.exists()
    assert len(installation.state.attempts("ada", lab.id)) == 1
    assert not stop_run(installation, lab.id, "ada")


def test_trainees_have_machines_of_their_own(
    installation: Installation, engine: FakeEngine, lab: Lab
) -> None:
    start_run(installation, lab, "ada")
    start_run(installation, lab, "Bob / O'Hara ü")
    assert len(engine.machines) == 2
    stop_run(installation, lab.id, "ada")
    (left,) = list_runs(installation)
    assert (left.trainee, left.state) == ("Bob / O'Hara ü", RunState.READY)


def test_status_reads_the_state_from_the_engine(
    installation: Installation, engine: FakeEngine, lab: Lab
) -> None:
    (container,) = start_run(installation, lab, "ada").run.containers.values()
    engine.pause(container)
    assert [item.state for item in list_runs(installation)] == [RunState.PAUSED]
    engine.unpause(container)
    engine.kill(container)
    assert [item.state for item in list_runs(installation)] == [RunState.STOPPED]


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("create", EngineError("no disk")),
        ("attach", EngineError("gone")),
        ("start", EngineError("cannot allocate memory")),
        ("exec_stream", EngineError("hung")),
        ("attach", KeyboardInterrupt()),
        ("exec_stream", KeyboardInterrupt()),
    ],
)
def test_a_start_that_fails_or_is_interrupted_leaves_nothing(
    installation: Installation, engine: FakeEngine, lab: Lab, step: str, error: BaseException
) -> None:
    engine.fail_on[step] = error
    with pytest.raises(type(error)):
        start_run(installation, lab, "ada")
    assert engine.machines == {}
    assert installation.state.load_run("ada", lab.id) is None
    assert not start_run(installation, lab, "ada").resumed


def test_a_machine_that_does_not_boot_leaves_nothing_and_says_what_to_do(
    installation: Installation, engine: FakeEngine, lab: Lab
) -> None:
    engine.boots = False
    with pytest.raises(EngineError, match="does not answer over SSH") as caught:
        start_run(installation, lab, "ada")
    assert "phi-labs reset" in caught.value.hint
    assert engine.machines == {}


def test_a_broken_plant_leaves_nothing(
    installation: Installation, engine: FakeEngine, lab: Lab, tmp_path: Path
) -> None:
    broken = write_tiny_lab(tmp_path, plant=BROKEN_PLANT)
    with pytest.raises(UserError, match="broken"):
        start_run(installation, broken, "ada")
    assert engine.machines == {}


def test_a_clean_up_that_fails_does_not_hide_why_the_start_failed(
    installation: Installation, engine: FakeEngine, lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.fail_on |= {"start": EngineError("first trouble"), "remove": EngineError("second trouble")}
    with pytest.raises(EngineError, match="first trouble"):
        start_run(installation, lab, "ada")
    assert "second trouble" in capsys.readouterr().err


def test_an_entity_the_lab_does_not_have_is_refused(
    installation: Installation, engine: FakeEngine, lab: Lab
) -> None:
    (lab.folder / "lab.yml").write_text((lab.folder / "lab.yml").read_text() + "entities: [ce]\n")
    with pytest.raises(UserError, match="not made for ba"):
        start_run(installation, load_lab(lab.folder), "ada", entity="ba")
    assert engine.machines == {}


def test_another_entity_than_the_runs_is_refused_and_nothing_lost(
    installation: Installation, engine: FakeEngine, lab: Lab
) -> None:
    start_run(installation, lab, "ada", entity="ce")
    with pytest.raises(UserError, match="already there as ce"):
        start_run(installation, lab, "ada", entity="ba")
    assert len(engine.machines) == 1


def test_what_needs_a_run_says_how_to_start_one(installation: Installation, lab: Lab) -> None:
    for need in (need_run, need_live_run):
        with pytest.raises(UserError, match="ada has no run of tiny") as caught:
            need(installation, lab.id, "ada")
        assert caught.value.hint == "start one: phi-labs start tiny"
    with pytest.raises(UserError):
        reset_run(installation, lab, "ada")


def test_a_live_run_is_woken_and_a_dead_one_explained(
    installation: Installation, engine: FakeEngine, lab: Lab
) -> None:
    (container,) = start_run(installation, lab, "ada").run.containers.values()
    engine.pause(container)
    need_live_run(installation, lab.id, "ada")
    assert engine.inspect(container).running
    engine.kill(container)
    with pytest.raises(UserError, match="was stopped from outside"):
        need_live_run(installation, lab.id, "ada")
    engine.kill(container, oom=True)
    with pytest.raises(UserError, match="ran out of memory"):
        need_live_run(installation, lab.id, "ada")
    engine.remove(container)
    with pytest.raises(UserError, match="removed from outside"):
        need_live_run(installation, lab.id, "ada")
    with pytest.raises(MissingObject):
        engine.inspect(container)
