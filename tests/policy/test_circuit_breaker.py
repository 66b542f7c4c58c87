"""The breaker."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import Action, Attempt, MaxUsage, Request, Scope, Verdict
from batchchat.core.conversation import ErrorKind, Key
from batchchat.policy.breaker_state import CLOSED, HALF_OPEN, OPEN, RECOVERING, TRANSITIONS, BreakerState
from batchchat.policy.circuit_breaker import OUTAGE, CircuitBreaker
from batchchat.policy.decision import ADMIT, Delay, Halt
from batchchat.policy.outage_news import CameBack, WentDown

MAX_USAGE = MaxUsage()
_, UNREACHED, REFUSED, ERROR, DROPPED, ANSWERED, BAD_REQUEST, STRANGER = range(8)
KINDS = {
    UNREACHED: (Action.RETRY, Scope.ENDPOINT, ErrorKind.CONNECTION, None),
    REFUSED: (Action.RETRY, Scope.ENDPOINT, ErrorKind.RATE_LIMIT, 429),
    ERROR: (Action.RETRY, Scope.ROW, ErrorKind.SERVER_ERROR, 500),
    DROPPED: (Action.RETRY, Scope.ROW, ErrorKind.CONNECTION, None),
    ANSWERED: (Action.ACCEPT, Scope.ROW, None, 200),
    STRANGER: (Action.RETRY_IF_ANSWERED, Scope.ROW, ErrorKind.NOT_FOUND, 404),
    BAD_REQUEST: (Action.FAIL_ROW, Scope.ROW, ErrorKind.BAD_REQUEST, 400),
}


def ended(what: int, now: float, row: int = 0, latency_s: float = 0.0, wait_s: float | None = None) -> Attempt:
    action, scope, kind, status = KINDS[what]
    request = Request(Key(str(row)), 0, "m", [], b"{}", 1)
    verdict = Verdict(action, scope, kind=kind, wait_s=wait_s)
    return Attempt(request, verdict, now - latency_s, now, latency_s, status)


class Breaker(CircuitBreaker):
    """With a shorthand: a request that comes and ends."""

    def __init__(self, max_outage_s: float = 3600.0, *, reached: bool = False) -> None:
        super().__init__(max_outage_s, Random(1), reached=reached)
        self.rows = 0

    def plays(self, what: int, now: float, row: int | None = None, wait_s: float | None = None) -> Attempt:
        self.rows += 1
        attempt = ended(what, now, self.rows if row is None else row, wait_s=wait_s)
        self.acquire(now, MAX_USAGE)
        self.release(now, MAX_USAGE, attempt)
        return attempt


def opened(what: int = UNREACHED) -> Breaker:
    """Down since 100 s, after an answer at 99 s."""
    breaker = Breaker()
    breaker.plays(ANSWERED, 99.0)
    for _ in range(8):
        assert breaker.check(100.0, MAX_USAGE) == ADMIT
        breaker.plays(what, 100.0)
    assert isinstance(breaker.check(100.0, MAX_USAGE), Delay)
    return breaker


@pytest.mark.parametrize("what", [UNREACHED, REFUSED])
def test_an_endpoint_that_is_not_up_yet_is_told_at_once_and_waited_for(what: int) -> None:
    """One refusal with nothing else in flight opens the breaker; it is probed each five seconds for `max_outage`."""
    breaker, now, waits = Breaker(max_outage_s=600), 0.0, []
    breaker.plays(what, 0.0)
    (down,) = breaker.news()
    assert isinstance(down, WentDown)
    assert down.is_first_contact
    assert down.stops_at - down.since == 600
    while isinstance(decision := breaker.check(now, MAX_USAGE), Delay):
        assert decision.seconds is not None
        waits.append(decision.seconds)
        now += decision.seconds
        if now < 600:
            breaker.plays(what, now)
    assert max(waits) <= 6.25
    assert isinstance(decision, Halt)
    assert (decision.reason, now) == (OUTAGE, 600.0)


def test_the_first_of_many_connections_may_be_refused() -> None:
    """While others are in flight one refusal opens nothing: a server that is well may refuse a few of them."""
    breaker = Breaker()
    breaker.acquire(0.0, MAX_USAGE)
    breaker.plays(UNREACHED, 0.1)
    assert breaker.state is CLOSED


def test_a_first_row_that_fails_is_no_endpoint_that_is_not_up() -> None:
    """A server error speaks of its row as well."""
    breaker = Breaker()
    breaker.plays(ERROR, 0.1)
    assert breaker.state is CLOSED


def test_a_complete_response_that_cant_be_used_is_no_sign_of_an_outage() -> None:
    """Whatever its kind: it closes an outage, opens none, and is in none."""
    breaker = opened(ERROR)
    shown = ended(ERROR, 105.0, 77)
    shown = shown._replace(verdict=shown.verdict._replace(endpoint_is_up=True))
    breaker.acquire(105.0, MAX_USAGE)
    breaker.release(105.0, MAX_USAGE, shown)
    assert breaker.state is RECOVERING
    assert not breaker.was_in_outage(shown)
    for _ in range(20):
        breaker.acquire(106.0, MAX_USAGE)
        breaker.release(106.0, MAX_USAGE, shown)
    assert breaker.state is CLOSED


def test_a_run_whose_rows_all_wait_is_stopped_too() -> None:
    """No row asks to be sent, so that nothing would show that the outage is over its bound."""
    breaker = opened()
    assert breaker.halt(3699.0) is None
    halt = breaker.halt(3700.0)
    assert halt is not None
    assert (halt.reason, halt.since) == (OUTAGE, 100.0)
    waiting = Breaker(max_outage_s=20)
    waiting.plays(ANSWERED, 1.0)
    waiting.plays(REFUSED, 2.0, wait_s=24336.0)
    assert waiting.halt(21.0) is None
    assert waiting.halt(22.0) is not None
    waiting.acquire(22.0, MAX_USAGE)
    assert waiting.halt(23.0) is None, "it may yet be answered"


def test_an_endpoint_that_answered_in_an_earlier_run_may_come_back() -> None:
    """A resume that comes before the network does waits out an outage, with its growing intervals."""
    breaker = Breaker(max_outage_s=600, reached=True)
    for at in (10.0, 16.0, 600.0):
        breaker.plays(UNREACHED, at)
        assert breaker.check(at, MAX_USAGE) == ADMIT
    last = breaker.plays(UNREACHED, 610.0)
    assert breaker.check(610.0, MAX_USAGE) == Halt(OUTAGE, last, 10.0)


@pytest.mark.parametrize("what", [UNREACHED, REFUSED, ERROR, DROPPED, STRANGER])
def test_eight_failures_open_it(what: int) -> None:
    """Refused connections, refusals with nothing in flight, first failures of rows: then only a probe is admitted."""
    breaker = opened(what)
    wait = breaker.check(100.0, MAX_USAGE)
    assert isinstance(wait, Delay)
    assert wait.seconds is not None
    assert 0.75 <= wait.seconds <= 1.25
    assert breaker.check(101.25, MAX_USAGE) == ADMIT
    breaker.acquire(101.25, MAX_USAGE)
    assert breaker.check(102.0, MAX_USAGE) == Delay(None)
    assert breaker.down_since == 100.0


@pytest.mark.parametrize("what", [ANSWERED, BAD_REQUEST])
def test_an_answer_restarts_the_count(what: int) -> None:
    """Seven failures, an answer or a failure that is the row's own, and seven more: closed."""
    breaker = Breaker()
    breaker.plays(ANSWERED, 0.5)
    for result in [UNREACHED] * 7 + [what] + [UNREACHED] * 7:
        breaker.plays(result, 1.0)
    assert breaker.check(1.0, MAX_USAGE) == ADMIT


