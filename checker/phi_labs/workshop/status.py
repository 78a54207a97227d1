"""Where everybody is, as data: made from memory, so that it is there at once with hundreds of labs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from phi_labs.workshop.board import Place
from phi_labs.workshop.provision import Step
from phi_labs.workshop.workshop import Workshop


def status_of(workshop: Workshop) -> dict[str, Any]:
    """JSON-able: the workshop, its queues, and a row for each learner with each lab."""
    view = workshop.provisioner.view()
    board = workshop.board
    return {
        "workshop": workshop.settings.id,
        "title": workshop.loaded.scenario.title,
        "listen": workshop.settings.listen,
        "opened_at": _text(board.opened_at),
        "closed_at": _text(board.closed_at),
        "closing": workshop.closing,
        "trouble": workshop.footing.trouble,
        "labs": list(workshop.labs),
        "learners": len(board.learners),
        "present": sum(count > 0 for count in workshop.presence.sessions.values()),
        "prepared": workshop.provisioner.count(Step.READY),
        "starting": len(view.starting),
        "waiting": [list(key) for key in view.waiting[:20]],
        "waiting_in_all": len(view.waiting),
        "seconds_left": view.seconds_left,
        "held_by": view.held_by,
        "failed_starts": workshop.provisioner.count(Step.FAILED),
        "grading": [list(key) for key in workshop.graders.under_way],
        "grading_waits": workshop.graders.waiting,
        "rows": [_row(workshop, learner) for learner in board.learners],
    }


def _row(workshop: Workshop, learner: str) -> dict[str, Any]:
    labs = [_cell(workshop, workshop.place(learner, lab)) for lab in workshop.labs]
    name = str(workshop.board.learners[learner].get("full_name", learner))
    return {"learner": learner, "full_name": name, "labs": labs, "stuck": any(lab["stuck"] for lab in labs)}


def _cell(workshop: Workshop, place: Place) -> dict[str, Any]:
    order = workshop.provisioner.order(place.learner, place.lab)
    now = workshop.now()
    return {
        "lab": place.lab,
        "state": state_of(workshop, place),
        "reason": order.reason if order else "",
        "here": workshop.presence.sessions[place.learner, place.lab],
        "score": place.score,
        "best": place.best if place.attempts else None,
        "attempts": place.attempts,
        "failed": place.failed,
        "hints": place.hints,
        "rescued": place.rescued,
        "trouble": place.trouble,
        "due_at": _text(place.due_at),
        "minutes_left": _minutes(place.due_at, now) if not place.finished else None,
        "stuck": place.stuck(now, timedelta(minutes=workshop.settings.stuck_minutes)),
    }


def state_of(workshop: Workshop, place: Place) -> str:
    """Where a learner's lab stands, in a word or two, for the trainer's table and the learner's menu."""
    if place.finished:
        return f"finished ({place.finished})"
    order = workshop.provisioner.order(place.learner, place.lab)
    if order is None:
        return "not started"
    if order.step is Step.READY:
        return "ready" if place.contacted_at is None else "begun"
    return order.step.value


def _minutes(due: datetime | None, now: datetime) -> int | None:
    return None if due is None else max(0, int((due - now).total_seconds() // 60))


def _text(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat(timespec="seconds")
