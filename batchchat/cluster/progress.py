"""Where a run with workers stands: what was finished by its journal, and what the workers say of the rest."""

from __future__ import annotations

import time

from batchchat.cluster.news import WorkerNews
from batchchat.core.conversation import ErrorKind
from batchchat.core.events import Progress, Subscriber
from batchchat.core.row_counts import RowCounts
from batchchat.execution.feed import Feed
from batchchat.execution.finished_rows import FinishedRows
from batchchat.execution.progress import expected_cost_usd
from batchchat.execution.throughput import Throughput
from batchchat.job import JobSpec

__all__ = ["IDLE", "ClusterProgress"]

_INVALID_INPUT = ErrorKind.INVALID_INPUT.value
IDLE = Progress(
    elapsed_s=0.0,
    total=None,
    estimated=True,
    rows=RowCounts(),
    done=0,
    in_flight=0,
    recovering=0,
    ceiling=0,
    cost_usd=None,
    expected_cost_usd=None,
    tokens_per_s=0.0,
    rows_per_s=0.0,
    eta_s=None,
    failures={},
    retries={},
)


class ClusterProgress:
    """Makes the `Progress` of a run of `job`, whose finished rows are counted in `finished`, and nothing else does.

    `feed` knows what was read of the input. At most `limit` are sent.
    """

    def __init__(
        self,
        job: JobSpec,
        finished: FinishedRows,
        news: WorkerNews,
        tell: Subscriber,
        *,
        feed: Feed,
        limit: int | None,
    ) -> None:
        self._job = job
        self._finished = finished
        self._news = news
        self._tell = tell
        self._feed = feed
        self._limit = limit
        self._start = time.monotonic()
        self._throughput = Throughput()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began to send."""
        return time.monotonic() - self._start

    def left(self) -> int | None:
        """Rows of the input that have no record yet; None where its end was not seen."""
        total, estimated = self._feed.total()
        return None if total is None or estimated else total - self._finished.totals.finished

    def estimated_total(self) -> int | None:
        """About how many rows the input has; None where its end was seen, or nothing is known."""
        total, estimated = self._feed.total()
        return total if estimated else None

    def report(self) -> None:
        """Tell where the run stands."""
        finished, workers = self._finished, [*self._news.latest.values()]
        left, (input_total, estimated) = self.left(), self._feed.total()
        self._news.left = None if left is None else left + finished.outdated
        total = input_total
        if self._limit is not None:
            max_done = finished.done_before + self._limit + self._feed.kept
            if total is None or estimated or total > max_done:
                total, estimated = max_done, False
        cost, totals, throughput = finished.paid_usd, finished.totals, self._throughput
        throughput.add(self.elapsed_s, finished.done, finished.completion_tokens, float(cost or 0))
        max_ceiling = sum(worker.max_ceiling for worker in workers)
        down = [worker for worker in workers if worker.down_since is not None] if self._news.is_down else []
        longest = max(workers, key=lambda worker: worker.awaited.running_s if worker.awaited else -1.0, default=IDLE)
        self._tell(
            (down[0] if down else IDLE)._replace(
                elapsed_s=self.elapsed_s,
                total=total,
                estimated=estimated,
                rows=finished.counts(left),
                estimated_total=input_total if left is None else None,
                outdated=finished.outdated,
                finished_count=finished.count,
                done=finished.done,
                in_flight=sum(worker.in_flight for worker in workers),
                recovering=sum(worker.recovering for worker in workers),
                ceiling=min(self._job.concurrency, sum(worker.ceiling for worker in workers)),
                cost_usd=cost,
                expected_cost_usd=expected_cost_usd(totals, cost, total),
                tokens_per_s=throughput.tokens_per_s,
                rows_per_s=throughput.rows_per_s,
                eta_s=throughput.eta_s(total),
                max_cost_usd=self._job.budget.max_cost,
                max_ceiling=min(self._job.concurrency, max_ceiling),
                cost_per_hour_usd=None if cost is None else throughput.usd_per_hour,
                held_s=min((worker.held_s for worker in workers), default=0.0),
                awaited=longest.awaited if all(worker.awaited for worker in workers) else None,
                failures={kind: count for kind, count in totals.failures.items() if kind != _INVALID_INPUT},
                retries=self._news.retries(),
            )
        )
