"""Everybody's first before anybody's second; nothing twice, nothing lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phi_labs.workshop.fair_queue import FairQueue

PUTS = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 6)), max_size=40)


def queued(puts: list[tuple[str, int]]) -> FairQueue[str, int]:
    queue: FairQueue[str, int] = FairQueue()
    for owner, item in puts:
        queue.put(owner, item)
    return queue


def taken(queue: FairQueue[str, int]) -> list[tuple[str, int]]:
    found = []
    while (item := queue.take()) is not None:
        found.append(item)
    return found


def test_owners_take_turns() -> None:
    queue = queued([("ana", 1), ("ana", 2), ("ana", 3), ("ben", 1), ("cho", 1)])
    assert taken(queue) == [("ana", 1), ("ben", 1), ("cho", 1), ("ana", 2), ("ana", 3)]


@given(PUTS)
def test_what_is_queued_is_taken_once_in_the_order_that_was_told(puts: list[tuple[str, int]]) -> None:
    queue = queued(puts)
    told = list(queue)
    assert len(queue) == len(told) == len(set(puts))
    assert set(told) == set(puts)
    assert all(queue.position(*item) == place for place, item in enumerate(told))
    assert taken(queue) == told


@given(PUTS)
def test_nobody_waits_for_two_of_one_other(puts: list[tuple[str, int]]) -> None:
    order = [owner for owner, _ in taken(queued(puts))]
    for place, owner in enumerate(order):
        since = order[:place][::-1]
        since = since[: since.index(owner)] if owner in since else since
        assert all(since.count(other) <= 1 for other in set(since) if owner in order[:place])


def test_an_item_that_waits_is_not_queued_again_and_can_be_dropped() -> None:
    queue = queued([("ana", 1)])
    assert not queue.put("ana", 1)
    assert queue.position("ana", 1) == 0
    assert queue.drop("ana", 1)
    assert not queue.drop("ana", 1)
    assert (queue.position("ana", 1), queue.take(), len(queue)) == (-1, None, 0)


def test_first_comes_before_all_others() -> None:
    queue = queued([("ana", 1), ("ben", 1), ("ben", 2)])
    queue.put("ben", 3, first=True)
    assert queue.take() == ("ben", 3)
