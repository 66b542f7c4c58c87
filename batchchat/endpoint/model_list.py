"""What an endpoint's list of models says of price and context; pure. What is not a sensible number is not said.

Spellings: DeepInfra `metadata.context_length` and `metadata.pricing.{input_tokens, output_tokens}`, USD per million;
vLLM `max_model_len`; OpenRouter `context_length` and `pricing.{prompt, completion}`, text in USD per token; Together
`context_length` and `pricing.{input, output}`, USD per million; Groq `context_window`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from batchchat.core.price import Price
from batchchat.pricing.rates import ListedModel

__all__ = ["read_listing"]

_MILLION = 10**6
_MOST_TOKENS = 10**9
_MOST_USD = 10**6
_LONGEST = 40
# input, output, cached input, and what one of these is to USD per million tokens
_PRICES = (
    ("input_tokens", "output_tokens", "cache_read_tokens", 1),
    ("prompt", "completion", "input_cache_read", _MILLION),
    ("input", "output", "cached_input", 1),
)


def read_listing(payload: Any) -> dict[str, ListedModel] | None:
    """Each model by its id; None where the answer is no list of models."""
    data = payload.get("data") if isinstance(payload, dict) else payload  # Together sends a bare list
    if not isinstance(data, list):
        return None
    return {
        entry["id"]: _listed(entry) for entry in data if isinstance(entry, dict) and isinstance(entry.get("id"), str)
    }


def _listed(entry: Mapping[str, Any]) -> ListedModel:
    metadata = entry.get("metadata")
    inner: Mapping[str, Any] = metadata if isinstance(metadata, dict) else {}
    lengths = [inner.get("context_length"), *map(entry.get, ("max_model_len", "context_length", "context_window"))]
    length = next((value for value in lengths if type(value) is int and 0 < value <= _MOST_TOKENS), None)
    return ListedModel(_price(inner.get("pricing") or entry.get("pricing")), length)


def _price(pricing: Any) -> Price | None:
    if not isinstance(pricing, dict):
        return None
    for given_in, out, hit, unit in _PRICES:
        if given_in in pricing and out in pricing:
            read_in, read_out = _usd(pricing[given_in], unit), _usd(pricing[out], unit)
            return (
                None if read_in is None or read_out is None else Price(read_in, read_out, _usd(pricing.get(hit), unit))
            )
    return None


def _usd(value: Any, unit: int) -> Decimal | None:
    """USD per million tokens; OpenRouter writes -1 for what varies."""
    if type(value) not in {int, float, str} or len(str(value)) > _LONGEST:
        return None
    try:
        usd = Decimal(str(value)) * unit
    except InvalidOperation:
        return None
    return usd if usd.is_finite() and 0 <= usd <= _MOST_USD else None
