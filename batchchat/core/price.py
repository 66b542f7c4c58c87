"""A price of tokens."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

__all__ = ["Price"]

_MILLION = Decimal(1_000_000)


class Price(NamedTuple):
    """USD per million tokens, to the digit that was written."""

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None

    def saved_usd(self, cached_tokens: int) -> Decimal | None:
        """How much less `cached_tokens` of prompts cost than others; None where cached ones have no price."""
        return None if self.cached_input is None else (self.input - self.cached_input) * cached_tokens / _MILLION
