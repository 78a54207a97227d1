"""One workshop while it is open: what is known of it, and everything that may happen to it.

What happens becomes an event first, and the board is their fold: a program that was killed takes up where the
log ends. Threads of starters, graders, gateway and janitor all come through here.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from phi_labs.errors import UserError
from phi_labs.lifecycle.installation import Installation
from phi_labs.lifecycle.runs import list_runs, reset_run, start_run
from phi_labs.model.cohort import Learner
from phi_labs.model.entity import parse_entity
from phi_labs.model.lab import Lab
from phi_labs.model.nearest import did_you_mean
from phi_labs.model.run import RunState
from phi_labs.model.scorecard import Scorecard
from phi_labs.records.event import Event, Kind, NewEvent
from phi_labs.records.store import Records
from phi_labs.workshop.admission import Admission, room_of
from phi_labs.workshop.board import FIRST_CONTACT, Board, Place
from phi_labs.workshop.edition import checker_version, lab_version
from phi_labs.workshop.graders import Graders, Outcome, Ticket, submission_hash
from phi_labs.workshop.provision import Order, Provisioner, Step
from phi_labs.workshop.roster import Roster
from phi_labs.workshop.scenario import LoadedScenario
from phi_labs.workshop.settings import Settings

AT_THE_DOOR, AT_THE_OPENING, IN_RESERVE = 0, 1, 2
Now = Callable[[], datetime]
Key = tuple[str, str]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Presence:
    """Who is in which lab at this moment: sessions and when somebody was last seen there."""

    sessions: Counter[Key] = field(default_factory=Counter)
    seen: dict[Key, datetime] = field(default_factory=dict)


class Workshop:
    """A workshop at work.

    Args:
        installation: whose runs it has.
        records: where events go.
        actor: who is to stand in events that the program causes by itself.
        now: the time, UTC.
    """

    def __init__(  # noqa: PLR0913 - what a workshop is made of
        self,
        installation: Installation,
        records: Records,
        settings: Settings,
        loaded: LoadedScenario,
        roster: Roster,
        *,
        now: Now = _now,
    ) -> None:
        self.installation = installation
        self.records = records
        self.settings = settings
        self.loaded = loaded
        self.labs = {lab.id: lab for lab in loaded.labs}
        self.now = now
        self.presence = Presence()
        self.closing = False
        self._roster = roster
        self._lock = threading.RLock()
        self._local = threading.local()
        self._finals: dict[Key, str] = {}
        self._retries: Counter[Key] = Counter()
        self.board = Board.read(settings.id, records.events(settings.id))
        engine_root = str(installation.engine.info().get("DockerRootDir", ""))
        limits = {lab.id: sum(host.memory_bytes for host in lab.hosts) for lab in loaded.labs}
        self.provisioner = Provisioner(
            self._start,
            admit=Admission(
                limits,
                capacity=loaded.scenario.capacity.capacity,
                live=lambda: self.provisioner.count(Step.READY, Step.STARTING),
                room=lambda: room_of(engine_root),
            ),
            workers=settings.starters,
            told=self._told,
        )
        self.graders = Graders(
            installation.state.root,
            installation.content,
            workers=settings.graders,
            finished=self._graded,
            hints_cost=loaded.scenario.hints != "free",
        )

    # -- events ---------------------------------------------------------------------------

    def note(self, kind: Kind, subject: str = "", *, actor: str = "", **data: Any) -> Event:
        """Record an event and take it in; it is on the disk when this returns."""
        with self._lock:
            event = self.records.append(
                kind,
                workshop=self.settings.id,
                actor=actor or self.settings.trainer,
                subject=subject,
                data=data,
            )
            self.board.apply(event)
            return event

    def _note_all(self, new: list[NewEvent]) -> None:
        with self._lock:
            for event in self.records.append_all(new):
                self.board.apply(event)

    # -- opening ---------------------------------------------------------------------------

    def open(self) -> None:
        """Open it, or take it up again where it stopped.

        Raises:
            UserError: it was closed.
        """
        if self.board.closed_at is not None:
            raise UserError(
                f"workshop {self.settings.id} was closed at {self.board.closed_at:%Y-%m-%d %H:%M} UTC",
                "open another one under a new name (--name)",
            )
        new = [] if self.board.opened_at else [self._opening()]
        new += list(self._enrolments())
        self._note_all(new)
        self.recover_attempts()
        self.adopt()
        self.prepare()

    def _opening(self) -> NewEvent:
        scenario = self.loaded.scenario
        labs = [
            {
                "id": lab.id,
                "title": lab.title,
                "version": lab_version(lab),
                "policy": lab.policy,
                "points": 100,
                "minutes": scenario.step(lab.id).minutes or 0,
            }
            for lab in self.loaded.labs
        ]
        data = {
            "scenario": scenario.model_dump(mode="json"),
            "entity": scenario.entity or "",
            "trainer": self.settings.trainer,
            "trigger": scenario.trigger,
            "pass_mark": scenario.pass_mark,
            "count_rule": scenario.count_rule,
            "labs": labs,
            "roster_sha256": self._roster.sha256,
            "organisation": self.settings.organisation,
            "checker_version": checker_version(),
        }
        return NewEvent(Kind.WORKSHOP_OPENED, self.settings.id, self.settings.trainer, data=data)

    def _enrolments(self) -> Iterator[NewEvent]:
        """Events for learners who are new on the roster, or other than they were."""
        for learner in self._roster.learners:
            data = asdict(learner)
            known = self.board.learners.get(learner.name)
            if known is None or any(known.get(key) != value for key, value in data.items()):
                kind = Kind.ENROLLED if known is None else Kind.CHANGED
                yield NewEvent(kind, self.settings.id, self.settings.trainer, learner.name, data)

    def take_roster(self, roster: Roster) -> int:
        """A roster that was changed in the middle: who is new takes part, what changed is on record.

        Nobody goes: whoever is no longer on it keeps what they did.
        """
        self._roster = roster
        new = list(self._enrolments())
        self._note_all(new)
        self.prepare()
        return len(new)

    def recover_attempts(self) -> None:
        """Record gradings that were finished when the program was killed before it could."""
        state = self.installation.state
        for learner in self.board.learners:
            for lab in self.labs:
                for attempt in state.attempts(learner, lab):
                    card = Scorecard.from_json(attempt.scorecard.read_text(encoding="utf-8"))
                    graded_at = datetime.fromisoformat(card.about.graded_at)
                    opened = self.board.opened_at
                    known = attempt.number in self.board.place(learner, lab).numbers
                    if known or opened is None or graded_at < opened.replace(microsecond=0):
                        continue
                    outcome = Outcome(attempt.number, card.to_data(), submission_hash(attempt.submission))
                    self._note_graded(learner, lab, outcome, "", recovered=True)

    def adopt(self) -> None:
        """Know the labs that are there already, from before a kill."""
        for run in list_runs(self.installation):
            if (
                run.trainee in self.board.learners
                and run.lab in self.labs
                and run.state is not RunState.STOPPED
            ):
                saved = self.installation.state.load_run(run.trainee, run.lab)
                if saved is not None:
                    self.provisioner.ready(run.trainee, run.lab)
                    if self.board.place(run.trainee, run.lab).started_at is None:
                        self._note_started(run.trainee, run.lab)

    # -- preparing labs ----------------------------------------------------------------------

    def plan(self) -> list[Key]:
        """Every (learner, lab), everybody's first lab first."""
        return [(learner, lab) for lab in self.labs for learner in self.board.learners]

    def prepare(self) -> None:
        """Have prepared what should be: at the opening the first labs, later as many as are in reserve."""
        capacity = self.loaded.scenario.capacity
        initial = len(self.board.learners) if capacity.initial is None else capacity.initial
        plan = self.plan()
        for order, (learner, lab) in enumerate(plan[:initial]):
            if self._wants(learner, lab):
                self.provisioner.want(learner, lab, urgency=AT_THE_OPENING, order=order)
        untouched = sum(
            place.contacted_at is None and not place.finished
            for place in self.board.places.values()
            if self._is_prepared(place.learner, place.lab)
        )
        for order, (learner, lab) in enumerate(plan):
            if untouched >= capacity.reserved:
                break
            asked = self.provisioner.order(learner, lab) is not None
            if self._wants(learner, lab) and not asked and not self.lacking(learner, lab):
                self.provisioner.want(learner, lab, urgency=IN_RESERVE, order=order)
                untouched += 1

    def _wants(self, learner: str, lab: str) -> bool:
        return not self.closing and not self.board.place(learner, lab).finished

    def _is_prepared(self, learner: str, lab: str) -> bool:
        order = self.provisioner.order(learner, lab)
        return order is not None and order.step is not Step.FAILED

    def lacking(self, learner: str, lab: str) -> list[str]:
        """Labs that must come first and did not yet."""
        scenario = self.loaded.scenario
        enough = scenario.pass_mark if scenario.prerequisite == "passed" else 0
        return [
            other
            for other in scenario.step(lab).after
            if not (place := self.board.place(learner, other)).attempts or place.best < enough
        ]

    def _start(self, learner: str, lab_id: str) -> None:
        installation: Installation = self._beside()
        state, lab = self.installation.state, self.labs[lab_id]
        fresh = self.board.place(learner, lab_id).started_at is None
        anew = fresh and self.loaded.scenario.new_seeds and bool(state.attempts(learner, lab_id))
        organisation = Path(self.settings.organisation) if self.settings.organisation else None
        start_run(
            installation,
            lab,
            learner,
            entity=self.entity_of(learner),
            organisation=organisation,
            retry=anew,
            spares=False,
        )
        if fresh:
            self._note_started(learner, lab_id)

    def _note_started(self, learner: str, lab: str) -> None:
        run = self.installation.state.load_run(learner, lab)
        if run is not None:
            self.note(
                Kind.LAB_STARTED, learner, lab=lab, run=run.id, images=dict(run.images), retry=run.retry
            )

    def _beside(self) -> Installation:
        """This thread's own installation: engine connections, and a conversation with the probe."""
        if not hasattr(self._local, "installation"):
            self._local.installation = self.installation.beside()
            self._local.installation.probe()
        found: Installation = self._local.installation
        return found

    def _told(self, order: Order) -> None:
        if order.step is Step.FAILED:
            self.note(
                Kind.SESSION,
                order.wanted.learner,
                what="not-started",
                lab=order.wanted.lab,
                reason=order.reason,
            )

    # -- grading -----------------------------------------------------------------------------

    def grade(self, learner: str, lab: str, *, final: str = "", first: bool = False) -> Ticket:
        """Have a run graded.

        Args:
            final: why no more is graded afterwards; empty if it goes on.

        Raises:
            UserError: the lab is finished, or was never started.
        """
        self.known(learner, lab)
        place = self.board.place(learner, lab)
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

    def _graded(self, ticket: Ticket, outcome: Outcome) -> None:
        key = (ticket.learner, ticket.lab)
        final = self._finals.get(key, "")
        if outcome.scorecard is not None:
            self._finals.pop(key, None)
            self._retries.pop(key, None)
            self._note_graded(*key, outcome, final)
            return
        again = outcome.ours and self._retries[key] == 0
        more: dict[str, Any] = {} if again or not final else {"final": final}
        self.note(
            Kind.NOT_GRADED, ticket.learner, lab=ticket.lab, reason=outcome.reason, ours=outcome.ours, **more
        )
        if again:  # our trouble is tried once more, by itself
            self._retries[key] += 1
            self.graders.ask(*key)
        else:
            self._finals.pop(key, None)

    def _note_graded(
        self, learner: str, lab: str, outcome: Outcome, final: str, *, recovered: bool = False
    ) -> None:
        card = outcome.scorecard or {}
        if outcome.number in self.board.place(learner, lab).numbers:
            return
        about: Mapping[str, Any] = card["about"]
        due = self.board.place(learner, lab).due_at
        graded_at = datetime.fromisoformat(about["graded_at"])
        more: dict[str, Any] = {"final": final} if final else {}
        if recovered:
            more["recovered"] = True
        self.note(
            Kind.GRADED,
            learner,
            lab=lab,
            number=outcome.number,
            graded_at=about["graded_at"],
            scorecard=json.loads(json.dumps(card)),
            assurance=card["assurance"],
            submission=outcome.submission,
            seed=outcome.seed,
            lab_version=lab_version(self.labs[lab]),
            checker_version=checker_version(),
            policy=card["policy"],
            regrade_of=about["regrade_of"],
            images=dict(about["images"]),
            late=bool(due and graded_at > due and not final),
            **more,
        )

    # -- what a trainer does -------------------------------------------------------------------

    def extend(self, learner: str, minutes: int, lab: str = "", *, actor: str = "") -> None:
        """Give more time, in one lab or in all."""
        self.known(learner, lab)
        self.note(Kind.EXTENDED, learner, actor=actor, lab=lab, minutes=minutes)

    def message(self, to: str, text: str, *, actor: str = "") -> None:
        """Say something to one learner or, with ``to`` empty, to all."""
        if to:
            self.known(to)
        if not text.strip():
            raise UserError("an empty message says nothing", "give the text in quotes")
        self.note(Kind.MESSAGE_SENT, to, actor=actor, text=text)

    def reset(self, learner: str, lab: str, *, actor: str = "") -> None:
        """Give a learner the lab afresh, with the same seed; attempts stay."""
        self.known(learner, lab)
        if self.board.place(learner, lab).finished:
            raise UserError(
                f"{lab} is finished for {learner}", "give more time first: phi-labs workshop extend"
            )
        if self.installation.state.load_run(learner, lab) is not None:
            reset_run(self.installation.beside(), self.labs[lab], learner)
            self.note(Kind.RESET, learner, actor=actor, lab=lab)
            self._note_started(learner, lab)
            self.provisioner.ready(learner, lab)
        else:
            self.provisioner.forget(learner, lab)
            self.provisioner.want(learner, lab, urgency=AT_THE_DOOR)

    # -- asking --------------------------------------------------------------------------------

    def known(self, learner: str, lab: str = "") -> None:
        """UserError with the nearest names when the workshop has no such learner or lab."""
        if learner not in self.board.learners:
            raise UserError(
                f"{learner!r} is not on the roster of {self.settings.id}",
                did_you_mean(learner, list(self.board.learners))
                or "phi-labs workshop status lists everybody",
            )
        if lab and lab not in self.labs:
            raise UserError(
                f"{self.settings.id} has no lab {lab!r}",
                did_you_mean(lab, list(self.labs)) or f"its labs: {', '.join(self.labs)}",
            )

    def learner(self, name: str) -> Learner:
        """Somebody on the roster, as the log says now."""
        return Learner(**{key: str(value) for key, value in self.board.learners[name].items()})

    def entity_of(self, learner: str) -> Any:
        """As whose staff a learner takes the labs."""
        return self.loaded.entity_of(parse_entity(self.learner(learner).entity))

    def place(self, learner: str, lab: str) -> Place:
        """Where a learner is in a lab."""
        return self.board.place(learner, lab)

    def lab(self, lab: str) -> Lab:
        """One of its labs."""
        return self.labs[lab]

    # -- entering and leaving --------------------------------------------------------------------

    def enter(self, learner: str, lab: str, *, patience: float = 60.0) -> None:
        """Somebody wants to work in a lab: it is started or woken, and with the first contact time runs.

        Raises:
            UserError: it is finished, others come first, or it is not ready yet (and where it waits).
        """
        self.known(learner, lab)
        place = self.board.place(learner, lab)
        if self.closing or place.finished:
            raise UserError(
                f"{lab} is finished ({place.finished or 'closing'})", "the debrief can still be read"
            )
        if missing := self.lacking(learner, lab):
            raise UserError(f"{', '.join(missing)} come first", "the menu lists your labs in order")
        order = self.provisioner.want(learner, lab, urgency=AT_THE_DOOR)
        if not order.done.wait(patience):
            raise UserError(f"{lab} is not ready yet{self._waits(learner, lab)}", "come back in a minute")
        if order.step is Step.FAILED:
            raise UserError(f"{lab} could not be started: {order.reason}", "tell your trainer")
        self._first_contact(place)
        self.presence.sessions[learner, lab] += 1
        self.presence.seen[learner, lab] = self.now()
        self._wake(learner, lab)

    def leave(self, learner: str, lab: str) -> None:
        """One session ended."""
        key = (learner, lab)
        self.presence.sessions[key] = max(0, self.presence.sessions[key] - 1)
        self.presence.seen[key] = self.now()

    def _waits(self, learner: str, lab: str) -> str:
        view = self.provisioner.view()
        if (learner, lab) in view.waiting:
            place = view.waiting.index((learner, lab)) + 1
            held = f"; {view.held_by}" if view.held_by else ""
            return f": {place}. in the queue, about {view.seconds_left:.0f} s{held}"
        return ""

    def _first_contact(self, place: Place) -> None:
        with self._lock:
            if place.contacted_at is not None:
                return
            self.note(Kind.SESSION, place.learner, what=FIRST_CONTACT, lab=place.lab)
            due = self._due(place.learner, place.lab)
            data = {"due_at": due.isoformat(timespec="seconds")} if due else {}
            trigger = self.loaded.scenario.trigger
            self.note(Kind.LAB_ASSIGNED, place.learner, lab=place.lab, trigger=trigger, **data)

    def _due(self, learner: str, lab: str) -> datetime | None:
        """The lab's own limit, or that for all labs, which runs from the learner's very first contact."""
        scenario, now = self.loaded.scenario, self.now()
        ends = []
        if minutes := scenario.step(lab).minutes:
            ends.append(now + timedelta(minutes=minutes))
        if scenario.minutes:
            places = (self.board.place(learner, other) for other in self.labs)
            began = min((place.contacted_at for place in places if place.contacted_at), default=now)
            ends.append(began + timedelta(minutes=scenario.minutes))
        return min(ends, default=None)

    def _wake(self, learner: str, lab: str) -> None:
        run = self.installation.state.load_run(learner, lab)
        engine = self._beside().engine
        for container in run.containers.values() if run else ():
            if engine.inspect(container).status == "paused":
                engine.unpause(container)
