"""The drive: source → dispatch → journal, and what is told on the way. It ends when all is sent, or drained.

An answer counts when it is synced: totals, progress and events come from the journal's commits, never from replies.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from batchchat.core.attempt import NO_SPEND, Attempt, Billed, Outcome, Request, Spend
from batchchat.core.conversation import ErrorKind, Status
from batchchat.core.events import AwaitedRow, Draining, FirstFailure, Progress, RowOverdue, Subscriber
from batchchat.core.record import RowRecord, record_of_outcome, unsure_fields, usage_fields
from batchchat.core.totals import Totals
from batchchat.dispatch.dispatcher import Dispatcher, RetryPolicies, Send, Work
from batchchat.policy.budget import Budget
from batchchat.policy.deadline import TIME_UP, is_due
from batchchat.policy.decision import Halt
from batchchat.policy.spend_holds import NOTHING_HELD
from batchchat.policy.stragglers import Overdue, StragglerPolicy
from batchchat.run.anomaly_detector import AnomalyDetector
from batchchat.run.bounds import OWN_BOUNDS
from batchchat.run.endpoint_limits import EndpointLimits
from batchchat.run.money import Money
from batchchat.run.signals import Signals
from batchchat.run.tasks import Feed
from batchchat.run.throughput import Throughput
from batchchat.store.journal import Journal
from batchchat.store.ledger import Ledger

__all__ = ["READABLE_ROWS", "Drive", "RunLimits"]

READABLE_ROWS = 20
"""A run that finishes at most so many shows its replies."""

_TICK_S = 0.2
_WORTH_A_WORD_S = 2.0


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What bounds the drive; times in seconds, `stop_at` since the epoch. No attempt takes longer than `attempt_s`."""

    concurrency: int
    stop_after_failures: int
    drain_s: float
    attempt_s: float
    stop_at: float | None = None


