"""What a worker tells the run of its journal, and of its end."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from batchchat.cluster.assignment import EndReceived, RowsHanded, Synced, WorkerEnd
from batchchat.cluster.channel import Channel
from batchchat.cluster.messages import Ask
from batchchat.cluster.worker import Worker
from tests.acceptance.job import PATIENCE_S
from tests.job.given import MOCK, load


def test_what_is_synced_is_told_with_the_next_ask() -> None:
    """Once for all answers since; of a failure at once, since the run counts those."""
    messages = list[Any]()
    channel: Any = SimpleNamespace(send=messages.append)
    assignment: Any = SimpleNamespace(job=load(MOCK), environ={}, rates=SimpleNamespace(has_list=True, listed=None))
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


def test_it_is_there_until_the_run_knows_of_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is late still writes to it: a channel that is closed by then would break, and lose what it held."""
    end = WorkerEnd(cancelled=7)

    async def send(_worker: Worker) -> WorkerEnd:
        return end

    monkeypatch.setattr(Worker, "_send", send)

    async def play(is_gone: bool) -> None:
        ours, theirs = [await Channel.open(side) for side in socket.socketpair()]
        assignment: Any = SimpleNamespace(job=load(MOCK), environ={}, rates=SimpleNamespace(has_list=True))
        working = asyncio.create_task(Worker(theirs, assignment).run())
        ours.send(RowsHanded(()))
        assert await asyncio.wait_for(ours.receive(), PATIENCE_S) == end
        for _ in range(10):
            ours.send(RowsHanded(()))
            await asyncio.sleep(0.001)
            assert not working.done()
        if is_gone:
            await ours.close()
        else:
            ours.send(EndReceived())
        await asyncio.wait_for(working, PATIENCE_S)
        await ours.close()
        await theirs.close()

    asyncio.run(play(is_gone=False))
    asyncio.run(play(is_gone=True))
