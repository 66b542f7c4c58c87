"""Tokens and USD of a request: as an endpoint reported them, at most, and what was paid."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

__all__ = ["Cost", "MaxUsage", "Usage"]


class Usage(NamedTuple):
    """Tokens and USD as the endpoint reported them; None is what it did not report.

    The `uncounted` tokens are in `total_tokens` and in no other count. They are billed: as reply the reasoning that
    Gemini and xAI leave out of `completion_tokens`, as prompt what was written to or read from Anthropic's cache.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None
    uncounted_prompt_tokens: int = 0
    uncounted_completion_tokens: int = 0

    @property
    def billed_prompt_tokens(self) -> int | None:
        """The tokens that are billed as prompt."""
        return None if self.prompt_tokens is None else self.prompt_tokens + self.uncounted_prompt_tokens

    @property
    def billed_completion_tokens(self) -> int | None:
        """The tokens that are billed as reply."""
        return None if self.completion_tokens is None else self.completion_tokens + self.uncounted_completion_tokens

    def plus(self, later: Usage) -> Usage:
        """The usage of two requests together.

        A sum with an unknown figure is unknown. Cached and reasoning tokens are parts of other counts, which many
        endpoints report only where there are any: one that is missing counts as 0.
        """
        return Usage(
            _sum(self.prompt_tokens, later.prompt_tokens),
            _sum(self.completion_tokens, later.completion_tokens),
            _sum(self.total_tokens, later.total_tokens),
            _sum_of_reported(self.cached_tokens, later.cached_tokens),
            _sum_of_reported(self.reasoning_tokens, later.reasoning_tokens),
            None if self.cost_usd is None or later.cost_usd is None else self.cost_usd + later.cost_usd,
            self.uncounted_prompt_tokens + later.uncounted_prompt_tokens,
            self.uncounted_completion_tokens + later.uncounted_completion_tokens,
        )


def _sum(before: int | None, later: int | None) -> int | None:
    return None if before is None or later is None else before + later


def _sum_of_reported(before: int | None, later: int | None) -> int | None:
    return None if before is None and later is None else (before or 0) + (later or 0)


class MaxUsage(NamedTuple):
    """The most a request may use: tokens of the prompt and the reply, and USD; None where no bound is known."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: Decimal | None = None


class Cost(NamedTuple):
    """What an attempt cost. `source` is reported, or whose price computed it: job, endpoint or table."""

    usd: Decimal
    source: str
