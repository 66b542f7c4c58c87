"""Where a run stands: from the totals of its journal, its feed and its engine."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from batchchat.core.events import Event, Progress
from batchchat.dispatch.dispatcher import Dispatcher
from batchchat.dispatch.work import Sending
from batchchat.execution.anomaly_detector import AnomalyDetector
from batchchat.execution.context_check import ContextCheck
from batchchat.execution.endpoint_limits import EndpointLimits
from batchchat.execution.engine import Engine
from batchchat.execution.feed import Feed
from batchchat.execution.finished_rows import FinishedRows
from batchchat.execution.input_total import InputTotal
from batchchat.execution.progress import ProgressReporter
from batchchat.execution.recorder import Recorder
from batchchat.execution.spending import Spending
from batchchat.execution.tasks import ResumeRules, Scripts, tasks
from batchchat.execution.unsendable import UnsendableRows
from batchchat.policy.circuit_breaker import CircuitBreaker
from batchchat.policy.retry import RowStop, RowWait
from batchchat.store.ledger import Ledger
from batchchat.tokens.context_window import ContextWindow
from batchchat.tokens.for_model import tokenizer_for
from tests import virtual_time
from tests.dispatch.made import Steps, accepted
from tests.execution.list_journal import ListJournal
from tests.execution.opened import opened
from tests.store.given import answered, failed, write_segment


def report(folder: Path, *records: Any, limit: int | None = None, outdated: int = 0) -> Progress:
    """What is told of a run over three rows whose journal got `records`, five seconds after its start."""
    source, ledger, events = (
        opened(folder, *({"id": id_, "prompt": "Hi"} for id_ in "abc")),
        Ledger(folder),
        list[Event](),
    )
    now = 0.0

    async def send(request: Any) -> Any:
        return accepted(request)

    async def main() -> None:
        nonlocal now
        finished = FinishedRows(ledger, outdated, events.append)
        recorder = Recorder(ListJournal, finished.apply, max_unsynced=4)
        limits = EndpointLimits(4, CircuitBreaker(3600, Random(1)))
        sending = Sending(send, limits.policies, lambda: (RowStop(3, 60), RowWait(1, Random(1))), 4, 50)
        spending = Spending(None, None, 8, recorder.hold, events.append)
        observer = AnomalyDetector(events.append, {})
        engine = Engine(sending, limits, spending, observer, drain_s=30, attempt_s=600)
        check = ContextCheck(ContextWindow(lambda _model: None, tokenizer_for))
        rows = tasks(source, Scripts(lambda row, _: Steps(row)), ledger.index, ResumeRules())
        total = InputTotal(source, counted=3)
        feed = Feed(rows, ledger, recorder.keep, total, limit=limit, unsendable=UnsendableRows(check))
        dispatcher = Dispatcher(sending, feed.take, recorder, observer)
        reporter = ProgressReporter(
            engine, feed, finished, Counter({"timeout": 2}), events.append, limit=limit, clock=lambda: now
        )
        reporter.report(dispatcher)
        for offset, record in zip(write_segment(folder, 1, records), records, strict=True):
            finished.apply(offset, dict(record))
        now = 5.0
        reporter.report(dispatcher)
        assert reporter.left() == 3 - ledger.totals.finished

    virtual_time.run(main())
    (*_, progress) = [event for event in events if isinstance(event, Progress)]
    return progress


def test_what_is_synced_is_what_is_told(tmp_path: Path) -> None:
    """Rows, money, rates and time left come from the journal's records; retries from the recorder."""
    progress = report(tmp_path, answered("a", cost_usd=0.5), failed("b"))
    assert (progress.rows.answered, progress.rows.failed, progress.done, progress.total) == (1, 1, 2, 3)
    assert (progress.elapsed_s, progress.rows_per_s, progress.eta_s) == (5.0, 0.4, 2.5)
    assert (str(progress.cost_usd), progress.cost_per_hour_usd) == ("0.5", 360.0)
    assert progress.expected_cost_usd is None, "one answer tells nothing of the whole"
    assert (dict(progress.failures), dict(progress.retries)) == ({"timeout": 1}, {"timeout": 2})
    assert (progress.in_flight, progress.recovering, progress.awaited) == (0, 0, None)


def test_a_limit_is_the_total_of_this_run(tmp_path: Path) -> None:
    """What was done before counts, and no more than the input has."""
    assert report(tmp_path, answered("a"), limit=2).total == 2
    assert report(tmp_path, limit=7).total == 3


def test_a_row_that_is_sent_again_is_not_done(tmp_path: Path) -> None:
    """Its earlier record is in the totals, and not in what is done."""
    progress = report(tmp_path, answered("a"), answered("b"), answered("a"), outdated=1)
    assert (progress.rows.answered, progress.done) == (2, 2)
