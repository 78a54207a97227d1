"""A run to attack, another that must not suffer, and what holds after every grading."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from tests.hostile.fort import FIX, write_fort
from tests.machines.conftest import Box

from phi_labs.grading.grade import grade_run
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.runs import start_run, stop_run
from phi_labs.model.lab import Lab
from phi_labs.model.run import Run
from phi_labs.model.scorecard import Scorecard

ALL = frozenset({"closed", "rights", "login", "nightly", "flag", "record"})
NOTHING: frozenset[str] = frozenset()
BYSTANDER = "bystander"


@dataclass(frozen=True)
class Verdict:
    """A scorecard as attacks are judged by it.

    Attributes:
        passed: objectives that score.
        guards: guards that failed.
        seconds: how long the grading took.
    """

    card: Scorecard
    passed: frozenset[str]
    guards: frozenset[str]
    seconds: float

    def expect(self, passed: frozenset[str] | set[str], guards: frozenset[str] | set[str] = NOTHING) -> None:
        """Exactly these objectives score, exactly these guards fail."""
        told = {name: messages for name, messages in self._messages().items() if messages}
        assert (set(self.passed), set(self.guards)) == (set(passed), set(guards)), told

    def says(self, name: str) -> str:
        """What the checks of an objective, or a guard, said."""
        return " / ".join(self._messages()[name])

    def _messages(self) -> dict[str, tuple[str, ...]]:
        said = {item.id: item.messages for item in self.card.objectives}
        return said | {guard.id: guard.messages for guard in self.card.guards}


@dataclass(frozen=True)
class Fort:
    """A trainee's run of the fort."""

    installation: Installation
    lab: Lab
    run: Run
    trainee: str

    @property
    def box(self) -> Box:
        return Box(self.installation.engine, self.run.containers["one"])

    @property
    def ticket(self) -> str:
        """What this trainee's record must name."""
        answers = self.installation.state.load_manifest(self.trainee, self.lab.id).answers
        return str(answers["ticket"])

    def fix(self, *, record: bool = True) -> None:
        """Do all that is asked for."""
        self.box.sh(FIX)
        if record:
            self.box.sh(f"echo 'ticket: {self.ticket}' > /srv/records/report.yml")

    def graded(self) -> Verdict:
        """Grade; whatever the lab does, an attempt counts and nothing is left behind."""
        before = len(self._attempts())
        start = time.monotonic()
        card = grade_run(self.installation, self.lab, self.trainee, later=False).scorecard
        seconds = time.monotonic() - start
        assert len(self._attempts()) == before + 1
        assert leftovers(self.installation) == []
        assert "Traceback" not in card.to_json()
        assert "\\u001b" not in card.to_json()
        passed = frozenset(item.id for item in card.objectives if item.passed and not item.withheld)
        return Verdict(card, passed, frozenset(guard.id for guard in card.failed_guards), seconds)

    def _attempts(self) -> list[int]:
        return [item.number for item in self.installation.state.attempts(self.trainee, self.lab.id)]


def leftovers(installation: Installation) -> list[str]:
    """Names of containers that only a grading needs."""
    mine = {"install": installation.state.install}
    kinds = ("clone", "interpreter")
    return [item.name for kind in kinds for item in installation.engine.containers({**mine, "kind": kind})]


@pytest.fixture(scope="session")
def fort_lab(tmp_path_factory: pytest.TempPathFactory, installation: Installation) -> Lab:
    """The fort, its image built."""
    lab = write_fort(tmp_path_factory.mktemp("fort"))
    installation.image_of(lab, "one")
    return lab


@pytest.fixture(scope="module")
def bystander(installation: Installation, fort_lab: Lab) -> Iterator[Fort]:
    """Somebody else who did all that is asked for, and gets all points, whatever happened meanwhile."""
    other = Fort(installation, fort_lab, start_run(installation, fort_lab, BYSTANDER).run, BYSTANDER)
    other.fix()
    yield other
    try:
        other.graded().expect(ALL)
    finally:
        stop_run(installation, fort_lab.id, BYSTANDER)


StartFort = Callable[[], Fort]


@pytest.fixture
def fort(
    installation: Installation, fort_lab: Lab, bystander: Fort, request: pytest.FixtureRequest
) -> Iterator[Fort]:
    """A fresh run, its trainee named after the test; at its end engine, probe and bystander are well."""
    trainee = "".join(letter for letter in request.node.name if letter.isalnum() or letter in "_-")[:60]
    yield Fort(installation, fort_lab, start_run(installation, fort_lab, trainee).run, trainee)
    stop_run(installation, fort_lab.id, trainee)
    assert installation.probe().ask("hello")["agent"] == 1
    assert installation.engine.version()
    assert bystander.box.sh("cat /run/flag.state") == "up"
