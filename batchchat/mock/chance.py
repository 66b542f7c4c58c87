"""Reproducible chance: each number is drawn from the parts that name its purpose, with no state between draws.

The same parts give the same number on every machine and in every order of arrival.
"""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["draw", "uniform"]


def draw(*parts: bytes | int | str) -> int:
    """A 64-bit number from `parts`.

    Their order counts; each is delimited, so ("ab", "c") is not ("a", "bc").
    """
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest(), "big")


def uniform(*parts: bytes | int | str) -> float:
    """A number in [0, 1) from `parts`."""
    # The upper 53 bits only: a float holds no more, and rounding could otherwise give 1.0.
    return (draw(*parts) >> 11) * 2.0**-53
