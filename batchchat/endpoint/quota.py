"""Read an endpoint's own limits, from response headers and from the JSON it gives on request; pure.

Spellings: OpenAI and Groq `x-ratelimit-remaining-requests`, `-tokens` with resets as Go writes durations (`6m0s`,
`120ms`); Together `x-ratelimit-remaining` and `x-tokenlimit-remaining` with seconds; OpenRouter with a time in epoch
milliseconds; LiteLLM the upstream's own, prefixed with `llm_provider-`. A value that makes no sense is unknown.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from batchchat.core.attempt import Quota

__all__ = ["Allowance", "read_allowance", "read_quota"]

_SPELLINGS = (
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
_MAX_CHARS = 40
_MAX_COUNT = 10**12


class Allowance(NamedTuple):
    """The limits of an account: requests in flight and tokens per minute; None is unknown."""

    requests: int | None
    tokens_per_minute: int | None


def read_quota(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> Quota | None:
    """What `headers` say is left, in the first spelling they have; None without any. `now` gives epoch seconds."""
    for requests, requests_reset, tokens, tokens_reset in _SPELLINGS:
        if requests in headers or tokens in headers:
            return Quota(
                _count(headers.get(requests)),
                _seconds(headers.get(requests_reset), now),
                _count(headers.get(tokens)),
                _seconds(headers.get(tokens_reset) or headers.get(requests_reset), now),
            )
    return None


def read_allowance(payload: Any) -> Allowance | None:
    """The limits in DeepInfra's `{rate_limit, tpm_rate_limit}`; None if `payload` has neither."""
    if not isinstance(payload, dict):
        return None
    allowance = Allowance(_positive(payload.get("rate_limit")), _positive(payload.get("tpm_rate_limit")))
    return None if allowance == (None, None) else allowance


def _count(text: str | None) -> int | None:
    """A whole number from 0 up; some servers send `149.0`."""
    value = _number(text)
    return None if value is None or value > _MAX_COUNT else int(value)


def _number(text: str | None) -> float | None:
    if text is None or len(text) > _MAX_CHARS:
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
    if not text or len(text) > _MAX_CHARS or not (match := _DURATION.fullmatch(text.strip())):
        return None
    parts = [(_number(part), unit_s) for part, unit_s in zip(match.groups(), _UNITS_S, strict=True) if part]
    return sum(part * unit_s for part, unit_s in parts if part is not None) if parts else None


def _positive(value: Any) -> int | None:
    return value if type(value) is int and 0 < value <= _MAX_COUNT else None
