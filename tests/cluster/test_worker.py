"""What a worker tells the run of its journal."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from batchchat.cluster.assignment import Synced
from batchchat.cluster.messages import Ask
from batchchat.cluster.worker import Worker
from tests.job.given import MOCK, load


def test_what_is_synced_is_told_with_the_next_ask() -> None:
    """Once for all answers since; of a failure at once, since the run counts those."""
    messages = list[Any]()
    channel: Any = SimpleNamespace(send=messages.append)
    assignment: Any = SimpleNamespace(job=load(MOCK), environ={})
    worker = Worker(channel, assignment)
    apply = worker._noting(lambda location, record: None)
    ask = Ask("0", 1, 1, 0, slots_held=0, slots_wanted=1)
    for location in (10, 20):
        apply(location, {"status": "answered"})
    assert messages == []
    worker._ask(ask)
    worker._ask(ask)
    apply(30, {"status": "answered"})
    apply(40, {"status": "failed"})
    worker._ask(ask)
    assert messages == [Synced(20), ask, ask, Synced(40), ask]
