"""A scenario as its author wrote it: which labs, in which order, under which story and rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt

from phi_labs.model.document import Loc, Problem
from phi_labs.model.entity import Entity
from phi_labs.model.validation import FileModel, Line, Name, Text

Minutes = Annotated[StrictInt, Field(ge=1, le=10_080)]
Labs = Annotated[StrictInt, Field(ge=0, le=2000)]
AtLeastOne = Annotated[StrictInt, Field(ge=1, le=2000)]
Percent = Annotated[StrictInt, Field(ge=1, le=100)]

HintPolicy = Literal["free", "priced", "none"]
CountRule = Literal["last", "best", "first"]
Trigger = Literal["hire", "change", "annual", "sra-finding", "incident"]
Opens = Literal["attempted", "passed"]


class Step(FileModel):
    """One lab of a scenario."""

    id: Name = Field(description="the lab's id")
    after: tuple[Name, ...] = Field(default=(), description="labs of this scenario that come before it")
    minutes: Minutes | None = Field(
        default=None, description="time limit from the learner's start; none if left out"
    )


class Capacity(FileModel):
    """How many machines a workshop may have, in labs (a lab of two hosts is one)."""

    initial: Labs | None = Field(
        default=None, description="labs started at the opening; one for each learner if left out"
    )
    reserved: Labs = Field(default=2, description="labs kept ready beyond those in use")
    capacity: AtLeastOne = Field(default=200, description="labs at once, at most")


class Scenario(FileModel):
    """Labs in order with a story: ``scenarios/<id>.yml``."""

    id: Name = Field(description="the file's name without .yml")
    title: Line = Field(description="as it stands on records")
    summary: Line = Field(description="one sentence for listings")
    story: Text = Field(description="what learners read first; Markdown, a Jinja2 template")
    entity: Entity | None = Field(
        default=None, description="ce or ba; left out: each learner's own, by the roster"
    )
    trigger: Trigger = Field(description="why the training is given")
    labs: tuple[Step, ...] = Field(min_length=1, description="in order")
    prerequisite: Opens = Field(
        default="attempted", description="what `after` asks for: a graded attempt, or a pass"
    )
    minutes: Minutes | None = Field(default=None, description="time limit for all labs; none if left out")
    pass_mark: Percent = Field(default=80, description="points of 100 that pass a lab")
    hints: HintPolicy = Field(default="priced", description="free, priced (as in the lab), or none")
    count_rule: CountRule = Field(
        default="last", description="which attempt counts; last: before the deadline"
    )
    new_seeds: StrictBool = Field(
        default=False, description="whether everybody gets other patients than before"
    )
    capacity: Capacity = Field(
        default_factory=lambda: Capacity.model_validate({}), description="how many machines there may be"
    )

    @property
    def lab_ids(self) -> tuple[str, ...]:
        """In order."""
        return tuple(step.id for step in self.labs)

    def step(self, lab_id: str) -> Step:
        """The step with that lab; KeyError when the scenario does not have it."""
        return {step.id: step for step in self.labs}[lab_id]


def scenario_problems(scenario: Scenario, stem: str) -> Iterator[Problem]:
    """Everything in a scenario that does not agree with itself or with its file's name."""
    if scenario.id != stem:
        yield Problem(("id",), f"{scenario.id!r} is not the name of its file, {stem!r}")
    for index, step in enumerate(scenario.labs):
        yield from _step_problems(scenario, index, step)
    yield from _capacity_problems(scenario.capacity)


def _step_problems(scenario: Scenario, index: int, step: Step) -> Iterator[Problem]:
    loc: Loc = ("labs", index)
    earlier = scenario.lab_ids[:index]
    if step.id in earlier:
        yield Problem((*loc, "id"), f"{step.id!r} is named twice")
    for number, wanted in enumerate(step.after):
        if wanted not in earlier:
            known = ", ".join(earlier) or "none, it is the first"
            yield Problem((*loc, "after", number), f"{wanted!r} does not stand before it; before it: {known}")
        elif wanted in step.after[:number]:
            yield Problem((*loc, "after", number), f"{wanted!r} is named twice")
    if step.minutes and scenario.minutes and step.minutes > scenario.minutes:
        yield Problem((*loc, "minutes"), f"longer than the {scenario.minutes} minutes for all labs")


def _capacity_problems(capacity: Capacity) -> Iterator[Problem]:
    for key in ("initial", "reserved"):
        if (getattr(capacity, key) or 0) > capacity.capacity:
            text = f"more than `capacity`, which is {capacity.capacity}"
            yield Problem(("capacity", key), text)
