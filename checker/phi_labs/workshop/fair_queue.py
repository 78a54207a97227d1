"""A queue that is fair between trainees: everybody's first comes before anybody's second."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Owner = TypeVar("Owner", bound=Hashable)
Item = TypeVar("Item", bound=Hashable)


class FairQueue(Generic[Owner, Item]):
    """Items wait by owner; owners take turns. An item that waits already is not queued again.

    Not safe between threads: whoever owns it holds a lock.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[Owner, deque[Item]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __iter__(self) -> Iterator[tuple[Owner, Item]]:
        """In the order in which they would be taken, nothing else being queued meanwhile."""
        rounds = max(map(len, self._waiting.values()), default=0)
        for turn in range(rounds):
            for owner, items in self._waiting.items():
                if turn < len(items):
                    yield owner, items[turn]

    def put(self, owner: Owner, item: Item, *, first: bool = False) -> bool:
        """Queue an item; False when it waits already. ``first``: the owner is next."""
        items = self._waiting.setdefault(owner, deque())
        if first:
            self._waiting.move_to_end(owner, last=False)
        if item in items:
            return False
        if first:
            items.appendleft(item)
        else:
            items.append(item)
        return True

    def take(self) -> tuple[Owner, Item] | None:
        """The next item; its owner goes to the end. None when nothing waits."""
        if not self._waiting:
            return None
        owner, items = next(iter(self._waiting.items()))
        item = items.popleft()
        if items:
            self._waiting.move_to_end(owner)
        else:
            del self._waiting[owner]
        return owner, item

    def position(self, owner: Owner, item: Item) -> int:
        """How many are taken before it; -1 when it does not wait."""
        for place, waiting in enumerate(self):
            if waiting == (owner, item):
                return place
        return -1

    def drop(self, owner: Owner, item: Item) -> bool:
        """Take an item out of the queue; False when it does not wait."""
        items = self._waiting.get(owner)
        if items is None or item not in items:
            return False
        items.remove(item)
        if not items:
            del self._waiting[owner]
        return True
