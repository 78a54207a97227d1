"""What a plan tries, and what is sure to be tried by the one that tries less."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from phi_labs.authoring.plan import Plan, trials
from phi_labs.model.content import all_labs
from phi_labs.model.entity import Entity
from phi_labs.model.lab import WITHOUT_SCRIPT, Lab, Verdict, load_verdicts

SEEDS = 3
LABS = all_labs().labs
Trial = tuple[str, int, Entity]


@cache
def verdicts_of(folder: Path) -> dict[str, Verdict]:
    """A lab's verdicts, read once."""
    return dict(load_verdicts(next(lab for lab in LABS if lab.folder == folder)).items())


def tried(lab: Lab, plan: Plan, turn: int = 0, seeds: int = SEEDS) -> list[Trial]:
    verdicts = list(verdicts_of(lab.folder).items())
    return list(trials(lab, verdicts, seeds=seeds, plan=plan, turn=turn))


def is_wrong(trial: Trial) -> bool:
    return trial[0].startswith("wrong-")


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.id)
def test_the_full_plan_tries_every_attempt_on_every_seed_and_entity(lab: Lab) -> None:
    full = tried(lab, Plan.FULL)
    assert Counter(name for name, _, _ in full) == dict.fromkeys(verdicts_of(lab.folder), SEEDS)
    assert {seed for _, seed, _ in full} == set(range(SEEDS))
    assert {entity for _, _, entity in full} == set(lab.entities)


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.id)
def test_the_covering_plan_leaves_nothing_out_but_wrong_ways_on_further_seeds(lab: Lab) -> None:
    full, covering = tried(lab, Plan.FULL), tried(lab, Plan.COVERING)
    assert set(covering) <= set(full)
    # Right ways, and what is made for every lab, are what they are in the full plan.
    assert [item for item in covering if not is_wrong(item)] == [item for item in full if not is_wrong(item)]
    assert set(WITHOUT_SCRIPT) <= {name for name, _, _ in covering}
    # Each wrong way once; together they meet every seed and entity.
    wrong = list(filter(is_wrong, covering))
    assert Counter(name for name, _, _ in wrong) == dict.fromkeys(
        (name for name in verdicts_of(lab.folder) if name.startswith("wrong-")), 1
    )
    assert {seed for _, seed, _ in wrong} == set(range(SEEDS))
    assert {entity for _, _, entity in wrong} == set(lab.entities)


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.id)
def test_as_many_turns_as_there_are_seeds_are_the_full_plan(lab: Lab) -> None:
    turns = [tried(lab, Plan.COVERING, turn) for turn in range(SEEDS)]
    assert {item for turn in turns for item in turn} == set(tried(lab, Plan.FULL))
    assert sum(len(list(filter(is_wrong, turn))) for turn in turns) == len(
        list(filter(is_wrong, tried(lab, Plan.FULL)))
    )


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.id)
def test_every_guard_is_seen_to_fail_in_the_covering_plan(lab: Lab) -> None:
    verdicts = verdicts_of(lab.folder)
    failing = {guard for name, _, _ in tried(lab, Plan.COVERING) for guard in verdicts[name].guards_fail}
    assert failing >= {guard.id for guard in lab.guards}


def test_with_one_seed_both_plans_are_the_same() -> None:
    assert tried(LABS[0], Plan.COVERING, seeds=1) == tried(LABS[0], Plan.FULL, seeds=1)


@pytest.mark.parametrize("plan", list(Plan))
def test_what_is_meant_for_one_entity_is_tried_as_that_one_only(plan: Plan) -> None:
    only_ba = Verdict(why="x", earns=(), guards_fail=(), entities=("ba",))
    verdicts = [("wrong-one", only_ba), ("wrong-two", only_ba), ("reference", only_ba)]
    found = list(trials(LABS[0], verdicts, seeds=SEEDS, plan=plan))
    assert {entity for _, _, entity in found} == {"ba"}
    assert not list(trials(LABS[0], verdicts, seeds=SEEDS, plan=plan, entities=["ce"]))
