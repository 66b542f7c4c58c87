"""Which of the waiting rows an endpoint is sent next, so that its prefix cache has the beginning of it; pure.

There is always one: no endpoint is idle for the sake of a cache. Which one it is:

1. a row that has waited too long;
2. a row that goes on where one began that the endpoint has answered: the slot that is free has that beginning;
3. a row of a beginning that waiting rows share and no endpoint has; rendezvous hashing says which of these each
   endpoint begins with, the same in every process;
4. a row of which no other endpoint has more than this one;
5. a row that another endpoint has more of, the least more. The end of the queue is looked at, too, where that endpoint
   would come last.

To send rows of one beginning in succession is the order in which a bounded cache is used best: it is depth-first in
the tree of beginnings (Zheng et al., "SGLang", 2024).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from hashlib import blake2b
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

__all__ = ["MAX_SENT_PREFIXES", "PrefixQueue", "SentPrefixes"]

T = TypeVar("T")

MAX_SENT_PREFIXES = 1 << 16
"""Of so many beginnings it is remembered where they were sent, of the latest."""
_CANDIDATES = 32
"""How many rows are looked at from either end. More would find a little more, and each takes 1 µs."""
_MAX_SLOTS = 64
"""Of so many free slots of an endpoint it is known what they have; more than a few are rarely free."""
_MULTIPLIER, _ALL_BITS = 0x9E3779B97F4A7C15, (1 << 64) - 1


class SentPrefixes:
    """Which endpoints were sent which beginnings, as bits; of the `max_prefixes` latest."""

    def __init__(self, max_prefixes: int = MAX_SENT_PREFIXES) -> None:
        self._max = max_prefixes
        self._endpoints: OrderedDict[int, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._endpoints)

    def __contains__(self, prefix: int) -> bool:
        return prefix in self._endpoints

    def add(self, prefixes: Iterable[int], bit: int) -> None:
        """The endpoint of `bit` was sent `prefixes`."""
        endpoints = self._endpoints
        for prefix in prefixes:
            endpoints[prefix] = endpoints.get(prefix, 0) | bit
            endpoints.move_to_end(prefix)
        while len(endpoints) > self._max:
            endpoints.popitem(last=False)

    def forget(self, bit: int) -> None:
        """The endpoint of `bit` has none of them any more."""
        for prefix, bits in list(self._endpoints.items()):
            if not bits & ~bit:
                del self._endpoints[prefix]
            else:
                self._endpoints[prefix] = bits & ~bit

    def longest(self, prefixes: Sequence[int], bit: int = _ALL_BITS) -> tuple[int, int]:
        """How many of `prefixes` an endpoint among `bit` was sent, the longest such beginning; and who was."""
        endpoints = self._endpoints
        for count in range(len(prefixes), 0, -1):
            bits = endpoints.get(prefixes[count - 1], 0)
            if bits & bit:
                return count, bits
        return 0, 0


class _Waiting(NamedTuple, Generic[T]):
    item: T
    prefixes: tuple[int, ...]
    size: int
    overdue_at: int


class PrefixQueue(Generic[T]):
    """Items that wait, each with the beginnings of its conversation; none waits for more than `max_wait` sent ones.

    Each item is in it once, and is told from others by its identity.
    """

    def __init__(self, max_wait: int) -> None:
        self._max_wait = max_wait
        self._numbers: dict[T, int] = {}
        self._waiting: OrderedDict[int, _Waiting[T]] = OrderedDict()  # by number, in the order of arrival
        self._sharing: dict[int, dict[int, None]] = {}  # beginning -> the numbers of the items that have it
        self._unsent: dict[int, None] = {}  # beginnings that several items have, and no endpoint was sent
        self._sent = SentPrefixes()
        self._free: dict[str, list[tuple[int, ...]]] = {}  # what the free slots of each endpoint have, the latest last
        self._bits: dict[str, int] = {}
        self._number = self._sent_count = 0
        self.size = 0
        """The sum of the sizes of what waits."""

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, item: T) -> bool:
        return item in self._numbers

    def __iter__(self) -> Iterator[T]:
        return iter(self._numbers)

    def add(self, item: T, prefixes: tuple[int, ...], size: int) -> None:
        """`item` waits; it begins with `prefixes` (`policy.prefixes`)."""
        number = self._numbers[item] = self._number
        self._waiting[number] = _Waiting(item, prefixes, size, self._sent_count + self._max_wait)
        for prefix in prefixes:
            sharing = self._sharing.setdefault(prefix, {})
            sharing[number] = None
            if len(sharing) > 1 and prefix not in self._sent:
                self._unsent[prefix] = None
        self._number += 1
        self.size += size

    def best(self, endpoint: str) -> T | None:
        """The item that `endpoint` should be sent next, None where none waits."""
        if not self._waiting:
            return None
        bit = self._bit(endpoint)
        number = self._overdue()
        if number is None:
            number = self._continued(endpoint, bit)
        if number is None:
            number = self._unbegun(endpoint)
        if number is None:
            number = self._fitting(bit)
        return self._waiting[number].item

    def remove(self, item: T) -> tuple[int, ...]:
        """`item` waits no more; what it begins with. Raises `KeyError` if it does not wait."""
        number = self._numbers.pop(item)
        waiting = self._waiting.pop(number)
        for prefix in waiting.prefixes:
            sharing = self._sharing[prefix]
            del sharing[number]
            if len(sharing) <= 1:
                self._unsent.pop(prefix, None)
            if not sharing:
                del self._sharing[prefix]
        self.size -= waiting.size
        return waiting.prefixes

    def sent(self, endpoint: str, prefixes: tuple[int, ...]) -> None:
        """`endpoint` is sent what begins with `prefixes`, whether that waited or not."""
        self._sent_count += 1
        if slots := self._free.get(endpoint):
            # As servers do: the slot that has the longest beginning of it, else the one that was free for longest.
            del slots[max(range(len(slots)), key=lambda number: _common(slots[number], prefixes))]
        self._add_sent(endpoint, prefixes)

    def answered(self, endpoint: str, prefixes: tuple[int, ...]) -> None:
        """`endpoint` has answered what begins with `prefixes`, so a slot is free there that has just that."""
        slots = self._free.setdefault(endpoint, [])
        slots.append(prefixes)
        del slots[:-_MAX_SLOTS]
        self._add_sent(endpoint, prefixes)

    def holder(self, endpoints: Collection[str], prefixes: tuple[int, ...]) -> str | None:
        """The first of `endpoints` that was sent the longest of `prefixes`; None where none was sent any."""
        bits = self._sent.longest(prefixes, sum(self._bits.get(endpoint, 0) for endpoint in endpoints))[1]
        return next((endpoint for endpoint in endpoints if bits & self._bits.get(endpoint, 0)), None)

    def forget(self, endpoint: str) -> None:
        """`endpoint` has gone, and what it had in its cache."""
        self._free.pop(endpoint, None)
        if (bit := self._bits.pop(endpoint, 0)) != 0:
            self._sent.forget(bit)

    def _add_sent(self, endpoint: str, prefixes: tuple[int, ...]) -> None:
        self._sent.add(prefixes, self._bit(endpoint))
        for prefix in prefixes:
            self._unsent.pop(prefix, None)

    def _bit(self, endpoint: str) -> int:
        if endpoint not in self._bits:
            used = sum(self._bits.values())
            self._bits[endpoint] = ~used & (used + 1)  # the lowest that is free
        return self._bits[endpoint]

    def _overdue(self) -> int | None:
        number = next(iter(self._waiting))
        return number if self._waiting[number].overdue_at <= self._sent_count else None

    def _continued(self, endpoint: str, bit: int) -> int | None:
        """A row that goes on where a free slot of `endpoint` is, the latest that has one."""
        for prefixes in reversed(self._free.get(endpoint, ())):
            if (number := self._continuing(prefixes, bit)) is not None:
                return number
        return None

    def _continuing(self, prefixes: tuple[int, ...], bit: int) -> int | None:
        """The row that has the longest beginning in common with `prefixes`.

        Not one that has a longer beginning in common with what was sent elsewhere, or with rows that wait.
        """
        for count in range(len(prefixes), 0, -1):
            for number in islice(self._sharing.get(prefixes[count - 1], ()), _CANDIDATES):
                row = self._waiting[number].prefixes
                sent, bits = self._sent.longest(row)
                if bits & bit and (sent <= count or row[:sent] == prefixes[:sent]) and self._shared(row) <= sent:
                    return number
        return None

    def _unbegun(self, endpoint: str) -> int | None:
        """The first row of a beginning that waiting rows share and no endpoint has, rather of those of `endpoint`."""
        first = None
        for prefix in islice(self._unsent, _CANDIDATES):
            number = next(iter(self._sharing[prefix]))
            if len(self._bits) == 1:
                return number
            row = self._waiting[number].prefixes
            if self._home(row[self._shared(row) - 1]) == endpoint:
                return number
            first = number if first is None else first
        return first

    def _fitting(self, bit: int) -> int:
        """The first row of which no other endpoint has more, else the one of which another has the least more."""
        best_number, least_loss = 0, None
        for number in self._ends():
            prefixes = self._waiting[number].prefixes
            sent, bits = self._sent.longest(prefixes)
            if not sent or bits & bit:
                return number
            loss = sent - self._sent.longest(prefixes, bit)[0]
            if least_loss is None or loss < least_loss:
                best_number, least_loss = number, loss
        return best_number

    def _ends(self) -> Iterator[int]:
        yield from islice(self._waiting, _CANDIDATES)
        yield from islice(reversed(self._waiting), min(_CANDIDATES, max(len(self._waiting) - _CANDIDATES, 0)))

    def _shared(self, prefixes: tuple[int, ...]) -> int:
        """How many of a waiting row's `prefixes` another waiting row has, the longest such beginning."""
        for count in range(len(prefixes), 0, -1):
            if len(self._sharing[prefixes[count - 1]]) > 1:
                return count
        return 0

    def _home(self, prefix: int) -> str:
        """The endpoint that rendezvous hashing gives `prefix` to."""
        return max(self._bits, key=lambda name: ((prefix ^ _name_hash(name)) * _MULTIPLIER) & _ALL_BITS)


def _common(prefixes: tuple[int, ...], others: tuple[int, ...]) -> int:
    """How many beginnings both have."""
    count = 0
    for prefix, another in zip(prefixes, others, strict=False):
        if prefix != another:
            break
        count += 1
    return count


@cache
def _name_hash(name: str) -> int:
    return int.from_bytes(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
