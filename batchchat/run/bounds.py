"""A job's own bounds on money and time: how they are announced, refused, and told when they end a run. Pure words."""

from __future__ import annotations

import time
from decimal import Decimal

from batchchat.core.attempt import Request
from batchchat.core.events import Budgeted
from batchchat.job import JobSpec
from batchchat.policy.budget import SPENT, Budget, enough_usd
from batchchat.policy.deadline import TIME_UP
from batchchat.policy.decision import Halt
from batchchat.pricing.rates import Rate
from batchchat.run.plan import CostBound, PlanCounts
from batchchat.store.ledger import Ledger
from batchchat.text import numbers
from batchchat.tokens.reply_limit import REPLY_LIMITS

__all__ = ["OWN_BOUNDS", "bound_words", "budgeted", "change_to_go_on", "no_bound", "stop_at_passed"]

OWN_BOUNDS = frozenset({SPENT, TIME_UP})


def budgeted(budget: Budget, rate: Rate | None, ledger: Ledger, tally: PlanCounts, limit: int | None) -> Budgeted:
    """The budget at the start of a drive; what a `limit` leaves to be sent has no figure of its own."""
    return Budgeted(
        max_cost_usd=budget.max_cost_usd,
        paid_usd=ledger.paid_usd,
        unsure_usd=ledger.unsure.worth_usd,
        unknown_rows=ledger.totals.unknown_cost_rows,
        rows=tally.to_send if limit is None or limit >= tally.to_send else 0,
        most_usd=tally.most.usd * max(budget.learned.dearest, Decimal(1)),
        learning=budget.is_learning,
        price=None if rate is None or rate.source == "job" else rate.description,
    )


def no_bound(job: JobSpec, most: CostBound) -> str:
    """Rows that could cost anything, under a cap that must hold."""
    assert most.first is not None
    lacks, way_out = _lack(most.first)
    others = most.unbounded - 1
    more = f" {numbers.count(others)} more {'row is' if others == 1 else 'rows are'} like it." if others else ""
    cap = numbers.money(job.budget.max_cost)
    return (
        f"{most.first_place}: row {most.first.key.id} has {lacks}, so that what it costs has no bound and"
        f" `budget.max_cost` ({cap}) can't hold.{more} {way_out}, or leave `budget.max_cost` out."
    )


def _lack(request: Request) -> tuple[str, str]:
    if request.max_usage.completion_tokens is None:
        return f"no {' or '.join(REPLY_LIMITS)}", "Set `params.max_tokens`, or the row's own"
    if request.max_usage.prompt_tokens is not None:
        return f"the model {request.model}, whose price nobody knows", "Give it one in a table of `prices`"
    return "parts that are not text", "Take such rows out"


def stop_at_passed(written: str) -> str:
    """A moment that was over before the run began."""
    return f"`budget.stop_at` is {written}, which has passed. Set a later one, or leave it out."


def bound_words(stop: Halt, job: JobSpec, ledger: Ledger) -> str:
    """Which of the job's own bounds stopped the run."""
    if stop.reason == TIME_UP:
        assert job.budget.stop_at is not None
        clock = time.strftime("%H:%M:%S")
        return f"`budget.stop_at` is {job.budget.stop_at.written}; at {clock} what was in flight had ended."
    unsure = ledger.unsure.worth_usd
    may = f" and up to {numbers.money(unsure)} more may have been" if unsure else ""
    return (
        f"the budget of {numbers.money(job.budget.max_cost)} does not cover the next row, which may cost up to"
        f" {numbers.money(_next_usd(stop))}: {numbers.money(ledger.paid_usd)} is paid{may}."
    )


def change_to_go_on(stop: Halt, job: JobSpec, ledger: Ledger, left: int | None) -> tuple[str, ...]:
    """The words that the same command needs to go on after `stop`."""
    if stop.reason == TIME_UP:
        moment = job.budget.stop_at is not None and job.budget.stop_at.moment is not None
        return ("--set", "budget.stop_at=null") if moment else ()
    assert job.budget.max_cost is not None
    counted = ledger.paid_usd + ledger.unsure.worth_usd
    answered = ledger.totals.answered
    enough = enough_usd(job.budget.max_cost, counted, _next_usd(stop), answered=answered, left=left or answered)
    return ("--max-cost", f"{enough:f}")


def _next_usd(stop: Halt) -> Decimal:
    return stop.usd if stop.usd is not None and stop.usd.is_finite() else Decimal(0)
