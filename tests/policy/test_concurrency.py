"""The moving ceiling; `test_simulation` has it against servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import Action, Attempt, MaxUsage, Request, Scope, Verdict
from batchchat.core.conversation import ErrorKind, Key
from batchchat.policy.ceiling_state import CUT, FIXED, STARTING, STEADY, TRANSITIONS, CeilingState
from batchchat.policy.concurrency import CeilingMoved, Concurrency
from batchchat.policy.decision import ADMIT, Delay

MAX_USAGE = MaxUsage()
REQUEST = Request(Key("1"), 0, "m", [], b"{}", 1)


MOVES = {(before, after) for (before, _), after in TRANSITIONS.items()} | {(state, state) for state in CeilingState}


def ended(kind: ErrorKind | None, scope: Scope = Scope.ENDPOINT, wait_s: float | None = None) -> Attempt:
    action = Action.RETRY if kind else Action.ACCEPT
    return Attempt(REQUEST, Verdict(action, scope, kind=kind, wait_s=wait_s), 0, 0, 0.01)


ANSWERED = ended(None, Scope.ROW)
REFUSED = ended(ErrorKind.RATE_LIMIT)
NO_REFUSALS = [
    ended(ErrorKind.SERVER_ERROR, Scope.ROW),
    ended(ErrorKind.TIMEOUT, Scope.ROW),
    ended(ErrorKind.BAD_REQUEST, Scope.ROW),
    ended(ErrorKind.CONNECTION),
    None,
]


def fill(policy: Concurrency, now: float) -> None:
    while policy.check(now, MAX_USAGE) == ADMIT:
        policy.acquire(now, MAX_USAGE)


def started(most: int) -> Concurrency:
    """At its full height, with all in flight."""
    policy = Concurrency(most)
    for step in range(40):
        fill(policy, step * 0.25)
    return policy


@given(ceiling=st.integers(1, 5), comes=st.lists(st.booleans(), max_size=60), adaptive=st.booleans())
def test_as_many_as_the_ceiling_and_no_more(ceiling: int, comes: list[bool], adaptive: bool) -> None:
    """It lets go while fewer are in flight, else waits for the next to settle; asking changes nothing."""
    policy, held = Concurrency(ceiling, adaptive=adaptive), 0
    for coming in comes:
        if coming and policy.check(0, MAX_USAGE) == ADMIT:
            policy.acquire(0, MAX_USAGE)
            held += 1
        elif not coming and held:
            policy.release(0, MAX_USAGE, None)
            held -= 1
        assert policy.in_flight == held <= ceiling
        assert policy.check(0, MAX_USAGE) == policy.check(0, MAX_USAGE) == (ADMIT if held < ceiling else Delay(None))


@given(
    most=st.integers(1, 400),
    adaptive=st.booleans(),
    steps=st.lists(
        st.tuples(
            st.floats(0, 30),
            st.one_of(
                st.none(),
                st.sampled_from([ANSWERED, REFUSED, *NO_REFUSALS]),
                st.floats(0, 1e9).map(lambda wait_s: ended(ErrorKind.OVERLOADED, wait_s=wait_s)),
            ),
            st.integers(1, 40),
        ),
        max_size=60,
    ),
)
def test_it_stays_between_one_and_the_most_and_never_locks(
    most: int, adaptive: bool, steps: list[tuple[float, Attempt | None, int]]
) -> None:
    """Never above the ceiling, never below 1; who waits does so for a finite time, or for one in flight."""
    policy, now = Concurrency(most, adaptive=adaptive), 100.0
    for gap_s, attempt, times in steps:
        now += gap_s
        for _ in range(times):
            decision = policy.check(now, MAX_USAGE)
            if decision == ADMIT:
                policy.acquire(now, MAX_USAGE)
                assert policy.in_flight <= policy.ceiling
            else:
                assert isinstance(decision, Delay)
                assert policy.in_flight if decision.seconds is None else 0 < decision.seconds <= 60.001
        for _ in range(min(times, policy.in_flight)):
            before, ceiling = policy.state, policy.ceiling
            policy.release(now, MAX_USAGE, attempt)
            assert (before, policy.state) in MOVES
            assert policy.state is not CUT or policy.ceiling <= ceiling
            assert 1 <= policy.ceiling <= most
            assert adaptive or policy.ceiling == most


def test_it_goes_through_its_states() -> None:
    """It starts; two refusals near each other cut; an answer to a request sent since makes it steady."""
    assert Concurrency(200, adaptive=False).state is FIXED
    assert Concurrency(20).state is STEADY
    assert started(200).state is STEADY
    policy = Concurrency(200)
    fill(policy, 0.0)
    policy.release(0.1, MAX_USAGE, REFUSED)
    assert policy.state is STARTING
    policy.release(0.1, MAX_USAGE, REFUSED)
    assert policy.state is CUT
    policy.release(0.105, MAX_USAGE, ANSWERED)  # after 10 ms: it was sent before the cut
    assert policy.state is CUT
    policy.release(0.2, MAX_USAGE, ANSWERED)
    assert policy.state is STEADY


def test_a_limit_that_has_moved_is_followed_in_few_refusals() -> None:
    """One by one to half; where three and most requests sent since the cut are refused, by 0.7, then by 0.5."""
    policy, ceilings = started(40), []
    for number in range(32):
        at = 20.0 + number / 10
        policy.release(at, MAX_USAGE, REFUSED)
        fill(policy, at + 0.05)
        ceilings.append(policy.ceiling)
    assert ceilings == [*range(40, 20, -1), 20, 20, 20, 20, *range(14, 6, -1)]


def test_the_start_is_short() -> None:
    """From 32 to 200 in 1.25 seconds where nothing is refused, though nothing is answered yet."""
    policy = Concurrency(200)
    fill(policy, 0.0)
    assert policy.in_flight == 32
    assert policy.check(0.1, MAX_USAGE) == Delay(0.15)
    ceilings = []
    for step in range(1, 7):
        fill(policy, step * 0.25)
        ceilings.append(policy.in_flight)
    assert ceilings == [48, 72, 108, 162, 200, 200]


def test_only_refusals_cut() -> None:
    """Server errors, timeouts, failures of rows and lost connections never do."""
    policy = started(200)
    for attempt in NO_REFUSALS * 10:
        policy.release(20.0, MAX_USAGE, attempt)
        fill(policy, 20.0)
    assert policy.ceiling == 200
    assert policy.news(30.0) is None


def test_one_refusal_is_no_limit_and_two_are() -> None:
    """A lone refusal changes nothing; one right after it takes the ceiling to what is accepted."""
    policy = started(200)
    policy.release(20.0, MAX_USAGE, REFUSED)
    assert policy.ceiling == 200
    fill(policy, 20.0)
    policy.release(20.1, MAX_USAGE, REFUSED)
    assert policy.ceiling == 199


@pytest.mark.parametrize("adaptive", [True, False])
def test_retry_after_holds_all(adaptive: bool) -> None:
    """No request is admitted before it, at most a minute; 0 holds none. It binds a fixed ceiling too."""
    policy = Concurrency(200, adaptive=adaptive)
    for _ in range(3):
        policy.acquire(20.0, MAX_USAGE)
    policy.release(20.0, MAX_USAGE, ended(ErrorKind.RATE_LIMIT, wait_s=0.0))
    assert policy.check(20.0, MAX_USAGE) == ADMIT
    policy.release(20.0, MAX_USAGE, ended(ErrorKind.RATE_LIMIT, wait_s=7.0))
    assert policy.check(20.0, MAX_USAGE) == Delay(7.0)
    assert policy.held_s(22.0) == 5.0
    assert policy.check(27.0, MAX_USAGE) == ADMIT
    policy.release(27.0, MAX_USAGE, ended(ErrorKind.OVERLOADED, wait_s=1e9))
    assert policy.check(27.0, MAX_USAGE) == Delay(60.0)


def test_refused_probes_of_an_outage_are_no_limit() -> None:
    """One request a minute, each refused: what is learned of how many it takes is nothing."""
    policy = started(200)
    assert policy.news(10.0) is None
    for _ in range(200):
        policy.release(20.0, MAX_USAGE, None)
    for minute in range(1, 20):
        policy.acquire(minute * 60.0, MAX_USAGE)
        policy.release(minute * 60.0 + 0.01, MAX_USAGE, REFUSED)
    assert policy.ceiling == 200
    assert policy.news(2000.0) is None


def test_where_the_start_ended_is_reported() -> None:
    """However little was taken back: it says what the endpoint takes of what the job allows."""
    policy = Concurrency(200)
    for at in (0.0, 0.25, 0.5):
        fill(policy, at)
        policy.news(at)
    for _ in range(3):
        policy.release(0.6, MAX_USAGE, REFUSED)
    assert policy.ceiling == 70
    assert policy.news(0.7) is None
    assert policy.news(2.6) == CeilingMoved(72, 70, 3, 2.0)
    assert policy.news(3.0) is None


def test_a_cut_is_reported_once_it_has_come_to_rest() -> None:
    """From where to where, by how many refusals in how long; small moves and the start are not reported, growth is."""
    policy = started(200)
    assert policy.news(10.0) is None
    for number in range(60):
        policy.release(20.0 + number / 100, MAX_USAGE, REFUSED)
    assert policy.news(20.6) is None
    assert policy.news(21.7) == CeilingMoved(200, policy.ceiling, 60, 21.7 - 20.0)
    assert 130 < policy.ceiling < 150
    assert policy.news(21.8) is None
    at = 22.0
    while policy.ceiling < 200:
        fill(policy, at)
        at += 0.1
        policy.release(at, MAX_USAGE, ANSWERED)
        assert at < 4000
    assert policy.news(at) == CeilingMoved(141, 200)
