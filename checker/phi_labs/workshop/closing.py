"""The end of a workshop: final grades, the head of the records, and nothing left running."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from phi_labs.errors import EngineError, PhiLabsError, UserError
from phi_labs.lifecycle.pool import remove_spares
from phi_labs.lifecycle.runs import stop_run
from phi_labs.records.event import Kind
from phi_labs.records.headfile import HeadFile, write_head_file
from phi_labs.workshop.graders import Ticket
from phi_labs.workshop.settings import workshop_folder
from phi_labs.workshop.workshop import Workshop

CLOSED = "closed"
STOPPERS = 4
LOOK_EVERY = 2.0  # seconds
PATIENCE = 60.0  # seconds for an engine that went away in the middle


@dataclass(frozen=True)
class Closed:
    """How a close went.

    Attributes:
        graded: labs that got a final grade; ``ungraded``: learner, lab and why not.
        left: learner and lab whose machines could not be removed.
    """

    graded: int
    ungraded: tuple[tuple[str, str, str], ...]
    left: tuple[tuple[str, str], ...]
    head: HeadFile


def close(workshop: Workshop, tell: Callable[[str], None] = lambda _line: None) -> Closed:
    """Grade what was begun, record the end, write the head file, remove every machine.

    Doing it again after a kill goes on where it stopped: a lab with its final grade is not graded again.

    Raises:
        EngineError: the engine does not answer, or nothing can be written; it is not closed yet.
        RecordsError: what was graded cannot be recorded; it is not closed yet.
    """
    if workshop.footing.is_lost():
        raise _not_closed(workshop)
    workshop.closing = True
    workshop.provisioner.close()
    tickets = _final_grades(workshop)
    tell(f"final grades: {len(tickets)}")
    _await_gradings(workshop)
    workshop.gradings.settle()
    workshop.graders.close()
    if workshop.board.closed_at is None:
        workshop.note(Kind.WORKSHOP_CLOSED)
    head = _head(workshop)
    write_head_file(workshop_folder(workshop.installation.state, workshop.settings.id).head, head)
    tell(f"head of the records: {head.hash} after {head.count} events")
    left = _removed(workshop)
    remove_spares(workshop.installation)
    _remove_probe(workshop)
    graded = [ticket for ticket in tickets if ticket.outcome and ticket.outcome.scorecard is not None]
    places = [workshop.place(ticket.learner, ticket.lab) for ticket in tickets]
    ungraded = tuple((place.learner, place.lab, place.trouble) for place in places if place.trouble)
    return Closed(len(graded), ungraded, left, head)


def _await_gradings(workshop: Workshop) -> None:
    """Until everything is graded; what has nothing to stand on any more is not waited for without end."""
    lost_since: float | None = None
    while not workshop.graders.wait(LOOK_EVERY):
        if not workshop.footing.is_lost():
            lost_since = None
        elif lost_since is None:
            lost_since = time.monotonic()
        elif time.monotonic() - lost_since > PATIENCE:
            raise _not_closed(workshop)


def _not_closed(workshop: Workshop) -> EngineError:
    return EngineError(
        f"the workshop is not closed yet: {workshop.footing.trouble}",
        "nothing is lost; once that is mended, phi-labs workshop close again",
    )


def _final_grades(workshop: Workshop) -> list[Ticket]:
    """A final grade for every lab that somebody entered; one that nobody entered has nothing to grade."""
    tickets = []
    for place in list(workshop.board.places.values()):
        if place.finished or place.started_at is None or place.contacted_at is None:
            continue
        with suppress(UserError):
            tickets.append(workshop.gradings.ask(place.learner, place.lab, final=CLOSED))
    return tickets


def _head(workshop: Workshop) -> HeadFile:
    head = workshop.records.head()
    return HeadFile(
        head.hash,
        head.count,
        datetime.now(UTC).isoformat(timespec="seconds"),
        workshop.settings.id,
        workshop.installation.state.install,
    )


def _remove_probe(workshop: Workshop) -> None:
    """Nothing is left running; whoever grades next starts a new one."""
    installation = workshop.installation
    installation.drop_probes()
    for probe in installation.engine.containers({"kind": "probe", "install": installation.state.install}):
        installation.engine.remove(probe.id)


def _removed(workshop: Workshop) -> tuple[tuple[str, str], ...]:
    """Remove every run of the workshop, some at a time; what could not be removed."""

    def remove(key: tuple[str, str]) -> bool:
        learner, lab = key
        installation = workshop.installation.beside()
        try:
            stop_run(installation, lab, learner)
        except PhiLabsError:
            return False
        finally:
            installation.engine.close()
        return True

    state = workshop.installation.state
    keys = [key for key in workshop.plan() if state.load_run(key[0], key[1]) is not None]
    with ThreadPoolExecutor(STOPPERS) as pool:
        went = list(pool.map(remove, keys))
    return tuple(key for key, done in zip(keys, went, strict=True) if not done)
