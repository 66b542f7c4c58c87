"""What the journal is told of a price while a run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from batchchat.core.attempt import Action, Attempt, Billed, Cost, MaxUsage, Request, Usage, Verdict
from batchchat.core.conversation import Key
from batchchat.execution.spending import Spending
from batchchat.policy.budget import Budget, PriceRatio
from batchchat.policy.decision import ADMIT

MAX_USAGE = MaxUsage(0, 10, Decimal("0.01"))
REQUEST = Request(Key("a"), 0, "m", [], b"{}", 1, MAX_USAGE)


def answer(cost: str) -> Attempt:
    paid = Cost(Decimal(cost), "reported")
    return Attempt(REQUEST, Verdict(Action.ACCEPT, billed=Billed.YES), 0, 1, 1, 200, usage=Usage(0, 10), cost=paid)


class Run:
    """Requests one after the other, and the holds that are written for them; each is synced at once."""

    def __init__(self, budget: Budget | None) -> None:
        self.holds: list[dict[str, Any]] = []
        self.records = 0
        self.spending = Spending("p", budget, 8, self._hold, lambda _event: None)

    def _hold(self, fields: Mapping[str, Any]) -> int:
        self.holds.append(dict(fields))
        self.records += 1
        return self.records

    def play(self, cost: str) -> None:
        while not all(policy.check(0, MAX_USAGE) is ADMIT for policy in self.spending.policies):
            self.spending.synced(self.records)
        for policy in self.spending.policies:
            policy.acquire(0, MAX_USAGE)
        self.records += 1
        for policy in self.spending.policies:
            policy.release(1, MAX_USAGE, answer(cost), self.records)
        self.spending.synced(self.records)


def capped(answers: int) -> Budget:
    learned = PriceRatio("p", answers, Decimal(1))
    return Budget(Decimal(1000), lambda _model, usage: Decimal(usage.completion_tokens or 0) / 1000, learned=learned)


def test_a_price_that_turns_out_dearer_is_noted_with_the_next_sync() -> None:
    """However long no hold is due: a kill then must not resume at the old ratio."""
    run = Run(capped(100))
    for _ in range(200):
        run.play("0.01")
    assert run.holds[-1]["dearest"] == "1"
    before = len(run.holds)
    run.play("0.018")
    run.play("0.018")
    assert run.holds[-1]["dearest"] == "1"
    run.play("0.018")
    assert (run.holds[-1]["dearest"], run.holds[-1]["answers"]) == ("1.8000", 303)
    for _ in range(200):
        run.play("0.018")
    assert len(run.holds) == before + 1


def test_the_end_of_learning_is_noted() -> None:
    """A kill after twenty answers need not learn them again."""
    run = Run(capped(0))
    for _ in range(25):
        run.play("0.01")
    assert run.holds[-1]["answers"] >= 20


def test_a_price_without_a_budget_has_its_holds_and_nothing_learned() -> None:
    """What is in flight is noted for the day a cap is set; nobody watches what it costs."""
    run = Run(None)
    for _ in range(3):
        run.play("0.01")
    assert run.holds == [{"requests": 3, "usd": "0.03", "price": "p"}]
    run.spending.close()
    assert run.holds[-1] == {"requests": 0, "usd": "0", "price": "p"}


def test_without_a_price_as_many_as_can_be_in_flight_may_be_billed() -> None:
    """The journal says so before the first request, and at the end that nothing is in flight; nothing is restrained."""
    holds: list[dict[str, Any]] = []

    def record(fields: Mapping[str, Any]) -> int:
        holds.append(dict(fields))
        return len(holds)

    spending = Spending(None, None, 128, record, lambda _event: None)
    assert (spending.policies, spending.max_cost_usd) == ([], None)
    spending.open()
    spending.synced(1)
    spending.close()
    assert holds == [{"requests": 128, "usd": None}, {"requests": 0, "usd": None}]
