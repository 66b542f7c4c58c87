"""Rows that end as failed without a request: they can't fit their model's context, or have no attempt left. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from batchchat.core.attempt import NO_SPEND, Attempt, Failure, Script
from batchchat.core.conversation import ErrorKind
from batchchat.core.record import RowRecord, add_spend, record_of_unsent
from batchchat.core.row_history import RowHistory
from batchchat.dispatch.work import Work
from batchchat.execution.context_check import ContextCheck

__all__ = ["UnsendableRows"]


class UnsendableRows:
    """Looks at each row that is to be sent.

    `limit_reached` says why a row may not be sent again after the attempts that were made at it, counted by kind, and
    `where` says where these were. None is no `context_check`.
    """

    def __init__(
        self,
        context_check: ContextCheck | None,
        limit_reached: Callable[[Mapping[str, int]], str | None] = lambda _: None,
        *,
        where: str = "in earlier runs",
    ) -> None:
        self._context_check = context_check
        self._limit_reached = limit_reached
        self._where = where

    def record(self, script: Script, history: RowHistory, answered: Sequence[Attempt] = ()) -> RowRecord | None:
        """The record of the row of `script` if it can't be sent after its `history`; None where it can.

        `answered` are its requests that earlier runs have had accepted.
        """
        record = None if self._context_check is None else self._context_check.refused(script)
        return record or self._used_up(script, history, answered)

    def record_of(self, work: Work) -> RowRecord | None:
        """The same of `work`, with what its attempts have used up."""
        record = self.record(work.script, work.history, work.attempts)
        if record is not None and work.spend != NO_SPEND:
            add_spend(record, work.spend)
        return record

    def _used_up(self, script: Script, history: RowHistory, answered: Sequence[Attempt]) -> RowRecord | None:
        """The record of a row that earlier runs have sent as often as its limits allow; None where they have not."""
        why = self._limit_reached(history.billed) if history.billed else None
        if why is None:
            return None
        from batchchat.script.replay import unsent

        last = history.last or Failure(ErrorKind.OTHER, "")
        text = f"{last.text or 'no earlier attempt finished this row'}; {why}, {self._where}"
        return record_of_unsent(unsent(script, answered, Failure(last.kind, text)), script.identity)
