"""Workers that die."""

from __future__ import annotations

import pytest

from batchchat.cluster.deaths import Deaths


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([0, 0, 0], "3 times without finishing a row"),
        ([5, 0, 0, 0], "3 times without finishing a row"),
        ([0, 0, 1] * 3 + [4], "10 times"),
    ],
)
def test_too_many(rows: list[int], words: str) -> None:
    """Three in succession that finished nothing, or ten in all: the last of each list is one too many."""
    deaths = Deaths()
    for finished in rows:
        assert not deaths.are_too_many
        deaths.count(finished)
    assert deaths.are_too_many
    assert deaths.words == words
