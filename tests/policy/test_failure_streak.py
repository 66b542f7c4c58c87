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
        ("fffff", True, [None] * 5),
        ("ffafff", True, [None] * 5 + [NOW_FAIL_ALIKE]),
        ("bbbb", True, [None] * 4),
        ("abbb", True, [None] * 3 + [NOW_FAIL_ALIKE]),
        ("alllll", True, [None] * 6),
    ],
)
def test_three_alike_are_enough(ends: str, answered_before: bool, reasons: list[str | None]) -> None:
    """At the start of any kind; after an answer those that no row brings on itself, and bad requests of one text."""
    streak = FailureStreak(3, answered_before=answered_before)
    assert [streak.add(outcome(end)) for end in ends] == reasons
