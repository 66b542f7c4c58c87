"""What was paid is in the journal before anything that depends on it goes on: tested with a list for a journal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from batchchat.core.attempt import Attempt, Billed, Request
from batchchat.core.conversation import ErrorKind
from batchchat.dispatch.dispatcher import Dispatcher
from batchchat.dispatch.work import Sending, Work
from batchchat.execution.anomaly_detector import AnomalyDetector
from batchchat.execution.recorder import Recorder
from batchchat.execution.spending import Spending
from batchchat.policy.concurrency import Concurrency
from batchchat.policy.retry import RowStop, RowWait
from batchchat.store.ledger import Ledger
from tests import virtual_time
from tests.dispatch.made import accepted, failed, work
from tests.execution.list_journal import ListJournal


class Run:
    """A dispatcher over a recorder, as a run has them; `apply` is given what is synced."""

    def __init__(
        self,
        rows: Iterable[Work],
        send: Callable[[Request], Awaitable[Attempt]],
        apply: Callable[[int, Any], None],
        on_change: Callable[[ListJournal], None] = lambda _journal: None,
        sync_s: float = 0.001,
    ) -> None:
        iterator = iter(rows)

        async def take() -> Work | None:
            return next(iterator, None)

        def opened(committed: Callable[..., None], broke: Callable[[], None]) -> ListJournal:
            self.journal = ListJournal(committed, broke, sync_s=sync_s, on_change=on_change)
            return self.journal

        self.recorder = Recorder(opened, apply, max_unsynced=8, clock=virtual_time.now)
        self.spending = Spending("p", None, 8, self.recorder.hold, lambda _event: None)
        sending = Sending(
            send=send,
            policies=[Concurrency(4), *self.spending.policies],
            retry=lambda: (RowStop(3, 3600), RowWait(0.001, Random(1))),
            workers=4,
            stop_after_failures=50,
        )
        observer = AnomalyDetector(lambda _event: None, {})
        self.dispatcher = Dispatcher(sending, take, self.recorder, observer, virtual_time.now)

    async def play(self) -> None:
        self.recorder.subscribe(self._synced, self.dispatcher.abandon)
        self.spending.open()
        await self.recorder.settled()
        await self.dispatcher.run()

    def _synced(self, record: int) -> None:
        self.spending.synced(record)
        self.dispatcher.gate.recheck()


def test_a_row_of_three_requests_killed_in_the_third_has_both_answers_in_the_journal(tmp_path: Path) -> None:
    """$2 are paid when the third request is in flight: whoever reads the journal then hears of $2, and of one more."""
    hangs = asyncio.Event()

    async def send(request: Request) -> Attempt:
        if request.step == 2:
            hangs.set()
            await asyncio.sleep(3600)
        return accepted(request, cost="1")

    async def main() -> list[dict[str, Any]]:
        run = Run([work("r", steps=3, usd="10")], send, lambda _location, _record: None)
        playing = asyncio.create_task(run.play())
        await hangs.wait()
        await asyncio.sleep(1)
        on_disk = run.journal.records[: run.journal.on_disk]
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        return on_disk

    journal = virtual_time.run(main())
    replayed = Ledger(tmp_path)
    for location, record in enumerate(journal):
        replayed.apply(location, record)
    assert replayed.paid_usd == 2
    assert [record["why"] for record in journal if record["kind"] == "step"] == ["accepted", "accepted"]
    replayed.end_session()
    assert replayed.at_risk.usd["p"] >= 10


def billed_in(records: Iterable[dict[str, Any]]) -> int:
    """How many attempts that were, or may have been, billed `records` tell of; each answer costs $1."""
    rows: dict[str, int] = {}
    for record in records:
        if record["kind"] == "hold":
            continue
        billed = int(record.get("cost_usd") or 0) + record["possibly_billed"]
        steps = rows.get(record["id"], 0) if record["kind"] == "step" else 0  # a row tells of all its attempts
        rows[record["id"]] = steps + billed
    return sum(rows.values())


@settings(max_examples=50)
@given(
    plans=st.lists(
        st.tuples(st.integers(1, 4), st.lists(st.sampled_from(["ok", "lost", "refused"]), max_size=8)), max_size=12
    ),
    sync_s=st.sampled_from([0.0005, 0.002, 0.01]),
    abandon_after=st.integers(0, 60),
    seed=st.integers(0, 1000),
)
def test_a_kill_at_any_record_finds_a_hold_that_covers_rows_of_several_requests(
    plans: list[tuple[int, list[str]]], sync_s: float, abandon_after: int, seed: int
) -> None:
    """However many requests a row has, whatever becomes of them, also when they are cancelled, and however slow a disk.

    At each moment, with each end the file may have then: what its records don't tell of is within its last hold.
    """
    run: Run
    random = Random(seed)
    left = {str(number): iter(plan) for number, (_, plan) in enumerate(plans)}
    billable = 0

    def check(journal: ListJournal) -> None:
        for kept in range(journal.on_disk, len(journal.records) + 1):
            records = journal.records[:kept]
            holds = [record for record in records if record["kind"] == "hold"]
            unknown = billable - billed_in(records)
            assert unknown <= (holds[-1]["requests"] if holds else 0)
            assert unknown * 10 <= Decimal(holds[-1]["usd"] if holds else 0)

    async def send(request: Request) -> Attempt:
        nonlocal billable
        billable += 1
        check(run.journal)
        if billable == abandon_after:
            asyncio.get_running_loop().call_later(0.004, run.dispatcher.abandon)
        await asyncio.sleep(random.uniform(0, 0.01))
        match next(left[request.key.id], "ok"):
            case "lost":
                return failed(request, ErrorKind.TIMEOUT, status=None, billed=Billed.MAYBE)
            case "refused":
                billable -= 1
                return failed(request)
            case _:
                return accepted(request, cost="1")

    async def main() -> int:
        nonlocal run
        rows = [work(str(number), steps, usd="10") for number, (steps, _) in enumerate(plans)]
        run = Run(rows, send, lambda _location, _record: None, check, sync_s)
        await run.play()
        await run.recorder.settled()
        return billed_in(run.journal.records)

    assert virtual_time.run(main()) == billable


def test_an_attempt_that_cost_nothing_is_no_record() -> None:
    """It is counted as a retry by its kind, and has no number that money could wait for."""

    async def main() -> None:
        recorder = Recorder(ListJournal, lambda _location, _record: None, max_unsynced=8)
        row = work("r")
        request = row.script.preview[0]
        assert recorder.attempt(row, failed(request)) is None
        assert recorder.attempt(row, failed(request, ErrorKind.TIMEOUT, billed=Billed.MAYBE)) == 1
        assert recorder.cancelled(row, request) == 2
        assert recorder.retries == {"server_error": 1, "timeout": 1}
        assert recorder.cancelled_count == 1

    virtual_time.run(main())


def test_whoever_subscribed_hears_of_each_sync_and_of_a_failure() -> None:
    """With the number of the last record on disk, after it was applied."""
    heard: list[Any] = []
    journal: ListJournal

    async def main() -> None:
        def opened(committed: Callable[..., None], broke: Callable[[], None]) -> ListJournal:
            nonlocal journal
            journal = ListJournal(committed, broke)
            return journal

        recorder = Recorder(opened, lambda location, record: heard.append((location, record["n"])), max_unsynced=8)
        recorder.subscribe(heard.append, lambda: heard.append("failed"))
        assert [recorder.keep({"n": n}) for n in "ab"] == [1, 2]
        await recorder.settled()
        journal.fail()

    virtual_time.run(main())
    assert heard == [(0, "a"), 1, (1, "b"), 2, "failed"]
