"""A confidence interval for a sum over all rows that is extrapolated from a sample of them; pure and seeded.

A stratum consists of rows of about equal prompt length: those that were sampled, whose values are known, and those that
were not. The sum of the unsampled rows is estimated by the mean of their stratum. The lengths of replies are skewed: a
small sample usually contains none of the rare long replies, and underestimates its own spread, so that the percentile
interval of a plain bootstrap covers the true sum in 80 of 100 cases at a nominal level of 90 %. Here the deviation of
each resample is divided by the resample's own standard error (bootstrap-t), which widens the side of the long replies,
and the tails are made a little smaller than the level implies, for the coverage that is still missing.

Measured over 500 inputs of 1,500 rows with lognormal replies at the mock's prices: how many of 100 intervals cover the
true cost, and half their mean width in percent of it. In the last column longer prompts get longer replies.

    pilot    sigma 0.6    sigma 0.8    sigma 0.8, by prompt
       20    91  ±17      90  ±29      91  ±46
       50    92  ±10      92  ±16      92  ±25
      100    93   ±7      94  ±11      91  ±16
      200    95   ±5      95   ±7      93  ±10
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from random import Random

from batchchat.core.quantile import quantile

__all__ = ["LEVEL", "Interval", "Stratum", "interval", "total"]

LEVEL = 0.90
_TAIL = 0.03
"""The share of resamples outside on each side; below 5 %, to make up for the coverage that skewness costs."""
_MAX_RESAMPLES = 1_000
_MIN_RESAMPLES = 400
_MAX_DRAWS = 400_000
_MIN_VALUES = 2
"""Fewer values have no standard error."""
_STUDENT = (10.58, 3.90, 2.95, 2.60, 2.42, 2.31, 2.24, 2.19, 2.15)
"""The quantile of Student's t at 1 - _TAIL, for 2, 3, 4... values."""
_ROUNDING = 1e-9
"""A standard error below this share of the sum is one of floating point."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """Similar rows: the `values` of those that were sampled, and how many were not.

    Of several samples or variants of each input row a value is the sum over all of one, and the count is of those too.
    """

    values: Sequence[float]
    unsampled_count: float


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval that covers the true value in nine of ten cases."""

    low: float
    high: float

    def __add__(self, offset: float) -> Interval:
        return Interval(self.low + offset, self.high + offset)


def total(strata: Sequence[Stratum]) -> float | None:
    """The expected sum of the unsampled rows; None where a stratum has unsampled rows and no sampled ones."""
    if any(stratum.unsampled_count and not stratum.values for stratum in strata):
        return None
    return math.fsum(
        stratum.unsampled_count * math.fsum(stratum.values) / len(stratum.values)
        for stratum in strata
        if stratum.unsampled_count
    )


def interval(strata: Sequence[Stratum], seed: int) -> Interval | None:
    """The interval of the sum of the unsampled rows.

    It is the point 0 where all rows were sampled, and None where a stratum has too few values. The same `seed` gives
    the same interval.
    """
    unsampled = [stratum for stratum in strata if stratum.unsampled_count]
    if not unsampled:
        return Interval(0.0, 0.0)
    min_value_count = min(len(stratum.values) for stratum in unsampled)
    if min_value_count < _MIN_VALUES:
        return None
    expected, error = total(unsampled), _error([_Part(stratum, _centred(stratum)) for stratum in unsampled])
    assert expected is not None
    if error <= abs(expected) * _ROUNDING:  # all sampled values are equal
        return Interval(expected, expected)
    if min_value_count - 1 <= len(_STUDENT):  # resamples of so few values vary too little
        half_width = _STUDENT[min_value_count - 2] * error
        return Interval(expected - half_width, expected + half_width)
    deviations = _deviations(unsampled, Random(seed))  # noqa: S311 (resampling)
    low, high = (quantile(share, len(deviations), deviations.__getitem__) for share in (1 - _TAIL, _TAIL))
    assert low is not None, "nearly all resamples of values that differ have an error"
    assert high is not None
    return Interval(expected - low * error, expected - high * error)


class _Part:
    """The mean of values drawn from a stratum, and the variance of the sum that is estimated from them.

    The values are given as their distances from the mean of the stratum.
    """

    __slots__ = ("mean", "variance")

    def __init__(self, stratum: Stratum, distances: Sequence[float]) -> None:
        count, unsampled = len(distances), stratum.unsampled_count
        distance_sum = sum(distances)
        self.mean = distance_sum / count
        variance = (sum(map(mul, distances, distances)) - distance_sum * self.mean) / (count - 1)
        # Of the unsampled values around their mean, plus that of the estimated mean itself.
        self.variance = max(variance, 0.0) * unsampled * (1 + unsampled / count)


def _centred(stratum: Stratum) -> list[float]:
    mean = math.fsum(stratum.values) / len(stratum.values)
    return [value - mean for value in stratum.values]


def _error(parts: Sequence[_Part]) -> float:
    """The standard error of the sum that is estimated from `parts`."""
    return math.sqrt(sum(part.variance for part in parts))


def _deviations(strata: Sequence[Stratum], random: Random) -> list[float]:
    """The deviations of resamples from the sample, each in units of its own standard error, in ascending order."""
    value_count = sum(len(stratum.values) for stratum in strata)
    resamples = max(_MIN_RESAMPLES, min(_MAX_RESAMPLES, _MAX_DRAWS // value_count))
    centred = [_centred(stratum) for stratum in strata]
    min_error = _ROUNDING * _error([_Part(*part) for part in zip(strata, centred, strict=True)])
    # A resample deviates by its mean only, but the error includes the spread of the unsampled values: scale to match.
    weights = [
        stratum.unsampled_count * math.sqrt(1 + len(stratum.values) / stratum.unsampled_count) for stratum in strata
    ]
    deviations = []
    for _ in range(resamples):
        parts = [
            _Part(stratum, random.choices(distances, k=len(distances)))
            for stratum, distances in zip(strata, centred, strict=True)
        ]
        if (error := _error(parts)) > min_error:
            deviations.append(sum(weight * part.mean for weight, part in zip(weights, parts, strict=True)) / error)
    return sorted(deviations)
