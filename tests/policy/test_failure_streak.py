"""When failures that are all alike end a run."""

from __future__ import annotations

import pytest

from batchchat.core.attempt import Action, Attempt, Failure, Outcome, Request, Verdict
from batchchat.core.conversation import ErrorKind, Key, Row, Status
from batchchat.policy.failure_streak import ALL_FAIL_ALIKE, NOW_FAIL_ALIKE, FailureStreak

FAILURES = {
    "b": Failure(ErrorKind.BAD_REQUEST, "Access denied (request 7f3a-11)"),
    "c": Failure(ErrorKind.BAD_REQUEST, "Access denied (request 90bc-2)"),
    "x": Failure(ErrorKind.BAD_REQUEST, "Unknown role 'narrator'"),
    "y": Failure(ErrorKind.BAD_REQUEST, "Unknown role 'judge'"),
    "l": Failure(ErrorKind.CONTEXT_LENGTH, "maximum context length is 8192, you requested 9000"),
    "t": Failure(ErrorKind.TOO_LARGE, "Request too large"),
    "s": Failure(ErrorKind.CONTENT_FILTER, "flagged"),
    "f": Failure(ErrorKind.FORBIDDEN, "Not for you"),
    "n": Failure(ErrorKind.NOT_FOUND, "Nothing here"),
    "e": Failure(ErrorKind.EMPTY_REPLY, "the reply is empty"),
}


def outcome(letter: str) -> Outcome:
    failure = FAILURES.get(letter)
    row = Row(Key("1"), 0, "f:1", [])
    verdict = Verdict(Action.FAIL_ROW if failure else Action.ACCEPT, kind=failure.kind if failure else None)
    attempt = Attempt(Request(row.key, 0, "m", [], b"{}", 1), verdict, 0, 0, 0.1, failure=failure)
    return Outcome(row, Status.FAILED if failure else Status.ANSWERED, [], attempt)


@pytest.mark.parametrize(
    ("ends", "answered_before", "reasons"),
    [
        ("bbb", False, [None, None, ALL_FAIL_ALIKE]),
        ("lll", False, [None, None, ALL_FAIL_ALIKE]),
        ("fff", False, [None, None, ALL_FAIL_ALIKE]),
        ("bfbbbbb", False, [None] * 7),
        ("bfafff", False, [None] * 5 + [NOW_FAIL_ALIKE]),
        ("afff", False, [None] * 3 + [NOW_FAIL_ALIKE]),
        ("affaff", False, [None] * 6),
        ("affnnn", False, [None] * 5 + [NOW_FAIL_ALIKE]),
        ("abbb", False, [None] * 3 + [NOW_FAIL_ALIKE]),
        ("abcb", False, [None] * 3 + [NOW_FAIL_ALIKE]),
        ("abbxbbx", False, [None] * 7),
        ("abbabba", False, [None] * 7),
        ("axyxyxy", False, [None] * 7),
        ("bxfbb", False, [None] * 5),
        ("attttt", False, [None] * 6),
        ("asssss", False, [None] * 6),
        ("abblbb", False, [None] * 6),
        ("aeee", False, [None] * 3 + [NOW_FAIL_ALIKE]),
        ("allllfff", False, [None] * 7 + [NOW_FAIL_ALIKE]),
        ("fff", True, [None] * 2 + [NOW_FAIL_ALIKE]),
        ("fffbbb", True, [None] * 2 + [NOW_FAIL_ALIKE] * 1 + [None] * 2 + [NOW_FAIL_ALIKE]),
        ("bxbxbx", True, [None] * 6),
        ("bbb", True, [None] * 2 + [NOW_FAIL_ALIKE]),
        ("lllll", True, [None] * 5),
        ("abbb", True, [None] * 3 + [NOW_FAIL_ALIKE]),
        ("alllll", True, [None] * 6),
    ],
)
def test_three_alike_are_enough(ends: str, answered_before: bool, reasons: list[str | None]) -> None:
    """At the start of any kind; after an answer those that no row brings on itself, and bad requests of one text."""
    streak = FailureStreak(3, answered_before=answered_before)
    assert [streak.add(outcome(end)) for end in ends] == reasons


def test_rows_with_a_model_of_their_own_that_is_refused() -> None:
    """A stretch of them after an answer neither stops the run nor ends a streak; the first rows of a run do."""
    streak = FailureStreak(3, answered_before=False, model="jobs")
    assert [streak.add(outcome(end)) for end in "annnnfffnbbb"] == [None] * 11 + [NOW_FAIL_ALIKE]
    assert [FailureStreak(1, answered_before=False, model="jobs").add(outcome("n"))] == [ALL_FAIL_ALIKE]


def test_rows_that_failed_in_an_earlier_run_too() -> None:
    """They count behind an answer in this run; before it neither they nor what they interrupt."""
    streak = FailureStreak(3, answered_before=True)
    assert [streak.add(outcome("f"), failed_before=True) for _ in range(5)] == [None] * 5
    assert [streak.add(outcome("b"), failed_before=before) for before in (False, True, False)] == [None] * 3
    assert streak.add(outcome("b")) == NOW_FAIL_ALIKE
    streak.add(outcome("a"))
    assert [streak.add(outcome("f"), failed_before=True) for _ in range(3)] == [None, None, NOW_FAIL_ALIKE]
