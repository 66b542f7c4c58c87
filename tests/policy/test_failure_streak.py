"""When failures that are all alike end a run."""

from __future__ import annotations

import pytest

from batchchat.core.attempt import Action, Attempt, Outcome, Request, Verdict
from batchchat.core.conversation import ErrorKind, Key, Row, Status
from batchchat.policy.failure_streak import ALL_FAIL_ALIKE, NOW_FAIL_ALIKE, FailureStreak

KINDS = {
    "a": None,
    "b": ErrorKind.BAD_REQUEST,
    "l": ErrorKind.CONTEXT_LENGTH,
    "f": ErrorKind.FORBIDDEN,
    "n": ErrorKind.NOT_FOUND,
}


def outcome(letter: str) -> Outcome:
    kind = KINDS[letter]
    row = Row(Key("1"), 0, "f:1", [])
    verdict = Verdict(Action.FAIL_ROW if kind else Action.ACCEPT, kind=kind)
    attempt = Attempt(Request(row.key, 0, "m", [], b"{}", 1), verdict, 0, 0, 0.1)
    return Outcome(row, Status.FAILED if kind else Status.ANSWERED, [], attempt)


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
        ("abbbbb", False, [None] * 6),
        ("allllfff", False, [None] * 7 + [NOW_FAIL_ALIKE]),
        ("fffff", True, [None] * 5),
        ("ffafff", True, [None] * 5 + [NOW_FAIL_ALIKE]),
        ("abbbb", True, [None] * 5),
    ],
)
def test_three_alike_are_enough(ends: str, answered_before: bool, reasons: list[str | None]) -> None:
    """At the very start of any kind; after an answer of this run those that no row brings on itself."""
    streak = FailureStreak(3, answered_before=answered_before)
    assert [streak.add(outcome(end)) for end in ends] == reasons
