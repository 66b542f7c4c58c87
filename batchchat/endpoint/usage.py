"""The tokens and the cost that a response reports, in the spellings of providers and gateways; pure.

`docs/endpoints.md` has the spellings and where they are from. What is missing, of an unexpected type or beyond reason
is None, never a guess and never an error: then the cost is computed from the price.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from batchchat.core.attempt import Usage

__all__ = ["read_usage"]

_MAX_TOKENS = 10**9
"""More tokens than this are not those of one answer."""
_MAX_USD = 10_000
"""More than this is not the cost of one answer, but another unit or a defect: the dearest models take under $100."""
_MAX_CHARS = 40
_TICK_DIGITS = -10  # xAI: 10,000,000,000 ticks are one USD
_NO_HEADERS: Mapping[str, str] = {}
_COST_HEADER = "x-litellm-response-cost"
_CACHED = ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens")  # Moonshot; DeepSeek; Anthropic
_COST_KEYS = ("total_cost", "total_cost_usd", "total", "usd")  # of a cost that is an object: Perplexity has the first


def read_usage(payload: Mapping[str, Any], headers: Mapping[str, str] = _NO_HEADERS) -> Usage | None:
    """The tokens and the cost that `payload` and its response's `headers` report, or None where they report nothing."""
    usage = payload.get("usage")
    if not isinstance(usage, dict):
        cost = _usd(headers.get(_COST_HEADER))
        return None if cost is None else Usage(cost_usd=cost)
    get = usage.get
    prompt, completion, total = get("prompt_tokens"), get("completion_tokens"), get("total_tokens")
    cost, cached, reasoning = _cost(payload, usage, headers), _cached(usage), _reasoning(usage)
    if (
        type(prompt) is type(completion) is type(total) is int
        and 0 < prompt <= _MAX_TOKENS
        and 0 < completion <= _MAX_TOKENS
        and total == prompt + completion
    ):
        return Usage(prompt, completion, total, cached, reasoning, cost)  # nearly every answer's
    prompt = _first_count(usage, "prompt_tokens", "input_tokens")
    completion = _first_count(usage, "completion_tokens", "output_tokens")
    total = _count(total)
    if total is not None and prompt is not None and completion is None and total >= prompt:
        completion = total - prompt
    elif total is not None and completion is not None and prompt is None and total >= completion:
        prompt = total - completion
    if prompt is None or completion is None:
        return Usage(prompt, completion, total, cached, reasoning, cost)
    beyond = 0 if total is None else max(0, total - prompt - completion)
    apart = _cache_tokens_apart(usage, beyond, total)
    return Usage(prompt, completion, total, cached, reasoning, cost, apart, max(0, beyond - apart))


def _cached(usage: Mapping[str, Any]) -> int | None:
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    if details and (cached := _detail(details, "cached_tokens")) is not None:
        return cached
    for name in _CACHED:
        if name in usage and (cached := _count(usage[name])) is not None:
            return cached
    return None


def _reasoning(usage: Mapping[str, Any]) -> int | None:
    details = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    if details and (reasoning := _detail(details, "reasoning_tokens")) is not None:
        return reasoning
    return _count(usage["reasoning_tokens"]) if "reasoning_tokens" in usage else None


def _cache_tokens_apart(usage: Mapping[str, Any], beyond: int, total: int | None) -> int:
    """The tokens of Anthropic's cache, written and read, that are part of the prompt and not of its count."""
    if "cache_creation_input_tokens" not in usage and "cache_read_input_tokens" not in usage:
        return 0
    cache = sum(_count(usage.get(name)) or 0 for name in ("cache_creation_input_tokens", "cache_read_input_tokens"))
    if total is None:  # Anthropic's own form; a gateway that counts them in has OpenAI's names
        return 0 if "prompt_tokens" in usage else cache
    return min(cache, beyond)


def _cost(payload: Mapping[str, Any], usage: Mapping[str, Any], headers: Mapping[str, str]) -> float | None:
    """The reported cost in USD: of the usage, else of the response, else of LiteLLM's header."""
    estimated = _usd(usage.get("estimated_cost"))  # DeepInfra
    if estimated is not None:
        return estimated
    cost = _own_cost(usage)
    if cost is None:
        ticks = usage.get("cost_in_usd_ticks")  # xAI
        cost = None if ticks is None else _usd(ticks, _TICK_DIGITS)
    if cost is None:
        cost = _own_cost(payload)
    return _usd(headers.get(_COST_HEADER)) if cost is None else cost


def _own_cost(report: Mapping[str, Any]) -> float | None:
    """The cost in `report`, with what the provider behind OpenRouter charged to a key of the user's own (BYOK)."""
    cost = report.get("cost")
    if cost is not None:
        stated = cost if isinstance(cost, dict) else report
        if str(stated.get("currency") or "USD").upper() != "USD":
            return None
    if isinstance(cost, dict):
        cost = next((cost[key] for key in _COST_KEYS if cost.get(key) is not None), None)
    elif cost is None:
        cost = next((report[key] for key in _COST_KEYS[:2] if report.get(key) is not None), None)
    usd = _usd(cost)
    details = report.get("cost_details")
    upstream = _usd(details.get("upstream_inference_cost")) if isinstance(details, dict) else None
    if report.get("is_byok") is True:
        return None if usd is None or upstream is None else float(Decimal(repr(usd)) + Decimal(repr(upstream)))
    return upstream if usd == 0 and upstream else usd


def _first_count(usage: Mapping[str, Any], *names: str) -> int | None:
    """The first of `names` that counts more than 0, else the first that counts."""
    counts = [count for name in names if (count := _count(usage.get(name))) is not None]
    return next((count for count in counts if count), counts[0] if counts else None)


def _detail(details: Any, name: str) -> int | None:
    return _count(details.get(name)) if isinstance(details, dict) else None


def _count(value: Any) -> int | None:
    """A whole number of tokens from 0 up; some servers send 12.0 or "12"."""
    if type(value) is int:
        return value if 0 <= value <= _MAX_TOKENS else None
    number = _decimal(value)
    if number is None or not 0 <= number <= _MAX_TOKENS or number != number.to_integral_value():
        return None
    return int(number)


def _usd(value: Any, digits: int = 0) -> float | None:
    """`value` times 10 to the power of `digits`, in USD, as the float that prints as it was written."""
    if type(value) is float and not digits:
        return value if 0 <= value <= _MAX_USD else None  # NaN is neither
    number = _decimal(value)
    if number is None or not 0 <= (usd := number.scaleb(digits)) <= _MAX_USD:
        return None
    return float(usd)


def _decimal(value: Any) -> Decimal | None:
    """The number that `value` is or, as text, stands for; None for anything else, NaN and infinities."""
    if type(value) not in {int, float, str}:
        return None
    if type(value) is int and value.bit_length() > 128:  # noqa: PLR2004 (no need to print it)
        return None
    text = value.strip() if isinstance(value, str) else repr(value)
    if not text or len(text) > _MAX_CHARS or "_" in text:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
