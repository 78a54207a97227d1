"""The directory of a workshop: learners of its roster, the labs of its scenario, everything on record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from phi_labs.errors import NotGraded, UserError
from phi_labs.gateway.directory import LabView, Message, Request, Say, User, Verb
from phi_labs.gateway.local import ExecConsole, InstallationDirectory, gateway_folder
from phi_labs.gateway.users import Users
from phi_labs.gateway.waiting import is_set
from phi_labs.lifecycle.state import State
from phi_labs.model.organisation import load_organisation
from phi_labs.model.scorecard import Scorecard
from phi_labs.records.event import Kind
from phi_labs.workshop.attendance import PATIENCE
from phi_labs.workshop.provision import Order
from phi_labs.workshop.scenario import story
from phi_labs.workshop.status import state_of
from phi_labs.workshop.workshop import Workshop

GRADING_PATIENCE = 900.0  # seconds, the queue included
# A scorecard as text: (card, request) -> text. The command line has the words for it.
Render = Callable[[Scorecard, Request], str]


class RosterUsers(Users):
    """Learners of the workshop's roster, as it is now, with the keys they uploaded themselves."""

    def __init__(self, state: State, workshop: Workshop) -> None:
        self._state = state
        self._workshop = workshop
        self._uploaded = gateway_folder(state) / "keys.json"

    def find(self, name: str) -> User | None:
        """That learner, None when nobody on the roster has the name."""
        if name not in self._workshop.board.learners:
            return None
        own = self._workshop.learner(name).public_key
        return User(name, (*([own] if own else ()), *self._read().get(name, ())))

    def names(self) -> list[str]:
        """Everybody on the roster."""
        return sorted(self._workshop.board.learners)


class WorkshopDirectory(InstallationDirectory):
    """Lets learners in to their own labs of one workshop, and notes what they do."""

    def __init__(self, workshop: Workshop, render: Render) -> None:
        super().__init__(workshop.installation, RosterUsers(workshop.installation.state, workshop))
        self._workshop = workshop
        self._render = render

    # -- which labs --------------------------------------------------------------------------

    async def labs(self, user: str) -> Sequence[LabView]:
        """The scenario's labs, started or not."""
        return await self._read(partial(self._listed, user))  # also while the engine hangs

    def _listed(self, user: str) -> list[LabView]:
        found = []
        for lab in self._workshop.loaded.labs:
            place = self._workshop.place(user, lab.id)
            score = "" if place.score is None else f"{place.score} of 100"
            hosts = tuple(host.name for host in lab.hosts)
            state = self._state_of(user, lab.id)
            minutes = 0 if place.finished else self._limit(lab.id)
            found.append(LabView(lab.id, lab.title, state, hosts, place.due_at, score, minutes))
        return found

    def _limit(self, lab: str) -> int:
        """Minutes that a lab may take: its own limit, or that for all labs where that is shorter."""
        scenario = self._workshop.loaded.scenario
        return min((limit for limit in (scenario.step(lab).minutes, scenario.minutes) if limit), default=0)

    async def story(self, user: str) -> str:
        """What the scenario tells a learner first."""
        return await self._aside(partial(self._told, user))

    def _told(self, user: str) -> str:
        named = self._workshop.settings.organisation
        organisation = load_organisation(Path(named) if named else None)
        return story(self._workshop.loaded, organisation, self._workshop.entity_of(user))

    def _state_of(self, user: str, lab: str) -> str:
        place = self._workshop.place(user, lab)
        if missing := [] if place.finished else self._workshop.lacking(user, lab):
            return f"after {', '.join(missing)}"
        away = self._workshop.footing.trouble and not place.finished
        return state_of(self._workshop, place) + (", cannot be reached at the moment" if away else "")

    # -- contact -----------------------------------------------------------------------------

    async def on_contact(self, user: str, lab: str) -> None:
        """Start the lab or wake it; the first contact starts its time."""
        attendance = self._workshop.attendance
        order: Order | None = await self._read(partial(attendance.ask, user, lab))
        while order is not None:
            await is_set(order.done, PATIENCE)
            order = await self._aside(partial(attendance.step_in, order))
        try:
            await super().on_contact(user, lab)
        except BaseException:
            self._workshop.attendance.leave(user, lab)
            raise

    async def on_leave(self, user: str, lab: str) -> None:
        """One session ended."""
        self._workshop.attendance.leave(user, lab)
        await super().on_leave(user, lab)

    async def console(self, user: str, lab: str, host: str, terminal: str) -> ExecConsole:
        """A root console, on record."""
        console = await super().console(user, lab, host, terminal)
        await self._aside(partial(self._workshop.note, Kind.RESCUE_USED, user, actor=user, lab=lab))
        return console

    # -- actions -----------------------------------------------------------------------------

    async def act(self, user: str, request: Request, say: Say) -> int:
        """Grade here, fairly between all; the rest by our own command line."""
        if request.verb is Verb.GRADE:
            return await self._graded(user, request, say)
        if request.verb is Verb.HINT:
            return await self._hinted(user, request, say)
        return await super().act(user, request, say)

    async def _graded(self, user: str, request: Request, say: Say) -> int:
        ticket = await self._read(partial(self._workshop.gradings.ask, user, request.lab))
        position = self._workshop.graders.position(user, request.lab)
        if self._workshop.footing.trouble and not request.as_json:
            say("  the labs cannot be reached at the moment; it is graded once they can\n")
        elif position > 0 and not request.as_json:
            say(f"  waiting: {position} gradings come first\n")
        done = await is_set(ticket.done, GRADING_PATIENCE)
        outcome = ticket.outcome
        if not done or outcome is None:
            raise NotGraded(
                "the grading is still in the queue", "its result will be in the menu; do not worry"
            )
        if outcome.scorecard is None:
            raise NotGraded(outcome.reason, "no attempt was counted; tell your trainer if it stays so")
        card = Scorecard.from_data(outcome.scorecard)
        say(self._render(card, request))
        return 0 if card.passed else 1

    async def _hinted(self, user: str, request: Request, say: Say) -> int:
        policy = self._workshop.loaded.scenario.hints
        if policy == "none":
            raise UserError("this workshop gives no hints", "ask your trainer")
        before = await self._aside(partial(self._hints, user, request.lab))
        code = await self._errands.run(user, request, say, ["--free"] if policy == "free" else [])
        after = await self._aside(partial(self._hints, user, request.lab))
        objectives = {item.id: item for item in self._workshop.lab(request.lab).objectives}
        for objective, count in after.items():
            for number in range(before.get(objective, 0), count):
                cost = 0 if policy == "free" else objectives[objective].hints[number].cost
                note = partial(
                    self._workshop.note,
                    Kind.HINT_TAKEN,
                    user,
                    actor=user,
                    lab=request.lab,
                    objective=objective,
                    number=number + 1,
                    cost=cost,
                )
                await self._aside(note)
        return code

    def _hints(self, user: str, lab: str) -> dict[str, int]:
        state = self._workshop.installation.state
        return state.hints(user, lab, state.retry_of(user, lab))

    # -- messages ----------------------------------------------------------------------------

    async def messages(self, after: int) -> Sequence[Message]:
        """What the trainer said in this workshop."""
        said = self._workshop.board.messages[after:]
        return [Message(number, at, text, to) for number, (at, to, text) in enumerate(said, after + 1)]
