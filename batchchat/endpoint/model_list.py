"""Read prices and context lengths from an endpoint's list of models; pure. A value that makes no sense is unknown.

Spellings: DeepInfra `metadata.context_length` and `metadata.pricing.{input_tokens, output_tokens}`, USD per million;
vLLM and SGLang `max_model_len`; llama.cpp `meta.n_ctx`; LM Studio `loaded_context_length`; Mistral
`max_context_length`; OpenRouter `context_length` and `pricing.{prompt, completion}`, text in USD per token; Together
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
_MAX_TOKENS = 10**9
_MAX_USD = 10**6
_MAX_CHARS = 40
_LENGTHS = ("max_model_len", "loaded_context_length", "context_length", "context_window", "max_context_length")
# Keys of the input, output and cached input price, and the factor from their unit to USD per million tokens
_PRICES = (
    ("input_tokens", "output_tokens", "cache_read_tokens", 1),
    ("prompt", "completion", "input_cache_read", _MILLION),
    ("input", "output", "cached_input", 1),
)


def read_listing(payload: Any) -> dict[str, ListedModel] | None:
    """The models in `payload` by id; None if it is no list of models."""
    data = payload.get("data") if isinstance(payload, dict) else payload  # Together sends a bare list
    if not isinstance(data, list):
        return None
    return {
        entry["id"]: _listed(entry) for entry in data if isinstance(entry, dict) and isinstance(entry.get("id"), str)
    }


def _listed(entry: Mapping[str, Any]) -> ListedModel:
    metadata = entry.get("metadata")
    inner: Mapping[str, Any] = metadata if isinstance(metadata, dict) else {}
    meta = entry.get("meta")
    served = meta.get("n_ctx") if isinstance(meta, dict) else None
    lengths = [served, inner.get("context_length"), *map(entry.get, _LENGTHS)]
    length = next((value for value in lengths if type(value) is int and 0 < value <= _MAX_TOKENS), None)
    return ListedModel(_price(inner.get("pricing") or entry.get("pricing")), length)


def _price(pricing: Any) -> Price | None:
    if not isinstance(pricing, dict):
        return None
    for input_key, output_key, cached_key, factor in _PRICES:
        if input_key in pricing and output_key in pricing:
            input_usd, output_usd = _usd(pricing[input_key], factor), _usd(pricing[output_key], factor)
            if input_usd is None or output_usd is None:
                return None
            return Price(input_usd, output_usd, _usd(pricing.get(cached_key), factor))
    return None


def _usd(value: Any, factor: int) -> Decimal | None:
    """`value` times `factor`, in USD per million tokens; OpenRouter writes -1 for a price that varies."""
    if type(value) not in {int, float, str} or len(str(value)) > _MAX_CHARS:
        return None
    try:
        usd = Decimal(str(value)) * factor
    except InvalidOperation:
        return None
    return usd if usd.is_finite() and 0 <= usd <= _MAX_USD else None
