"""How many rows there are, and why."""

from __future__ import annotations

import pytest

from batchchat.text.expansion import product_words


@pytest.mark.parametrize(
    ("variants", "samples", "words"),
    [
        (6, 3, "1,800 rows (100 × 6 variants × 3 samples)"),
        (6, 1, "1,800 rows (300 × 6 variants)"),
        (1, 3, "1,800 rows (600 × 3 samples)"),
        (1, 1, "1,800 rows"),
    ],
)
def test_the_factors_of_a_number_of_rows(variants: int, samples: int, words: str) -> None:
    """Only those that are there."""
    assert product_words(1_800, variants, samples) == words
