"""What hangs at the end is cut, but not by a machine that has just woken up."""

from __future__ import annotations

import asyncio

from batchchat.core.attempt import Action, Billed
from batchchat.core.conversation import ErrorKind, Key
from batchchat.dispatch import in_flight
from batchchat.dispatch.in_flight import InFlightAttempts, overdue_attempt
from batchchat.policy.stragglers import Overdue, StragglerPolicy
from tests import virtual_time
from tests.dispatch.made import accepted, request


def test_an_answer_that_came_while_we_slept_is_not_cut() -> None:
    """After a jump of the clock the first look cuts nothing, so what has arrived is read; the next one does."""
    now = 0.0
    told: list[Overdue] = []

    async def main() -> None:
        nonlocal now
        tail = StragglerPolicy()
        watched = InFlightAttempts(tail, lambda: now, lambda in_flight: in_flight == 1, told.append)
        for _ in range(100):
            tail.note(1.0)
        row = watched.begin(Key("last"))
        watched.watch()
        now = 7200.0
        await asyncio.sleep(in_flight._LOOK_EVERY_S * 1.5)
        assert told == []
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            assert row.was_overdue()
        watched.end(Key("last"), None)
        watched.unwatch()

    virtual_time.run(main())
    assert [(cut.key.id, cut.ran_s) for cut in told] == [("last", 7200.0)]


def test_nothing_is_awaited_before_the_input_ends() -> None:
    """What is in flight is not named as the last while rows may follow, nor when all is answered."""

    async def main() -> None:
        tail = StragglerPolicy(earlier_p99_s=10.0)
        watched = InFlightAttempts(tail, lambda: 5.0, lambda in_flight: in_flight == 1, lambda _cut: None)
        watched.begin(Key("last"))
        assert watched.awaited() is None
        watched.watch()
        assert watched.awaited() is not None
        watched.end(Key("last"), accepted(request("last")))
        assert watched.awaited() is None
        watched.unwatch()

    virtual_time.run(main())


def test_a_cut_attempt_is_a_timeout_that_may_have_been_billed() -> None:
    """Its row is sent again at once, or fails with the figures, with the time it ran."""
    again = overdue_attempt(request(), Overdue(Key("1"), 41.0, 10.0, 1, again=True))
    assert (again.verdict.action, again.verdict.billed, again.verdict.instant) == (Action.RETRY, Billed.MAYBE, True)
    last = overdue_attempt(request(), Overdue(Key("1"), 161.0, 10.0, 3, again=False))
    assert (last.verdict.action, last.verdict.kind) == (Action.FAIL_ROW, ErrorKind.TIMEOUT)
    assert last.failure is not None
    assert last.failure.text == (
        "no answer within 161 s at the end of the run, when 99 of 100 answers had taken at most 10.0 s; cut off 3 times"
    )
    assert last.finished_at - last.started_at == last.latency_s == 161.0
