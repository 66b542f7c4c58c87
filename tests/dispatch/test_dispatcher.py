"""The dispatcher plays every row to its end, bounded, whatever the endpoint does; and stops when it is told to."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchchat.core.attempt import Action, Attempt, Billed, Cost, MaxUsage, Outcome, Request
from batchchat.core.conversation import ErrorKind, Status
from batchchat.dispatch.dispatcher import Dispatcher
from batchchat.dispatch.request_line import NEW_ROWS_PER_RETRY
from batchchat.dispatch.work import Send, Sending, Work
from batchchat.policy.circuit_breaker import FAILURES_TO_OPEN, OUTAGE, CircuitBreaker
from batchchat.policy.concurrency import Concurrency
from batchchat.policy.decision import ADMIT, Decision, Halt, Policy
from batchchat.policy.failure_streak import ALL_FAIL_ALIKE, NOW_FAIL_ALIKE
from batchchat.policy.refusal_judge import ENDPOINT_REFUSES
from batchchat.policy.retry import RowStop, RowWait
from batchchat.policy.stragglers import Overdue, StragglerPolicy
from tests import virtual_time
from tests.dispatch.made import accepted, failed, refused, work


class House:
    """A dispatcher with all around it, and what it told."""

    def __init__(  # what a dispatcher takes
        self,
        rows: Iterable[Work],
        send: Send,
        *,
        workers: int = 4,
        ceiling: int | None = None,
        max_attempts: int = 6,
        max_wait_s: float = 0.001,
        stop_after: int = 50,
        policies: tuple[Policy, ...] = (),
        stragglers: StragglerPolicy | None = None,
    ) -> None:
        self._rows = iter(rows)
        self.taken = 0
        self.ended = 0
        self.most_alive = 0
        self.most_beyond = 0
        """By how many rows alive, at a take, the room for rows in recovery was passed; see `Recovery`."""
        self._min_room = max(workers, FAILURES_TO_OPEN)
        self._failed_again = 0  # since the latest answer
        self.outcomes: list[tuple[Work, Outcome]] = []
        self.records = 0
        self.steps: list[Attempt] = []
        self.tries: list[Attempt] = []
        self.failures: list[Attempt] = []
        self.answers: list[Outcome] = []
        self.cuts: list[str] = []
        self.noted: list[str] = []
        self.overdues: list[Overdue] = []
        sending = Sending(
            send=send,
            policies=[Concurrency(ceiling or workers), *policies],
            retry=lambda: (RowStop(max_attempts, 3600), RowWait(max_wait_s, Random(1))),
            workers=workers,
            stop_after_failures=stop_after,
            stragglers=stragglers or StragglerPolicy(max_resends=0),
        )
        self.dispatcher = Dispatcher(sending, self.take, self, self, virtual_time.now)

    async def take(self) -> Work | None:
        row = next(self._rows, None)
        if row is not None:
            self.taken += 1
            alive = self.taken - len(self.outcomes)
            self.most_alive = max(self.most_alive, alive)
            room = self._min_room + len(self.answers) + NEW_ROWS_PER_RETRY * self._failed_again
            self.most_beyond = max(self.most_beyond, alive - room)
        return row

    def row(self, work: Work, outcome: Outcome) -> int:
        self.outcomes.append((work, outcome))
        if outcome.status is Status.ANSWERED:
            self._failed_again = 0
        return self._numbered()

    def attempt(self, work: Work, attempt: Attempt) -> int | None:
        self._failed_again += attempt.verdict.action is Action.RETRY and work.spend.attempts > 1
        (self.steps if attempt.verdict.action is Action.ACCEPT else self.tries).append(attempt)
        return self._numbered()

    def cancelled(self, work: Work, request: Request, raw: str | None) -> int:
        self.cuts.append(request.key.id)
        return self._numbered()

    def _numbered(self) -> int:
        self.records += 1
        return self.records

    def failed(self, attempt: Attempt) -> None:
        self.failures.append(attempt)

    def answered(self, outcome: Outcome) -> None:
        self.answers.append(outcome)

    def overdue(self, overdue: Overdue) -> None:
        self.overdues.append(overdue)

    async def sending(self, work: Work, request: Request) -> None:
        self.noted.append(request.key.id)

    async def room(self) -> None:
        return

    def run(self, during: Callable[[], Awaitable[None]] | None = None) -> House:
        async def main() -> None:
            running = asyncio.create_task(self.dispatcher.run())
            if during is not None:
                await during()
            await asyncio.wait_for(running, 10)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert left == set()
            assert self.dispatcher.gate.in_flight == 0
            assert self.dispatcher.recovering == 0

        virtual_time.run(main())
        return self

    def ends(self) -> dict[str, Status]:
        return {outcome.row.key.id: outcome.status for _, outcome in self.outcomes}


def rows(count: int, **given: Any) -> Iterable[Work]:
    return (work(str(number), **given) for number in range(count))


def test_every_row_comes_to_one_end() -> None:
    """A hundred rows over four workers are a hundred outcomes, and never more than four are alive or in flight."""

    async def send(request: Request) -> Attempt:
        await asyncio.sleep(0)
        return accepted(request)

    house = House(rows(100), send).run()
    assert house.ends() == {str(number): Status.ANSWERED for number in range(100)}
    assert house.most_alive <= 4
    assert house.dispatcher.gate.max_in_flight == 4
    assert house.dispatcher.stopped is None
    assert (house.tries, house.cuts) == ([], [])


def test_no_rows_are_no_work() -> None:
    """An empty input ends at once."""

    async def send(request: Request) -> Attempt:
        raise AssertionError

    assert House([], send).run().outcomes == []


@pytest.mark.parametrize("pause", [False, True])
def test_rows_alive_are_bounded_though_everything_fails(pause: bool) -> None:
    """While every row is in backoff, at most twice the workers were taken, though a send fails without yielding."""

    async def send(request: Request) -> Attempt:
        if pause:
            await asyncio.sleep(0)
        return failed(request)

    house = House(rows(10_000), send, workers=12, max_wait_s=100)

    async def during() -> None:
        await asyncio.sleep(0.1)
        assert house.taken <= 24
        assert house.dispatcher.recovering <= 24
        house.dispatcher.stop()

    house.run(during)
    assert house.most_alive <= 24
    assert house.outcomes == []


def test_one_worker_sees_as_many_rows_fail_as_tell_an_outage() -> None:
    """Nine are in backoff before no more are taken: eight open the breaker, and a run of one at a time has one, too."""

    async def send(request: Request) -> Attempt:
        return failed(request)

    house = House(rows(100), send, workers=1, max_wait_s=100)

    async def during() -> None:
        await asyncio.sleep(0.1)
        assert house.taken == FAILURES_TO_OPEN + 1
        house.dispatcher.stop()

    house.run(during)


def test_backoff_holds_no_permit() -> None:
    """With one worker and one permit, a row in a long backoff does not keep the others from being answered."""

    async def send(request: Request) -> Attempt:
        await asyncio.sleep(0)
        return failed(request) if request.key.id == "0" else accepted(request)

    house = House(rows(2), send, workers=1, max_wait_s=100)

    async def during() -> None:
        await asyncio.sleep(0.05)
        assert house.ends() == {"1": Status.ANSWERED}
        assert house.dispatcher.gate.in_flight == 0
        house.dispatcher.stop()

    house.run(during)
    assert house.ends() == {"1": Status.ANSWERED}


def test_a_retry_does_not_starve_behind_fresh_rows() -> None:
    """A row that failed once is answered while thousands of fresh ones wait, though no worker ever idles."""
    seen: Counter[str] = Counter()

    async def send(request: Request) -> Attempt:
        await asyncio.sleep(0.0001)
        seen[request.key.id] += 1
        first = request.key.id == "0" and seen["0"] == 1
        return failed(request) if first else accepted(request)

    house = House(rows(5000), send, workers=1, max_wait_s=0.001).run()
    ends = [outcome.row.key.id for _, outcome in house.outcomes]
    assert len(ends) == 5000
    assert ends.index("0") < 2500


def test_the_end_of_the_input_waits_for_retries() -> None:
    """Rows in backoff when the last one was taken are still played to their end."""
    seen: Counter[str] = Counter()

    async def send(request: Request) -> Attempt:
        seen[request.key.id] += 1
        return failed(request) if seen[request.key.id] < 3 else accepted(request)

    house = House(rows(4), send, max_wait_s=0.02).run()
    assert set(house.ends().values()) == {Status.ANSWERED}
    assert seen == {str(number): 3 for number in range(4)}


def test_what_a_row_spent_is_summed_over_its_attempts() -> None:
    """Attempts, possibly billed ones, cost in Decimal and retries by reason are those of the whole row."""
    script: list[Callable[[Request], Attempt]] = [
        lambda request: failed(request, ErrorKind.TIMEOUT, billed=Billed.MAYBE),
        lambda request: failed(request, ErrorKind.EMPTY_REPLY, billed=Billed.YES, cost="0.1"),
        refused,
        lambda request: failed(request, ErrorKind.TIMEOUT, billed=Billed.MAYBE),
        lambda request: accepted(request, cost="0.2"),
    ]
    answers = iter(script)

    async def send(request: Request) -> Attempt:
        return next(answers)(request)

    house = House(rows(1), send).run()
    spend = house.outcomes[0][0].spend
    assert (spend.attempts, spend.possibly_billed, spend.cost_usd) == (5, 2, Decimal("0.3"))
    assert spend.retries == {"timeout": 2, "empty_reply": 1, "rate_limit": 1}
    assert [attempt.verdict.billed for attempt in house.tries] == [Billed.MAYBE, Billed.YES, Billed.NO, Billed.MAYBE]


def test_a_row_is_given_up_after_its_attempts() -> None:
    """The last failure is the row's; attempts is what max_attempts says, and refusals come on top."""
    answers = iter([refused] * 20)

    async def send(request: Request) -> Attempt:
        return next(answers, failed)(request)

    house = House(rows(1), send, max_attempts=3).run()
    ((work, outcome),) = house.outcomes
    assert (outcome.status, work.spend.attempts) == (Status.FAILED, 23)
    assert outcome.attempt.verdict.action is Action.FAIL_ROW
    assert outcome.attempt.verdict.kind is ErrorKind.SERVER_ERROR


