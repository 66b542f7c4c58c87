"""Rows of several workers that fail alike, counted over their records."""

from __future__ import annotations

from batchchat.cluster.run_streak import RunStreak
from batchchat.core.record import RowRecord
from batchchat.policy.decision import Halt
from batchchat.policy.failure_streak import ALL_FAIL_ALIKE, NOW_FAIL_ALIKE
from tests.store.given import answered, failed, invalid

REFUSED = failed(error_kind="quota", error="no credit left", http_status=402)


def halts(*rows: RowRecord, max_count: int = 3) -> list[Halt]:
    """Why the run is stopped after `rows`."""
    reasons = list[Halt]()
    streak = RunStreak(max_count, answered_before=False, model=None, halt=reasons.append)
    for row in rows:
        streak.add(row, failed_before=False)
    return reasons


def test_rows_that_fail_from_the_first_on() -> None:
    """The reason has what a sentence about it needs."""
    (halt,) = halts(REFUSED, REFUSED, REFUSED)
    assert halt.reason == ALL_FAIL_ALIKE
    assert halt.attempt is not None
    assert halt.attempt.failure is not None
    assert (halt.attempt.failure.text, halt.attempt.http_status) == ("no credit left", 402)


def test_an_answer_ends_a_streak() -> None:
    """Whoever of the workers got it; rows that were not sent count for nothing."""
    assert halts(REFUSED, REFUSED, answered(), REFUSED, invalid(), REFUSED) == []
    assert [halt.reason for halt in halts(answered(), REFUSED, REFUSED, REFUSED)] == [NOW_FAIL_ALIKE]
