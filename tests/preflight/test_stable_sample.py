from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.conversation import Key
from batchchat.preflight.stable_sample import StableSample

IDS = st.lists(st.text(max_size=8), unique=True, max_size=40)


def chosen(ids: list[str], rows: int, seed: int) -> StableSample[str]:
    found = StableSample[str](rows, seed)
    for each in ids:
        found.add(Key(each), each)
    return found


@given(IDS, st.integers(1, 20), st.integers(0, 20), st.integers(0, 3))
def test_more_rows_keep_those_chosen_before(ids: list[str], rows: int, more: int, seed: int) -> None:
    """A larger sample holds the smaller one, the order of the input plays no part, and `has` knows what is held."""
    small, large = chosen(ids, rows, seed), chosen([*reversed(ids)], rows + more, seed)
    assert small.items == large.items[: len(small.items)]
    assert len(small.items) == min(rows, len(ids))
    assert {each for each in ids if small.has(Key(each))} == set(small.items)
