"""A limit on rows that is handed out in parts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchchat.cluster.row_quota import RowQuota


@given(st.integers(1, 10_000), st.integers(1, 16))
def test_all_is_handed_out_and_no_more(limit: int, workers: int) -> None:
    """The parts come to the limit; afterwards there is nothing."""
    quota, parts = RowQuota(limit, workers), list[int]()
    while part := quota.take():
        parts.append(part)
    assert sum(parts) == limit
    assert max(parts) <= max(1, -(-limit // workers))


def test_what_is_given_back_is_handed_out_again() -> None:
    """A worker that came to the end of its rows leaves the others its part."""
    quota = RowQuota(10, 2)
    assert quota.take() == 1
    quota.give_back(1)
    assert quota.left == 10
