"""A run in virtual time: the gate, the rows' retries and a server, as discrete events. Nothing sleeps.

It does what `dispatch` does, in a second notation: the first in line goes when all policies agree, a retry before a
fresh row; a row that failed waits without a permit, and as many rows recover as there are workers, or as an outage
is told by. A machine with too little time for the run is one whose event loop turns only every `turn_s`: what settles
meanwhile is handled, and what follows sent, at once.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any, cast

from tenacity import RetryCallState

from batchchat.core.attempt import Action, Attempt, Billed, Failure, MaxUsage, Quota, Request, Scope, Usage, Verdict
from batchchat.core.conversation import ErrorKind, Key
from batchchat.dispatch.gate import NEW_ROWS_PER_RETRY
from batchchat.policy.circuit_breaker import FAILURES_TO_OPEN
from batchchat.policy.decision import Admit, Halt, Policy
from batchchat.policy.refused_rows import RefusedRows
from batchchat.policy.retry import RowStop, RowWait

__all__ = ["VERDICTS", "Answer", "Run", "Server", "answered", "refused", "server_error", "simulate", "unreached"]

VERDICTS = {
    200: Verdict(Action.ACCEPT, billed=Billed.YES),
    429: Verdict(Action.RETRY, Scope.ENDPOINT, Billed.NO, ErrorKind.RATE_LIMIT),
    503: Verdict(Action.RETRY, Scope.ENDPOINT, Billed.NO, ErrorKind.OVERLOADED),
    500: Verdict(Action.RETRY, Scope.ROW, Billed.NO, ErrorKind.SERVER_ERROR),
    502: Verdict(Action.RETRY, Scope.ROW, Billed.MAYBE, ErrorKind.GATEWAY_TIMEOUT),
    None: Verdict(Action.RETRY, Scope.ENDPOINT, Billed.NO, ErrorKind.CONNECTION),
}


@dataclass(frozen=True)
class Answer:
    """What the server does with a request: its status after so many seconds; None is no connection."""

    status: int | None
    after_s: float
    wait_s: float | None = None
    tokens: int | None = None
    quota: Quota | None = None


def answered(after_s: float, tokens: int | None = None) -> Answer:
    return Answer(200, after_s, tokens=tokens)


def refused(after_s: float = 0.02, wait_s: float | None = None) -> Answer:
    return Answer(429, after_s, wait_s)


def server_error(status: int = 500, after_s: float = 0.02) -> Answer:
    return Answer(status, after_s)


def unreached() -> Answer:
    return Answer(None, 0.001)


Server = Callable[[float, int, int], Answer]
"""(now, accepted and still in flight, row) -> what it does."""


@dataclass
class Run:
    """What came of it. `ends` are times of answered rows, `sends` the times and statuses of all requests."""

    ends: list[float] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    sends: list[tuple[float, int | None]] = field(default_factory=list)
    ceilings: list[tuple[float, int]] = field(default_factory=list)
    most_in_flight: int = 0
    stopped: Halt | None = None

    def rate(self, from_s: float, to_s: float) -> float:
        """Rows answered in a second."""
        return sum(from_s <= at < to_s for at in self.ends) / (to_s - from_s)

    def refusals(self, from_s: float = 0.0, to_s: float = float("inf")) -> float:
        """The share of requests sent that were refused."""
        within = [status for at, status in self.sends if from_s <= at < to_s]
        return within.count(429) / max(1, len(within))


class _Loop:
    def __init__(
        self,
        server: Server,
        policies: list[Policy],
        *,
        rows: int,
        workers: int,
        seed: int,
        stop: Any,
        refused_rows: RefusedRows | None,
        turn_s: float = 0.0,
    ) -> None:
        self.turn_s = turn_s
        self.server, self.policies, self.workers, self.stop = server, policies, workers, stop
        self.random = Random(seed)
        self.heap: list[tuple[float, int, Callable[[], None] | None]] = []  # None: the gate's timer
        self.serial = count()
        self.now = 0.0
        self.fresh: deque[int] = deque()
        self.again: deque[int] = deque()
        self.timer = -1
        self.rows = iter(range(rows))
        self.waiting_workers = workers
        self.recovering: dict[int, tuple[RowStop, RowWait, list[int]]] = {}
        self.at_server = 0
        self.in_flight = 0
        self.failures = self.failed_retries = 0
        self.run = Run()
        self.refused_rows = refused_rows or RefusedRows()
        self.answers = deque[float]()

    def later(self, seconds: float, do: Callable[[], None] | None) -> int:
        at = self.now + seconds
        if self.turn_s:
            at = (at // self.turn_s + 1) * self.turn_s
        return self.at(at, do)

    def at(self, at: float, do: Callable[[], None] | None) -> int:
        number = next(self.serial)
        heapq.heappush(self.heap, (at, number, do))
        return number

    def take(self) -> None:
        while self.answers and self.answers[0] < self.now - 60:
            self.answers.popleft()
        room = max(self.workers, FAILURES_TO_OPEN) + NEW_ROWS_PER_RETRY * self.failed_retries
        while self.waiting_workers and len(self.recovering) <= room + len(self.answers):
            row = next(self.rows, None)
            if row is None:
                return
            self.waiting_workers -= 1
            self.fresh.append(row)
        self.serve()

    def serve(self) -> None:
        while self.run.stopped is None:
            takes_turns = self.again and self.fresh and self.failures % (1 + NEW_ROWS_PER_RETRY)
            line = self.fresh if takes_turns else self.again or self.fresh
            if not line:
                return
            for policy in self.policies:
                decision = policy.check(self.now, MAX_USAGE)
                if not isinstance(decision, Admit):
                    break
            else:
                self.send(line.popleft())
                continue
            if isinstance(decision, Halt):
                self.run.stopped = decision
            elif decision.seconds is not None:
                assert 0 < decision.seconds < 4000
                self.timer = self.later(decision.seconds, None)
            else:
                assert self.in_flight, "it waits for one to settle, and none is in flight"
            return

    def send(self, row: int) -> None:
        for policy in self.policies:
            policy.acquire(self.now, MAX_USAGE)
        self.in_flight += 1
        self.run.most_in_flight = max(self.run.most_in_flight, self.in_flight)
        answer = self.server(self.now, self.at_server, row)
        self.at_server += answer.status == 200
        self.run.sends.append((self.now, answer.status))
        sent_at, number = self.now, self.refused_rows.sent(again=row in self.recovering)
        self.at(self.now + answer.after_s, lambda: self.leave_server(answer))
        self.later(answer.after_s, lambda: self.release(row, answer, sent_at, number))

    def leave_server(self, answer: Answer) -> None:
        self.at_server -= answer.status == 200

    def release(self, row: int, answer: Answer, sent_at: float, number: int) -> None:
        self.failures = 0 if answer.status == 200 else self.failures + 1
        self.in_flight -= 1
        verdict = VERDICTS[answer.status]
        if answer.wait_s is not None:
            verdict = Verdict(verdict.action, verdict.scope, verdict.billed, verdict.kind, answer.wait_s)
        attempt = Attempt(
            Request(Key(str(row)), 0, "m", [], b"{}", 1),
            verdict,
            sent_at,
            self.now,
            self.now - sent_at,
            answer.status,
            failure=Failure(verdict.kind, "no") if verdict.kind else None,
            usage=None if answer.tokens is None else Usage(total_tokens=answer.tokens),
            quota=answer.quota,
        )
        shown = self.refused_rows.settled(number, attempt)
        for policy in self.policies:
            policy.release(self.now, MAX_USAGE, shown)
        self.serve()  # as the gate does, before the row's own task runs
        was_recovering = row in self.recovering
        if verdict.kind is None:
            self.run.ends.append(self.now)
            self.answers.append(self.now)
            self.failed_retries = 0
            self.recovering.pop(row, None)
        else:
            self.failed_retries += was_recovering
            self.try_again(row, attempt)
        self.waiting_workers += not was_recovering
        self.take()

    def try_again(self, row: int, attempt: Attempt) -> None:
        stop, wait, attempts = self.recovering.setdefault(
            row, (self.stop(), RowWait(120.0, Random(self.random.random()), self.refused_rows.is_cause), [0])
        )
        attempts[0] += 1
        state = RetryCallState(cast("Any", None), None, (), {})
        state.attempt_number = attempts[0]
        state.set_result(attempt)
        state.upcoming_sleep = wait(state)
        if stop(state):
            self.run.failed.append(row)
            del self.recovering[row]
            return

        def back() -> None:
            self.again.append(row)

        self.later(state.upcoming_sleep, back)

    def play(self, until_s: float, watch: Callable[[], int] | None) -> Run:
        self.take()
        while self.heap and self.run.stopped is None:
            at, number, do = heapq.heappop(self.heap)
            if at > until_s:
                return self.run
            if do is None and number != self.timer:
                continue  # another was set since
            self.now = at
            if do is not None:
                do()
            self.serve()
            if watch is not None and (not self.run.ceilings or self.run.ceilings[-1][1] != watch()):
                self.run.ceilings.append((self.now, watch()))
        if self.run.stopped is None:
            assert not self.again
            assert not self.fresh
            assert not self.recovering
        return self.run


MAX_USAGE = MaxUsage()


def simulate(
    server: Server,
    policies: list[Policy],
    *,
    rows: int,
    workers: int,
    seed: int = 1,
    until_s: float = 100_000.0,
    stop: Callable[[], RowStop] = lambda: RowStop(6, 3600.0),
    watch: Callable[[], int] | None = None,
    refused_rows: RefusedRows | None = None,
    turn_s: float = 0.0,
) -> Run:
    """Play `rows` rows, or as far as `until_s`; it fails where it would wait for ever. `watch` gives the ceiling."""
    loop = _Loop(
        server,
        policies,
        rows=rows,
        workers=workers,
        seed=seed,
        stop=stop,
        refused_rows=refused_rows,
        turn_s=turn_s,
    )
    return loop.play(until_s, watch)
