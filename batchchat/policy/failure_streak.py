"""When a run stops because its rows all fail alike: a million 422s are no night's work; pure.

Before the first answer any failure counts, if all are alike from the first row on: the job is wrong. Later those alone
count that are not of the row's own content: many rows in succession with no answer between, of which each was given up,
mean that the endpoint has changed its mind on all. A stretch of rows that are too long, or that it filters, is a
stretch of the input.

Where it has answered in an earlier run the count begins with an answer in this one: a --retry-failed may well begin
with rows that fail again.
"""

from __future__ import annotations

from batchchat.core.attempt import Outcome
from batchchat.core.conversation import ErrorKind, Status

__all__ = ["ALL_FAIL_ALIKE", "NOW_FAIL_ALIKE", "FailureStreak"]

ALL_FAIL_ALIKE = "all fail alike"
NOW_FAIL_ALIKE = "now fail alike"

_OF_THE_ROW = {
    ErrorKind.INVALID_INPUT,
    ErrorKind.CONTEXT_LENGTH,
    ErrorKind.CONTENT_FILTER,
    ErrorKind.BAD_REQUEST,
    ErrorKind.TOO_LARGE,
    ErrorKind.SCHEMA,
    ErrorKind.TURN_FAILED,
}


class FailureStreak:
    """Looks at the rows as they finish; `most` in succession that failed alike are enough."""

    def __init__(self, most: int, *, answered_before: bool) -> None:
        self._most = most
        self._counting = not answered_before
        self._answered = answered_before
        self._kind: ErrorKind | None = None
        self._count = 0

    def seen(self, outcome: Outcome) -> str | None:
        """The reason to stop, where this outcome is the last that was needed."""
        if outcome.status is not Status.FAILED:
            self._counting = self._answered = True
            self._kind, self._count = None, 0
            return None
        kind = outcome.attempt.verdict.kind
        alike = kind is self._kind or not self._count
        self._kind, self._count = kind, self._count + 1 if alike else 1
        self._counting = self._counting and (alike or self._answered)
        if not self._counting or self._count < self._most or (self._answered and kind in _OF_THE_ROW):
            return None
        return NOW_FAIL_ALIKE if self._answered else ALL_FAIL_ALIKE
