from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.conversation import Key
from batchchat.preflight.stable_sample import StableSample

IDS = st.lists(st.text(max_size=8), unique=True, max_size=40)


def sample_of(ids: list[str], rows: int, seed: int) -> StableSample[str]:
    sample = StableSample[str](rows, seed)
    for id_ in ids:
        sample.add(Key(id_), id_)
    return sample


@given(IDS, st.integers(1, 20), st.integers(0, 20), st.integers(0, 3))
def test_a_larger_sample_contains_the_smaller_one(ids: list[str], rows: int, more: int, seed: int) -> None:
    """It does so in any order of the input, and `has` is True exactly for the sampled rows."""
    small, large = sample_of(ids, rows, seed), sample_of([*reversed(ids)], rows + more, seed)
    assert small.items == large.items[: len(small.items)]
    assert len(small.items) == min(rows, len(ids))
    assert {id_ for id_ in ids if small.has(Key(id_))} == set(small.items)
