"""What a killed run may have spent beside its journal: never more than the last hold on disk says."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import Action, Attempt, Billed, MaxUsage, Request, Verdict
from batchchat.core.conversation import Key
from batchchat.policy.decision import ADMIT, Delay
from batchchat.policy.spend_holds import NOTHING_HELD, HoldLevel, SpendHolds

REQUEST = Request(Key("1"), 0, "m", [], b"{}", 1)
PAID = Attempt(REQUEST, Verdict(Action.ACCEPT, billed=Billed.YES), 0, 0, 0)
REFUSED = Attempt(REQUEST, Verdict(Action.RETRY, billed=Billed.NO), 0, 0, 0)


class Line(NamedTuple):
    """A record of the journal: a hold, or the end of a request."""

    hold: HoldLevel | None = None
    ends: Decimal | None = None


class House:
    """A journal that is synced on demand, the policy over it, and the truth about what was sent."""

    def __init__(self) -> None:
        self.lines: list[Line] = [Line(NOTHING_HELD)]
        self.on_disk = 0
        self.sent = Decimal(0)
        self.requests = 0
        self.flying: list[MaxUsage] = []
        self.holds = SpendHolds(lambda level: self.append(Line(level)))

    def append(self, line: Line) -> int:
        self.lines.append(line)
        return len(self.lines)

    def send(self, cost: int) -> bool:
        max_usage = MaxUsage(cost_usd=Decimal(cost))
        if self.holds.check(0, max_usage) is not ADMIT:
            return False
        self.holds.acquire(0, max_usage)
        self.flying.append(max_usage)
        self.sent += cost
        self.requests += 1
        return True

    def end(self, which: int, *, refused: bool) -> None:
        max_usage = self.flying.pop(which % len(self.flying))
        assert max_usage.cost_usd is not None
        if refused:
            self.holds.release(0, max_usage, REFUSED)
            self.sent -= max_usage.cost_usd  # nobody is charged for it
            self.requests -= 1
        else:
            self.holds.release(0, max_usage, PAID, self.append(Line(ends=max_usage.cost_usd)))

    def sync(self) -> None:
        """The next line is on disk, and we are told."""
        if self.on_disk < len(self.lines):
            self.on_disk += 1
            self.holds.synced(self.on_disk)

    def at_risk(self, kept: int) -> tuple[HoldLevel, HoldLevel]:
        """Killed with `kept` lines on disk: what was sent that they don't tell of, and what their last hold says."""
        lines = self.lines[:kept]
        ends = [line.ends for line in lines if line.ends is not None]
        unknown = HoldLevel(self.requests - len(ends), self.sent - sum(ends, Decimal(0)))
        return unknown, next((line.hold for line in reversed(lines) if line.hold is not None), NOTHING_HELD)


moves = st.lists(
    st.tuples(st.just("send"), st.integers(1, 30))
    | st.tuples(st.sampled_from(["end", "refuse"]), st.integers(0, 60))
    | st.tuples(st.just("sync"), st.integers(1, 8)),
    max_size=300,
)


@given(moves)
def test_a_kill_at_any_record_finds_a_hold_that_covers_it(played: list[tuple[str, int]]) -> None:
    """At each moment, with each end the file may have then: the journal and its last hold cover all that was sent."""
    house = House()
    for move, number in played:
        if move == "send":
            house.send(number)
        elif move == "sync":
            for _ in range(number):
                house.sync()
        elif house.flying:
            house.end(number, refused=move == "refuse")
        for kept in range(house.on_disk, len(house.lines) + 1):
            unknown, hold = house.at_risk(kept)
            assert unknown.usd <= hold.usd
            assert unknown.requests <= hold.requests


