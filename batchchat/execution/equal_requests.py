"""Which rows of an input ask the same as an earlier one, and share what comes of it; memory is 17 bytes a request.

The first row of an input with a request is sent, or keeps what came of it; a later one that would be sent shares that.
So does a row that asks what another was answered in an earlier run.
The samples of a row are never one: only equal samples of different rows are.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

from batchchat.core.conversation import Key, Status
from batchchat.execution.disposition import Disposition
from batchchat.hash_table import HashTable, stable_hash64
from batchchat.store.index import Index

__all__ = ["EqualRequests", "SharedSource"]

_NO_ENTRY = (1 << 64) - 1


class SharedSource(NamedTuple):
    """The row whose answer is shared: its entry in the index, and whether it is sent in this run."""

    entry: int
    sends: bool


class EqualRequests:
    """The rows of one pass over the input, by what they ask.

    The answers of earlier runs count as well, wherever in the input their rows are.
    Answers at `resent_since` in the journal or behind it are of the resend that goes on: they are shared by rows that
    it has not sent yet.
    """

    def __init__(self, index: Index, *, resent_since: int | None = None) -> None:
        self._index = index
        self._resent_since = resent_since
        self._has_answers = False
        self._requests = HashTable()
        self._entries = array("Q")
        self._sends = bytearray()

    def source_of(self, key: Key, entry: int | None, identity: int, disposition: Disposition) -> SharedSource | None:
        """The row that the row of `key` shares the answer of; None where it is the first, or keeps its own.

        The entry of a row that is in no index is none of an index.
        """
        if not self._has_answers:
            self._has_answers = True
            self._add_answers()
        sends = disposition.sends
        if not sends and not self._keeps_answer_to(identity, entry, disposition):
            return None
        number, is_new = self._requests.add(_request(identity, key.sample))
        if is_new:
            self._entries.append(_NO_ENTRY if entry is None else entry)
            self._sends.append(sends)
            return None
        source_sends = bool(self._sends[number])
        if not sends:
            return None
        is_new_answer = source_sends or self._is_resent(self._entries[number])
        if disposition is Disposition.SEND_AGAIN and not is_new_answer:  # it is sent, and those behind it share that
            self._entries[number] = _NO_ENTRY if entry is None else entry
            self._sends[number] = True
            return None
        return SharedSource(self._entries[number], source_sends)

    def _add_answers(self) -> None:
        index = self._index
        for entry in index.finished():
            if index.status(entry) != Status.ANSWERED:
                continue
            number, is_new = self._requests.add(_request(index.fingerprint(entry), index.sample(entry)))
            if is_new:
                self._entries.append(entry)
                self._sends.append(False)
            elif self._is_resent(entry):
                self._entries[number] = entry

    def _is_resent(self, entry: int) -> bool:
        """Whether the resend that goes on had this row answered before it was stopped."""
        index, since = self._index, self._resent_since
        if since is None or entry == _NO_ENTRY:
            return False
        return index.status(entry) == Status.ANSWERED and index.was_finished_since(entry, since)

    def _keeps_answer_to(self, identity: int, entry: int | None, disposition: Disposition) -> bool:
        return disposition is Disposition.KEEP and entry is not None and self._index.fingerprint(entry) == identity


def _request(identity: int, sample: int) -> int:
    return stable_hash64(b"%016x %d" % (identity, sample)) if sample else identity
