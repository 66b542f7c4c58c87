"""When a run that has an hour to end by stops sending."""

from __future__ import annotations

import pytest

from batchchat.policy.deadline import is_due


@pytest.mark.parametrize(
    ("now", "typical_s", "due"),
    [
        (899.9, 100.0, False),
        (900.0, 100.0, True),
        (5000.0, 100.0, True),  # the machine slept through it
        (999.9, None, False),
        (1000.0, None, True),
        (399.9, 9000.0, False),  # no attempt takes longer than it may
        (400.0, 9000.0, True),
    ],
)
def test_it_stops_so_early_that_most_answers_come_in_time(now: float, typical_s: float | None, due: bool) -> None:
    """By what answers take, as far as that is known, and never earlier than an attempt may take."""
    assert is_due(now, 1000.0, typical_s, 600.0) is due
