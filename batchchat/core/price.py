"""A price of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

__all__ = ["Price"]


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens, to the digit that was written."""

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None
