"""Several endpoints: every row comes to one end, is in flight once at a time, and no lane gets more than it may."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from batchchat.core.attempt import Action, Attempt, Billed, Outcome, Request, Scope
from batchchat.core.conversation import ErrorKind, Status
from batchchat.dispatch.dispatcher import Dispatcher
from batchchat.dispatch.lane import EndpointLane
from batchchat.dispatch.work import Sending, Work
from batchchat.policy.circuit_breaker import OUTAGE, CircuitBreaker
from batchchat.policy.concurrency import Concurrency
from batchchat.policy.decision import Halt
from batchchat.policy.failure_streak import FailureStreak
from batchchat.policy.in_flight_limit import InFlightLimit
from batchchat.policy.refusal_judge import ENDPOINT_REFUSES, RefusalJudge
from batchchat.policy.retry import RowStop, RowWait
from batchchat.policy.stragglers import Overdue
from tests import virtual_time
from tests.dispatch.made import accepted, failed, refused, work

Answer = Callable[[Request], Attempt]


class Endpoint:
    """What answers at one lane, and how much was in flight there."""

    def __init__(self, name: str, answer: Answer, ceiling: int = 4, latency_s: float = 0.1, **of_lane: object) -> None:
        self.name, self.answer, self.latency_s = name, answer, latency_s
        self.in_flight = self.max_in_flight = 0
        self.asked: Counter[str] = Counter()
        breaker = CircuitBreaker(60, Random(1), reached=True)
        self.lane = EndpointLane(
            [Concurrency(ceiling, adaptive=False), breaker],
            name=name,
            send=self.send,
            judge=RefusalJudge(None),
            streak=FailureStreak(10, answered_before=False),
            **of_lane,  # type: ignore[arg-type]
        )

    async def send(self, request: Request) -> Attempt:
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        self.asked[request.key.id] += 1
        try:
            await asyncio.sleep(self.latency_s)
            return self.answer(request)._replace(endpoint=self.name)
        finally:
            self.in_flight -= 1


class Run:
    """A dispatcher over several lanes, and what became of its rows."""

    def __init__(self, count: int, *endpoints: Endpoint, concurrency: int = 100, max_attempts: int = 6) -> None:
        self._rows = iter([work(str(number)) for number in range(count)])
        self.endpoints = endpoints
        self.outcomes: list[tuple[Work, Outcome]] = []
        self.steps: list[Attempt] = []
        sending = Sending(
            send=None,
            policies=[InFlightLimit(concurrency)],
            retry=lambda: (RowStop(max_attempts, 3600), RowWait(20, Random(1))),
            workers=concurrency,
            stop_after_failures=50,
            lanes=[endpoint.lane for endpoint in endpoints],
        )
        self.dispatcher = Dispatcher(sending, self.take, self, self, virtual_time.now)
        self.took_s = 0.0

        async def main() -> None:
            start = virtual_time.now()
            await asyncio.wait_for(self.dispatcher.run(), 10_000)
            self.took_s = virtual_time.now() - start
            assert self.dispatcher.gate.in_flight == self.dispatcher.recovering == 0
            assert [endpoint.lane.in_flight for endpoint in endpoints] == [0] * len(endpoints)

        virtual_time.run(main())

    async def take(self) -> Work | None:
        return next(self._rows, None)

    def row(self, work: Work, outcome: Outcome) -> int:
        self.outcomes.append((work, outcome))
        return 1

    def attempt(self, work: Work, attempt: Attempt) -> int | None:
        self.steps.append(attempt)
        return None

    def cancelled(self, work: Work, request: Request, raw: str | None) -> int:
        raise AssertionError

    async def sending(self, work: Work, request: Request) -> None:
        return

    async def room(self) -> None:
        return

    def failed(self, attempt: Attempt) -> None:
        return

    def answered(self, outcome: Outcome) -> None:
        return

    def overdue(self, overdue: Overdue) -> None:
        raise AssertionError

    def ended_at(self) -> Counter[str | None]:
        return Counter(outcome.attempt.endpoint for _, outcome in self.outcomes)


def row_fails(kind: ErrorKind, action: Action = Action.FAIL_ROW) -> Answer:
    return lambda request: failed(request, kind, action, status=400)


def test_the_fastest_serves_most() -> None:
    """With all lanes full, each answers as many rows as it has the time for; none is kept for a slow one."""
    slow, fast = Endpoint("slow", accepted, latency_s=0.4), Endpoint("fast", accepted, latency_s=0.1)
    run = Run(200, slow, fast)
    assert run.ended_at() == {"slow": 40, "fast": 160}
    assert abs(run.took_s - 4.0) < 0.05
    assert (slow.max_in_flight, fast.max_in_flight) == (4, 4)


def test_weight_decides_while_several_have_room() -> None:
    """Six in flight in all, with weights of 1 and 2: two and four."""
    light, heavy = Endpoint("light", accepted, 50), Endpoint("heavy", accepted, 50, weight=2.0)
    Run(120, light, heavy, concurrency=6)
    assert (light.max_in_flight, heavy.max_in_flight) == (2, 4)


def test_a_row_refused_by_one_is_taken_by_the_other_at_once() -> None:
    """Its backoff is for the endpoint that refused it alone."""
    busy, free = Endpoint("busy", refused, 1), Endpoint("free", accepted, 1)
    run = Run(2, busy, free)
    assert run.ended_at() == {"free": 2}
    assert run.took_s < 0.3


def test_each_endpoint_is_asked_once_and_all_reasons_are_kept() -> None:
    """A row that none can serve fails after one attempt at each, with what each said; the attempts count."""
    lanes = [Endpoint(name, row_fails(ErrorKind.CONTEXT_LENGTH)) for name in "abc"]
    run = Run(1, *lanes)
    ((row, outcome),) = run.outcomes
    assert [sum(lane.asked.values()) for lane in lanes] == [1, 1, 1]
    assert outcome.reason is not None
    assert sorted(outcome.reason.text.split("; ")) == ["a: no", "b: no", "c: no"]
    assert row.spend.attempts == 3
    assert [step.verdict.elsewhere for step in run.steps] == [True, True]


def test_max_attempts_bounds_the_endpoints_that_are_asked() -> None:
    """Two attempts are two endpoints."""
    lanes = [Endpoint(name, row_fails(ErrorKind.CONTEXT_LENGTH)) for name in "abc"]
    run = Run(1, *lanes, max_attempts=2)
    assert sum(lane.asked.total() for lane in lanes) == 2
    assert len(run.outcomes) == 1


def test_a_billed_failure_and_a_filter_are_asked_nowhere_else() -> None:
    """What was paid for is not bought again, and nobody looks for an endpoint without a filter."""

    def billed(request: Request) -> Attempt:
        return failed(request, ErrorKind.OTHER, Action.FAIL_ROW, billed=Billed.MAYBE)

    for answer in (billed, row_fails(ErrorKind.CONTENT_FILTER)):
        lanes = [Endpoint(name, answer) for name in "ab"]
        run = Run(1, *lanes)
        assert sum(lane.asked.total() for lane in lanes) == 1
        assert len(run.outcomes) == 1


def test_what_stops_one_endpoint_does_not_stop_the_run() -> None:
    """A key that is refused: that lane is given up with its reason, and its rows are answered by the other."""
    stop = row_fails(ErrorKind.QUOTA, Action.STOP_RUN)
    broke, good = Endpoint("broke", stop), Endpoint("good", accepted)
    run = Run(50, broke, good)
    assert run.ended_at() == {"good": 50}
    assert broke.lane.halt is not None
    assert (broke.lane.halt.reason, run.dispatcher.stopped) == (ENDPOINT_REFUSES, None)
    assert sum(broke.asked.values()) <= 4


def test_with_the_last_endpoint_the_run_stops() -> None:
    """The reasons of all are told."""
    stop = row_fails(ErrorKind.QUOTA, Action.STOP_RUN)
    run = Run(50, Endpoint("a", stop), Endpoint("b", stop))
    halt = run.dispatcher.stopped
    assert halt is not None
    assert {halt.endpoint, *(reason.endpoint for reason in halt.others)} == {"a", "b"}
    assert run.outcomes == []


def test_an_endpoint_that_fails_each_row_is_given_up() -> None:
    """Ten rows in succession that it alone can't serve; they are served by the other."""
    odd, good = Endpoint("odd", row_fails(ErrorKind.BAD_REQUEST)), Endpoint("good", accepted)
    run = Run(200, odd, good)
    assert run.ended_at() == {"good": 200}
    assert odd.lane.halt is not None
    assert odd.asked.total() <= 10 + 4