@pytest.mark.parametrize("fails_at", [0, 1, 2])
@pytest.mark.parametrize("recovers", [True, False])
def test_a_script_of_several_requests_is_played_in_order(fails_at: int, recovers: bool) -> None:
    """Each answer comes before the next request; a failure is tried again at its step, and ends the row if it stays."""
    asked: list[int] = []

    async def send(request: Request) -> Attempt:
        await asyncio.sleep(0)
        asked.append(request.step)
        fails = request.step == fails_at and (not recovers or asked.count(fails_at) == 1)
        return failed(request) if fails else accepted(request, cost="1")

    house = House([work("1", steps=3)], send, max_attempts=2).run()
    ((played, outcome),) = house.outcomes
    upto = 3 if recovers else fails_at + 1
    assert asked == sorted([*range(upto), fails_at])
    assert outcome.status is (Status.ANSWERED if recovers else Status.FAILED)
    assert [attempt.request.step for attempt in played.attempts] == list(range(upto))
    assert played.spend.attempts == upto + 1
    assert played.spend.cost_usd == (Decimal(3) if recovers else Decimal(fails_at) if fails_at else None)


def test_stop_drains_what_is_in_flight_and_leaves_the_rest() -> None:
    """After `stop` what was sent is still answered, nothing new is sent, rows in backoff stay unfinished."""
    release = asyncio.Event()
    sent: list[str] = []

    async def send(request: Request) -> Attempt:
        sent.append(request.key.id)
        if request.key.id == "0":
            return failed(request)
        await release.wait()
        return failed(request) if request.key.id == "1" else accepted(request)

    house = House(rows(100), send, max_wait_s=100, ceiling=3)

    async def during() -> None:
        await asyncio.sleep(0.02)
        assert sent == ["0", "1", "2", "3"]
        why = Halt("asked for")
        house.dispatcher.stop(why)
        house.dispatcher.stop(Halt("later"))
        assert house.dispatcher.stopped is why
        release.set()

    house.run(during)
    assert sent == ["0", "1", "2", "3"]
    assert house.ends() == {"2": Status.ANSWERED, "3": Status.ANSWERED}
    assert house.cuts == []


