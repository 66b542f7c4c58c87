"""Quantiles of ordered values, interpolated linearly between two of them, as pandas and DuckDB's `quantile_cont` do."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["quantile"]


def quantile(share: float, count: int, value_at: Callable[[int], float]) -> float | None:
    """The value that `share` (0 to 1) of `count` values do not exceed; None where there are none.

    `value_at` has the value at a rank, from 0, in ascending order.
    """
    if not count:
        return None
    position = share * (count - 1)
    low, high = value_at(math.floor(position)), value_at(math.ceil(position))
    return low + (high - low) * (position - math.floor(position))
