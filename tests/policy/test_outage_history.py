"""Which failures fell into an outage."""

from __future__ import annotations

import pytest

from batchchat.core.attempt import Action, Attempt, Request, Verdict
from batchchat.core.conversation import ErrorKind, Key
from batchchat.policy.outage_history import OutageHistory, remember

EPOCH_S = 1.7e9
"""What the system's clock is ahead of the policy's."""


def failure(ended_at: float, latency_s: float = 0.5, row: str = "1") -> Attempt:
    verdict = Verdict(Action.RETRY, kind=ErrorKind.SERVER_ERROR)
    started_at = EPOCH_S + ended_at - latency_s
    return Attempt(Request(Key(row), 0, "m", [], b"{}", 1), verdict, started_at, EPOCH_S + ended_at, latency_s, 500)


@pytest.mark.parametrize(
    ("ended_at", "latency_s", "inside"),
    [
        (99.9, 50.0, False),
        (100.0, 0.5, True),
        (150.0, 0.5, True),
        (150.0, 100.0, True),
        (200.4, 0.5, True),
        (200.6, 0.5, False),
        (310.0, 0.5, True),
    ],
)
def test_a_failure_is_in_an_outage_that_it_was_in_flight_in(ended_at: float, latency_s: float, inside: bool) -> None:
    """From the outage's first failure to its end, or up to now where it goes on; at its end, what was sent before."""
    history = OutageHistory()
    attempt = failure(ended_at, latency_s)
    history.add_failure(attempt, ended_at)
    assert not history.contains(attempt)
    history.begin(100.0, EPOCH_S + 100.0)
    history.end(200.0)
    history.begin(300.0, EPOCH_S + 300.0)
    assert history.contains(attempt) is inside
    assert history.latest_since_epoch == EPOCH_S + 300.0


def test_a_failure_that_was_not_added_is_in_none() -> None:
    """Another attempt at the same row, and the same start of another row, are other failures."""
    history = OutageHistory()
    history.begin(100.0, EPOCH_S + 100.0)
    history.add_failure(failure(150.0), 150.0)
    assert history.ended_at(failure(150.0)) == 150.0
    for stranger in (failure(151.0), failure(150.0, row="2")):
        assert history.ended_at(stranger) is None
        assert not history.contains(stranger)


def test_memory_is_bounded() -> None:
    """The oldest entry is dropped first, and one that is set again drops none."""
    memory: dict[str, int] = {}
    for key in "abcac":
        remember(memory, key, 1, max_size=2)
    assert list(memory) == ["c", "a"]
