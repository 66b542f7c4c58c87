"""What response headers say of the endpoint's own limits, and what it answers when it is asked; pure.

Spellings: OpenAI and Groq `x-ratelimit-remaining-requests`, `-tokens` with resets as Go writes durations (`6m0s`,
`120ms`); Together `x-ratelimit-remaining` and `x-tokenlimit-remaining` with seconds; OpenRouter with a time in epoch
milliseconds; LiteLLM the upstream's own behind `llm_provider-`. What is not a sensible number is not said.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from batchchat.core.attempt import Quota

__all__ = ["Allowance", "read_allowance", "read_quota"]

_SAYS = (
    # remaining requests, their reset, remaining tokens, their reset
    (
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-reset-tokens",
    ),
    ("x-ratelimit-remaining", "x-ratelimit-reset", "x-tokenlimit-remaining", "x-tokenlimit-reset"),
    (
        "llm_provider-x-ratelimit-remaining-requests",
        "llm_provider-x-ratelimit-reset-requests",
        "llm_provider-x-ratelimit-remaining-tokens",
        "llm_provider-x-ratelimit-reset-tokens",
    ),
)
_DURATION = re.compile(r"(?:([0-9.]+)d)?(?:([0-9.]+)h)?(?:([0-9.]+)m(?!s))?(?:([0-9.]+)s)?(?:([0-9.]+)ms)?")
_UNITS_S = (86_400.0, 3600.0, 60.0, 1.0, 0.001)
_EPOCH_S, _EPOCH_MS = 1e9, 1e12
_LONGEST_TEXT = 40
_MOST = 10**12


class Allowance(NamedTuple):
    """What an account may do at once: requests in flight, tokens a minute; None is not said."""

    requests: int | None
    tokens_per_minute: int | None


def read_quota(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> Quota | None:
    """What is left, by the first spelling that is there; None where nothing is said. `now` is the epoch's."""
    for requests, requests_reset, tokens, tokens_reset in _SAYS:
        if requests in headers or tokens in headers:
            return Quota(
                _count(headers.get(requests)),
                _seconds(headers.get(requests_reset), now),
                _count(headers.get(tokens)),
                _seconds(headers.get(tokens_reset) or headers.get(requests_reset), now),
            )
    return None


def read_allowance(payload: Any) -> Allowance | None:
    """DeepInfra's `{rate_limit, tpm_rate_limit}`; None where it is something else."""
    if not isinstance(payload, dict):
        return None
    found = Allowance(_positive(payload.get("rate_limit")), _positive(payload.get("tpm_rate_limit")))
    return None if found == (None, None) else found


def _count(text: str | None) -> int | None:
    """A number of 0 or more; some write `149.0`."""
    value = _number(text)
    return None if value is None or value > _MOST else int(value)


def _number(text: str | None) -> float | None:
    if text is None or len(text) > _LONGEST_TEXT:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _seconds(text: str | None, now: Callable[[], float]) -> float | None:
    """Seconds from now: `6m0s`, `120ms`, plain seconds, or a time since the epoch."""
    value = _number(text)
    if value is not None:
        if value >= _EPOCH_S:
            value = max(0.0, (value / 1000 if value >= _EPOCH_MS else value) - now())
        return value
    if not text or len(text) > _LONGEST_TEXT or not (found := _DURATION.fullmatch(text.strip())):
        return None
    parts = [(_number(part), unit_s) for part, unit_s in zip(found.groups(), _UNITS_S, strict=True) if part]
    return sum(part * unit_s for part, unit_s in parts if part is not None) if parts else None


def _positive(value: Any) -> int | None:
    return value if type(value) is int and 0 < value <= _MOST else None