def test_refusals_while_others_are_in_flight_are_no_evidence() -> None:
    """They are a limit, which is the ceiling's business."""
    breaker = Breaker()
    breaker.acquire(0.0, MAX_USAGE)
    for _ in range(100):
        breaker.plays(REFUSED, 1.0)
    assert breaker.check(1.0, MAX_USAGE) == ADMIT


def test_one_row_that_always_fails_is_no_outage() -> None:
    """Nor are seven: after each row's first, its failures say nothing; nor do they end the run in time."""
    breaker = Breaker(max_outage_s=60)
    for attempt in range(50):
        for row in range(7):
            breaker.plays(ERROR, float(attempt * 10), row)
    assert breaker.check(500.0, MAX_USAGE) == ADMIT
    assert not breaker.was_in_outage(ended(ERROR, 10.0))


def test_slow_failures_while_others_are_in_flight_are_no_evidence() -> None:
    """Fifty long generations cut off by a gateway in one second are fifty long generations."""
    breaker = Breaker()
    breaker.acquire(0.0, MAX_USAGE)
    for row in range(50):
        breaker.acquire(0.0, MAX_USAGE)
        breaker.release(60.0, MAX_USAGE, ended(ERROR, 60.0, row, latency_s=60.0))
    assert breaker.check(60.0, MAX_USAGE) == ADMIT


