"""Where a run stands, told several times a second: from the totals of its journal, its feed and its engine."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

from batchchat.core.conversation import ErrorKind
from batchchat.core.events import AwaitedRow, Event, Progress, Subscriber
from batchchat.core.totals import Totals
from batchchat.dispatch.dispatcher import Dispatcher
from batchchat.execution.engine import Engine
from batchchat.execution.finished_rows import FinishedRows
from batchchat.execution.throughput import Throughput

if TYPE_CHECKING:
    from batchchat.execution.endpoint_figures import EndpointFigures
    from batchchat.execution.row_supply import RowSupply

__all__ = ["ProgressReporter", "expected_cost_usd"]

_WAIT_TOLD_AFTER_S = 2.0
_ENOUGH_ANSWERS = 20
_INVALID_INPUT = ErrorKind.INVALID_INPUT.value


class ProgressReporter:
    """Makes `Progress` events, and nothing else does. `limit` is how many rows this run sends at most.

    `retries` is the recorder's count of attempts that are made again.
    """

    def __init__(
        self,
        engine: Engine,
        supply: RowSupply,
        finished: FinishedRows,
        retries: Counter[str],
        tell: Subscriber,
        *,
        limit: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._supply = supply
        self._retries = retries
        self._tell = tell
        self._limit = limit
        self._clock = clock
        self._start = clock()
        self._throughput = Throughput()
        self._endpoints = _endpoint_figures(engine, finished)
        self.finished = finished

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began to send."""
        return self._clock() - self._start

    def left(self) -> int | None:
        """Rows of the input that have no record yet; None where its end was not seen."""
        total, estimated = self._supply.total()
        return None if total is None or estimated else total - self.finished.totals.finished

    def estimated_total(self) -> int | None:
        """About how many rows the input has; None where its end was seen, or nothing is known."""
        total, estimated = self._supply.total()
        return total if estimated else None

    def tell(self, event: Event) -> None:
        """Tell an event of the run's course."""
        self._tell(event)

    def report(self, dispatcher: Dispatcher) -> None:
        """Tell what the endpoint's limits did since the last report, and where the run stands."""
        now, left, limits = self._clock(), self.left(), self._engine.limits
        for event in limits.events(now, None if left is None else left + self.finished.outdated):
            self._tell(event)
        self._engine.spending.tell_ratio()
        totals = self.finished.totals
        total, estimated = self._total()
        cost = self.finished.paid_usd
        throughput = self._throughput
        throughput.add(self.elapsed_s, self.finished.done, self.finished.completion_tokens, float(cost or 0))
        self._tell(
            Progress(
                elapsed_s=self.elapsed_s,
                total=total,
                estimated=estimated,
                rows=self.finished.counts(left),
                estimated_total=self.estimated_total(),
                outdated=self.finished.outdated,
                finished_count=self.finished.count,
                done=self.finished.done,
                in_flight=dispatcher.gate.in_flight,
                recovering=dispatcher.recovering,
                ceiling=limits.ceiling,
                cost_usd=cost,
                expected_cost_usd=expected_cost_usd(totals, cost, total),
                tokens_per_s=throughput.tokens_per_s,
                rows_per_s=throughput.rows_per_s,
                eta_s=throughput.eta_s(total),
                max_cost_usd=self._engine.spending.max_cost_usd,
                max_ceiling=limits.max_ceiling,
                cost_per_hour_usd=None if cost is None else throughput.usd_per_hour,
                down_since=limits.down_since,
                down_why=limits.down_why(),
                probe_in_s=limits.probe_in_s(now),
                held_s=limits.held_s(now),
                awaited=self._awaited(dispatcher),
                failures={kind: count for kind, count in totals.failures.items() if kind != _INVALID_INPUT},
                retries=dict(self._retries),
                endpoints=() if self._endpoints is None else self._endpoints.progress(now, self.elapsed_s),
            )
        )

    def _total(self) -> tuple[int | None, bool]:
        """Rows that are to be done, and whether that is an estimate."""
        total, estimated = self._supply.total()
        if self._limit is None:
            return total, estimated
        max_done = self.finished.done_before + self._limit + self._supply.kept
        return (max_done, False) if total is None or estimated or total > max_done else (total, False)

    def _awaited(self, dispatcher: Dispatcher) -> AwaitedRow | None:
        """The row the end of the run waits for, once that takes long enough to be told."""
        awaited = dispatcher.in_flight.awaited()
        if awaited is None:
            return None
        in_flight, cutoff_s = awaited
        ran_s = self._clock() - in_flight.since
        return AwaitedRow(in_flight.key.id, ran_s, cutoff_s) if ran_s >= _WAIT_TOLD_AFTER_S else None


def _endpoint_figures(engine: Engine, finished: FinishedRows) -> EndpointFigures | None:
    """Where each of several endpoints stands; None for one."""
    if not engine.sending.lanes:
        return None
    from batchchat.execution.endpoint_figures import EndpointFigures

    return EndpointFigures(engine.limits, finished)


def expected_cost_usd(totals: Totals, paid_usd: Decimal | None, total: int | None) -> Decimal | None:
    """What the whole will cost, by the mean of the answers so far; None before there are enough to tell.

    `paid_usd` is what was paid by now, also for answers that are in the output no more.
    """
    priced_rows = totals.answered - totals.unknown_cost_rows
    cost = totals.known_cost_usd
    if total is None or cost is None or paid_usd is None or priced_rows < _ENOUGH_ANSWERS:
        return None
    return cost / priced_rows * (total - totals.invalid - totals.failed) + (paid_usd - cost)
