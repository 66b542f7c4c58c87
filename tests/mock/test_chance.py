from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchchat.mock.chance import drawn, uniform

PARTS = st.lists(st.binary() | st.integers() | st.text(), max_size=4)


@given(PARTS)
def test_a_draw_repeats(parts: list[bytes | int | str]) -> None:
    """The same parts give the same number, within its range."""
    assert drawn(*parts) == drawn(*parts)
    assert 0 <= drawn(*parts) < 1 << 64
    assert 0 <= uniform(*parts) < 1


def test_parts_are_delimited_and_typed() -> None:
    """Parts that would read alike when joined are drawn apart."""
    assert len({drawn("ab", "c"), drawn("a", "bc"), drawn("abc"), drawn(b"abc"), drawn(1), drawn("1")}) == 6


def test_draws_are_even() -> None:
    """Over many draws each tenth of the range is hit about as often."""
    hits = [0] * 10
    for number in range(10_000):
        hits[int(uniform(number) * 10)] += 1
    assert min(hits) > 900
    assert max(hits) < 1100
