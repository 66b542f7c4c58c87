"""Sends all rows of a run from this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

from batchchat.execution import wiring
from batchchat.execution.context import RunContext
from batchchat.execution.context_check import ContextCheck
from batchchat.execution.exit_reason import RunLoopResult
from batchchat.execution.feed import Feed
from batchchat.execution.input_total import InputTotal
from batchchat.execution.recorder import Recorder
from batchchat.execution.row_sender import LeasedLimits, OpenRecorder, RowSender
from batchchat.execution.send_plan import SendPlan
from batchchat.execution.tasks import Scripts
from batchchat.execution.unsendable import UnsendableRows
from batchchat.job import JobSpec
from batchchat.pricing.for_job import context_for

__all__ = ["end_feed", "feed_of", "send_rows"]

_COUNT_REST_S = 1.0  # a person waits for the end of a run that was stopped

Meanwhile = Callable[[Feed, Recorder], AbstractAsyncContextManager[None]]
"""What is done as long as the rows of a feed are sent, and their records written."""


async def send_rows(
    context: RunContext,
    rows: SendPlan,
    senders: Sequence[wiring.Sender],
    open_recorder: OpenRecorder,
    result: RunLoopResult,
    *,
    leased: LeasedLimits | None = None,
    meanwhile: Meanwhile = lambda _feed, _recorder: nullcontext(),
) -> Feed:
    """Send `rows` by the limits of the context's job, or by `leased` ones; what came of it is added to `result`.

    Returns the feed, which knows what was read. The recorder is left open. Raises what is no `BatchchatError`.
    """
    sender = RowSender(context, rows.terms, senders, open_recorder, leased=leased)
    scripts, recorder = sender.scripts, sender.recorder
    feed = feed_of(rows, context.job, scripts, recorder)

    def stopped() -> bool:
        return context.signals.received is not None

    await sender.send(feed, result, meanwhile(feed, recorder), lambda: end_feed(feed, rows, scripts, recorder, stopped))
    return feed


def feed_of(rows: SendPlan, job: JobSpec, scripts: Scripts, recorder: Recorder) -> Feed:
    """Supplies what is to be sent of `rows`; the records of those that end unsent go to `recorder`."""
    terms = rows.terms
    return Feed(
        rows.tasks(scripts),
        terms.ledger,
        recorder.keep,
        InputTotal(rows.source, counted=rows.counted, rows_each=scripts.expansion.rows_each),
        limit=terms.limit,
        unanswered=rows.unanswered,
        unsendable=UnsendableRows(ContextCheck(context_for(job, terms.rates)), wiring.limit_reached_for(job)),
    )


async def end_feed(
    feed: Feed, rows: SendPlan, scripts: Scripts, recorder: Recorder, stopped: Callable[[], bool]
) -> None:
    """What is sent of `feed` was: give rows the answers that they share with these, and count those that are left."""
    if feed.unshared and not stopped():
        from batchchat.execution.sharing import share_answers

        await share_answers(rows.tasks(scripts), rows.terms.ledger, recorder, stopped)
    await feed.count_rest(_COUNT_REST_S)