@pytest.mark.parametrize(("what", "intervals"), [(UNREACHED, [32, *[60] * 30]), (REFUSED, [30] * 60)])
def test_probes_come_at_growing_intervals(what: int, intervals: list[int]) -> None:
    """1, 2, 4 seconds and on to a minute, each a quarter more or less; 20 minutes are fewer than 30 requests.

    Half a minute is the longest where refusals come at once: it may be some rows that are refused, and not all.
    """
    breaker, now, waits = opened(what), 100.0, []
    while now < 1300:
        wait = breaker.check(now, MAX_USAGE)
        assert isinstance(wait, Delay)
        assert wait.seconds is not None
        waits.append(wait.seconds)
        now += wait.seconds
        breaker.plays(what, now)
    for wait_s, middle in zip(waits, [1, 2, 4, 8, 16, *intervals], strict=False):
        assert 0.75 * middle <= wait_s <= 1.25 * middle
    assert 8 + len(waits) < (36 if what is UNREACHED else 60)


def test_retry_after_is_waited_for_the_probe() -> None:
    """The endpoint's Retry-After is the minimum, an hour the maximum."""
    breaker = opened(REFUSED)
    breaker.plays(REFUSED, 102.0, wait_s=300.0)
    assert breaker.check(102.0, MAX_USAGE) == Delay(300.0)
    breaker.plays(REFUSED, 402.0, wait_s=1e9)
    assert breaker.check(402.0, MAX_USAGE) == Delay(3600.0 - 302.0)


def test_the_first_answer_closes_it_slowly() -> None:
    """Four may go, then one more for each answer; three failures open it again."""
    breaker = Breaker()
    for _ in range(50):
        breaker.acquire(50.0, MAX_USAGE)
    for _ in range(50):
        breaker.release(99.0, MAX_USAGE, ended(ANSWERED, 99.0))
    for _ in range(8):
        breaker.plays(UNREACHED, 100.0)
    breaker.plays(ANSWERED, 102.0)
    for _ in range(4):
        assert breaker.check(102.0, MAX_USAGE) == ADMIT
        breaker.acquire(102.0, MAX_USAGE)
    assert breaker.check(102.0, MAX_USAGE) == Delay(None)
    breaker.release(103.0, MAX_USAGE, ended(ANSWERED, 103.0))
    for _ in range(2):
        assert breaker.check(103.0, MAX_USAGE) == ADMIT
        breaker.acquire(103.0, MAX_USAGE)
    assert breaker.check(103.0, MAX_USAGE) == Delay(None)
    for row in range(3):
        breaker.release(104.0, MAX_USAGE, ended(DROPPED, 104.0, 1000 + row))
    assert isinstance(breaker.check(104.0, MAX_USAGE), Delay)
    assert breaker.down_since == 104.0


@pytest.mark.parametrize(("what", "closes"), [(UNREACHED, False), (ERROR, True)])
def test_an_answer_from_before(what: int, closes: bool) -> None:
    """A server that shuts down ends what it has begun while nobody gets in; one that gives 500 and answers is up."""
    breaker = Breaker()
    breaker.acquire(99.0, MAX_USAGE)
    for _ in range(8):
        breaker.plays(what, 100.0)
    breaker.release(100.5, MAX_USAGE, ended(ANSWERED, 100.5, latency_s=1.5))
    assert (breaker.check(100.5, MAX_USAGE) == ADMIT) == closes


