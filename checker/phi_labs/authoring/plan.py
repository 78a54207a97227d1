"""Which seeds and entities an attempt is tried on: all of them, or as few as still cover everything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # pydantic: the command line names the plans and needs none of it
    from phi_labs.model.entity import Entity
    from phi_labs.model.lab import Lab, Verdict

WRONG = "wrong-"
# One more than the two cores that this is meant for: a quarter of its time a job waits for services.
WORKERS = 3


class Plan(StrEnum):
    """How much of attempts x seeds is tried.

    ``FULL`` is every attempt on every seed. ``COVERING`` is a part of it: what must be right, or is made for
    every lab, on every seed, for a right way that fails on some trainee's machine is a fault whatever the
    others say; each wrong way on one seed, taking turns, so that together they meet every seed and entity.
    """

    FULL = "full"
    COVERING = "covering"


def trials(  # noqa: PLR0913 - what decides what is tried
    lab: Lab,
    verdicts: Sequence[tuple[str, Verdict]],
    *,
    seeds: int,
    entities: Sequence[Entity] | None = None,
    plan: Plan = Plan.FULL,
    turn: int = 0,
) -> Iterator[tuple[str, int, Entity]]:
    """(attempt, seed, entity) of everything that a plan tries, in the order of ``verdicts``.

    Args:
        verdicts: all of the lab's, so that an attempt's seed does not depend on what else is tried.
        seeds: how many there are; entities take turns over them.
        entities: limits the entities; a verdict may limit them further.
        turn: moves each wrong way of the covering plan that many seeds on; as many turns as there are
            seeds try the full plan.
    """
    wrong = 0
    for name, verdict in verdicts:
        allowed = [
            one for one in lab.entities if verdict.applies_to(one) and one in (entities or lab.entities)
        ]
        tried: Sequence[int] = range(seeds)
        if name.startswith(WRONG):
            tried = [(wrong + turn) % seeds] if plan is Plan.COVERING else tried
            wrong += 1
        for seed in tried if allowed else ():
            yield name, seed, allowed[seed % len(allowed)]
