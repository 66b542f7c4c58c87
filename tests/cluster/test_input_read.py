"""What the workers have read, put together."""

from __future__ import annotations

from batchchat.cluster.assignment import WorkerEnd
from batchchat.cluster.input_read import InputRead


def test_an_input_is_read_once_all_shards_are() -> None:
    """Good rows are summed, what is left out is counted by each worker alike."""
    read = InputRead(2)
    read.add(0, WorkerEnd(is_exhausted=True, good_rows=3, left_out=2, rows_read=3, notes=("a",)))
    exhausted = [read.is_exhausted]
    read.add(1, WorkerEnd(is_exhausted=False, good_rows=1, first_bad="in.jsonl:2: bad", rows_read=2, notes=("a", "b")))
    exhausted.append(read.is_exhausted)
    read.add(1, WorkerEnd(is_exhausted=True, good_rows=2, left_out=2, first_bad="in.jsonl:2: bad", rows_read=5))
    assert [*exhausted, read.is_exhausted] == [False, False, True]
    assert (read.good_rows, read.left_out, read.first_bad) == (5, 2, "in.jsonl:2: bad")
    assert read.notes == ()