def test_a_probe_that_we_cut_off_is_followed_by_another() -> None:
    """It is not waited for until for ever."""
    breaker = opened()
    breaker.acquire(102.0, MAX_USAGE)
    breaker.release(103.0, MAX_USAGE, None)
    wait = breaker.check(103.0, MAX_USAGE)
    assert isinstance(wait, Delay)
    assert wait.seconds
    assert breaker.check(103.0 + wait.seconds, MAX_USAGE) == ADMIT


def test_a_request_from_before_that_we_cut_off_is_no_probe() -> None:
    """While the probe is in flight no second one is admitted, whatever else we cancel."""
    breaker = Breaker()
    breaker.acquire(99.0, MAX_USAGE)
    for _ in range(8):
        breaker.plays(UNREACHED, 100.0)
    breaker.acquire(101.3, MAX_USAGE)
    breaker.release(102.0, MAX_USAGE, None)
    assert breaker.check(110.0, MAX_USAGE) == Delay(None)
    breaker.release(111.0, MAX_USAGE, None)
    assert isinstance(breaker.check(111.0, MAX_USAGE), Delay)
    assert breaker.check(112.0, MAX_USAGE) == ADMIT


def test_max_outage_stops_the_run() -> None:
    """Counted from the first failure, to the second, though no probe is due; with when it began and what was seen."""
    breaker = Breaker(max_outage_s=5)
    breaker.plays(ANSWERED, 99.0)
    for _ in range(8):
        last = breaker.plays(ERROR, 100.0)
    last = breaker.plays(ERROR, 101.5)
    last = breaker.plays(ERROR, 103.5)
    assert breaker.check(103.5, MAX_USAGE) == Delay(1.5)
    assert breaker.check(105.0, MAX_USAGE) == Halt(OUTAGE, last, 100.0)


def test_a_sustained_refusal_is_an_outage() -> None:
    """With others in flight it opens nothing, and is bounded all the same."""
    breaker = Breaker(max_outage_s=50)
    breaker.acquire(0.0, MAX_USAGE)
    breaker.plays(REFUSED, 100.0)
    breaker.plays(REFUSED, 149.0)
    assert breaker.check(149.0, MAX_USAGE) == ADMIT
    last = breaker.plays(REFUSED, 150.0)
    assert breaker.check(150.0, MAX_USAGE) == Halt(OUTAGE, last, 100.0)


def test_which_failures_were_in_an_outage() -> None:
    """From the first of its failures to its end, those that came before it was known included; nothing else is."""
    breaker = Breaker()
    before = breaker.plays(ERROR, 98.5)
    breaker.plays(ANSWERED, 99.0)
    first = breaker.plays(DROPPED, 100.0)
    assert not breaker.was_in_outage(first)
    failures = [breaker.plays(DROPPED, 100.0) for _ in range(7)]
    breaker.acquire(100.5, MAX_USAGE)
    probe = breaker.plays(ERROR, 101.0)
    breaker.plays(ANSWERED, 110.0)
    sent_before_the_end = ended(ERROR, 111.0, 1000, latency_s=10.5)
    breaker.release(111.0, MAX_USAGE, sent_before_the_end)
    for failed in [first, *failures, probe, sent_before_the_end]:
        assert breaker.was_in_outage(failed)
    for stranger in [before, breaker.plays(BAD_REQUEST, 111.0), breaker.plays(ERROR, 111.0)]:
        assert not breaker.was_in_outage(stranger)


@pytest.mark.parametrize("set_s", [-3600.0, 3600.0])
def test_a_clock_that_is_set_ends_no_outage(set_s: float) -> None:
    """Set back, failures in it count to it as before; set forward, failures after it do not."""
    breaker = opened(ERROR)

    def plays(what: int, now: float) -> Attempt:
        shown = ended(what, now, int(now))
        shown = shown._replace(started_at=now + set_s, finished_at=now + set_s)
        breaker.acquire(now, MAX_USAGE)
        breaker.release(now, MAX_USAGE, shown)
        return shown

    assert breaker.was_in_outage(plays(ERROR, 102.0))
    plays(ANSWERED, 110.0)
    assert not breaker.was_in_outage(plays(ERROR, 111.0))


