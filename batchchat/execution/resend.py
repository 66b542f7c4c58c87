"""Which finished rows the user wants sent again: those that failed, of a kind of failure, cut off, or of given ids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from batchchat.core.conversation import Key, Status
from batchchat.hash_table import HashTable, process_hash, stable_hash64
from batchchat.store.index import Index

__all__ = ["NO_RESEND", "IdList", "Resend"]


class IdList:
    """The ids of a file that the command names as `as_given`; no Python object per id."""

    def __init__(self, as_given: str, ids: Iterable[str]) -> None:
        self.as_given = as_given
        self._table = HashTable()
        self._in_input = bytearray()
        digest = 0
        for id_ in ids:
            digest ^= stable_hash64(id_.encode("utf-8", "surrogatepass"))
            if self._table.add(process_hash(id_))[1]:
                self._in_input.append(0)
        self.digest = f"{digest:016x}"
        """The same for the same ids in any order, in every process."""

    def __len__(self) -> int:
        return len(self._table)

    def has(self, id_: str) -> bool:
        """Whether `id_`, which the input has, is in the list."""
        number = self._table.find(process_hash(id_))
        if number is None:
            return False
        self._in_input[number] = 1
        return True

    @property
    def absent(self) -> int:
        """How many of the ids `has` was never asked for: after a pass over the input, those that it does not have."""
        return len(self) - sum(self._in_input)


@dataclass(frozen=True, slots=True)
class Resend:
    """What is sent again although it is finished. `kinds` are values of `ErrorKind`.

    Answers in the journal at `since` or behind it are not sent again for being cut off or listed: a run of the same
    command that was stopped sent them, and goes on.
    """

    failed: bool = False
    kinds: frozenset[str] = frozenset()
    cut_off: bool = False
    id_lists: tuple[IdList, ...] = field(default=())
    since: int | None = None

    def wants(self, key: Key, entry: int, index: Index) -> bool:
        """Whether the finished row of `key` is to be sent again."""
        listed = False
        for ids in self.id_lists:  # each is asked, so that each knows which of its ids the input has
            listed |= ids.has(key.id)
        status = index.status(entry)
        if status == Status.FAILED:
            return self.failed or listed or index.error_kind(entry) in self.kinds
        if status != Status.ANSWERED or not (listed or (self.cut_off and index.is_cut_off(entry))):
            return False
        return self.since is None or not index.was_finished_since(entry, self.since)

    @property
    def label(self) -> list[str]:
        """What the journal says of it, to know the same command again; empty where no answer is sent again."""
        return [*(["cut-off"] if self.cut_off else []), *sorted(ids.digest for ids in self.id_lists)]

    def going_on(self, runs: Iterable[tuple[int, object]]) -> Resend:
        """This, where it goes on with the last of `runs`: their offsets in the journal, and their labels."""
        since, label = None, self.label
        for offset, of_run in reversed(list(runs) if label else []):
            if of_run != label:
                break
            since = offset
        return self if since == self.since else replace(self, since=since)


NO_RESEND = Resend()
