"""The moving ceiling; `test_simulation` has it against servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import Action, Attempt, MaxUsage, Request, Scope, Verdict
from batchchat.core.conversation import ErrorKind, Key
from batchchat.policy.ceiling_report import CeilingMoved
from batchchat.policy.ceiling_state import CUT, FIXED, STARTING, STEADY, TRANSITIONS, CeilingState
from batchchat.policy.concurrency import Concurrency
from batchchat.policy.decision import ADMIT, Delay

MAX_USAGE = MaxUsage()
REQUEST = Request(Key("1"), 0, "m", [], b"{}", 1)


MOVES = {(before, after) for (before, _), after in TRANSITIONS.items()} | {(state, state) for state in CeilingState}


def ended(
    kind: ErrorKind | None, scope: Scope = Scope.ENDPOINT, wait_s: float | None = None, latency_s: float = 0.01
) -> Attempt:
    action = Action.RETRY if kind else Action.ACCEPT
    return Attempt(REQUEST, Verdict(action, scope, kind=kind, wait_s=wait_s), 0, 0, latency_s)


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


def refuse(policy: Concurrency, at: float, count: int) -> None:
    """So many in succession are refused, each as soon as it is sent."""
    for _ in range(count):
        policy.release(at, MAX_USAGE, REFUSED)
        fill(policy, at)


def settled(most: int) -> Concurrency:
    """At its full height, with all in flight, after enough answers to know that nothing is refused by chance."""
    policy = started(most)
    for number in range(400):
        policy.release(20.0 + number / 20, MAX_USAGE, ANSWERED)
        fill(policy, 20.0 + number / 20)
    return policy


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
    """It starts; refusals far above one in five cut; an answer to a request sent since makes it steady."""
    assert Concurrency(200, adaptive=False).state is FIXED
    assert Concurrency(20).state is STEADY
    assert started(200).state is STEADY
    policy = Concurrency(200)
    fill(policy, 0.0)
    policy.release(0.1, MAX_USAGE, REFUSED)
    assert policy.state is STARTING
    refuse(policy, 0.1, 31)
    assert policy.state is CUT
    policy.release(0.105, MAX_USAGE, ANSWERED)  # after 10 ms: it was sent before the cut
    assert policy.state is CUT
    policy.release(0.2, MAX_USAGE, ANSWERED)
    assert policy.state is STEADY


def test_a_limit_that_has_moved_is_followed_in_few_refusals() -> None:
    """One by one to half; where three and most requests sent since the cut are refused, by 0.7, then by 0.5."""
    policy, ceilings = settled(40), []
    for number in range(40):
        at = 50.0 + number / 10
        policy.release(at, MAX_USAGE, REFUSED)
        fill(policy, at + 0.05)
        ceilings.append(policy.ceiling)
    assert ceilings[:2] == [40, 39]
    assert ceilings == sorted(ceilings, reverse=True)
    assert ceilings[20] == 20
    assert ceilings[-1] < 10


def test_a_server_without_a_free_slot_lowers_it_too() -> None:
    """llama.cpp's 500 counts as an attempt of its row, and is an overload all the same."""
    policy = settled(40)
    for number in range(40):
        policy.release(50.0 + number / 10, MAX_USAGE, ended(ErrorKind.OVERLOADED, Scope.ROW)._replace(http_status=500))
        fill(policy, 50.05 + number / 10)
    assert policy.ceiling < 10


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


def test_only_refusals_and_overload_cut() -> None:
    """Server errors, timeouts that come at once, failures of rows and lost connections never do."""
    policy = started(200)
    for attempt in NO_REFUSALS * 10:
        policy.release(20.0, MAX_USAGE, attempt)
        fill(policy, 20.0)
    assert policy.ceiling == 200
    assert policy.news(30.0) is None


@pytest.mark.parametrize("kind", [ErrorKind.GATEWAY_TIMEOUT, ErrorKind.TIMEOUT])
def test_requests_that_are_cut_off_while_few_are_answered_are_an_overload(kind: ErrorKind) -> None:
    """A hundred in flight, four answered, the others cut off after 5 s: at the first of them only four are left."""
    policy = Concurrency(100)
    for at in (0.0, 0.25, 0.5, 0.75):
        fill(policy, at)
    assert policy.news(1.0) is None
    for _ in range(4):
        policy.release(4.9, MAX_USAGE, ended(None, Scope.ROW, latency_s=4.9))
    policy.release(5.0, MAX_USAGE, ended(kind, Scope.ROW, latency_s=5.0))
    assert (policy.state, policy.ceiling) == (CUT, 4)
    for _ in range(policy.in_flight):
        policy.release(5.1, MAX_USAGE, ended(kind, Scope.ROW, latency_s=5.0))
    assert policy.ceiling == 4, "those were sent before"
    assert policy.news(7.0) == CeilingMoved(100, 4, 0, 2.0, 1)


def test_where_all_are_cut_off_and_none_is_answered_four_are_left() -> None:
    """And they are more again after a few answers."""
    policy = Concurrency(100)
    for at in (0.0, 0.25, 0.5, 0.75):
        fill(policy, at)
    while policy.in_flight:
        policy.release(60.0, MAX_USAGE, ended(ErrorKind.GATEWAY_TIMEOUT, Scope.ROW, latency_s=60.0))
    assert policy.ceiling == 4
    for number in range(30):
        fill(policy, 61.0 + number)
        policy.release(61.5 + number, MAX_USAGE, ANSWERED)
    assert policy.ceiling > 8


