"""Where a run with workers stands."""

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


def feed_of(total: int | None, *, estimated: bool = False, kept: int = 0) -> Any:
    return SimpleNamespace(total=lambda: (total, estimated), kept=kept)


def test_what_is_left_is_known_with_the_total() -> None:
    """Once the run has read the input to its end, or counted it; before that there is an estimate, or nothing."""
    rows: Any = SimpleNamespace(totals=SimpleNamespace(finished=10))
    news = WorkerNews(lambda _: None, lambda _: None)

    def figures(feed: Any) -> tuple[int | None, int | None]:
        progress = ClusterProgress(load(MOCK), rows, news, lambda _: None, feed=feed, limit=None)
        return progress.left(), progress.estimated_total()

    assert figures(feed_of(50)) == (40, None)
    assert figures(feed_of(100, estimated=True)) == (None, 100)
    assert figures(feed_of(None, estimated=True)) == (None, None)


def test_a_limit_bounds_the_total(tmp_path: Path) -> None:
    """Rows that end without being sent come on top."""
    events = list[Event]()
    rows = FinishedRows(Ledger(tmp_path), 0, lambda _: None)
    news = WorkerNews(lambda _: None, lambda _: None)
    ClusterProgress(load(MOCK), rows, news, events.append, feed=feed_of(100, kept=3), limit=20).report()
    (event,) = events
    assert isinstance(event, Progress)
    assert (event.total, event.estimated, event.rows.left) == (23, False, 100)


def test_while_the_endpoint_is_down_the_figures_are_those_of_all_workers(tmp_path: Path) -> None:
    """Since when, and when it is probed, is known to each of them; how many rows there are is not."""
    events = list[Event]()
    news = WorkerNews(lambda _: None, lambda _: None)
    ledger = Ledger(tmp_path)
    rows = FinishedRows(ledger, 0, lambda _: None)
    progress = ClusterProgress(load(MOCK), rows, news, events.append, feed=feed_of(100), limit=None)
    for number in range(2):
        news.hear(number, IDLE._replace(total=50, in_flight=3, down_since=7.0, probe_in_s=2.0))
        news.hear(number, EndpointDown(7.0, "no answer", 2.0, None))
    progress.report()
    (event,) = events
    assert isinstance(event, Progress)
    assert (event.total, event.in_flight, event.rows.left) == (100, 6, 100)
    assert (event.down_since, event.probe_in_s) == (7.0, 2.0)
    ledger.close()
