"""The most tokens a reply may have, by the parameters of its request; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["REPLY_LIMITS", "reply_tokens"]

REPLY_LIMITS = ("max_tokens", "max_completion_tokens")


def reply_tokens(params: Mapping[str, Any]) -> int | None:
    """The most a reply may have by `params`, all its choices together; None where they set no bound."""
    bounds: list[Any] = [params[name] for name in REPLY_LIMITS if params.get(name) is not None]
    if not bounds or not all(type(bound) is int and bound > 0 for bound in bounds):
        return None
    choices = params.get("n")
    largest: int = max(bounds)
    return largest * choices if type(choices) is int and choices > 1 else largest
