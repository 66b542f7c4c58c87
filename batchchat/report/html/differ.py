"""Which rows of two outputs have another answer: found by hashes, 24 bytes a row, however long the answers. Pure."""

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
    """Hashes of the keys and replies of the answered rows, and their places in the output."""

    keys: npt.NDArray[np.uint64]
    replies: npt.NDArray[np.uint64]
    places: npt.NDArray[np.int64]


class Difference(NamedTuple):
    """How many rows both have answered, and the places, in either, of those whose answers differ."""

    both: int
    places: npt.NDArray[np.int64]
    other_places: npt.NDArray[np.int64]


def answers_of(batches: Iterable[pa.RecordBatch]) -> Answers:
    """Read batches that have the columns `COMPARED`."""
    keys, replies, places = array("Q"), array("Q"), array("q")
    at = 0
    for batch in batches:
        columns = [batch.column(name).to_pylist() for name in ("status", "id", "sample", "response")]
        for status, id_, sample, response in zip(*columns, strict=True):
            if status == _ANSWERED:
                keys.append(stable_hash64(f"{sample} {id_}".encode("utf-8", "surrogatepass")))
                replies.append(stable_hash64((response or "").encode("utf-8", "surrogatepass")))
                places.append(at)
            at += 1
    return Answers(np.array(keys, np.uint64), np.array(replies, np.uint64), np.array(places, np.int64))


def difference(one: Answers, other: Answers) -> Difference:
    """The rows that both have answered, and not alike."""
    _, left, right = np.intersect1d(one.keys, other.keys, return_indices=True)
    differs = one.replies[left] != other.replies[right]
    return Difference(len(left), one.places[left[differs]], other.places[right[differs]])
