"""What several workers say, told once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from batchchat.cluster.assignment import ModelsListed
from batchchat.cluster.news import WorkerNews
from batchchat.cluster.progress import IDLE
from batchchat.core.events import (
    CeilingLowered,
    Draining,
    EndpointDown,
    EndpointUp,
    Event,
    FirstFailure,
    OtherModelServed,
    OtherTierServed,
    PriceRatioRaised,
    RowOverdue,
    StreamNoticed,
)
from batchchat.pricing.rates import ListedModel


def news_of(*said: tuple[int, Event]) -> list[Event]:
    """What is told of what two workers said."""
    events = list[Event]()
    news = WorkerNews(events.append, lambda _: None)
    for number in (0, 1):
        news.hear(number, IDLE._replace(ceiling=4))
    for number, event in said:
        news.hear(number, event)
    return events


def test_a_notice_is_told_once() -> None:
    """Whoever of the workers noticed it first; what concerns a row is told of each."""
    served, other = OtherModelServed("a", "b"), OtherModelServed("a", "c")
    assert news_of((0, served), (1, served), (1, other)) == [served, other]
    of_tier = OtherTierServed("a", "b")
    assert news_of((0, served), (1, of_tier), (0, of_tier)) == [served, of_tier]
    stream = StreamNoticed("ignored", "r1")
    assert news_of((0, stream), (1, stream._replace(id="r2"))) == [stream]
    overdue = RowOverdue("r1", 9.0, 1.0, again=True)
    assert news_of((0, overdue), (1, overdue)) == [overdue, overdue]


def test_what_the_run_itself_says_is_not_repeated() -> None:
    """It counts failures over all workers, and says that it drains."""
    assert news_of((0, FirstFailure("timeout", "r1", "late")), (1, Draining("SIGTERM", 2, 30.0))) == []


def test_the_endpoint_is_down_where_no_worker_is_answered() -> None:
    """It goes down with the last of them, since the first, and is up with the first."""
    first, second = EndpointDown(100.0, "503", 1.0, None), EndpointDown(103.0, "503", 1.0, None)
    up = EndpointUp(103.0, 110.0, 7.0, 2)
    assert news_of((0, first)) == []
    assert news_of((0, first), (1, second), (0, up), (1, up)) == [second._replace(since=100.0), up]


def test_ceilings_are_summed() -> None:
    """A worker's ceiling is a part of the run's."""
    lowered = CeilingLowered(4, 2, 3, 1.0)
    assert news_of((0, lowered)) == [CeilingLowered(8, 6, 3, 1.0)]


def test_the_highest_ratio_is_told() -> None:
    """With what all workers' answers have cost beyond their reservations."""
    ratios = [
        PriceRatioRaised(Decimal(ratio), Decimal(usd)) for ratio, usd in (("1.5", "0.1"), ("1.2", "0.2"), ("2", "0.4"))
    ]
    events = news_of((0, ratios[0]), (1, ratios[1]), (0, ratios[2]))
    assert events == [ratios[0], PriceRatioRaised(Decimal(2), Decimal("0.6"))]


def test_a_list_of_models_is_learned() -> None:
    """It says how long a row may be that is handed out after that; nobody is told."""
    listed, events = list[Any](), list[Event]()
    WorkerNews(events.append, listed.append).hear(0, ModelsListed({"m": ListedModel(None, 7)}))
    assert (listed, events) == ([{"m": ListedModel(None, 7)}], [])
