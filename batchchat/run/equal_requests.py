"""Which rows of an input ask the same as an earlier one, and share what comes of it; memory is 17 bytes a request.

The first row of an input with a request is sent, or keeps what came of it; a later one that would be sent shares that.
The samples of a row are never one: only equal samples of different rows are.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

from batchchat.core.conversation import Key
from batchchat.hash_table import HashTable, stable_hash64
from batchchat.run.disposition import Disposition
from batchchat.store.index import Index

__all__ = ["EqualRequests", "SharedSource"]

_NO_ENTRY = (1 << 64) - 1


class SharedSource(NamedTuple):
    """The row whose answer is shared: its entry in the index, and whether it is sent in this run."""

    entry: int
    sends: bool


class EqualRequests:
    """The rows of one pass over the input, by what they ask."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._requests = HashTable()
        self._entries = array("Q")
        self._sends = bytearray()

    def source_of(self, key: Key, entry: int | None, identity: int, disposition: Disposition) -> SharedSource | None:
        """The earlier row that the row of `key` shares the answer of; None where it is the first, or keeps its own.

        The entry of a row that is in no index is none of an index.
        """
        sends = disposition.sends
        if not sends and not self._keeps_answer_to(identity, entry, disposition):
            return None
        request = stable_hash64(b"%016x %d" % (identity, key.sample)) if key.sample else identity
        number, is_new = self._requests.add(request)
        if is_new:
            self._entries.append(_NO_ENTRY if entry is None else entry)
            self._sends.append(sends)
            return None
        source_sends = bool(self._sends[number])
        if not sends or (disposition is Disposition.SEND_AGAIN and not source_sends):
            return None
        return SharedSource(self._entries[number], source_sends)

    def _keeps_answer_to(self, identity: int, entry: int | None, disposition: Disposition) -> bool:
        return disposition is Disposition.KEEP and entry is not None and self._index.fingerprint(entry) == identity
