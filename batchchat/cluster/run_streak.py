"""Rows that fail one after the other with the same error, over all workers of a run: read off their records."""

from __future__ import annotations

from collections.abc import Callable

from batchchat.core.attempt import Action, Attempt, Failure, Outcome, Request, Verdict
from batchchat.core.conversation import ErrorKind, Key, Row, Status
from batchchat.core.record import RowRecord, key_of
from batchchat.policy.decision import Halt
from batchchat.policy.failure_streak import FailureStreak

__all__ = ["RunStreak"]

_KINDS = {kind.value: kind for kind in ErrorKind}


class RunStreak:
    """Calls `halt` where `max_count` consecutive rows failed alike; see `FailureStreak`."""

    def __init__(
        self, max_count: int, *, answered_before: bool, model: str | None, halt: Callable[[Halt], None]
    ) -> None:
        self._streak = FailureStreak(max_count, answered_before=answered_before, model=model)
        self._halt = halt

    def add(self, row: RowRecord, *, failed_before: bool) -> None:
        """Count the record of a finished row."""
        if row["status"] == Status.ANSWERED:
            self._streak.add(_ANSWERED)
            return
        if row["status"] == Status.INVALID or not row.get("attempts"):
            return  # it was not sent
        outcome = _outcome(row)
        if (reason := self._streak.add(outcome, failed_before=failed_before)) is not None:
            self._halt(Halt(reason, outcome.attempt))


def _outcome(row: RowRecord) -> Outcome:
    """As much of the outcome of the failed `row` as the streak looks at, and a sentence about it."""
    key, kind = key_of(row), _KINDS.get(row["error_kind"], ErrorKind.OTHER)
    request = Request(key, 0, row["model"], [], b"", 0)
    attempt = Attempt(
        request,
        Verdict(Action.FAIL_ROW, kind=kind),
        started_at=row.get("started_at", 0.0),
        finished_at=row.get("finished_at", 0.0),
        latency_s=0.0,
        http_status=row.get("http_status"),
        failure=Failure(kind, row["error"]),
    )
    return Outcome(Row(key, row["ordinal"], row["place"], []), Status.FAILED, [], attempt)


_NO_KEY = Key("")
_ACCEPTED = Attempt(Request(_NO_KEY, 0, "", [], b"", 0), Verdict(Action.ACCEPT), 0.0, 0.0, 0.0)
_ANSWERED = Outcome(Row(_NO_KEY, 0, "", []), Status.ANSWERED, [], _ACCEPTED)
"""Of an answered row the streak looks at nothing else."""
