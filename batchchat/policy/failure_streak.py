"""When a run stops because its rows fail one after the other with the same kind of error; pure.

Before the first answer any kind counts, if all rows from the first on failed with it: the job is wrong, and a million
422s are of no use. After an answer, only kinds count that do not come from a row's own content: many consecutive rows
given up with the same one, no answer between, mean that the endpoint now refuses all. A stretch of rows that are too
long, or that the endpoint filters, is a stretch of the input.

Where the endpoint has answered in an earlier run, counting begins with an answer in this one: a run with --retry-failed
may well begin with rows that fail again.
"""

from __future__ import annotations

from batchchat.core.attempt import Outcome
from batchchat.core.conversation import ErrorKind, Status

__all__ = ["ALL_FAIL_ALIKE", "NOW_FAIL_ALIKE", "FailureStreak"]

ALL_FAIL_ALIKE = "all fail alike"
NOW_FAIL_ALIKE = "now fail alike"

_KINDS_OF_THE_ROW = {
    ErrorKind.INVALID_INPUT,
    ErrorKind.CONTEXT_LENGTH,
    ErrorKind.CONTENT_FILTER,
    ErrorKind.BAD_REQUEST,
    ErrorKind.TOO_LARGE,
    ErrorKind.SCHEMA,
    ErrorKind.TURN_FAILED,
}


class FailureStreak:
    """Counts finished rows; `max_count` consecutive ones that failed with the same kind of error stop the run."""

    def __init__(self, max_count: int, *, answered_before: bool) -> None:
        self._max_count = max_count
        self._counting = not answered_before
        self._answered = answered_before
        self._kind: ErrorKind | None = None
        self._count = 0

    def add(self, outcome: Outcome) -> str | None:
        """Count a finished row; the reason to stop the run, where this row completes the streak."""
        if outcome.status is not Status.FAILED:
            self._counting = self._answered = True
            self._kind, self._count = None, 0
            return None
        kind = outcome.attempt.verdict.kind
        is_alike = kind is self._kind or not self._count
        self._kind, self._count = kind, self._count + 1 if is_alike else 1
        self._counting = self._counting and (is_alike or self._answered)
        if not self._counting or self._count < self._max_count or (self._answered and kind in _KINDS_OF_THE_ROW):
            return None
        return NOW_FAIL_ALIKE if self._answered else ALL_FAIL_ALIKE
