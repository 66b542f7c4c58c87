"""Answers that were paid for and that another row of the input asks for now: under a new id the same request.

An answer is free where its row is gone from the input, or has another request there. Each is taken by one row: equal
requests of several rows are several samples. Memory is a few bytes for each free answer and each row that wants one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import chain

from batchchat.core.conversation import Status
from batchchat.hash_table import HashTable
from batchchat.store.index import Index

__all__ = ["FreeAnswers", "free_answers", "wants_answer"]

_TAKEN = 2
_FREE = 1
_END = 0


def wants_answer(index: Index, entry: int, identity: int) -> bool:
    """Whether the row of `entry` takes over an answer to the request of `identity`: it has none to that request."""
    status = index.status(entry)
    if status == Status.ANSWERED:
        return index.fingerprint(entry) != identity
    return status != Status.FAILED


def free_answers(rows: Iterable[tuple[int, int]], index: Index) -> FreeAnswers:
    """The free answers for all `rows` of an input, each the entry and the identity of one."""
    wanted, changed = array("Q"), array("Q")
    for entry, identity in rows:
        if wants_answer(index, entry, identity):
            wanted.append(identity)
            if index.status(entry):
                changed.append(entry)
    return FreeAnswers(index, wanted, changed)


class FreeAnswers:
    """The free answers of `index` whose request is one of `wanted` fingerprints.

    `changed` are the entries of rows whose request is another than the one that was answered. Answers of rows that are
    gone are taken before theirs.
    """

    def __init__(self, index: Index, wanted: Iterable[int], changed: Iterable[int]) -> None:
        gone = (entry for entry in index.finished() if not index.is_in_input(entry))
        answers = array("Q", (entry for entry in chain(changed, gone) if index.status(entry) == Status.ANSWERED))
        self._requests = HashTable()
        for fingerprint in wanted if answers else ():
            self._requests.add(fingerprint)
        self._first = array("Q", bytes(8 * len(self._requests)))
        """For each wanted request the link to its first free answer: a position in `_links` + 1."""
        self._links = array("Q")
        self._entries = array("Q")
        self._states = bytearray(len(index))
        for entry in answers:
            self._add(entry, index.fingerprint(entry))

    def __len__(self) -> int:
        return len(self._entries)

    def _add(self, entry: int, fingerprint: int) -> None:
        if (request := self._requests.find(fingerprint)) is None:
            return
        self._entries.append(entry)
        self._links.append(self._first[request])
        self._first[request] = len(self._entries)
        self._states[entry] = _FREE

    def is_free(self, entry: int) -> bool:
        """Whether the answer of `entry` is still to be had, and wanted."""
        return entry < len(self._states) and self._states[entry] == _FREE

    def take(self, fingerprint: int) -> int | None:
        """The entry of a free answer to the request of `fingerprint`, which is then taken; None where there is none."""
        request = self._requests.find(fingerprint)
        if request is None or (link := self._first[request]) == _END:
            return None
        self._first[request] = self._links[link - 1]
        entry = self._entries[link - 1]
        self._states[entry] = _TAKEN
        return entry