def test_a_refusal_that_is_the_rows_own_neither_opens_nor_closes_it() -> None:
    """However often, with nothing else in flight; and a probe that is refused so leaves the outage as it was."""
    own = ended(REFUSED, 100.0, 1)
    own = own._replace(verdict=own.verdict._replace(scope=Scope.ROW))
    breaker = Breaker()
    for _ in range(30):
        breaker.acquire(100.0, MAX_USAGE)
        breaker.release(100.0, MAX_USAGE, own)
    assert breaker.state is CLOSED
    breaker = opened(ERROR)
    breaker.acquire(105.0, MAX_USAGE)
    breaker.release(105.0, MAX_USAGE, own)
    assert breaker.state is OPEN


def test_an_outage_is_reported_from_beginning_to_end() -> None:
    """Once when it begins, once a minute while it lasts, once when it is over."""
    breaker = opened()
    (down,) = breaker.news()
    assert isinstance(down, WentDown)
    assert (down.since, round(down.probe_in_s)) == (100.0, 1)
    assert breaker.probe_in_s(100.0) == down.probe_in_s
    breaker.plays(UNREACHED, 130.0)
    assert breaker.news() == []
    breaker.plays(UNREACHED, 161.0)
    assert len(breaker.news()) == 1
    breaker.plays(ANSWERED, 200.0)
    assert breaker.news() == [CameBack(100.0, 200.0, 100.0, 3)]
    assert breaker.down_since is None
    assert breaker.probe_in_s(200.0) == 0


def test_it_goes_through_its_states() -> None:
    """Closed, open, half-open and back while probes fail; an answer lets it recover, and more answers close it."""
    breaker = Breaker()
    for _ in range(5):
        breaker.acquire(99.0, MAX_USAGE)
    for _ in range(5):
        breaker.release(99.5, MAX_USAGE, ended(ANSWERED, 99.5))
    assert breaker.state is CLOSED
    for _ in range(8):
        breaker.plays(UNREACHED, 100.0)
    assert breaker.state is OPEN
    breaker.acquire(102.0, MAX_USAGE)
    assert breaker.state is HALF_OPEN
    breaker.release(103.0, MAX_USAGE, ended(UNREACHED, 103.0, latency_s=1.0))
    assert breaker.state is OPEN
    breaker.plays(ANSWERED, 106.0)
    assert breaker.state is RECOVERING
    breaker.plays(ANSWERED, 107.0)
    assert breaker.state is RECOVERING
    breaker.plays(ANSWERED, 108.0)
    assert breaker.state is CLOSED


def successors(state: BreakerState) -> set[BreakerState]:
    """Where one call may leave a breaker that was in `state`: unmoved, or one row of the table further."""
    return {state} | {after for (before, _), after in TRANSITIONS.items() if before is state}


@given(
    steps=st.lists(
        st.tuples(
            st.floats(0, 90),
            st.sampled_from([None, *KINDS]),
            st.integers(1, 12),
            st.floats(0, 20),
        ),
        max_size=50,
    )
)
def test_it_never_locks(steps: list[tuple[float, int | None, int, float]]) -> None:
    """Whatever comes in whatever order: who waits does so for a finite time, or for a request in flight.

    And the decision is the state's: CLOSED admits, HALF_OPEN waits for its probe; each call moves by one row at most.
    """
    breaker, now, in_flight, row = Breaker(), 100.0, 0, 0
    for gap_s, what, times, latency_s in steps:
        now += gap_s
        for _ in range(times):
            decision, state = breaker.check(now, MAX_USAGE), breaker.state
            if isinstance(decision, Halt):
                return
            assert state is not CLOSED or decision == ADMIT
            assert state is not HALF_OPEN or decision == Delay(None)
            assert (breaker.down_since is None) == (state in {CLOSED, RECOVERING})
            if isinstance(decision, Delay):
                assert in_flight if decision.seconds is None else 0 < decision.seconds <= 3600.001
                break
            breaker.acquire(now, MAX_USAGE)
            assert breaker.state is (HALF_OPEN if state is OPEN else state)
            in_flight += 1
        for _ in range(min(times, in_flight)):
            in_flight -= 1
            row += 1
            before = breaker.state
            breaker.release(now, MAX_USAGE, None if what is None else ended(what, now, row % 40, latency_s))
            assert breaker.state in successors(before)
