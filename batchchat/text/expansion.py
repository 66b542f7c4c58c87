"""How many rows an input row becomes, in words: by the variants of the matrix and the samples of each."""

from __future__ import annotations

from batchchat.text import numbers

__all__ = ["factor_words", "product_words"]


def factor_words(variants: int, samples: int) -> str:
    """`6 variants × 3 samples`; empty where an input row is one row."""
    parts = [numbers.quantity(variants, "variant")] if variants > 1 else []
    parts += [numbers.quantity(samples, "sample")] if samples > 1 else []
    return " × ".join(parts)


def product_words(rows: int, variants: int, samples: int) -> str:
    """`1,800 rows (100 × 6 variants × 3 samples)` of all `rows`, or only their number."""
    factors = factor_words(variants, samples)
    return (
        f"{numbers.rows(rows)} ({numbers.count(rows // (variants * samples))} × {factors})"
        if factors
        else numbers.rows(rows)
    )
