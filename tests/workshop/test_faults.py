"""Whatever is killed in a workshop: nothing is lost, nothing is twice, nothing is left after close."""

from __future__ import annotations

import shutil
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.tiny_lab import FIX
from tests.workshop.day import Day, until

from phi_labs.lifecycle.installation import Installation
from phi_labs.records.event import Kind

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.fixture
def day(tmp_path: Path, installation: Installation) -> Iterator[Day]:
    day = Day(tmp_path)
    yield day
    day.end(close=False)


def test_killed_while_it_opens_it_is_taken_up_and_everybody_has_one_lab(day: Day) -> None:
    day.enrol("ana", "ben", "cho", "dov")
    day.open("--no-wait", "--starters", "1")
    until(lambda: len(day.events(Kind.LAB_STARTED)) >= 1)
    day.kill()
    assert "is open: 4 learners, 4 labs ready" in " ".join(day.open().split())
    started = Counter(event.subject for event in day.events(Kind.LAB_STARTED))
    assert started == Counter(["ana", "ben", "cho", "dov"])
    assert len(day.events(Kind.ENROLLED)) == 4
    assert len(day.events(Kind.WORKSHOP_OPENED)) == 1
    assert sum("-run-" in name for name in day.machines()) == 4


def test_killed_while_it_grades_every_attempt_is_on_record_once(day: Day) -> None:
    day.enrol("ana", "ben")
    day.open()
    for name in day.keys:
        assert day.ssh(name, "sudo -n bash -s", stdin=FIX if name == "ana" else "true", lab="tiny")[0] == 0
    grading = day.begin("workshop", "grade", "--all")
    attempts = day.state / "attempts"
    until(lambda: any(attempts.glob("*/tiny/.grading-*")) or any(attempts.glob("*/tiny/0001")))
    day.kill()
    grading.communicate(timeout=60)
    assert grading.returncode == 3
    day.open()
    day.run("workshop", "grade", "--all")
    numbers = Counter((event.subject, event.data["number"]) for event in day.events(Kind.GRADED))
    kept = {
        (name, int(path.name))
        for name in day.keys
        for path in attempts.glob(f"{name}*/tiny/[0-9]*")
        if path.is_dir()
    }
    assert set(numbers) == kept
    assert set(numbers.values()) == {1}
    last = {event.subject: event.data["scorecard"]["score"] for event in day.events(Kind.GRADED)}
    assert last == {"ana": 100, "ben": 0}


def test_killed_while_it_closes_the_close_is_finished_by_the_next_one(day: Day) -> None:
    day.enrol("ana", "ben", "cho")
    day.open()
    for name in day.keys:
        assert day.ssh(name, "sudo -n bash -s", stdin=FIX, lab="tiny")[0] == 0
    closing = threading.Thread(target=day.run, args=("workshop", "close", "--yes"), kwargs={"code": None})
    closing.start()
    until(lambda: len(day.events(Kind.GRADED)) >= 1)
    day.kill()
    closing.join()
    closed = day.asked("workshop", "close", "--yes")
    assert (closed["ungraded"], closed["left"]) == ([], [])
    final = Counter(event.subject for event in day.events(Kind.GRADED) if event.data.get("final"))
    assert set(final) == {"ana", "ben", "cho"}
    assert all(event.data["scorecard"]["score"] == 100 for event in day.events(Kind.GRADED))
    assert len(day.events(Kind.WORKSHOP_CLOSED)) == 1
    assert day.machines() == []
    assert "was closed" in day.open(code=2)
    head = str(day.state / "workshops/tiny-day/head.json")
    assert "each as it was written" in day.run("records", "verify", "--head", head)


def test_an_interrupt_lets_go_and_work_is_still_there_when_it_goes_on(day: Day) -> None:
    day.enrol("ana")
    day.open()
    day.ssh("ana", "echo mine > note", lab="tiny")
    day.kill(signal.SIGINT)
    assert "not open at the moment" in day.run("workshop", "status", code=2)
    day.open()
    assert day.ssh("ana", "cat note", lab="tiny") == (0, "mine\n")
    assert len(day.events(Kind.LAB_STARTED)) == 1


def test_a_row_added_to_the_roster_in_the_middle_takes_part(day: Day) -> None:
    day.enrol("ana")
    day.open()
    day.enrol("zoe")
    assert "1 learners are new or changed" in day.open()
    assert day.ssh("zoe", "id -un", lab="tiny") == (0, "itops\n")
    assert [row["learner"] for row in day.status()["rows"]] == ["ana", "zoe"]


