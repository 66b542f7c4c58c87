"""Which rows of two outputs have different replies: compared by hash, 24 bytes a row whatever their length. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from batchchat.core.conversation import Status
from batchchat.hash_table import stable_hash64

__all__ = ["COMPARED", "Answers", "Difference", "answers_of", "difference"]

COMPARED = frozenset({"id", "sample", "status", "response"})
"""The columns that are read."""
_ANSWERED = Status.ANSWERED.value


class Answers(NamedTuple):
    """Hashes of the keys and replies of the answered rows, and their positions in the output."""

    keys: npt.NDArray[np.uint64]
    replies: npt.NDArray[np.uint64]
    positions: npt.NDArray[np.int64]


class Difference(NamedTuple):
    """How many rows both outputs have answered, and the positions, in each, of those whose replies differ."""

    both: int
    left_positions: npt.NDArray[np.int64]
    right_positions: npt.NDArray[np.int64]


def answers_of(batches: Iterable[pa.RecordBatch]) -> Answers:
    """Read batches that have the columns `COMPARED`."""
    keys, replies, positions = array("Q"), array("Q"), array("q")
    at = 0
    for batch in batches:
        columns = [batch.column(name).to_pylist() for name in ("status", "id", "sample", "response")]
        for status, id_, sample, response in zip(*columns, strict=True):
            if status == _ANSWERED:
                keys.append(stable_hash64(f"{sample} {id_}".encode("utf-8", "surrogatepass")))
                replies.append(stable_hash64((response or "").encode("utf-8", "surrogatepass")))
                positions.append(at)
            at += 1
    return Answers(np.array(keys, np.uint64), np.array(replies, np.uint64), np.array(positions, np.int64))


def difference(left: Answers, right: Answers) -> Difference:
    """The rows that both outputs have answered, with different replies."""
    _, in_left, in_right = np.intersect1d(left.keys, right.keys, return_indices=True)
    differs = left.replies[in_left] != right.replies[in_right]
    return Difference(len(in_left), left.positions[in_left[differs]], right.positions[in_right[differs]])
