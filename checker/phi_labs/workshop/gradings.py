"""Gradings of a workshop: asked for, recorded once each and in order, repeated when the trouble was ours."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from phi_labs.errors import PhiLabsError, UserError
from phi_labs.lifecycle.state import AttemptFolder
from phi_labs.model.run import Run
from phi_labs.model.scorecard import Scorecard
from phi_labs.records.event import Kind, NewEvent
from phi_labs.workshop.attendance import Attendance
from phi_labs.workshop.edition import checker_version, lab_version
from phi_labs.workshop.footing import Footing
from phi_labs.workshop.graders import Graders, Outcome, Ticket, fingerprint, submission_hash
from phi_labs.workshop.ledger import Key, Ledger


class Gradings:
    """Has labs graded, and what came of it recorded."""

    def __init__(self, ledger: Ledger, attendance: Attendance, footing: Footing) -> None:
        self._ledger = ledger
        self._attendance = attendance
        self._footing = footing
        self._finals: dict[Key, str] = {}
        self._retries: Counter[Key] = Counter()
        self._unnoted: dict[Key, tuple[Outcome, str]] = {}
        self.graders = Graders(
            ledger.installation.state.root,
            ledger.installation.content,
            workers=ledger.settings.graders,
            finished=self._graded,
            hints_cost=ledger.loaded.scenario.hints != "free",
        )
        footing.listen(self.graders.hold)

    def ask(self, learner: str, lab: str, *, final: str = "", first: bool = False) -> Ticket:
        """Have a run graded.

        Args:
            final: why no more is graded afterwards; empty if it goes on.

        Raises:
            UserError: the lab is finished, or was never started.
        """
        self._ledger.known(learner, lab)
        place = self._ledger.place(learner, lab)
        if place.finished and not final:
            raise UserError(
                f"{lab} is finished for {learner} ({place.finished})",
                "the trainer can give more time: phi-labs workshop extend",
            )
        if place.started_at is None:
            raise UserError(f"{learner} has not begun {lab}", "there is nothing to grade yet")
        if final:
            self._finals[learner, lab] = final
        return self.graders.ask(learner, lab, first=first)

    def settle(self) -> None:
        """Record what was graded and is on no record yet: the program was killed before, or the disk full.

        Raises:
            RecordsError: it still cannot be.
        """
        for key, (outcome, final) in list(self._unnoted.items()):
            self._note_graded(*key, outcome, final)
            self._unnoted.pop(key, None)
        for learner, lab in self._ledger.plan():
            with self._ledger.lock:
                self._ledger.note_all(list(self._unrecorded(learner, lab)))

    # -- how one ended --------------------------------------------------------------------------

    def _graded(self, ticket: Ticket, outcome: Outcome) -> bool:
        """Record it; True when it is to be done once more."""
        key = (ticket.learner, ticket.lab)
        if outcome.scorecard is not None:
            final = self._finals.pop(key, "")
            self._retries.pop(key, None)
            self._record(key, outcome, final)
            return False
        lost = outcome.ours and self._footing.is_lost()
        again = lost or (outcome.ours and self._retries[key] == 0)
        final = "" if again else self._finals.pop(key, "")
        more: dict[str, Any] = {"final": final} if final else {}
        with self._told(key):
            self._ledger.note(
                Kind.NOT_GRADED, key[0], lab=key[1], reason=outcome.reason, ours=outcome.ours, **more
            )
        if not lost:  # our trouble is tried once more; what has nothing to stand on waits for that
            self._retries[key] = 1 if again else 0
        return again

    def _record(self, key: Key, outcome: Outcome, final: str) -> None:
        self._unnoted[key] = outcome, final
        with self._told(key):
            self._note_graded(*key, outcome, final)
            self._unnoted.pop(key, None)
            self._attendance.rest_again(*key)

    @contextmanager
    def _told(self, key: Key) -> Iterator[None]:
        """Trouble in here goes to the log: whoever waits for a grade gets it all the same."""
        try:
            yield
        except PhiLabsError as error:
            self._ledger.tell(f"{key[0]} {key[1]}: {error.message}; {error.hint}")
            self._footing.is_lost()

    def _note_graded(self, learner: str, lab: str, outcome: Outcome, final: str) -> None:
        ledger = self._ledger
        with ledger.lock:
            place = ledger.place(learner, lab)
            if outcome.number in place.numbers:
                return
            # A grader that was killed may have kept an attempt before this one.
            new = list(self._unrecorded(learner, lab, below=outcome.number))
            late = bool(place.due_at and ledger.now() > place.due_at and not final)
            more = {"final": final} if final else {}
            new.append(self._event(learner, lab, outcome, late=late, **more))
            ledger.note_all(new)

    # -- attempts that were kept and are on no record ----------------------------------------------

    def _unrecorded(self, learner: str, lab: str, *, below: int | None = None) -> Iterator[NewEvent]:
        """Events for attempts of this workshop that have none yet, in their order."""
        place, state = self._ledger.place(learner, lab), self._ledger.installation.state
        if place.attempts_before is None:  # it was never started here
            return
        kept = state.attempts(learner, lab)
        if below is None and (learner, lab) in self.graders.under_way:
            return  # looked up after the listing: who has kept one of these is about to record it
        for attempt in kept:
            known = attempt.number in place.numbers or attempt.number <= place.attempts_before
            if known or (below is not None and attempt.number >= below):
                continue
            outcome = self._kept(learner, lab, attempt)
            card = outcome.scorecard or {}
            late = place.due_at is not None and _graded_at(card) > place.due_at
            yield self._event(learner, lab, outcome, late=late, recovered=True)

    def _kept(self, learner: str, lab: str, attempt: AttemptFolder) -> Outcome:
        state = self._ledger.installation.state
        card = Scorecard.from_json(attempt.scorecard.read_text(encoding="utf-8"))
        run = Run.from_json((attempt.path / "run.json").read_text(encoding="utf-8"))
        return Outcome(
            attempt.number,
            card.to_data(),
            submission_hash(attempt.submission),
            fingerprint(state.seed(learner, lab, run.retry)),
        )

    def _event(self, learner: str, lab: str, outcome: Outcome, *, late: bool, **more: Any) -> NewEvent:
        ledger = self._ledger
        card: dict[str, Any] = json.loads(json.dumps(outcome.scorecard))
        about = card["about"]
        data = {
            "lab": lab,
            "number": outcome.number,
            "graded_at": about["graded_at"],
            "scorecard": card,
            "assurance": card["assurance"],
            "submission": outcome.submission,
            "seed": outcome.seed,
            "lab_version": lab_version(ledger.lab(lab)),
            "checker_version": checker_version(),
            "policy": card["policy"],
            "regrade_of": about["regrade_of"],
            "images": dict(about["images"]),
            "late": late,
            **more,
        }
        return NewEvent(Kind.GRADED, ledger.settings.id, ledger.settings.trainer, learner, data)


def _graded_at(card: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(card["about"]["graded_at"])
