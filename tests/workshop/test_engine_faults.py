"""The engine hangs, stops, is killed, loses power: the workshop waits, says so, and goes on by itself."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.tiny_lab import FIX, write_tiny_lab
from tests.workshop.day import Day, until
from tests.workshop.own_engine import OwnEngine, own_engine
from tests.workshop.small_disk import SmallDisk, small_disk

from phi_labs.engine.docker import LABEL_PREFIX, ContainerSpec
from phi_labs.engine.images import base_recipe, lab_recipe
from phi_labs.lifecycle.installation import Installation
from phi_labs.probe.client import probe_recipe
from phi_labs.records.event import Kind

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.fixture(scope="module")
def engine(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnEngine]:
    """An engine of our own with the images that the tiny lab needs."""
    lab = write_tiny_lab(tmp_path_factory.mktemp("content"))
    installation.image_of(lab, "one")
    installation.probe_container()
    recipes = base_recipe(), probe_recipe(), lab_recipe(lab.id, "one", lab.context("one"))
    with own_engine() as engine:
        engine.take(installation.engine, [recipe.tag for recipe in recipes])
        yield engine


@pytest.fixture(scope="module")
def opened(engine: OwnEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """One workshop for several tests, each with learners of its own."""
    folder = tmp_path_factory.mktemp("day")
    with small_disk(folder / "state") as disk:
        day = Day(folder, engine)
        day.disk = disk
        day.enrol("first")
        day.open()
        yield day
        day.end(close=False)


@pytest.fixture
def day(opened: Day, engine: OwnEngine) -> Iterator[Day]:
    yield opened
    engine.ensure()
    engine.disk.make_room()
    disk_of(opened).make_room()


def disk_of(day: Day) -> SmallDisk:
    assert day.disk is not None
    return day.disk


def learners(day: Day, kind: str) -> tuple[str, str]:
    """Two more, with their labs ready."""
    names = f"ana-{kind}", f"ben-{kind}"
    day.enrol(*names)
    day.open()
    until(lambda: prepared(day))
    return names


def prepared(day: Day) -> bool:
    now = day.status()
    return not now["trouble"] and now["prepared"] == now["learners"]


def trouble(day: Day) -> str:
    return str(day.status()["trouble"])


def graded_in_the_background(day: Day, name: str) -> tuple[threading.Thread, list[tuple[int, str]]]:
    """Somebody's own grading through the gateway, under way when this returns."""
    said: list[tuple[int, str]] = []
    thread = threading.Thread(target=lambda: said.append(day.ssh(name, "grade tiny")))
    thread.start()
    until(lambda: any((day.state / "attempts").glob(f"{name}*/tiny/.grading-*")))
    return thread, said


def started(day: Day, *names: str) -> Counter[str]:
    return Counter(event.subject for event in day.events(Kind.LAB_STARTED) if event.subject in names)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_an_engine_that_goes_away_and_comes_back_costs_nobody_anything(
    day: Day, engine: OwnEngine, how: signal.Signals
) -> None:
    ana, ben = learners(day, how.name.lower())
    assert day.ssh(ana, "sudo -n bash -s", stdin=FIX, lab="tiny")[0] == 0
    assert day.ssh(ben, "echo mine > note", lab="tiny")[0] == 0
    before = len(day.events(Kind.MESSAGE_SENT))
    thread, said = graded_in_the_background(day, ana)
    engine.signal(how)
    until(lambda: "the engine does not answer since" in trouble(day))
    assert "start it" in trouble(day)
    assert "cannot be reached at the moment" in day.ssh(ben, "labs")[1]
    code, told = day.ssh(ben, "true", lab="tiny")
    assert (code != 0, "nothing you did is lost" in told) == (True, True), told
    assert "the engine does not answer" in day.run("workshop", "close", "--yes", code=3)
    engine.start()
    thread.join(120)
    assert said
    assert said[0][0] == 0, said
    assert "100 of 100" in said[0][1]
    until(lambda: prepared(day))
    assert day.ssh(ben, "cat note", lab="tiny") == (0, "mine\n")
    assert started(day, ana, ben) == Counter([ana, ben])
    graded = [item.data["number"] for item in day.events(Kind.GRADED) if item.subject == ana]
    assert graded == [1]
    away, back = [event.data["text"] for event in day.events(Kind.MESSAGE_SENT)][before:]
    assert "cannot be reached at the moment" in away
    assert "can be reached again" in back


def test_an_engine_that_hangs_keeps_nobody_from_being_told(day: Day, engine: OwnEngine) -> None:
    ana, ben = learners(day, "hung")
    assert day.ssh(ana, "sudo -n bash -s", stdin=FIX, lab="tiny")[0] == 0
    thread, said = graded_in_the_background(day, ana)
    engine.signal(signal.SIGSTOP)
    until(lambda: "the engine does not answer since" in trouble(day))
    assert "cannot be reached at the moment" in day.ssh(ben, "labs")[1]
    engine.signal(signal.SIGCONT)
    thread.join(120)
    assert said[0][0] == 0, said
    until(lambda: trouble(day) == "")
    assert day.ssh(ben, "id -un", lab="tiny") == (0, "itops\n")
    graded = [item for item in day.events(Kind.GRADED) if item.subject == ana]
    assert [item.data["scorecard"]["score"] for item in graded] == [100]