@given(st.lists(st.integers(1, 30), min_size=1, max_size=50))
def test_whoever_waits_goes_after_a_sync(costs: list[int]) -> None:
    """A request that finds no hold has one written, and goes as soon as that is on disk."""
    house = House()
    for cost in costs:
        while not house.send(cost):
            waiting = house.on_disk
            house.sync()
            assert house.on_disk > waiting, "it would wait for ever"


def test_a_hold_is_about_what_is_in_flight() -> None:
    """With 64 in flight a kill costs the budget no more than a quarter more; few lines are written for it."""
    house = House()
    for number in range(5_000):
        while len(house.flying) < 64:
            while not house.send(10):
                house.sync()
        house.end(number * 7, refused=False)
        house.sync()
    while house.on_disk < len(house.lines):
        house.sync()
    unknown, hold = house.at_risk(len(house.lines))
    assert unknown == HoldLevel(63, Decimal(63 * 10))
    assert unknown.usd <= hold.usd <= unknown.usd * Decimal("1.25")
    assert 63 <= hold.requests <= 63 * 1.25
    assert sum(line.hold is not None for line in house.lines) < 40


def test_a_hold_follows_what_is_in_flight_down() -> None:
    """When less is in flight, as near the end of a budget, a kill costs less too."""
    house = House()
    for _ in range(64):
        while not house.send(10):
            house.sync()
    for number in range(200):
        house.end(number, refused=False)
        while house.on_disk < len(house.lines):
            house.sync()
        while len(house.flying) < 4:
            assert house.send(10)
    _, hold = house.at_risk(len(house.lines))
    assert hold.usd <= 40 * Decimal("1.5")
    assert hold.requests <= 6


def test_a_hold_between_a_record_and_its_release_covers_the_request() -> None:
    """No rule rests on their being written one after the other: the level counts what is not released."""
    house = House()
    while not house.send(1):
        house.sync()
    record = house.append(Line(ends=Decimal(1)))
    while not house.send(100):
        house.sync()
    house.holds.release(0, MaxUsage(cost_usd=Decimal(1)), PAID, record)
    _, hold = house.at_risk(len(house.lines))
    assert hold.usd >= 101


@pytest.mark.parametrize("in_flight", range(4, 45))
@pytest.mark.parametrize("idle", ["usd", "requests"])
def test_a_hold_of_which_one_part_is_idle_raises_no_other(in_flight: int, idle: str) -> None:
    """What is lowered holds before it is synced: a part that is nearly used must not go up with that."""
    house = House()
    first, after = (1000, 1) if idle == "usd" else (1, 1000)
    for _ in range(1 if idle == "usd" else 64):
        while not house.send(first):
            house.sync()
    while house.flying:
        house.end(0, refused=False)
    for number in range(200):
        while len(house.flying) < in_flight and house.send(after):
            pass
        if number % 3:
            house.sync()
        if house.flying:
            house.end(number, refused=False)
        for kept in range(house.on_disk, len(house.lines) + 1):
            unknown, hold = house.at_risk(kept)
            assert unknown.usd <= hold.usd
            assert unknown.requests <= hold.requests


def test_a_request_without_a_bound_takes_the_bound_from_the_hold_before_it_goes() -> None:
    """Also where others have one: a reader must know that what was in flight may have cost anything."""
    house = House()
    while not house.send(1):
        house.sync()
    unbounded = MaxUsage()
    assert isinstance(house.holds.check(0, unbounded), Delay)
    while house.on_disk < len(house.lines):
        house.sync()
    assert house.holds.check(0, unbounded) is ADMIT
    assert not house.at_risk(house.on_disk)[1].bounded


def test_what_is_noted_beside_a_hold_is_noted_at_the_level_it_has() -> None:
    """Written once more while a raise is in writing, it says what the raise says, and no less than is in flight."""
    house = House()
    house.send(1)
    house.holds.repeat()
    assert house.lines[-1] == house.lines[-2] != house.lines[0]
    house.sync()
    house.sync()
    house.holds.repeat()
    assert house.lines[-1] == house.lines[1]