def test_stop_before_a_permitted_retry_runs_sends_nothing() -> None:
    """A row that was handed a permit in the moment of the stop is not sent any more."""
    release = asyncio.Event()
    sent: list[str] = []

    async def send(request: Request) -> Attempt:
        sent.append(request.key.id)
        await release.wait()
        return accepted(request)

    house = House(rows(3), send, workers=2, ceiling=1)

    async def during() -> None:
        await asyncio.sleep(0.01)
        release.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        house.dispatcher.stop()

    house.run(during)
    assert len(house.outcomes) == len(sent)


def test_abandon_cuts_and_tells_what_was_in_flight() -> None:
    """Requests in flight are cut off and told, once each; rows that wait for a permit or in backoff are not."""

    async def send(request: Request) -> Attempt:
        if request.key.id == "0":
            return failed(request)
        await asyncio.sleep(60)
        return accepted(request)

    house = House(rows(100), send, max_wait_s=100, workers=5, ceiling=3)

    async def during() -> None:
        await asyncio.sleep(0.02)
        house.dispatcher.abandon()
        house.dispatcher.abandon()

    house.run(during)
    assert sorted(house.cuts) == ["1", "2", "3"]
    assert house.outcomes == []


def test_a_cancelled_run_leaves_nothing_behind() -> None:
    """Cancelled from outside, it abandons and is over only when all its tasks are."""

    async def send(request: Request) -> Attempt:
        await asyncio.sleep(60)
        return accepted(request)

    house = House(rows(10), send)

    async def main() -> None:
        running = asyncio.create_task(house.dispatcher.run())
        await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual_time.run(main())
    assert len(house.cuts) == 4


