"""The parent's side: one lessor leases one job's limits to all its workers. Pure: no I/O, the clock is an argument.

It speaks only when asked, so a worker that is gone costs no message, and a lost answer is repeated by the next.

What a worker's next request needs of requests, tokens and USD it is granted together or not at all, and first the
worker that has waited longest; who lacks one of them gives back the others. So no two wait for what the other holds.
Slots are held before the rest is asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from batchchat.cluster.credit_lessor import CreditLessor
from batchchat.cluster.messages import Ask, Grant
from batchchat.cluster.slot_lessor import SlotLessor
from batchchat.cluster.usd_lessor import UsdLessor
from batchchat.cluster.waiting_line import WaitingLine
from batchchat.policy.budget import LEARNING_IN_FLIGHT, PriceRatio

__all__ = ["LeaseTerms", "Lessor"]

_NO_USD = Decimal(0)
_WRITE_OFF_EACH = 0.05  # of a lease
_NO_MORE = sys.maxsize  # no ask has a number above it


class LeaseTerms(NamedTuple):
    """The limits of the whole job, None where it has none; no attempt takes longer than `attempt_s` seconds.

    `slots` is how many requests may be in flight. Of `max_cost_usd`, `spent_usd` were spent before, and are in the
    journal of no worker. A worker that hears nothing for `lease_s` seconds sends nothing more until it does.
    """

    slots: int
    attempt_s: float
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    max_cost_usd: Decimal | None = None
    spent_usd: Decimal = _NO_USD
    lease_s: float = 10.0


@dataclass(slots=True)
class _WorkerState:
    """The newest ask of a worker's present incarnation, and how many grants it was given."""

    incarnation: int
    number: int = 0
    grants: int = 0


