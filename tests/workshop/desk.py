"""A workshop's ledger over the tiny lab, without an engine: for tests of what is noted and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.fakes.engine import FakeEngine
from tests.tiny_lab import write_tiny_lab
from tests.workshop.cohorts import card
from tests.workshop.day import SCENARIO

from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.state import State
from phi_labs.model.cohort import Learner
from phi_labs.model.run import Run, RunState
from phi_labs.model.scorecard import Scorecard
from phi_labs.records.event import Kind
from phi_labs.records.store import Records
from phi_labs.workshop.ledger import Ledger, Now
from phi_labs.workshop.opening import note_opening
from phi_labs.workshop.roster import Roster
from phi_labs.workshop.scenario import load_scenario
from phi_labs.workshop.settings import Settings


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def move(self, **more: float) -> None:
        self.time += timedelta(**more)


class Desk:
    """Everything that a ledger needs, and a ledger.

    Args:
        minutes: the time limit of the lab; none when 0.
        now: what the workshop goes by; ``clock`` by default.
    """

    def __init__(
        self, folder: Path, learners: Sequence[str] = ("ana",), minutes: int = 0, now: Now | None = None
    ) -> None:
        self.folder = folder
        content = folder / "content"
        self.tiny = write_tiny_lab(content)
        path = content / "scenarios" / "tiny-day.yml"
        path.parent.mkdir(exist_ok=True)
        limit = f", minutes: {minutes}" if minutes else ""
        path.write_text(SCENARIO.replace("{id: tiny}", f"{{id: tiny{limit}}}"))
        self.state = State(folder / "state")
        self.engine = FakeEngine()
        self.installation = Installation(self.state, content=content)
        self.installation.__dict__["engine"] = self.engine
        self.clock = Clock()
        self.now = now or self.clock
        self.loaded = load_scenario(path, content)
        self.settings = Settings("day", str(path), "", "trainer")
        people = [Learner(name, name.title(), f"{name}@corp.example.org", "ce") for name in learners]
        self.roster = Roster(tuple(people), "0" * 64)
        self.records = Records(f"sqlite:///{folder / 'records.db'}", clock=self.now)
        self.told: list[str] = []
        self.ledger = self.opened()

    def opened(self) -> Ledger:
        """A ledger as a process has it that takes the workshop up."""
        ledger = Ledger(
            self.installation,
            self.records,
            self.settings,
            self.loaded,
            now=self.now,
            tell=self.told.append,
        )
        note_opening(ledger, self.roster)
        return ledger

    def started(self, learner: str = "ana", before: int = 0) -> None:
        """Note that a learner's lab came up."""
        self.ledger.note(
            Kind.LAB_STARTED, learner, lab="tiny", run="r", images={}, retry=0, attempts_before=before
        )

    def scorecard(self, number: int, earned: Sequence[str] = ()) -> Scorecard:
        """The verdict of that attempt."""
        made = card(self.tiny, earned)
        about = replace(made.about, attempt=number, graded_at=self.clock().isoformat(timespec="seconds"))
        return made.about_run(about)

    def keep(self, learner: str = "ana", earned: Sequence[str] = ()) -> Scorecard:
        """An attempt as a grader keeps it, with nothing on record."""
        attempt = self.state.new_attempt(learner, "tiny")
        (attempt.submission / "one.tar").write_bytes(b"what was handed in")
        run = Run("r", "tiny", learner, "ce", 0, 30_000, "", state=RunState.READY)
        self.state.write(attempt.path / "run.json", run.to_json())
        kept = self.state.keep_attempt(
            learner, "tiny", attempt, lambda number: self.scorecard(number, earned).to_json()
        )
        return self.scorecard(kept.number, earned)

    def close(self) -> None:
        """Give everything back."""
        self.records.close()
        self.engine.close()