def test_a_request_that_is_cancelled_by_another_is_a_defect() -> None:
    """A cancellation that is none of ours is not lost: it stops the run, and the request is told as cut."""

    async def send(request: Request) -> Attempt:
        if request.key.id == "1":
            raise asyncio.CancelledError
        await asyncio.sleep(0.01)
        return accepted(request)

    house = House(rows(10), send)
    with pytest.raises(RuntimeError, match=r"^a row was cancelled, and not by us$"):
        house.run()
    assert house.cuts == ["1"]


def test_a_refusal_stops_the_run() -> None:
    """STOP_RUN sends nothing more, drains what is in flight, leaves its own row unfinished and says why."""

    async def send(request: Request) -> Attempt:
        if request.key.id == "2":
            await asyncio.sleep(0.01)
            return failed(request, ErrorKind.QUOTA, Action.STOP_RUN, status=402)
        await asyncio.sleep(0.05)
        return accepted(request)

    house = House(rows(100), send).run()
    assert house.ends() == {"0": Status.ANSWERED, "1": Status.ANSWERED, "3": Status.ANSWERED}
    stopped = house.dispatcher.stopped
    assert stopped is not None
    assert stopped.reason == ENDPOINT_REFUSES
    assert stopped.attempt is house.tries[0]


@pytest.mark.parametrize(
    ("action", "later"),
    [(Action.STOP_UNLESS_ANSWERED, Status.FAILED), (Action.RETRY_IF_ANSWERED, Status.ANSWERED)],
)
def test_a_refusal_after_an_answer_does_not_stop_the_run(action: Action, later: Status) -> None:
    """Once the model has answered, 403 and 404 fail their row, and what stood before the endpoint is tried again."""
    refusals = iter([True])

    async def send(request: Request) -> Attempt:
        if request.key.id == "1" and next(refusals, False):
            return failed(request, ErrorKind.NOT_FOUND, action)
        return accepted(request)

    house = House(rows(5), send, workers=1).run()
    assert house.ends() == {str(number): Status.ANSWERED for number in range(5)} | {"1": later}


