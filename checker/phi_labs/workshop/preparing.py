"""Which labs are prepared when: at the opening the first ones, later as many as are in reserve."""

from __future__ import annotations

from pathlib import Path

from phi_labs.lifecycle.runs import list_runs, reset_run, start_run
from phi_labs.model.run import RunState
from phi_labs.records.event import Kind
from phi_labs.workshop.admission import Admission, room_of
from phi_labs.workshop.footing import Footing
from phi_labs.workshop.ledger import Ledger
from phi_labs.workshop.provision import Order, Provisioner, Step

AT_THE_DOOR, AT_THE_OPENING, IN_RESERVE = 0, 1, 2


class Preparing:
    """Has labs prepared for the learners of a workshop.

    Args:
        engine_root: where the engine keeps its data.
    """

    def __init__(self, ledger: Ledger, footing: Footing, engine_root: str) -> None:
        self._ledger = ledger
        self._footing = footing
        limits = {lab.id: sum(host.memory_bytes for host in lab.hosts) for lab in ledger.loaded.labs}
        self.provisioner = Provisioner(
            self._start,
            admit=Admission(
                limits,
                capacity=ledger.loaded.scenario.capacity.capacity,
                live=lambda: self.provisioner.count(Step.READY, Step.STARTING),
                room=lambda: room_of(engine_root),
                footing=lambda: footing.trouble,
            ),
            workers=ledger.settings.starters,
            told=self._told,
            excused=footing.is_lost,
        )

    def prepare(self, *, again: bool = False) -> None:
        """Have prepared what should be.

        Args:
            again: also what has failed before.
        """
        ledger, capacity = self._ledger, self._ledger.loaded.scenario.capacity
        initial = len(ledger.board.learners) if capacity.initial is None else capacity.initial
        plan = ledger.plan()
        for order, (learner, lab) in enumerate(plan[:initial]):
            if self._wants(learner, lab, again=again):
                self.provisioner.want(learner, lab, urgency=AT_THE_OPENING, order=order)
        untouched = sum(
            place.contacted_at is None and not place.finished
            for place in list(ledger.board.places.values())
            if self._is_prepared(place.learner, place.lab)
        )
        for order, (learner, lab) in enumerate(plan):
            if untouched >= capacity.reserved:
                break
            asked = self.provisioner.order(learner, lab) is not None
            if self._wants(learner, lab, again=again) and not asked and not ledger.lacking(learner, lab):
                self.provisioner.want(learner, lab, urgency=IN_RESERVE, order=order)
                untouched += 1

    def adopt(self) -> None:
        """Know the labs that are there already, from before a kill."""
        ledger = self._ledger
        for run in list_runs(ledger.installation):
            if (
                run.trainee in ledger.board.learners
                and run.lab in ledger.labs
                and run.state is not RunState.STOPPED
            ):
                saved = ledger.installation.state.load_run(run.trainee, run.lab)
                if saved is not None:
                    self.provisioner.ready(run.trainee, run.lab)
                    if ledger.place(run.trainee, run.lab).started_at is None:
                        self._note_started(run.trainee, run.lab)

    def reset(self, learner: str, lab: str, *, actor: str = "") -> None:
        """Give a learner the lab afresh, with the same seed; one that was never there is started."""
        ledger = self._ledger
        if ledger.installation.state.load_run(learner, lab) is not None:
            reset_run(ledger.installation.beside(), ledger.lab(lab), learner)
            ledger.note(Kind.RESET, learner, actor=actor, lab=lab)
            self._note_started(learner, lab)
            self.provisioner.ready(learner, lab)
        else:
            self.again(learner, lab, urgency=AT_THE_DOOR)

    def again(self, learner: str, lab: str, *, urgency: int = AT_THE_OPENING) -> Order:
        """Have a lab started whose machines are not what they were."""
        self.provisioner.forget(learner, lab)
        return self.provisioner.want(learner, lab, urgency=urgency)

    def _wants(self, learner: str, lab: str, *, again: bool) -> bool:
        if self._ledger.closing or self._ledger.place(learner, lab).finished:
            return False
        order = self.provisioner.order(learner, lab)
        return again or order is None or order.step is not Step.FAILED

    def _is_prepared(self, learner: str, lab: str) -> bool:
        order = self.provisioner.order(learner, lab)
        return order is not None and order.step is not Step.FAILED

    def _start(self, learner: str, lab_id: str) -> None:
        ledger, installation = self._ledger, self._ledger.beside()
        installation.probe()  # asked whether a lab is up; one that died, with its engine, is replaced
        state, lab = ledger.installation.state, ledger.lab(lab_id)
        fresh = ledger.place(learner, lab_id).started_at is None
        anew = fresh and ledger.loaded.scenario.new_seeds and bool(state.attempts(learner, lab_id))
        organisation = Path(ledger.settings.organisation) if ledger.settings.organisation else None
        start_run(
            installation,
            lab,
            learner,
            entity=ledger.entity_of(learner),
            organisation=organisation,
            retry=anew,
            spares=False,
        )
        if fresh:
            self._note_started(learner, lab_id)

    def _note_started(self, learner: str, lab: str) -> None:
        state = self._ledger.installation.state
        run = state.load_run(learner, lab)
        if run is not None:
            before = max((attempt.number for attempt in state.attempts(learner, lab)), default=0)
            self._ledger.note(
                Kind.LAB_STARTED,
                learner,
                lab=lab,
                run=run.id,
                images=dict(run.images),
                retry=run.retry,
                attempts_before=before,
            )

    def _told(self, order: Order) -> None:
        if order.step is Step.FAILED:
            self._ledger.note(
                Kind.SESSION,
                order.wanted.learner,
                what="not-started",
                lab=order.wanted.lab,
                reason=order.reason,
            )
