"""The lease protocol at 1,000 workers, in virtual time: what it costs, and what a lost machine costs.

    python -m tests.cluster.scale [--workers 1000] [--slots 2000] [--seconds 36] [--lost 100]

All workers have more work than slots. A tenth of them is lost at once, their deaths unnoticed, as where a rack loses
its power or the network parts; with --noticed each death is told to the lessor, as that of a process on one machine is.
The server counts for itself, and fails where more than the ceiling is in flight at any moment.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass
from random import Random

from batchchat.cluster.lessor import LeaseTerms
from batchchat.cluster.messages import Ask, Grant
from tests import virtual_time
from tests.cluster.simulated import Faults, SimulatedRow, Simulation, rows

__all__ = ["Measured", "Scale", "measure"]

_SAMPLE_S = 0.05
_WARM_UP_S = 5.0
_REQUEST_S = 3.0
_ATTEMPT_S = 5.0
_BACK = 0.99


@dataclass(frozen=True)
class Measured:
    """`utilisation` is of the ceiling, after the first seconds and before workers are lost.

    `back_s` is how long after the loss as many requests were in flight as before, None where that did not happen.
    `answer_us` is the CPU time of the lessor for one ask.
    """

    workers: int
    slots: int
    seconds: float
    messages_per_s: float
    answer_us: float
    utilisation: float
    max_in_flight: int
    lost: int
    back_s: float | None

    def __str__(self) -> str:
        back = "not within the run" if self.back_s is None else f"{self.back_s:.1f} s"
        return (
            f"{self.workers:,} workers, ceiling {self.slots:,}, {self.seconds:g} simulated seconds\n"
            f"  messages       {self.messages_per_s:,.0f} a second, {self.messages_per_s / self.workers:.1f} a worker\n"
            f"  lessor         {self.answer_us:,.0f} us of CPU an ask\n"
            f"  utilisation    {self.utilisation:.1%} of the ceiling\n"
            f"  max in flight  {self.max_in_flight:,} of {self.slots:,}\n"
            f"  slots of {self.lost:,} lost workers lent anew after {back}"
        )


class Scale(Simulation):
    """A simulation of `seconds` in which `lost` workers are gone for good half-way; `noticed`: the lessor is told."""

    def __init__(
        self, terms: LeaseTerms, shards: list[list[SimulatedRow]], *, seconds: float, lost: int, noticed: bool
    ) -> None:
        tasks = max(2, 4 * terms.slots // len(shards))
        super().__init__(terms, shards, Faults(clocks_differ=True), tasks_each=tasks)
        self._seconds = seconds
        self._lost = lost
        self._noticed = noticed
        self.samples: list[tuple[float, int]] = []
        self.lost_at = 0.0
        self.asks = 0
        self.lessor_s = 0.0

    async def _run(self, max_s: float) -> None:
        self._failure = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().set_exception_handler(self._failed)
        for name in self.journals:
            self._start(name)
        self.later(self._seconds / 2, self._lose)
        while virtual_time.now() < self._seconds:
            await asyncio.sleep(_SAMPLE_S)
            self._raise_failures()
            self.samples.append((virtual_time.now(), self.server.in_flight))
        self.took_s = virtual_time.now()

    def _lose(self) -> None:
        """The requests of lost workers end as they would have: the server does not know of the loss."""
        self.lost_at = virtual_time.now()
        for name in list(self.workers)[: self._lost]:
            self.workers.pop(name).kill(_REQUEST_S)
            if self._noticed:
                self.lessor.end(virtual_time.now(), name, _REQUEST_S, is_replaced=False)

    def _answer(self, ask: Ask) -> None:
        start = time.process_time()
        grant: Grant | None = self.lessor.answer(virtual_time.now(), ask)
        self.lessor_s += time.process_time() - start
        self.asks += 1
        if grant is not None:
            self._transmit(ask.worker, self._hear, grant)

    def utilisation(self) -> float:
        before = [count for at, count in self.samples if _WARM_UP_S <= at < self.lost_at]
        return sum(before) / len(before) / self.terms.slots

    def back_s(self) -> float | None:
        """When as many were in flight again as before, for good: after the last sample that lacks some."""
        before = [count for at, count in self.samples if self.lost_at - _WARM_UP_S <= at < self.lost_at]
        enough = _BACK * sum(before) / len(before)
        after = [(at, count) for at, count in self.samples if at >= self.lost_at]
        window = [
            (after[n][0], sum(count for _, count in after[n : n + 10]) / len(after[n : n + 10]))
            for n in range(len(after))
        ]
        lacking = [at for at, count in window if count < enough]
        if not lacking:
            return 0.0
        return None if lacking[-1] > self._seconds - 1 else lacking[-1] - self.lost_at


def measure(workers: int, slots: int, seconds: float, lost: int, *, noticed: bool = False) -> Measured:
    random = Random(0)
    each = round(2 * seconds * slots / workers / _REQUEST_S) + 20
    shards = [rows(random, each * 2, seconds=_REQUEST_S, refused=0, broken=0) for _ in range(workers)]
    terms = LeaseTerms(slots, attempt_s=_ATTEMPT_S)
    scale = Scale(terms, shards, seconds=seconds, lost=lost, noticed=noticed)
    scale.run(seconds)
    return Measured(
        workers=workers,
        slots=slots,
        seconds=seconds,
        messages_per_s=scale.messages / scale.took_s,
        answer_us=scale.lessor_s / max(1, scale.asks) * 1e6,
        utilisation=scale.utilisation(),
        max_in_flight=scale.server.max_in_flight,
        lost=lost,
        back_s=scale.back_s(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--slots", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=36)
    parser.add_argument("--lost", type=int, default=100)
    parser.add_argument("--noticed", action="store_true")
    given = parser.parse_args()
    print(measure(given.workers, given.slots, given.seconds, given.lost, noticed=given.noticed))


if __name__ == "__main__":
    main()