def test_long_replies_that_are_cut_off_are_no_overload() -> None:
    """One in twenty takes longer than its gateway waits, while each place in flight is answered many times."""
    policy = Concurrency(20)
    for number in range(400):
        at = 100.0 + number
        fill(policy, at)
        is_long = number % 20 == 19 and number >= 60
        policy.release(
            at, MAX_USAGE, ended(ErrorKind.GATEWAY_TIMEOUT, Scope.ROW, latency_s=60.0) if is_long else ANSWERED
        )
    assert policy.ceiling == 20


def test_what_was_refused_before_the_endpoint_was_up_teaches_nothing() -> None:
    """A model that loads answers 503 to all, at last to one alone; with its first answer the start begins again."""
    policy = Concurrency(200)
    fill(policy, 0.0)
    refuse(policy, 0.1, 40)
    while policy.in_flight:
        policy.release(0.2, MAX_USAGE, REFUSED)
    for second in range(1, 8):
        policy.acquire(float(second), MAX_USAGE)
        policy.release(second + 0.01, MAX_USAGE, REFUSED)
    assert policy.ceiling < 32
    policy.acquire(9.0, MAX_USAGE)
    policy.release(9.5, MAX_USAGE, ended(None, Scope.ROW, latency_s=0.5))
    assert (policy.state, policy.ceiling) == (STARTING, 32)


def test_one_refusal_is_no_limit_and_two_are() -> None:
    """Where nothing is refused otherwise: one changes nothing; one right after it takes back to what is accepted."""
    policy = settled(200)
    policy.release(50.0, MAX_USAGE, REFUSED)
    assert policy.ceiling == 200
    fill(policy, 50.0)
    policy.release(50.1, MAX_USAGE, REFUSED)
    assert policy.ceiling == 199


@pytest.mark.parametrize("adaptive", [True, False])
def test_retry_after_that_is_confirmed_holds_all(adaptive: bool) -> None:
    """No request is admitted before it, at most a minute; 0 holds none. It binds a fixed ceiling too."""
    policy = Concurrency(200, adaptive=adaptive)

    def is_refused(at: float, wait_s: float) -> None:
        policy.acquire(at, MAX_USAGE)
        policy.release(at + 0.01, MAX_USAGE, ended(ErrorKind.RATE_LIMIT, wait_s=wait_s))

    is_refused(20.0, 0.0)
    is_refused(20.02, 0.0)
    assert policy.check(20.03, MAX_USAGE) == ADMIT
    is_refused(21.0, 7.0)
    assert isinstance(policy.check(21.01, MAX_USAGE), Delay)
    assert policy.held_s(23.01) == pytest.approx(5.0)
    assert policy.check(28.02, MAX_USAGE) == ADMIT
    is_refused(29.0, 1e9)
    assert policy.held_s(29.01) == 60.0


def test_a_retry_after_of_one_row_holds_nobody_else() -> None:
    """One row is told to wait for two hours while all others are answered."""
    policy = settled(8)
    for number in range(40):
        at = 50.0 + number
        policy.acquire(at, MAX_USAGE)
        policy.release(at + 0.01, MAX_USAGE, ended(ErrorKind.RATE_LIMIT, wait_s=7200.0) if not number else ANSWERED)
        assert policy.held_s(at + 0.02) == 0


def test_refused_probes_of_an_outage_are_no_limit() -> None:
    """One request a minute, each refused: what is learned of how many it takes is nothing."""
    policy = settled(200)
    assert policy.news(10.0) is None
    for _ in range(200):
        policy.release(20.0, MAX_USAGE, None)
    for minute in range(1, 20):
        policy.acquire(60.0 + minute * 60.0, MAX_USAGE)
        policy.release(60.0 + minute * 60.0 + 0.01, MAX_USAGE, REFUSED)
    assert policy.ceiling == 200
    assert policy.news(2000.0) is None


def test_where_the_start_ended_is_reported() -> None:
    """However little was taken back: it says what the endpoint takes of what the job allows."""
    policy = Concurrency(200)
    for at in (0.0, 0.25, 0.5):
        fill(policy, at)
        policy.news(at)
    for _ in range(8):
        policy.release(0.6, MAX_USAGE, ANSWERED)
        fill(policy, 0.6)
    refuse(policy, 0.61, 60)
    before = policy.news(0.62)
    assert before is None
    moved = policy.news(2.62)
    assert moved is not None
    assert (moved.before, moved.refusals, moved.cut_offs) == (72, 60, 0)
    assert moved.after == policy.ceiling < 72
    assert policy.news(3.0) is None


def test_a_cut_is_reported_once_it_has_come_to_rest() -> None:
    """From where to where, by how many refusals in how long; small moves and the start are not reported, growth is."""
    policy = settled(200)
    assert policy.news(49.0) is None
    refuse(policy, 50.0, 60)
    assert policy.news(50.6) is None
    assert policy.news(51.7) == CeilingMoved(200, policy.ceiling, 60, 51.7 - 50.0)
    assert 130 < policy.ceiling < 150
    assert policy.news(51.8) is None
    lowered, at = policy.ceiling, 52.0
    while policy.ceiling < 200:
        fill(policy, at)
        at += 0.1
        policy.release(at, MAX_USAGE, ANSWERED)
        assert at < 4000
    assert policy.news(at) == CeilingMoved(lowered, 200)
