"""Grading for many on the real engine: nothing twice, nothing lost, trouble told, whatever is killed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.machines.conftest import Box
from tests.tiny_lab import FIX, write_tiny_lab

from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.runs import start_run, stop_run
from phi_labs.model.lab import Lab
from phi_labs.workshop.graders import Graders, Outcome, Ticket, submission_hash

pytestmark = pytest.mark.docker
LEARNERS = ("ana", "ben", "cho")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, installation: Installation) -> Lab:
    installation.content = tmp_path_factory.mktemp("content")
    lab = write_tiny_lab(installation.content)
    installation.image_of(lab, "one")
    return lab


@pytest.fixture(scope="module")
def runs(installation: Installation, tiny: Lab) -> Iterator[None]:
    for learner in LEARNERS:
        run = start_run(installation, tiny, learner, spares=False).run
        if learner == "ben":
            Box(installation.engine, run.containers["one"]).sh(FIX)
    yield
    for learner in LEARNERS:
        stop_run(installation, tiny.id, learner)


class Heard:
    """Every outcome that was told, in order."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[str, Outcome]] = []
        self._lock = threading.Lock()

    def __call__(self, ticket: Ticket, outcome: Outcome) -> bool:
        with self._lock:
            self.outcomes.append((ticket.learner, outcome))
        return False


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def graders(installation: Installation, runs: None, heard: Heard) -> Iterator[Graders]:
    graders = Graders(installation.state.root, installation.content, workers=2, finished=heard)
    yield graders
    graders.close()


def test_everybody_is_graded_once_with_a_supervised_score(
    installation: Installation, tiny: Lab, graders: Graders, heard: Heard
) -> None:
    before = {learner: len(installation.state.attempts(learner, tiny.id)) for learner in LEARNERS}
    tickets = [graders.ask(learner, tiny.id) for learner in LEARNERS for _ in range(2)]
    assert graders.wait(60)
    assert {learner for learner, _ in heard.outcomes} == set(LEARNERS)
    for learner in LEARNERS:
        told = [outcome for name, outcome in heard.outcomes if name == learner]
        kept = installation.state.attempts(learner, tiny.id)[before[learner] :]
        assert [outcome.number for outcome in told] == [attempt.number for attempt in kept]
        assert told[0].submission == submission_hash(kept[0].submission)
        card = told[0].scorecard
        assert card is not None
        assert (card["score"], card["assurance"]) == (100 if learner == "ben" else 0, "supervised")
    assert all(ticket.done.is_set() and ticket.outcome for ticket in tickets)


def test_what_cannot_be_graded_is_told_with_its_reason(graders: Graders, heard: Heard, tiny: Lab) -> None:
    ticket = graders.ask("nobody", tiny.id)
    assert ticket.done.wait(30)
    assert ticket.outcome is not None
    assert (ticket.outcome.number, ticket.outcome.scorecard, ticket.outcome.ours) == (0, None, False)
    assert "has no run of tiny" in ticket.outcome.reason


def test_a_killed_process_is_our_trouble_and_the_next_grading_works(
    graders: Graders, heard: Heard, tiny: Lab
) -> None:
    assert graders.ask("ana", tiny.id).done.wait(60)
    ticket = graders.ask("ana", tiny.id)
    for process in list((graders._pool._processes or {}).values()):
        os.kill(process.pid or 0, signal.SIGKILL)
    assert ticket.done.wait(60)
    assert ticket.outcome is not None
    if ticket.outcome.scorecard is None:  # it may have been quicker than the signal
        assert (ticket.outcome.ours, ticket.outcome.reason) == (True, "the grading process was killed")
    again = graders.ask("ben", tiny.id)
    assert again.done.wait(60)
    assert again.outcome is not None
    assert again.outcome.scorecard is not None


def test_a_submissions_hash_tells_contents_and_names_apart(tmp_path: Path) -> None:
    hashes = set()
    for name, text in (("a", "x"), ("a", "y"), ("b", "x")):
        folder = tmp_path / f"{name}{text}"
        folder.mkdir()
        (folder / name).write_text(text)
        hashes.add(submission_hash(folder))
    assert len(hashes) == 3