def test_a_refusal_of_the_jobs_model_stops_the_run_though_another_has_answered() -> None:
    """It is asked three times in all; nothing is sent after that."""

    async def send(request: Request) -> Attempt:
        if request.model == "other":
            return failed(request, ErrorKind.NOT_FOUND, Action.STOP_UNLESS_ANSWERED)
        return accepted(request)

    house = House([work("0"), work("1", model="other"), work("2")], send, workers=1).run()
    assert house.ends() == {"0": Status.ANSWERED, "2": Status.ANSWERED}
    assert house.dispatcher.stopped is not None
    assert house.dispatcher.stopped.reason == ENDPOINT_REFUSES
    assert len(house.tries) == 3


@pytest.mark.parametrize("action", [Action.STOP_UNLESS_ANSWERED, Action.RETRY_IF_ANSWERED, Action.STOP_RUN])
@pytest.mark.parametrize("others_are_answered", [True, False])
def test_a_first_refusal_is_judged_when_what_is_in_flight_has_settled(
    action: Action, others_are_answered: bool
) -> None:
    """One stray among the first, at once: the others come later, and say what it was. Nothing is sent until then."""
    sent: list[str] = []

    async def send(request: Request) -> Attempt:
        sent.append(request.key.id)
        if request.key.id == "2" and sent.count("2") == 1:
            return failed(request, ErrorKind.UNAUTHORIZED, action, status=401)
        await asyncio.sleep(0.01)
        assert others_are_answered or len(sent) <= 4
        if not others_are_answered:
            return failed(request, ErrorKind.UNAUTHORIZED, action, status=401)
        return accepted(request)

    house = House(rows(20), send).run()
    if others_are_answered:
        assert house.dispatcher.stopped is None
        assert house.ends() == {str(number): Status.ANSWERED for number in range(20)}
    else:
        assert house.dispatcher.stopped is not None
        assert house.dispatcher.stopped.reason == ENDPOINT_REFUSES
        assert house.ends() == {}


@pytest.mark.parametrize(
    ("ends", "stops"),
    [
        ("ffff", True),
        ("ffffaaaa", True),
        ("fffaffff", False),
        ("affffff", False),
        ("fffgfff", False),
        ("fff", False),
    ],
)
def test_the_run_stops_when_the_first_rows_all_fail_alike(ends: str, stops: bool) -> None:
    """With the fourth of four equal failures at the very start; one answer or another reason, and never again."""

    async def send(request: Request) -> Attempt:
        end = ends[int(request.key.id)]
        if end == "a":
            return accepted(request)
        return failed(request, ErrorKind.CONTEXT_LENGTH if end == "f" else ErrorKind.TOO_LARGE, Action.FAIL_ROW)

    house = House(rows(len(ends)), send, workers=1, stop_after=4).run()
    assert len(house.outcomes) == (4 if stops else len(ends))
    stopped = house.dispatcher.stopped
    assert (stopped is not None and stopped.reason == ALL_FAIL_ALIKE) is stops


def test_the_run_stops_when_rows_begin_to_fail_alike() -> None:
    """Later in the night, too: with the fourth in succession, and with another reason than at the start."""

    async def send(request: Request) -> Attempt:
        if int(request.key.id) < 10:
            return accepted(request)
        return failed(request, ErrorKind.FORBIDDEN, Action.FAIL_ROW)

    house = House(rows(100), send, workers=1, stop_after=4).run()
    assert len(house.outcomes) == 14
    assert house.dispatcher.stopped == Halt(NOW_FAIL_ALIKE, house.outcomes[-1][1].attempt)


def test_an_endpoint_that_is_never_there_stops_the_run() -> None:
    """The outage policy's word ends the run with its reason, and no row is failed for it."""

    async def send(request: Request) -> Attempt:
        await asyncio.sleep(0)
        return refused(request, status=None)

    house = House(rows(10), send, policies=(CircuitBreaker(5, Random(1)),)).run()
    assert house.outcomes == []
    assert house.dispatcher.stopped is not None
    assert house.dispatcher.stopped.reason == OUTAGE
    assert house.dispatcher.stopped.attempt is not None