def test_an_outage_of_one_holds_up_nobody() -> None:
    """One is down from the start: it is probed, and the run ends when the other has answered all."""

    def down(request: Request) -> Attempt:
        return failed(request, ErrorKind.CONNECTION, status=None, scope=Scope.ENDPOINT)

    dead, alive = Endpoint("dead", down, latency_s=0.01), Endpoint("alive", accepted)
    run = Run(400, dead, alive)
    assert run.ended_at() == {"alive": 400}
    assert run.took_s < 12
    assert dead.asked.total() < 30


def test_an_outage_that_lasts_too_long_gives_up_that_endpoint() -> None:
    """`max_outage` is an endpoint's own while another answers."""

    def down(request: Request) -> Attempt:
        return failed(request, ErrorKind.CONNECTION, status=None, scope=Scope.ENDPOINT)

    dead, alive = Endpoint("dead", down, latency_s=0.01), Endpoint("alive", accepted)
    run = Run(4000, dead, alive)
    assert run.ended_at() == {"alive": 4000}
    assert dead.lane.halt is not None
    assert dead.lane.halt.reason == OUTAGE


FAULTS: dict[str, Answer] = {
    "answer": accepted,
    "refuse": refused,
    "error": failed,
    "too long": row_fails(ErrorKind.CONTEXT_LENGTH),
    "bad": row_fails(ErrorKind.BAD_REQUEST),
    "filter": row_fails(ErrorKind.CONTENT_FILTER),
    "down": lambda request: failed(request, ErrorKind.CONNECTION, status=None, scope=Scope.ENDPOINT),
    "paid": lambda request: failed(request, ErrorKind.TIMEOUT, billed=Billed.MAYBE, status=None),
    "key": row_fails(ErrorKind.UNAUTHORIZED, Action.STOP_RUN),
    "no model": row_fails(ErrorKind.NOT_FOUND, Action.STOP_UNLESS_ANSWERED),
}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(sorted(FAULTS)), min_size=1, max_size=5),
            st.integers(1, 5),
            st.sampled_from([0.01, 0.1, 1.0]),
        ),
        min_size=2,
        max_size=4,
    ),
    st.integers(0, 40),
    st.integers(1, 12),
    st.randoms(use_true_random=False),
)
def test_whatever_they_do_each_row_ends_once(
    lanes: list[tuple[list[str], int, float]], count: int, concurrency: int, random: Random
) -> None:
    """Random faults at random lanes: each row ends once, or the run says why it stopped; no limit is passed."""
    flying: Counter[str] = Counter()

    def endpoint(number: int, faults: list[str], ceiling: int, latency_s: float) -> Endpoint:
        def answer(request: Request) -> Attempt:
            return FAULTS[random.choice(faults)](request)

        made = Endpoint(f"e{number}", answer, ceiling, latency_s)
        send = made.lane.send

        async def once(request: Request) -> Attempt:
            flying[request.key.id] += 1
            assert flying[request.key.id] == 1, "a row is in flight once"
            assert flying.total() <= concurrency
            try:
                return await send(request)
            finally:
                flying[request.key.id] -= 1

        made.lane.send = once
        return made

    endpoints = [endpoint(number, *lane) for number, lane in enumerate(lanes)]
    run = Run(count, *endpoints, concurrency=concurrency)
    ends = Counter(outcome.row.key.id for _, outcome in run.outcomes)
    assert set(ends.values()) <= {1}
    for made, (_, ceiling, _) in zip(endpoints, lanes, strict=True):
        assert made.max_in_flight <= ceiling
    for row, outcome in run.outcomes:
        assert row.spend.possibly_billed <= 6
        assert outcome.status is Status.ANSWERED or outcome.reason is not None
    stopped = run.dispatcher.stopped
    if stopped is None:
        assert len(ends) == count
    else:
        assert isinstance(stopped, Halt)
        assert stopped.endpoint == "" or all(made.lane.halt is not None for made in endpoints)
