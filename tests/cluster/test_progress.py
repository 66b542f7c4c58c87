"""How many rows the input of several workers has, of which some may not have begun."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from batchchat.cluster.news import WorkerNews
from batchchat.cluster.progress import IDLE, ClusterProgress
from batchchat.core.endpoint_events import EndpointDown
from batchchat.core.events import Event, Progress
from batchchat.execution.finished_rows import FinishedRows
from batchchat.store.ledger import Ledger
from tests.job.given import MOCK, load


def progress_of(shards: int, finished: int = 0) -> tuple[ClusterProgress, WorkerNews]:
    news = WorkerNews(lambda event: None)
    rows: Any = SimpleNamespace(totals=SimpleNamespace(finished=finished))
    progress = ClusterProgress(load(MOCK), rows, news, lambda event: None, total=None, shards=shards, limit=None)
    return progress, news


def test_shards_that_have_not_begun_are_about_like_the_others() -> None:
    """What is left is not known then; nor is anything before the first of them has read a row."""
    progress, news = progress_of(4)
    assert progress.total() == (None, True)
    news.hear(0, IDLE._replace(total=20))
    progress.count_shard(1, 30, estimated=False)
    assert (progress.total(), progress.left(), progress.estimated_total()) == ((100, True), None, 100)


def test_all_shards_that_were_counted() -> None:
    """Their sum, less what is finished, is left."""
    progress, _ = progress_of(2, finished=10)
    progress.count_shard(0, 20, estimated=False)
    progress.count_shard(1, 30, estimated=False)
    assert (progress.total(), progress.left(), progress.estimated_total()) == ((50, False), 40, None)


def test_one_worker_that_has_read_all_of_the_input_knows_the_rows_of_all() -> None:
    """Those of shards that have not begun as well."""
    progress, _ = progress_of(3, finished=10)
    progress.count_shard(0, 20, estimated=False)
    progress.count_input(61)
    assert (progress.total(), progress.left(), progress.estimated_total()) == ((61, False), 51, None)
    progress.count_shard(1, 21, estimated=False)
    progress.count_shard(2, 22, estimated=False)
    assert progress.total() == (63, False)  # the file has grown meanwhile


def test_while_the_endpoint_is_down_the_figures_are_those_of_all_workers(tmp_path: Path) -> None:
    """Since when, and when it is probed, is known to each of them; how many rows there are is not."""
    events = list[Event]()
    news = WorkerNews(lambda _: None)
    ledger = Ledger(tmp_path)
    rows = FinishedRows(ledger, 0, lambda _: None)
    progress = ClusterProgress(load(MOCK), rows, news, events.append, total=100, shards=2, limit=None)
    for number in range(2):
        news.hear(number, IDLE._replace(total=50, in_flight=3, down_since=7.0, probe_in_s=2.0))
        news.hear(number, EndpointDown(7.0, "no answer", 2.0, None))
    progress.report()
    (event,) = events
    assert isinstance(event, Progress)
    assert (event.total, event.in_flight, event.rows.left) == (100, 6, 100)
    assert (event.down_since, event.probe_in_s) == (7.0, 2.0)
    ledger.close()
