"""Quantiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.quantile import quantile


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(0, 1))
def test_as_numpy_has_it(values: list[float], share: float) -> None:
    """Interpolated linearly, the extremes included."""
    ordered = sorted(values)
    assert quantile(share, len(ordered), ordered.__getitem__) == pytest.approx(float(np.quantile(ordered, share)))


def test_of_nothing() -> None:
    """There is no quantile of no values."""
    assert quantile(0.5, 0, [].__getitem__) is None
