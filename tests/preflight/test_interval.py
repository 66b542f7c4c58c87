from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchchat.preflight.interval import Interval, Stratum, interval, total

VALUES = st.lists(st.floats(0, 1e6), min_size=2, max_size=30)
STRATA = st.lists(st.builds(Stratum, VALUES, st.integers(0, 100_000)), min_size=1, max_size=4)


def skewed(seed: int, rows: int, sigma: float) -> list[float]:
    random = Random(seed)
    return [random.lognormvariate(math.log(200), sigma) for _ in range(rows)]


def of_sample(values: list[float], sampled: int, seed: int) -> Interval:
    """The interval of the whole sum, known part included."""
    found = interval([Stratum(values[:sampled], len(values) - sampled)], seed)
    assert found is not None
    return found + math.fsum(values[:sampled])


def test_it_holds_the_truth_and_narrows() -> None:
    """Of 60 skewed inputs, at least 51 have their true sum in the interval, at each size; more rows narrow it."""
    widths = []
    for sampled in (20, 50, 100):
        held, width = 0, 0.0
        for seed in range(60):
            values = skewed(seed, 1_000, 0.8)
            found = of_sample(values, sampled, seed)
            truth = math.fsum(values)
            held += found.low <= truth <= found.high
            width += (found.high - found.low) / truth
        assert held >= 51, (sampled, held)
        widths.append(width)
    assert widths[0] > 1.3 * widths[1] > 1.3 * 1.2 * widths[2]


@settings(max_examples=40)
@given(STRATA, st.integers(0, 9))
def test_it_is_repeatable_and_of_the_values_size(strata: list[Stratum], seed: int) -> None:
    """The same sample and seed give the same interval, of a size that the values can have."""
    found, expected = interval(strata, seed), total(strata)
    assert found == interval(strata, seed)
    assert found is not None
    assert expected is not None
    most = max(max(stratum.values) for stratum in strata) * sum(stratum.unsampled_count for stratum in strata)
    assert -1e3 * most - 1 <= found.low <= found.high * (1 + 1e-9) + 1e-9 <= 1e3 * most + 1


@given(VALUES, st.integers(0, 9))
def test_nothing_left_is_a_point(values: list[float], seed: int) -> None:
    """Where all rows were sampled nothing is unsure."""
    assert interval([Stratum(values, 0)], seed) == Interval(0.0, 0.0)
    assert total([Stratum(values, 0)]) == 0.0


def test_too_few_give_none() -> None:
    """One row of a stratum says nothing of its spread; none, nothing at all."""
    assert interval([Stratum([5.0], 10)], 0) is None
    assert total([Stratum([5.0], 10)]) == 50.0
    assert total([Stratum([], 10)]) is None


def test_rows_all_alike_are_a_point() -> None:
    """Where no spread was seen none is made up."""
    assert interval([Stratum([7.0] * 20, 100)], 0) == Interval(700.0, 700.0)


@settings(max_examples=20)
@given(st.integers(2, 40), st.floats(0.001, 1e6))
def test_units_make_no_difference(count: int, unit: float) -> None:
    """The same sample in another unit gives the same interval in that unit."""
    values = skewed(count, count, 0.8)
    plain, scaled = (interval([Stratum([each * by for each in values], 500)], 1) for by in (1.0, unit))
    assert plain is not None
    assert scaled is not None
    assert scaled.low == pytest.approx(plain.low * unit, rel=1e-6)
    assert scaled.high == pytest.approx(plain.high * unit, rel=1e-6)
