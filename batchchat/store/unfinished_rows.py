"""The attempts at unfinished rows that were or may have been billed: the limits of a row hold over all runs.

A row's record ends its history: a failed row that is sent again because the user says so has all its attempts again.
So does a row whose request has changed. A note that a row is sent again counts as an attempt where the session was
killed before the attempt's own record was written.

The replies to its accepted requests are kept, too, so that a resume sends the request that comes after them. That is
the one text of rows that is held in memory: of as many rows as were in progress at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from batchchat.core.attempt import Failure
from batchchat.core.conversation import ErrorKind, Key
from batchchat.core.row_history import ACCEPTED, CANCELLED, NO_HISTORY, SENT, AcceptedReply, RowHistory

__all__ = ["UnfinishedRows"]

_KINDS = {kind.value: kind for kind in ErrorKind}


@dataclass(slots=True)
class _Unfinished:
    """`noted`: the journal, by its `writer`, says that the row is sent, and not yet what came of it."""

    identity: int
    billed: dict[str, int] = field(default_factory=dict)
    last: Failure | None = None
    noted: bool = False
    writer: int = 0
    accepted: dict[int, AcceptedReply] = field(default_factory=dict)

    def accept(self, step: int, reply: AcceptedReply) -> None:
        """The request numbered `step` was answered; what followed an earlier answer to it is no longer valid."""
        for later in [number for number in self.accepted if number > step]:
            del self.accepted[later]
        self.accepted[step] = reply

    def end(self) -> None:
        """Who was to note what came of the row is gone: where it was being sent, that counts as an attempt."""
        if self.noted:
            self.noted = False
            self.billed[CANCELLED] = self.billed.get(CANCELLED, 0) + 1


class UnfinishedRows:
    """Is given the `step` records of a journal in their order."""

    def __init__(self) -> None:
        self._rows: dict[Key, _Unfinished] = {}

    def state(self) -> list[dict[str, Any]]:
        """All of it as JSON values, a row each."""
        return [
            {
                "key": list(key),
                "identity": row.identity,
                "billed": row.billed,
                "last": None if row.last is None else [row.last.kind.value, row.last.text],
                "noted": row.noted,
                "writer": row.writer,
                "accepted": [[number, list(reply)] for number, reply in row.accepted.items()],
            }
            for key, row in self._rows.items()
        ]

    @classmethod
    def of_state(cls, state: Sequence[dict[str, Any]]) -> UnfinishedRows:
        """The inverse of `state`."""
        unfinished = cls()
        for row in state:
            last = None if row["last"] is None else Failure(_KINDS[row["last"][0]], row["last"][1])
            accepted = {number: AcceptedReply(*reply) for number, reply in row["accepted"]}
            unfinished._rows[Key(*row["key"])] = _Unfinished(
                row["identity"], row["billed"], last, row["noted"], row["writer"], accepted
            )
        return unfinished

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._rows)

    def billed(self) -> Iterator[Mapping[str, int]]:
        """Of each row how many attempts were or may have been billed, by kind."""
        return (row.billed for row in self._rows.values())

    @property
    def has_noted(self) -> bool:
        """Whether a row was being sent again, so that the end of the session changes something."""
        return any(row.noted for row in self._rows.values())

    def step(self, key: Key, record: dict[str, Any]) -> None:
        """Count the attempt of a `step` record at the row of `key`."""
        row, why = self._rows.get(key), record.get("why", "")
        identity = int(record.get("fp", "0"), 16)
        if row is None or row.identity != identity:
            row = self._rows[key] = _Unfinished(identity)
        row.noted, row.writer = why == SENT, record.get("writer", 0)
        if why == ACCEPTED and (reply := record.get("reply")) is not None:
            row.accept(record.get("step", 0), AcceptedReply(reply, record.get("usage"), record.get("at")))
        if row.noted or why == ACCEPTED or not (attempts := record.get("attempts", 0)):
            return
        row.billed[why] = row.billed.get(why, 0) + attempts
        if (kind := _KINDS.get(why)) is not None:
            row.last = Failure(kind, record.get("error", ""))

    def finished(self, key: Key) -> None:
        """The row of `key` has a record."""
        if self._rows:
            self._rows.pop(key, None)

    def end_session(self) -> None:
        """A session's journal ends here: a row that was being sent may have been billed."""
        for row in self._rows.values():
            row.end()

    def end_writer(self, writer: int) -> None:
        """This one of a session's writers was killed: what it was sending may have been billed."""
        for row in self._rows.values():
            if row.writer == writer:
                row.end()

    def history(self, key: Key, identity: int) -> RowHistory:
        """The attempts at the row of `key`, and the replies it has, while its script had this `identity`."""
        row = self._rows.get(key)
        if row is None or row.identity != identity:
            return NO_HISTORY
        return RowHistory(row.billed.copy(), row.last, accepted=row.accepted)
