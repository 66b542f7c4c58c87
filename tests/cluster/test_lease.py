"""What a worker asks for, and what it makes of what it is granted."""

from __future__ import annotations

from decimal import Decimal

from batchchat.cluster.lease import Lease
from batchchat.cluster.leased_policies import LeasedBudget
from batchchat.cluster.messages import Grant
from batchchat.core.attempt import MaxUsage
from batchchat.policy.decision import ADMIT

MAX_USAGE = MaxUsage(50, 50, Decimal("0.01"))


def send(lease: Lease, now: float) -> bool:
    """Send a request if all policies admit it."""
    if any(policy.check(now, MAX_USAGE) != ADMIT for policy in lease.policies):
        return False
    for policy in lease.policies:
        policy.acquire(now, MAX_USAGE)
    return True


def grant(number: int, slots: int, requests: float = 0.0, ask: int | None = None, incarnation: int = 1) -> Grant:
    return Grant("a", incarnation, number, number if ask is None else ask, slots, 10.0, requests)


def test_slots_last_from_when_the_ask_was_sent() -> None:
    lease = Lease("a", 1)
    assert not send(lease, 0.0)
    lease.ask(0.0, 1, 100)
    assert lease.hear(9.0, grant(1, 2))
    assert send(lease, 9.9)
    assert not send(lease, 10.0)
    lease.ask(10.0, 1, 100)
    assert lease.hear(19.0, grant(2, 2))
    assert send(lease, 19.1)
    assert not send(lease, 19.2)


def test_what_comes_late_is_of_no_use() -> None:
    lease = Lease("a", 1, requests_per_minute=600)
    lease.ask(0.0, 1, 100)
    assert lease.hear(11.0, grant(1, 2, requests=5))
    assert not send(lease, 11.0)
    ask = lease.ask(11.0, 1, 100)
    assert ask.slots_held == 0
    assert ask.requests is not None
    assert (ask.requests.heard, ask.requests.held, ask.requests.spent) == (5, 0, 5)


def test_only_a_newer_grant_to_this_start_counts() -> None:
    lease = Lease("a", 1, requests_per_minute=600)
    lease.ask(0.0, 1, 100)
    lease.ask(0.1, 1, 100)
    assert lease.hear(0.2, grant(2, 3, requests=3))
    assert not lease.hear(0.3, grant(1, 9, requests=2))
    assert not lease.hear(0.3, grant(2, 9, requests=9))
    assert not lease.hear(0.3, grant(7, 9, requests=9, incarnation=2))
    assert not lease.hear(0.3, grant(7, 9)._replace(worker="b"))
    assert [send(lease, 0.4) for _ in range(4)] == [True, True, True, False]


def test_what_is_held_ends_with_the_lease() -> None:
    lease = Lease("a", 1, requests_per_minute=600)
    lease.ask(0.0, 1, 100)
    lease.hear(0.1, grant(1, 9, requests=5))
    assert send(lease, 1.0)
    ask = lease.ask(20.0, 1, 100)
    assert ask.requests is not None
    assert (ask.requests.spent, ask.requests.held) == (5, 0)


def test_it_asks_at_once_where_something_is_lacked() -> None:
    woken = []
    lease = Lease("a", 1, requests_per_minute=600)
    lease.wake = lambda: woken.append(True)
    assert lease.ask_in_s(0.0) == 0
    lease.ask(0.0, 0, 100)
    assert lease.ask_in_s(0.1) > 0.1
    assert not send(lease, 0.1)
    assert woken == [True]
    assert lease.ask_in_s(0.1) == 0
    lease.ask(0.1, 1, 100)
    assert not send(lease, 0.1)
    assert 0 < lease.ask_in_s(0.1) < 0.1, "it has just asked for that"
    lease.hear(0.11, grant(1, 9, ask=2))
    assert not send(lease, 0.11)
    assert lease.ask_in_s(0.11) == 0, "and now for something else"


def test_it_wants_what_waits_for_it() -> None:
    """What waits for another policy, such as a Retry-After, does not."""
    lease = Lease("a", 1)
    assert lease.ask(0.0, 50, 100).slots_wanted < 5
    assert not send(lease, 0.0)
    assert lease.ask(0.0, 50, 100).slots_wanted > 50
    assert lease.ask(0.0, 500, 100).slots_wanted == 100
    lease.hear(0.1, grant(1, 80, ask=3))
    ask = lease.ask(0.2, 500, 100)
    assert ask.slots_wanted < 5
    assert ask.slots_held < 5, "and it keeps no more"


def test_who_lacks_one_thing_gives_back_the_others() -> None:
    lease = Lease("a", 1, requests_per_minute=600, tokens_per_minute=60_000)
    lease.ask(0.0, 0, 100)
    lease.hear(0.0, grant(1, 9, requests=4))
    assert not send(lease, 0.0)
    ask = lease.ask(0.1, 3, 100)
    assert ask.requests is not None
    assert ask.tokens is not None
    assert (ask.requests.held, ask.requests.needed, ask.requests.wanted) == (0, 1, 3)
    assert (ask.tokens.held, ask.tokens.needed, ask.tokens.wanted) == (0, 50, 150)


def test_without_a_free_slot_nothing_else_is_kept() -> None:
    """Slots first: who has none must not hold what another with a slot needs."""
    lease = Lease("a", 1, requests_per_minute=600)
    lease.ask(0.0, 0, 100)
    lease.hear(0.0, grant(1, 0, requests=4))
    assert not send(lease, 0.0)
    ask = lease.ask(0.1, 3, 100)
    assert ask.requests is not None
    assert (ask.requests.held, ask.requests.needed, ask.requests.wanted) == (0, 0, 0)


def test_the_last_ask_gives_all_back() -> None:
    budget = LeasedBudget(lambda model, usage: None, paid_usd=Decimal(3))
    lease = Lease("a", 1, requests_per_minute=600, budget=budget)
    lease.ask(0.0, 0, 100)
    lease.hear(0.0, grant(1, 9, requests=4)._replace(usd=Decimal(2)))
    assert send(lease, 0.0)
    ask = lease.last_ask(0.1)
    assert (ask.slots_held, ask.slots_wanted) == (1, 0)
    assert ask.requests is not None
    assert (ask.requests.held, ask.requests.wanted) == (0, 0)
    assert ask.usd is not None
    assert [ask.usd.cap, ask.usd.heard, ask.usd.settled] == [3, 2, 3]
