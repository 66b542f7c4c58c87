"""When a run stops because its rows fail one after the other with the same error; pure.

Before the first answer any kind counts, if all rows from the first on failed with it: the job is wrong, and a million
422s are of no use. After an answer it takes one of two:

- the same kind, where it does not come from a row's own content: the endpoint now refuses all;
- the same kind and the same text, word for word but for numbers and ids, where it is a bad request: a provider that
  refuses all rows in a sentence that the verdict table does not know. Rows with faults of their own get different
  sentences, or are answered in between.

Rows that are too long, too large, filtered or of another schema never stop a run that has answered: their text is the
same for each ("maximum context length is 8192"), and a stretch of them is a stretch of the input.

Nor, once the endpoint has answered, do rows that have a model of their own which it does not know, or will not let the
key have: an input may be sorted by model.

Where the endpoint has answered in an earlier run, rows that failed in an earlier run too are counted only behind an
answer in this one: a run with --retry-failed may well begin with rows that fail again. Rows that never failed before
count from the start.
"""

from __future__ import annotations

import re

from batchchat.core.attempt import Outcome
from batchchat.core.conversation import ErrorKind, Status

__all__ = ["ALL_FAIL_ALIKE", "NOW_FAIL_ALIKE", "FailureStreak"]

ALL_FAIL_ALIKE = "all fail alike"
NOW_FAIL_ALIKE = "now fail alike"

_FAILED = Status.FAILED  # a member of an enum takes 0.1 µs to look up in Python 3.11
_KINDS_OF_A_MODEL = {ErrorKind.NOT_FOUND, ErrorKind.FORBIDDEN}
_KINDS_OF_THE_ROW = {
    ErrorKind.INVALID_INPUT,
    ErrorKind.CONTEXT_LENGTH,
    ErrorKind.CONTENT_FILTER,
    ErrorKind.TOO_LARGE,
    ErrorKind.SCHEMA,
    ErrorKind.TURN_FAILED,
}
# A word with a digit: a number, a request's id, a time. It differs from row to row while the sentence is the same.
_VARIABLE = re.compile(r"[\w+/=-]*\d[\w+/=-]*")


class FailureStreak:
    """Counts finished rows; `max_count` consecutive ones that failed with the same error stop the run.

    `model` is the job's own (None: each row's counts as that).
    """

    def __init__(self, max_count: int, *, answered_before: bool, model: str | None = None) -> None:
        self._max_count = max_count
        self._model = model
        self._counting = True
        self._answered = self._answered_before = answered_before
        self._kind: ErrorKind | None = None
        self._count = 0
        self._text = ""
        self._text_count = 0
        """How many of the last failures of the same kind have the same text."""

    def add(self, outcome: Outcome, *, failed_before: bool = False) -> str | None:
        """Count a finished row; the reason to stop the run, where this row completes the streak.

        `failed_before`: it failed in an earlier run, too.
        """
        if outcome.status is not _FAILED:
            self._counting = self._answered = True
            self._answered_before = False
            self._kind, self._count = None, 0
            return None
        if failed_before and self._answered_before:
            return None
        failure = outcome.reason
        kind = outcome.attempt.verdict.kind or (None if failure is None else failure.kind)
        if self._answered and kind in _KINDS_OF_A_MODEL and self._model not in {None, outcome.attempt.request.model}:
            return None
        is_alike = kind is self._kind or not self._count
        text = "" if failure is None else _VARIABLE.sub("0", failure.text)
        self._text_count = self._text_count + 1 if self._count and is_alike and text == self._text else 1
        self._kind, self._count = kind, self._count + 1 if is_alike else 1
        self._text = text
        self._counting = self._counting and (is_alike or self._answered)
        if not self._counting or self._matching(kind) < self._max_count:
            return None
        return NOW_FAIL_ALIKE if self._answered else ALL_FAIL_ALIKE

    def _matching(self, kind: ErrorKind | None) -> int:
        """How many consecutive rows up to now failed with the same error."""
        if not self._answered:
            return self._count
        if kind in _KINDS_OF_THE_ROW:
            return 0
        return self._text_count if kind is ErrorKind.BAD_REQUEST else self._count
