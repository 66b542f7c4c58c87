"""What the journal is told of a price while a drive goes on."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from batchchat.core.attempt import Action, Attempt, Billed, Cost, MaxUsage, Request, Usage, Verdict
from batchchat.core.conversation import Key
from batchchat.policy.budget import Budget, PriceRatio
from batchchat.policy.decision import ADMIT
from batchchat.policy.spend_holds import NOTHING_HELD
from batchchat.run.money import Money

MAX_USAGE = MaxUsage(0, 10, Decimal("0.01"))
REQUEST = Request(Key("a"), 0, "m", [], b"{}", 1, MAX_USAGE)


def answer(cost: str) -> Attempt:
    paid = Cost(Decimal(cost), "reported")
    return Attempt(REQUEST, Verdict(Action.ACCEPT, billed=Billed.YES), 0, 1, 1, 200, usage=Usage(0, 10), cost=paid)


class Drive:
    """Requests one after the other, and the holds that are written for them; each is synced at once."""

    def __init__(self, budget: Budget | None) -> None:
        self.holds: list[dict[str, Any]] = []
        self.records = 0
        self.money = Money("p", budget, self._hold, lambda: self.records, lambda _event: None)

    def _hold(self, held: dict[str, Any]) -> None:
        self.holds.append(held)
        self.records += 1

    def play(self, cost: str) -> None:
        while not all(policy.check(0, MAX_USAGE) is ADMIT for policy in self.money.policies):
            self.money.synced(self.records)
        for policy in self.money.policies:
            policy.acquire(0, MAX_USAGE)
        for policy in self.money.policies:
            policy.release(1, MAX_USAGE, answer(cost))
        self.records += 1
        self.money.synced(self.records)


def capped(answers: int) -> Budget:
    learned = PriceRatio("p", answers, Decimal(1))
    return Budget(Decimal(1000), lambda _model, usage: Decimal(usage.completion_tokens or 0) / 1000, learned=learned)


def test_a_price_that_turns_out_dearer_is_noted_with_the_next_sync() -> None:
    """However long no hold is due: a kill then must not resume at the old ratio."""
    drive = Drive(capped(100))
    for _ in range(200):
        drive.play("0.01")
    assert drive.holds[-1]["dearest"] == "1"
    before = len(drive.holds)
    drive.play("0.018")
    assert (drive.holds[-1]["dearest"], drive.holds[-1]["answers"]) == ("1.8000", 301)
    for _ in range(200):
        drive.play("0.018")
    assert len(drive.holds) == before + 1


def test_the_end_of_learning_is_noted() -> None:
    """A kill after twenty answers need not learn them again."""
    drive = Drive(capped(0))
    for _ in range(25):
        drive.play("0.01")
    assert drive.holds[-1]["answers"] >= 20


def test_a_price_without_a_budget_has_its_holds_and_nothing_learned() -> None:
    """What is in flight is noted for the day a cap is set; nobody watches what it costs."""
    drive = Drive(None)
    for _ in range(3):
        drive.play("0.01")
    assert drive.holds == [{"requests": 3, "usd": "0.03", "price": "p"}]
    assert drive.money.noted(NOTHING_HELD) == {"requests": 0, "usd": "0", "price": "p"}
