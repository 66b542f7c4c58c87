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
    """The interval of the sum over all `values`, sampled ones included."""
    unsampled = interval([Stratum(values[:sampled], len(values) - sampled)], seed)
    assert unsampled is not None
    return unsampled + math.fsum(values[:sampled])


def test_it_covers_the_true_sum_and_narrows() -> None:
    """At each size it covers the true sum of at least 51 of 60 skewed inputs; more rows narrow it."""
    widths = []
    for sampled in (20, 50, 100):
        covered, width = 0, 0.0
        for seed in range(60):
            values = skewed(seed, 1_000, 0.8)
            span = of_sample(values, sampled, seed)
            truth = math.fsum(values)
            covered += span.low <= truth <= span.high
            width += (span.high - span.low) / truth
        assert covered >= 51, (sampled, covered)
        widths.append(width)
    assert widths[0] > 1.3 * widths[1] > 1.3 * 1.2 * widths[2]


@settings(max_examples=40)
@given(STRATA, st.integers(0, 9))
def test_it_is_repeatable_and_of_a_plausible_size(strata: list[Stratum], seed: int) -> None:
    """The same sample and seed give the same interval, of the order of magnitude of the values."""
    span, expected = interval(strata, seed), total(strata)
    assert span == interval(strata, seed)
    assert span is not None
    assert expected is not None
    largest = max(max(stratum.values) for stratum in strata) * sum(stratum.unsampled_count for stratum in strata)
    assert -1e3 * largest - 1 <= span.low <= span.high * (1 + 1e-9) + 1e-9 <= 1e3 * largest + 1


@given(VALUES, st.integers(0, 9))
def test_without_unsampled_rows_it_is_a_point(values: list[float], seed: int) -> None:
    """Where all rows were sampled the sum is known."""
    assert interval([Stratum(values, 0)], seed) == Interval(0.0, 0.0)
    assert total([Stratum(values, 0)]) == 0.0


def test_too_few_give_none() -> None:
    """One value gives a sum but no interval; none gives no sum either."""
    assert interval([Stratum([5.0], 10)], 0) is None
    assert total([Stratum([5.0], 10)]) == 50.0
    assert total([Stratum([], 10)]) is None


def test_equal_values_are_a_point() -> None:
    """A sample without spread gives an interval without width."""
    assert interval([Stratum([7.0] * 20, 100)], 0) == Interval(700.0, 700.0)


@settings(max_examples=20)
@given(st.integers(2, 40), st.floats(0.001, 1e6))
def test_units_make_no_difference(count: int, unit: float) -> None:
    """The same sample in another unit gives the same interval in that unit."""
    values = skewed(count, count, 0.8)
    plain, scaled = (interval([Stratum([value * factor for value in values], 500)], 1) for factor in (1.0, unit))
    assert plain is not None
    assert scaled is not None
    assert scaled.low == pytest.approx(plain.low * unit, rel=1e-6)
    assert scaled.high == pytest.approx(plain.high * unit, rel=1e-6)