class Drive:
    """One drive over one feed."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        send: Send,
        retry: RetryPolicies,
        restraint: EndpointLimits,
        limits: RunLimits,
        price: str | None,
        budget: Budget | None,
        tail: StragglerPolicy,
        limit: int | None,
        replaced: int,
        mock: bool,
        host: str,
        tell: Subscriber,
        signals: Signals,
        notices: AnomalyDetector,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._limits = limits
        self._limit = limit
        self._mock = mock
        self.cuts = 0
        self._tell = tell
        self._signals = signals
        self._clock = clock
        self._start = clock()
        self._pace = Throughput()
        self._notices = notices
        self._retries: Counter[str] = Counter()
        self._restraint = restraint
        self._synced = 0
        self._max_cost_usd = None if budget is None else budget.max_cost_usd
        self._money = None if price is None else Money(price, budget, self._hold, self._appended, tell)
        self._dispatcher = Dispatcher(
            take=self._take,
            send=send,
            policies=[*restraint.policies, *([] if self._money is None else self._money.policies)],
            retry=retry,
            listener=self,
            workers=limits.concurrency,
            stop_after_failures=limits.stop_after_failures,
            answered_models=ledger.answered_models.get(host, ()),
            tail=tail,
            clock=clock,
        )
        self._driving = True
        self._draining_told = False
        self.feed: Feed
        self.journal: Journal
        self.outdated = replaced
        """Rows that have a record and are to be sent again; they count as done when they are finished once more."""
        self._kept = self._done
        self._sent = 0
        self._tokens_here = 0
        self.sent_rows: list[RowRecord] = []
        """The first rows that were finished here, for a run small enough to be read."""

    @property
    def elapsed_s(self) -> float:
        """Seconds since the drive began."""
        return self._clock() - self._start

    async def run(self, journal: Journal, feed: Feed) -> Halt | None:
        """Send all there is to send; the reason where something but a signal stopped it."""
        self.journal, self.feed = journal, feed
        # What may be billed and not be kept if the process dies. Where there is no price to keep it small: as many as
        # may be in flight, and as many not yet synced.
        unpriced = {"requests": 2 * self._limits.concurrency, "usd": None}
        self._hold(unpriced if self._money is None else self._money.noted(NOTHING_HELD))
        await journal.settled()  # before the first request: a kill on a slow disk must leave word of it
        self._signals.on_change(self._signalled)
        ticker = asyncio.create_task(self._tick())
        try:
            await self._dispatcher.run()
            await journal.settled()
            stop = self._dispatcher.stopped
            if stop is not None and stop.reason in OWN_BOUNDS and self._sent == feed.taken and await feed.at_end():
                stop = None  # it came when all was on its way, and kept nothing back
                await journal.settled()
        finally:
            self._driving = False
            ticker.cancel()
            with suppress(asyncio.CancelledError):
                await ticker
        self._progress()
        if self._money is not None:
            self._money.tell_dearer(at_last=True)
        return stop

    def settle_holds(self) -> None:
        """Whatever ended the drive, nothing is in flight any more."""
        self._hold({"requests": 0, "usd": None} if self._money is None else self._money.noted(NOTHING_HELD))

    def _hold(self, held: dict[str, Any]) -> None:
        self.journal.append({"kind": "hold", **held, "at": time.time()})

    def _appended(self) -> int:
        """How many records this drive's journal was given."""
        return self._synced + self.journal.unsynced

    @property
    def _done(self) -> int:
        """Rows that are finished, and stay so."""
        return self._ledger.totals.finished - self.outdated

    def left(self) -> int | None:
        """Rows of the input that have no record yet; None where its end was not seen."""
        total, estimated = self.feed.total()
        return None if total is None or estimated else total - self._ledger.totals.finished

    def abandon(self) -> None:
        """Cut off what is in flight."""
        self._dispatcher.abandon()

    def committed(self, placed: Sequence[tuple[int, Any]]) -> None:
        """A group of records is synced: now they count."""
        self._synced += len(placed)
        for at, record in placed:
            if record["kind"] != "row" or record["status"] == _INVALID:
                self._ledger.apply(at, record)
                continue
            # Most runs replace nothing, and need not look.
            before = self._ledger.totals.finished if self.outdated else -1
            self._ledger.apply(at, record)
            if before == self._ledger.totals.finished:
                self.outdated -= 1
            self._sent += 1
            self._count(record)
        if self._money is not None and self._driving:
            self._money.synced(self._synced)
            self._dispatcher.gate.ask_again()

    def _count(self, row: RowRecord) -> None:
        self._tokens_here += row.get("usage", _NOTHING).get("completion_tokens", 0)
        if len(self.sent_rows) <= READABLE_ROWS:
            self.sent_rows.append(row)
        if row["status"] == Status.FAILED and self._ledger.totals.failures[row["error_kind"]] == 1:
            self._tell(FirstFailure(row["error_kind"], row["id"], row["error"]))

    async def _take(self) -> Work | None:
        return await self.feed.take()

    def finished(self, work: Work, outcome: Outcome) -> None:
        """A row came to its end: keep it whole."""
        record = record_of_outcome(outcome, work.spend, time.monotonic() - work.queued_at - outcome.attempt.latency_s)
        if self._mock:
            record["mock"] = True
        self.journal.append(record)
        if outcome.status is Status.ANSWERED:
            self._notices.answered(outcome)
        else:
            self._notices.failed(outcome.attempt)

    def tried(self, work: Work, attempt: Attempt) -> None:
        """An attempt that did not finish its row is kept when it cost something, or may have."""
        kind = attempt.verdict.kind
        if kind is not None:
            self._retries[kind.value] += 1
        self._notices.failed(attempt)
        if attempt.verdict.billed is not Billed.NO or attempt.cost is not None:
            self._keep_step(work, attempt.request, NO_SPEND.with_attempt(attempt), kind.value if kind else "")

    def cut(self, work: Work, request: Request) -> None:
        """We cut a request off: it may have been billed."""
        self.cuts += 1
        self._keep_step(work, request, NO_SPEND.with_cancelled(request), "cut")

    def overdue(self, cut: Overdue) -> None:
        """A row hangs at the end of the run."""
        self._tell(RowOverdue(cut.key.id, cut.ran_s, cut.p99_s, cut.again))

    async def room(self) -> None:
        """Another row may start when at most as many as are in flight wait to be synced."""
        if self.journal.unsynced > self._limits.concurrency or self.journal.failed is not None:
            await self.journal.room(self._limits.concurrency)

    def _keep_step(self, work: Work, request: Request, spend: Spend, why: str) -> None:
        key = work.script.row.key
        self.journal.append(
            {
                "kind": "step",
                "id": key.id,
                "variant": key.variant,
                "sample": key.sample,
                "fp": f"{request.fingerprint:016x}",
                "step": request.step,
                "attempts": spend.attempts,
                "possibly_billed": spend.possibly_billed,
                "cost_usd": None if spend.cost_usd is None else float(spend.cost_usd),
                "cost_source": spend.cost_source,
                **unsure_fields(spend),
                "usage": None if spend.usage is None else usage_fields(spend.usage),
                "why": why,
                "at": time.time(),
            }
        )

    def _signalled(self) -> None:
        if self._signals.impatient:
            self._dispatcher.abandon()
            return
        self._dispatcher.stop()
        asyncio.get_running_loop().call_later(self._limits.drain_s, self._dispatcher.abandon)
        self._tell(Draining(self._signals.name, self._dispatcher.gate.in_flight, self._limits.drain_s))

    async def _tick(self) -> None:
        while True:
            self._progress()
            self._look_at_the_clock()
            self._tell_draining()
            if self._money is not None:
                self._money.tell_dearer()
            await asyncio.sleep(_TICK_S)

    def _look_at_the_clock(self) -> None:
        """The wall's, each time anew: it may be set, and stands still for nobody whose machine slept."""
        now, stop_at, attempt_s = time.time(), self._limits.stop_at, self._limits.attempt_s
        if stop_at is None or now < stop_at - attempt_s or self._dispatcher.stopping:
            return
        if is_due(now, stop_at, self._ledger.totals.latency_s(_MOST_ANSWERS), attempt_s):
            self._dispatcher.stop(Halt(TIME_UP))

    def _tell_draining(self) -> None:
        """Once, where a stop of any kind but a signal leaves requests in flight: they get all their time."""
        stop, in_flight = self._dispatcher.stopped, self._dispatcher.gate.in_flight
        if stop is not None and in_flight and not self._draining_told:
            self._draining_told = True
            reason = "`budget.stop_at`" if stop.reason == TIME_UP else stop.reason
            self._tell(Draining(reason, in_flight, self._limits.attempt_s, by_signal=False))

    def _progress(self) -> None:
        now, restraint = self._clock(), self._restraint
        left = self.left()
        for event in restraint.news(now, None if left is None else left + self.outdated):
            self._tell(event)
        totals = self._ledger.totals
        total, estimated = self.feed.total()
        if self._limit is not None:
            most = self._kept + self._limit
            total, estimated = (most, False) if total is None or estimated or total > most else (total, False)
        cost = totals.known_cost_usd
        self._pace.note(self.elapsed_s, self._done, self._tokens_here, float(cost or 0))
        self._tell(
            Progress(
                elapsed_s=self.elapsed_s,
                total=total,
                estimated=estimated,
                answered=totals.answered,
                failed=totals.failed,
                invalid=totals.invalid,
                done=self._done,
                in_flight=self._dispatcher.gate.in_flight,
                recovering=self._dispatcher.recovering,
                ceiling=restraint.concurrency.ceiling,
                cost_usd=cost,
                expected_cost_usd=_expected(totals, total),
                tokens_per_s=self._pace.tokens_per_s,
                rows_per_s=self._pace.rows_per_s,
                eta_s=self._pace.eta_s(total),
                max_cost_usd=self._max_cost_usd,
                most=restraint.most,
                cost_per_hour_usd=None if cost is None else self._pace.usd_per_hour,
                down_since=restraint.outage.down_since,
                probe_in_s=restraint.outage.probe_in_s(now),
                held_s=restraint.held_s(now),
                awaited=self._awaited(),
                failures={kind: count for kind, count in totals.failures.items() if kind != _INVALID_INPUT},
                retries=dict(self._retries),
            )
        )

    def _awaited(self) -> AwaitedRow | None:
        """The row the run waits for, once it is worth a word."""
        found = self._dispatcher.flight.awaited()
        if found is None:
            return None
        running, bound_s = found
        ran_s = self._clock() - running.since
        return AwaitedRow(running.key.id, ran_s, bound_s) if ran_s >= _WORTH_A_WORD_S else None


def _expected(totals: Totals, total: int | None) -> Decimal | None:
    """What the whole will cost, by the mean of the answers so far; None before there are enough to tell."""
    known = totals.answered - totals.unknown_cost_rows
    cost = totals.known_cost_usd
    if total is None or cost is None or known < _ENOUGH_ANSWERS:
        return None
    return cost / known * (total - totals.invalid - totals.failed)


_ENOUGH_ANSWERS = 20
_MOST_ANSWERS = 0.95
_NOTHING: dict[str, Any] = {}
_INVALID = Status.INVALID.value
_INVALID_INPUT = ErrorKind.INVALID_INPUT.value