def test_two_trainers_commands_at_once_do_both_things_once(day: Day) -> None:
    day.enrol("ana", "ben")
    day.open()
    day.ssh("ana", "true", lab="tiny")
    commands = [
        ("workshop", "extend", "ana", "20m"),
        ("workshop", "extend", "ana", "10m"),
        ("workshop", "message", "ana", "hello"),
        ("workshop", "grade", "ana"),
        ("workshop", "grade", "ana"),
    ]
    threads = [threading.Thread(target=day.run, args=words) for words in commands]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(event.data["minutes"] for event in day.events(Kind.EXTENDED)) == [10, 20]
    numbers = [event.data["number"] for event in day.events(Kind.GRADED)]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert len(numbers) in {1, 2}  # asked twice while it waited, it is graded once


def test_the_probe_and_a_machine_that_are_removed_stop_nobody(day: Day) -> None:
    day.enrol("ana", "ben")
    day.open()
    for name in day.keys:
        day.ssh(name, "true", lab="tiny")
    with day.engine() as engine:
        for item in engine.containers({"install": day.install}):
            if item.label("kind") == "probe" or item.label("trainee") == "ben":
                engine.remove(item.id)
    said = day.run("workshop", "grade", "--all", code=3)
    assert "machine one of your run of tiny was removed from outside" in said
    assert [event.subject for event in day.events(Kind.GRADED)] == ["ana"]
    assert {event.subject for event in day.events(Kind.NOT_GRADED)} == {"ben"}
    day.run("workshop", "reset", "ben", "tiny", "--yes")
    assert day.ssh("ben", "id -un", lab="tiny") == (0, "itops\n")


def test_what_is_taken_away_or_spoilt_around_an_open_workshop_stops_nobody(day: Day) -> None:
    day.enrol("ana")
    day.open()
    port = day.status()["listen"]

    (day.folder / "roster.csv").write_bytes(b"\x00\xff garbage;;;\n")  # the roster
    assert "nothing was started" in day.open(code=2)
    assert [row["learner"] for row in day.status()["rows"]] == ["ana"]

    (day.state / "workshops/tiny-day/control.sock").unlink()  # the socket for commands
    until((day.state / "workshops/tiny-day/control.sock").exists)
    assert day.status()["prepared"] == 1

    other = Day(day.folder / "other")  # the port
    other.enrol("zoe")
    try:
        roster = str(other.folder / "roster.csv")
        words = "workshop", "open", "tiny-day", "--roster", roster, "--listen", port
        said = other.run(*words, code=3)
        assert f"cannot listen on {port}" in said
        assert other.machines() == []
    finally:
        other.end(close=False)

    assert day.ssh("ana", "id -un", lab="tiny") == (0, "itops\n")


def test_a_lab_that_cannot_be_built_keeps_nobody_from_the_others(day: Day) -> None:
    copy = day.content / "labs" / "broken"
    shutil.copytree(day.content / "labs" / "tiny", copy)
    (copy / "lab.yml").write_text((copy / "lab.yml").read_text().replace("id: tiny", "id: broken"))
    (copy / "checks" / "test_tiny.py").rename(copy / "checks" / "test_broken.py")
    dockerfile = copy / "one" / "Dockerfile"
    good = dockerfile.read_text()
    dockerfile.write_text(f"{good}RUN echo this lab is broken && false\n")
    scenario = day.content / "scenarios" / "tiny-day.yml"
    more = "labs: [{id: tiny}, {id: broken}]\ncapacity: {initial: 2, reserved: 0, capacity: 9}"
    scenario.write_text(scenario.read_text().replace("labs: [{id: tiny}]", more))
    day.enrol("ana")
    assert "broken cannot be started" in day.open("--no-wait")
    until(lambda: day.status()["failed_starts"] == 1)
    now = day.status()
    assert now["prepared"] == 1
    assert [lab["state"] for lab in now["rows"][0]["labs"]] == ["ready", "failed"]
    assert "building image" in now["rows"][0]["labs"][1]["reason"]
    assert day.ssh("ana", "id -un", lab="tiny") == (0, "itops\n")
    assert "could not be started" in day.ssh("ana", "id -un", lab="broken")[1]
    dockerfile.write_text(good)
    day.open()  # again
    until(lambda: day.status()["prepared"] == 2)
    assert day.ssh("ana", "id -un", lab="broken") == (0, "itops\n")