def test_after_a_reboot_open_goes_on_with_everybodys_work(day: Day, engine: OwnEngine) -> None:
    names = learners(day, "rebooted")
    for name in names:
        assert day.ssh(name, f"echo {name} > note", lab="tiny")[0] == 0
    day.kill()
    engine.end_all()
    engine.start()
    day.open()
    for name in names:
        assert day.ssh(name, "cat note", lab="tiny") == (0, f"{name}\n")
    assert started(day, *names) == Counter(names)


def strangers(day: Day) -> list[str]:
    """A container of another project, and one that looks like a clone of another installation's grading."""
    clone = {LABEL_PREFIX + "kind": "clone", LABEL_PREFIX + "install": "another"}
    made = []
    with day.engine() as connection:
        image = connection.image_id(base_recipe().tag)
        assert image is not None
        for name, labels in (("somebody-elses", {}), ("phi-labs-taken-0123456789ab-1", clone)):
            made.append(connection.create(ContainerSpec(image, ["sleep", "600"], name, labels)))
            connection.start(made[-1])
    return made


def test_after_a_reboot_close_grades_what_was_begun_and_touches_nobody_elses(
    tmp_path: Path, engine: OwnEngine
) -> None:
    day = Day(tmp_path, engine)
    day.enrol("ana")
    day.open()
    others = strangers(day)
    try:
        assert day.ssh("ana", "sudo -n bash -s", stdin=FIX, lab="tiny")[0] == 0
        day.kill()
        engine.end_all()
        engine.start()
        closed = day.asked("workshop", "close", "--yes")
        assert (closed["graded"], closed["ungraded"], closed["left"]) == (1, [], [])
        assert [item.data["scorecard"]["score"] for item in day.events(Kind.GRADED)] == [100]
        assert day.machines() == []
        with day.engine() as connection:
            assert [connection.inspect(other).status for other in others] == ["exited", "exited"]
    finally:
        engine.ensure()
        day.end()
        with day.engine() as connection:
            for other in others:
                connection.remove(other)


def test_a_full_disk_lets_work_wait_and_loses_nothing(day: Day) -> None:
    ana, ben = learners(day, "full")
    disk = disk_of(day)
    assert day.ssh(ana, "sudo -n bash -s", stdin=FIX, lab="tiny")[0] == 0
    thread, said = graded_in_the_background(day, ana)
    disk.fill()
    until(lambda: "nothing can be written since" in trouble(day))
    assert "free space there" in trouble(day)
    code, told = day.ssh(ben, "true", lab="tiny")
    assert (code != 0, "nothing you did is lost" in told) == (True, True), told
    assert day.events(Kind.WORKSHOP_OPENED)  # every event that is there is whole
    assert not [item for item in day.events(Kind.SESSION) if item.subject == ben]
    disk.make_room()
    thread.join(120)
    assert said[0][0] == 0, said
    until(lambda: trouble(day) == "")
    until(lambda: [item.data["number"] for item in day.events(Kind.GRADED) if item.subject == ana] == [1])
    assert day.ssh(ben, "id -un", lab="tiny") == (0, "itops\n")
    assert [item for item in day.events(Kind.SESSION) if item.subject == ben]


def test_an_engine_without_room_starts_no_lab_and_grades_once_it_has(day: Day, engine: OwnEngine) -> None:
    ana, ben = learners(day, "roomless")
    assert day.ssh(ana, "sudo -n bash -s", stdin=FIX, lab="tiny")[0] == 0
    engine.disk.fill(left=1 << 30)
    day.enrol("late")
    day.open("--no-wait")
    until(lambda: "disk is short" in day.status()["held_by"])
    engine.disk.fill()
    until(lambda: "the engine's disk is full since" in trouble(day))
    said: list[tuple[int, str]] = []
    thread = threading.Thread(target=lambda: said.append(day.ssh(ana, "grade tiny")))
    thread.start()
    until(lambda: day.status()["grading_waits"] == 1)
    engine.disk.make_room()
    thread.join(60)
    assert said[0][0] == 0, said
    until(lambda: prepared(day))
    assert day.ssh("late", "id -un", lab="tiny") == (0, "itops\n")
    assert day.ssh(ben, "id -un", lab="tiny") == (0, "itops\n")


def test_an_image_that_is_removed_in_the_middle_is_built_again(day: Day, engine: OwnEngine) -> None:
    (ana, _) = learners(day, "imageless")
    with engine.chosen() as connection:
        tags = [name for name in connection.images() if name.startswith("phi-labs/lab-tiny-one")]
        for name in tags:
            connection._api.remove_image(name, force=True)
        assert connection.image_id(tags[0]) is None
    day.enrol("after")
    day.open()
    until(lambda: prepared(day))
    assert day.ssh("after", "id -un", lab="tiny") == (0, "itops\n")
    assert day.ssh(ana, "grade tiny")[0] == 1  # what was there goes on
