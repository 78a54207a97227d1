"""How much one visitor may ask for, and what happens after failures.

Thought through, since the people who fail are mostly tired, and share one address with a whole class:

* A key cannot be guessed, so nobody is ever locked out by what others try in their name: failures count
  for the pair of address and user. Whoever fails elsewhere as ``alice`` does not disturb her.
* A pair that is locked counts no further against its address: one forgotten script cannot close the
  class's address. Trying many names closes it, unless somebody logged in from there within a day.
* Codes are the one thing worth guessing (80 bits, though), so they have a limit per user and per address
  as well; reaching it closes code entry, never a login with a key.
* Every table is bounded; the entry that was touched longest ago goes first.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Clock = Callable[[], float]
Key = TypeVar("Key", bound=Hashable)
TABLE = 10_000  # entries per table; some 2 MB when full
DAY = 86400.0


@dataclass(frozen=True)
class Bounds:
    """Numbers that a trainer may want to change; times in seconds.

    Attributes:
        sessions: logged-in connections in all; ``per_user`` those of one trainee.
        channels: shells, transfers and forwarded connections at a time within one connection.
        waiting: connections that have not logged in yet, in all; ``waiting_per_address`` of one address.
        grace: time to log in. A code has to be found and typed meanwhile.
        idle: time without a key pressed or a byte moved, after which a session ends.
        keepalive: between questions whether the client is there; three without an answer end it.
        burst, rate: connections an address may open at once, and per second for ever.
    """

    sessions: int = 400
    per_user: int = 12
    channels: int = 24
    waiting: int = 100
    waiting_per_address: int = 50
    grace: float = 120.0
    idle: float = 3600.0
    keepalive: float = 30.0
    burst: int = 150
    rate: float = 5.0


@dataclass
class _Entry:
    count: int = 0
    since: float = 0.0
    locked_until: float = 0.0
    locks: int = 0


class Strikes(Generic[Key]):
    """Failures per key: ``limit`` of them within ``window`` lock it, each time twice as long.

    Args:
        lock: seconds of the first lock; doubles up to ``longest``.
    """

    def __init__(  # noqa: PLR0913 - one rule's numbers
        self,
        limit: int,
        *,
        window: float,
        lock: float,
        longest: float,
        clock: Clock = time.monotonic,
        size: int = TABLE,
    ) -> None:
        self.limit, self.window, self.lock, self.longest = limit, window, lock, longest
        self._clock, self._size = clock, size
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def locked(self, key: Key) -> float:
        """Seconds for which the key is still locked, 0 when it is not."""
        entry = self._entries.get(key)
        return max(entry.locked_until - self._clock(), 0.0) if entry else 0.0

    def strike(self, key: Key) -> bool:
        """Count one failure; True when it locks the key."""
        now = self._clock()
        entry = self._entries.setdefault(key, _Entry(since=now))
        self._entries.move_to_end(key)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)
        if now - entry.since > self.window:
            entry.count, entry.since = 0, now
            if now - entry.locked_until > self.longest:
                entry.locks = 0
        entry.count += 1
        if entry.count < self.limit:
            return False
        entry.locked_until = now + min(self.lock * 2**entry.locks, self.longest)
        entry.count, entry.since, entry.locks = 0, now, entry.locks + 1
        return True

    def forget(self, key: Key) -> None:
        """The key did well: start counting anew."""
        self._entries.pop(key, None)


class Rate(Generic[Key]):
    """A bucket of tokens per key: ``burst`` at once, ``rate`` a second in the long run."""

    def __init__(self, burst: int, rate: float, clock: Clock = time.monotonic, size: int = TABLE) -> None:
        self._burst, self._rate, self._clock, self._size = burst, rate, clock, size
        self._buckets: OrderedDict[Key, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: Key) -> bool:
        """Whether there was a token left."""
        now = self._clock()
        left, at = self._buckets.get(key, (float(self._burst), now))
        left = min(left + (now - at) * self._rate, float(self._burst))
        enough = left >= 1
        self._buckets[key] = (left - 1 if enough else left, now)
        self._buckets.move_to_end(key)
        while len(self._buckets) > self._size:
            self._buckets.popitem(last=False)
        return enough


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, an IPv6 /64 (of whose addresses everybody has plenty)."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


@dataclass
class Guard:
    """Who may connect, try and type codes right now; addresses are given as ``network_of`` has them."""

    bounds: Bounds = field(default_factory=Bounds)
    clock: Clock = time.monotonic

    def __post_init__(self) -> None:
        ten_minutes, hour = 600.0, 3600.0
        clock = self.clock
        self._rate: Rate[str] = Rate(self.bounds.burst, self.bounds.rate, clock)
        self._pairs: Strikes[tuple[str, str]] = Strikes(
            5, window=ten_minutes, lock=60, longest=900, clock=clock
        )
        self._addresses: Strikes[str] = Strikes(50, window=ten_minutes, lock=300, longest=hour, clock=clock)
        self._codes_of_pair: Strikes[tuple[str, str]] = Strikes(
            5, window=ten_minutes, lock=300, longest=hour, clock=clock
        )
        self._codes_of_user: Strikes[str] = Strikes(20, window=hour, lock=600, longest=hour, clock=clock)
        self._codes_of_address: Strikes[str] = Strikes(40, window=hour, lock=600, longest=hour, clock=clock)
        self._good: OrderedDict[str, float] = OrderedDict()
        self._waiting: dict[str, int] = {}

    def entries(self) -> int:
        """How many entries all tables hold."""
        tables = (self._rate, self._pairs, self._addresses, self._codes_of_pair, self._codes_of_user)
        return sum(len(table) for table in tables) + len(self._codes_of_address) + len(self._good)

    # -- connections that have not logged in ------------------------------------------------

    def arrive(self, address: str) -> str:
        """Count a new connection; a reason to drop it at once, empty when it may go on."""
        if not self._rate.take(address):
            return "too many connections from this address"
        if self._addresses.locked(address) and not self._is_good(address):
            return "address locked after failures"
        if self._waiting.get(address, 0) >= self.bounds.waiting_per_address:
            return "too many unfinished logins from this address"
        if sum(self._waiting.values()) >= self.bounds.waiting:
            return "too many unfinished logins"
        self._waiting[address] = self._waiting.get(address, 0) + 1
        return ""

    def settle(self, address: str) -> None:
        """A connection that ``arrive`` let in has logged in or gone."""
        left = self._waiting.get(address, 0) - 1
        if left > 0:
            self._waiting[address] = left
        else:
            self._waiting.pop(address, None)

    # -- trying ------------------------------------------------------------------------------

    def may_try(self, address: str, user: str) -> bool:
        """Whether this user may try to log in from there."""
        return not self._pairs.locked((address, user))

    def may_try_code(self, address: str, user: str) -> bool:
        """Whether a code is looked at at all."""
        return not (
            self._codes_of_pair.locked((address, user))
            or self._codes_of_user.locked(user)
            or self._codes_of_address.locked(address)
        )

    def failed(self, address: str, user: str) -> bool:
        """A connection ended without a login; True when that locks the pair."""
        pair = (address, user)
        if self._pairs.locked(pair):
            return False
        self._addresses.strike(address)
        return self._pairs.strike(pair)

    def wrong_code(self, address: str, user: str) -> None:
        """A code did not fit."""
        self._codes_of_pair.strike((address, user))
        self._codes_of_user.strike(user)
        self._codes_of_address.strike(address)

    def succeeded(self, address: str, user: str) -> None:
        """Somebody logged in."""
        self._pairs.forget((address, user))
        self._codes_of_pair.forget((address, user))
        self._good[address] = self.clock()
        self._good.move_to_end(address)
        while len(self._good) > TABLE:
            self._good.popitem(last=False)

    def _is_good(self, address: str) -> bool:
        return address in self._good and self.clock() - self._good[address] < DAY
