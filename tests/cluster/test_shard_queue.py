"""Which shard is begun next, and which again."""

from __future__ import annotations

import pytest

from batchchat.cluster.assignment import WorkerEnd
from batchchat.cluster.row_quota import RowQuota
from batchchat.cluster.shard_queue import ShardQueue
from batchchat.errors import MachineError
from batchchat.policy.budget import SPENT
from batchchat.policy.decision import Halt

AT_LIMIT = WorkerEnd(limit_left=0)


def test_each_shard_once() -> None:
    """They are taken in their order; one that has come to its end is not taken again."""
    queue = ShardQueue(3, None)
    assert [queue.take(), queue.take()] == [0, 1]
    queue.add_end(0, WorkerEnd(is_exhausted=True))
    assert (queue.has_next, queue.take()) == (True, 2)
    assert (queue.has_next, queue.take()) == (False, None)


def test_a_limit_that_is_handed_out_begins_no_shard() -> None:
    """What comes back of it goes to the shards that no worker has had, then to those that ended at the limit."""
    quota = RowQuota(2, 1)
    queue = ShardQueue(3, quota)
    assert queue.take() == 0
    while quota.take():
        pass
    queue.add_end(0, AT_LIMIT)
    assert (queue.has_next, queue.take()) == (False, None)
    quota.give_back(2)
    assert [queue.take(), queue.take(), queue.take(), queue.take()] == [1, 2, 0, None]


def test_a_shard_that_is_read_to_its_end_is_done() -> None:
    """Although the limit had come to its end as well."""
    queue = ShardQueue(1, RowQuota(2, 1))
    assert queue.take() == 0
    queue.add_end(0, WorkerEnd(limit_left=0, is_exhausted=True))
    assert not queue.has_next


@pytest.mark.parametrize("end", [WorkerEnd(halt=Halt(SPENT)), WorkerEnd(error=MachineError("no room"))])
def test_what_stops_a_worker_begins_no_further_shard(end: WorkerEnd) -> None:
    """The next one would read its way to a row, and stop as well."""
    queue = ShardQueue(3, None)
    assert queue.take() == 0
    queue.add_end(0, end)
    assert not queue.has_next