class Defect(Exception):  # noqa: N818 (what it stands for)
    pass


@pytest.mark.parametrize("where", ["send", "take", "row", "attempt", "room", "retry", "next", "cancelled"])
def test_a_defect_of_ours_surfaces(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever raises, run() raises it after what was in flight has ended; nothing hangs, nothing is swallowed."""
    calls = 0

    def defect(*args: Any) -> Any:
        raise Defect(where)

    async def send(request: Request) -> Attempt:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.001)
        if calls == 20 and where == "send":
            raise Defect(where)
        if calls == 20 and where == "cancelled":
            raise asyncio.CancelledError
        return failed(request) if calls % 5 == 0 else accepted(request)

    house = House(rows(1000), send)
    if where in {"row", "attempt", "cancelled", "room"}:
        monkeypatch.setattr(house, where, defect)
    elif where == "take":
        monkeypatch.setattr(house.dispatcher, "_take", defect)
    elif where == "retry":
        monkeypatch.setattr(house.dispatcher, "_sending", replace(house.dispatcher._sending, retry=defect))
    elif where == "next":
        monkeypatch.setattr("tests.dispatch.made.Steps.next", defect)
    with pytest.raises(Defect, match=where):
        house.run()
    assert house.dispatcher.gate.in_flight == 0
    assert len(house.outcomes) < 100


class Told:
    """A policy that admits all, and keeps what it is told with each release."""

    def __init__(self, records: Callable[[], int]) -> None:
        self.releases: list[tuple[int | None, int]] = []
        self._records = records

    def check(self, now: float, max_usage: MaxUsage) -> Decision:
        return ADMIT

    def acquire(self, now: float, max_usage: MaxUsage) -> None:
        return

    def release(self, now: float, max_usage: MaxUsage, attempt: Attempt | None, record: int | None = None) -> None:
        self.releases.append((record, self._records()))


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_what_an_attempt_cost_is_recorded_before_its_permit_is_released(steps: int) -> None:
    """Each request of a row is: with its release the policies are told the number of its record, the last there is."""

    async def send(request: Request) -> Attempt:
        await asyncio.sleep(0.01)
        return failed(request) if request.step == 1 and len(house.tries) < 3 else accepted(request, cost="1")

    told = Told(lambda: house.records)
    house = House((work(str(number), steps) for number in range(4)), send, policies=(told,))
    house.run()
    assert len(told.releases) == house.records == len(house.tries) + len(house.steps) + len(house.outcomes)
    assert all(record == last for record, last in told.releases)
    assert sorted(record or 0 for record, _ in told.releases) == [*range(1, house.records + 1)]


def test_what_was_cancelled_is_recorded_before_its_permit_is_released() -> None:
    """It may have been billed, and its money must not be let go before that is written down."""

    async def send(request: Request) -> Attempt:
        await asyncio.sleep(60)
        return accepted(request)

    told = Told(lambda: house.records)
    house = House(rows(3), send, policies=(told,))

    async def during() -> None:
        await asyncio.sleep(1)
        house.dispatcher.abandon()

    house.run(during)
    assert told.releases == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize("method", ["answered", "failed"])
def test_an_observer_that_breaks_costs_no_record(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is observed is recorded before, once: a defect there makes of an answer no request that was cut off."""

    async def send(request: Request) -> Attempt:
        return accepted(request) if method == "answered" else failed(request, cost="1")

    def defect(*_: Any) -> None:
        raise Defect(method)

    house = House(rows(1), send)
    monkeypatch.setattr(house, method, defect)
    with pytest.raises(Defect, match=method):
        house.run()
    assert house.cuts == []
    assert len(house.outcomes) + len(house.tries) == house.records == 1


def test_an_answer_that_our_script_breaks_on_is_recorded_with_its_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was paid: it is no request that was cut off and may have been billed."""

    async def send(request: Request) -> Attempt:
        monkeypatch.setattr("tests.dispatch.made.Steps.next", defect)
        return accepted(request, cost="1")

    def defect(*_: Any) -> None:
        raise Defect

    house = House(rows(1), send)
    with pytest.raises(Defect):
        house.run()
    assert house.cuts == []
    assert [attempt.cost for attempt in house.steps] == [Cost(Decimal(1), "reported")]


def test_a_row_of_which_only_the_end_is_left_is_recorded() -> None:
    """All its requests were answered before: nothing is sent."""

    async def send(request: Request) -> Attempt:
        raise AssertionError

    row = work("1")
    row.attempts.append(accepted(row.script.preview[0]))
    house = House([row], send).run()
    assert house.ends() == {"1": Status.ANSWERED}


def test_what_comes_back_is_observed_once() -> None:
    """Each failure, and each answered row; a row that is given up is no further failure."""

    async def send(request: Request) -> Attempt:
        return accepted(request) if request.key.id == "0" else failed(request)

    house = House(rows(2), send, max_attempts=3).run()
    assert len(house.failures) == 3
    assert [outcome.row.key.id for outcome in house.answers] == ["0"]


@settings(max_examples=60)
@example(plans=[["fail"], [], *[["fail"]] * 8, []], workers=1, ceiling=1, max_wait_s=0, stop_at=0, abandons=False)
@example(plans=[["fail"]] * 20, workers=2, ceiling=2, max_wait_s=1.0, stop_at=0, abandons=False)
@given(
    plans=st.lists(st.lists(st.sampled_from(["ok", "fail", "refuse", "reject"]), max_size=6), max_size=25),
    workers=st.integers(1, 6),
    ceiling=st.integers(1, 6),
    max_wait_s=st.sampled_from([0, 1.0]),
    stop_at=st.integers(0, 60),
    abandons=st.booleans(),
)
def test_whatever_happens_every_row_ends_at_most_once(
    plans: list[list[str]], *, workers: int, ceiling: int, max_wait_s: float, stop_at: int, abandons: bool
) -> None:
    """Any mix of failures, stops and cuts finishes each row once or leaves it for a stop; all bounds hold."""
    left = {str(number): iter(plan) for number, plan in enumerate(plans)}
    sent: Counter[str] = Counter()

    async def send(request: Request) -> Attempt:
        sent[request.key.id] += 1
        if sum(sent.values()) == stop_at:
            house.dispatcher.abandon() if abandons else house.dispatcher.stop()
        await asyncio.sleep(0)
        match next(left[request.key.id], "ok"):
            case "fail":
                return failed(request)
            case "refuse":
                return refused(request)
            case "reject":
                return failed(request, ErrorKind.BAD_REQUEST, Action.FAIL_ROW)
            case _:
                return accepted(request)

    house = House(
        rows(len(plans)),
        send,
        workers=workers,
        ceiling=ceiling,
        max_wait_s=max_wait_s,
        max_attempts=4,
        stop_after=10**6,
    )
    house.run()
    ends = Counter(outcome.row.key.id for _, outcome in house.outcomes)
    assert set(ends.values()) <= {1}
    stopped = 0 < stop_at <= sum(sent.values())
    if not stopped:
        assert len(ends) == len(plans)
    if not (stopped and abandons):
        assert house.cuts == []
    assert house.dispatcher.gate.max_in_flight <= ceiling
    assert house.most_beyond <= workers
    for played, outcome in house.outcomes:
        assert played.spend.attempts == sent[outcome.row.key.id]


def hanging(sent: Counter[str], times: int = 10**6) -> Send:
    """Answers all but row 0, which hangs so many times."""

    async def send(request: Request) -> Attempt:
        name = request.key.id
        sent[name] += 1
        await asyncio.sleep(60 if name == "0" and sent[name] <= times else 0)
        return accepted(request)._replace(latency_s=0.001)

    return send


def test_a_last_row_that_hangs_is_cut_twice_and_fails_the_third_time() -> None:
    """Each cut counts as possibly billed; its reason is a timeout."""
    sent: Counter[str] = Counter()
    house = House(rows(200), hanging(sent), max_attempts=4, stragglers=StragglerPolicy(floor_s=0.01)).run()
    assert sent["0"] == 3
    assert [cut.again for cut in house.overdues] == [True, True, False]
    work, outcome = next(each for each in house.outcomes if each[0].script.row.key.id == "0")
    assert outcome.status is Status.FAILED
    assert (work.spend.attempts, work.spend.possibly_billed, work.spend.retries) == (3, 3, {"timeout": 2})
    assert outcome.attempt.failure is not None
    assert outcome.attempt.failure.kind is ErrorKind.TIMEOUT
    assert outcome.attempt.failure.text.endswith("; cut off 3 times")
    assert len(house.tries) == 2
    assert house.cuts == []
    assert len(house.ends()) == 200


def test_a_row_is_not_cut_off_more_often_than_it_may_be_billed() -> None:
    """Nor is it told that it is sent again, where its limit is reached; the limit is named."""
    sent: Counter[str] = Counter()
    house = House(rows(200), hanging(sent), max_attempts=2, stragglers=StragglerPolicy(floor_s=0.01)).run()
    assert sent["0"] == 2
    assert [cut.again for cut in house.overdues] == [True, False]
    _, outcome = next(each for each in house.outcomes if each[0].script.row.key.id == "0")
    assert outcome.attempt.failure is not None
    assert outcome.attempt.failure.text.endswith("; 2 attempts may have been billed (`retry.max_attempts`)")


def test_a_last_row_that_hung_once_is_answered() -> None:
    """Sent again it is a row like any other."""
    sent: Counter[str] = Counter()
    house = House(rows(200), hanging(sent, times=1), stragglers=StragglerPolicy(floor_s=0.01)).run()
    assert set(house.ends().values()) == {Status.ANSWERED}
    work, _ = next(each for each in house.outcomes if each[0].script.row.key.id == "0")
    assert (work.spend.attempts, work.spend.possibly_billed) == (2, 1)


def test_nothing_is_cut_while_there_is_other_work() -> None:
    """A row that hangs goes on while others are taken, or wait in backoff."""
    sent: Counter[str] = Counter()
    answer = hanging(sent)

    async def send(request: Request) -> Attempt:
        return refused(request, wait_s=100.0) if request.key.id == "199" else await answer(request)

    house = House(rows(200), send, stragglers=StragglerPolicy(floor_s=0.01))

    async def during() -> None:
        await asyncio.sleep(0.6)
        assert len(house.outcomes) == 198
        assert house.overdues == []
        assert house.dispatcher.in_flight.awaited() is None
        house.dispatcher.abandon()

    house.run(during)
    assert house.cuts == ["0"]


def test_a_row_that_hangs_does_not_hold_the_end_of_a_stopped_run() -> None:
    """It is cut off when it is overdue and nothing else is in flight; its row is left to be sent, by a later run."""
    sent: Counter[str] = Counter()
    answer, enough = hanging(sent), asyncio.Event()

    async def send(request: Request) -> Attempt:
        if request.key.id == "150":
            enough.set()
        return await answer(request)

    house = House(rows(10_000), send, workers=2, stragglers=StragglerPolicy(floor_s=0.01))

    async def during() -> None:
        await enough.wait()
        assert house.overdues == []
        house.dispatcher.stop(Halt("budget"))

    house.run(during)
    assert sent["0"] == 1
    assert "0" not in house.ends()
    assert [(cut.key.id, cut.again) for cut in house.overdues] == [("0", True)]
    assert [attempt.verdict.billed for attempt in house.tries] == [Billed.MAYBE]
    assert house.cuts == []


def test_what_the_end_waits_for_can_be_told() -> None:
    """At the end the row in flight is named with its bound; after a stop nothing is cut: a drain has its own bound."""
    house = House(rows(200), hanging(Counter()), stragglers=StragglerPolicy(floor_s=0.6))

    async def during() -> None:
        await asyncio.sleep(0.1)
        awaited = house.dispatcher.in_flight.awaited()
        assert awaited is not None
        assert (awaited[0].key.id, awaited[1]) == ("0", 0.6)
        house.dispatcher.stop()
        assert house.dispatcher.in_flight.awaited() is None
        await asyncio.sleep(0.8)
        assert house.overdues == []
        house.dispatcher.abandon()

    house.run(during)
    assert house.cuts == ["0"]
