"""The limit that a request's parameters set on the tokens of its reply; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["REPLY_LIMITS", "max_reply_tokens"]

REPLY_LIMITS = ("max_tokens", "max_completion_tokens")
"""The parameters that limit a reply, the older name first."""


def max_reply_tokens(params: Mapping[str, Any]) -> int | None:
    """The maximum of completion tokens that `params` allow, over all `n` choices; None where there is no maximum.

    Where both `REPLY_LIMITS` are set, the larger counts; where either is not a positive integer, there is no maximum.
    """
    limits: list[Any] = [params[name] for name in REPLY_LIMITS if params.get(name) is not None]
    if not limits or not all(type(limit) is int and limit > 0 for limit in limits):
        return None
    choices = params.get("n")
    largest: int = max(limits)
    return largest * choices if type(choices) is int and choices > 1 else largest