class Lessor:
    """Leases what `terms` allow. The `workers` that have spent USD before are to report before any is granted."""

    def __init__(self, terms: LeaseTerms, workers: Iterable[str] = ()) -> None:
        self.slots = terms.slots
        """How many requests may be in flight; can be changed at any time."""
        self._lease_s = terms.lease_s
        self._workers: dict[str, _WorkerState] = {}
        self._slots = SlotLessor(terms.lease_s, terms.attempt_s)
        self._requests = None if terms.requests_per_minute is None else CreditLessor(terms.requests_per_minute)
        self._tokens = None if terms.tokens_per_minute is None else CreditLessor(terms.tokens_per_minute)
        self._line = WaitingLine()
        self._write_off_at = float("-inf")
        self._rates = [rate for rate in (self._requests, self._tokens) if rate is not None]
        self._usd = None if terms.max_cost_usd is None else UsdLessor(terms.max_cost_usd, workers, terms.spent_usd)

    def state(self, now: float) -> dict[str, Any]:
        """All it knows at `now` of slots and rates, as JSON: another lessor of the same terms can go on from it."""
        return {
            "workers": {name: [state.incarnation, state.number, state.grants] for name, state in self._workers.items()},
            "slots": self._slots.state(),
            "rates": [rate.state(now) for rate in self._rates],
            "line": self._line.state(),
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` said before. Raises `LookupError`, `TypeError` or `ValueError` where it did not."""
        for name, (incarnation, number, grants) in state["workers"].items():
            self._workers[name] = _WorkerState(int(incarnation), int(number), int(grants))
        self._slots.resume(state["slots"])
        for rate, of_rate in zip(self._rates, state["rates"], strict=True):
            rate.resume(of_rate)
        self._line.resume(state["line"])

    def take_over_slots(self, lessor: Lessor) -> None:
        """Lend no slot that `lessor`, whose terms are others, has lent and that may be in use still."""
        self._slots.resume(lessor._slots.state())

    def withhold(self, now: float, slots: int) -> None:
        """Lend `slots` of the slots to nobody until leases of which it knows nothing have ended."""
        self._slots.withhold(now, slots)

    def expect(self, worker: str) -> None:
        """Grant no USD before `worker` has reported: it counts what was spent before."""
        if self._usd is not None:
            self._usd.expect(worker)

    def answer(self, now: float, ask: Ask) -> Grant | None:
        """The grant for an ask that came at `now`; None for one that is not newer than the last of its worker."""
        state = self._workers.get(ask.worker)
        if state is not None and (ask.incarnation, ask.number) <= (state.incarnation, state.number):
            return None
        if state is None or ask.incarnation > state.incarnation:
            state = self._begin(now, ask)
        state.number = ask.number
        self._write_off_ended(now)
        self._report(now, ask)
        state.grants += 1
        return self._grant(now, ask, state.grants)

    def end(
        self, now: float, worker: str, linger_s: float | None, *, is_replaced: bool, has_settled: bool = False
    ) -> None:
        """The process of `worker` has ended, done or killed: its slots and credits are free for others.

        Give its last asks to `answer` first. Its requests may still be in flight for `linger_s` seconds, as the
        endpoint counts them; None is unknown. Its USD stay reserved until a new incarnation has reported what its
        journal counts; where it is not replaced, for good. A worker that has never reported keeps all USD back. One
        that `has_settled` has made its last ask when nothing of it was in flight any more.
        """
        state = self._workers.get(worker)
        has_asked = state is not None and state.number < _NO_MORE  # else what it holds is an earlier incarnation's
        if state is not None:
            state.number = _NO_MORE
        self._forget(now, worker, linger_s)
        if self._usd is not None:
            self._usd.end(worker, is_replaced=is_replaced, has_settled=has_settled and has_asked)

    def forget(self, worker: str) -> None:
        """No ask of `worker`, which has ended, can come any more."""
        self._workers.pop(worker, None)

    @property
    def learned(self) -> PriceRatio:
        """What the answers of all workers have shown of the price."""
        return PriceRatio() if self._usd is None else self._usd.learned

    @property
    def is_spent_up(self) -> bool:
        """Whether the budget has come to its end: the next request does not fit, and nothing can free money."""
        return self._usd is not None and self._usd.is_spent_up

    def _begin(self, now: float, ask: Ask) -> _WorkerState:
        """The first ask of an incarnation: what an earlier one held is no more, however it ended."""
        self._forget(now, ask.worker, None)
        if self._usd is not None:
            self._usd.begin(ask.worker)
        state = self._workers[ask.worker] = _WorkerState(ask.incarnation)
        return state

    def _forget(self, now: float, worker: str, linger_s: float | None) -> None:
        self._slots.forget(now, worker, linger_s)
        self._line.leave(worker)
        for rate in self._rates:
            rate.forget(now, worker)

    def _write_off_ended(self, now: float) -> None:
        if not self._rates or now < self._write_off_at:
            return
        self._write_off_at = now + self._lease_s * _WRITE_OFF_EACH
        for worker in self._workers:
            if self._slots.has_ended(now, worker):
                for rate in self._rates:
                    rate.write_off(now, worker)

    def _report(self, now: float, ask: Ask) -> None:
        self._slots.report(now, ask)
        if self._requests is not None and ask.requests is not None:
            self._requests.report(now, ask.worker, ask.requests)
        if self._tokens is not None and ask.tokens is not None:
            self._tokens.report(now, ask.worker, ask.tokens)
        if self._usd is not None and ask.usd is not None:
            self._usd.report(ask.worker, ask.usd)

    def _supply(self, now: float, worker: str, *, needs_any: bool) -> None:
        """Grant `worker` what its next request needs and what is left over, or nothing where others wait for it."""
        usd = self._usd
        if self._line.is_turn_of(now, worker):
            lacks_usd = usd is not None and usd.lacks(worker)
            if not lacks_usd and not any(rate.lacks(now, worker) for rate in self._rates):
                self._line.leave(worker)
                for rate in self._rates:
                    rate.grant(now, worker, len(self._workers))
                if usd is not None:
                    usd.grant(worker, len(self._workers))
                return
            if usd is not None and lacks_usd:
                usd.judge(worker)
        if needs_any:
            self._line.wait(now, worker)
        else:
            self._line.leave(worker)

    def _grant(self, now: float, ask: Ask, number: int) -> Grant:
        worker, usd, total = ask.worker, self._usd, self.slots
        reports = (ask.requests, ask.tokens, ask.usd)
        self._supply(now, worker, needs_any=any(report is not None and report.needed > 0 for report in reports))
        if usd is not None and usd.is_learning:
            total = min(total, LEARNING_IN_FLIGHT)
        learned = self.learned
        return Grant(
            worker,
            ask.incarnation,
            number,
            ask.number,
            slots=self._slots.grant(now, worker, number, total),
            lasts_s=self._lease_s,
            requests=0.0 if self._requests is None else self._requests.granted(worker),
            tokens=0.0 if self._tokens is None else self._tokens.granted(worker),
            usd=_NO_USD if usd is None else usd.granted(worker),
            is_spent_up=self.is_spent_up,
            answers=learned.answers,
            max_ratio=learned.max_ratio,
        )
