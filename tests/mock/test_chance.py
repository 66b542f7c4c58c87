from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchchat.mock.chance import draw, uniform

PARTS = st.lists(st.binary() | st.integers() | st.text(), max_size=4)


@given(PARTS)
def test_a_draw_repeats(parts: list[bytes | int | str]) -> None:
    """The same parts give the same number, within its range."""
    assert draw(*parts) == draw(*parts)
    assert 0 <= draw(*parts) < 1 << 64
    assert 0 <= uniform(*parts) < 1


def test_parts_are_delimited_and_typed() -> None:
    """Parts that would read alike when joined are drawn apart."""
    assert len({draw("ab", "c"), draw("a", "bc"), draw("abc"), draw(b"abc"), draw(1), draw("1")}) == 6


def test_draws_are_even() -> None:
    """Over many draws each tenth of the range is hit about as often."""
    hits = [0] * 10
    for number in range(10_000):
        hits[int(uniform(number) * 10)] += 1
    assert min(hits) > 900
    assert max(hits) < 1100
