"""Read prices and context lengths from an endpoint's list of models; pure. A value that makes no sense is unknown.

Spellings: DeepInfra `metadata.context_length` and `metadata.pricing.{input_tokens, output_tokens}`, USD per million;
vLLM `max_model_len`; OpenRouter `context_length` and `pricing.{prompt, completion}`, text in USD per token; Together
`context_length` and `pricing.{input, output}`, USD per million; Groq `context_window`; Mistral `max_context_length`;
llama.cpp `meta.n_ctx`, which is what it was started with, or else `meta.n_ctx_train`, what the model was made for; LM
Studio `loaded_context_length`. What a server was started with comes first.
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
    metadata = _object(entry.get("metadata"))
    pricing = metadata.get("pricing") or entry.get("pricing")
    return ListedModel(_price(pricing), _context_length(metadata, _object(entry.get("meta")), entry))


def _context_length(metadata: Mapping[str, Any], meta: Mapping[str, Any], entry: Mapping[str, Any]) -> int | None:
    """The first of the lengths that an entry has, in their order."""
    lengths = (
        metadata.get("context_length"),
        *map(entry.get, ("max_model_len", "loaded_context_length")),
        meta.get("n_ctx"),
        *map(entry.get, ("context_length", "context_window", "max_context_length", "max_input_tokens")),
        *map(meta.get, ("context_length", "n_ctx_train")),
    )
    return next((length for value in lengths if (length := _tokens(value)) is not None), None)


def _tokens(value: Any) -> int | None:
    """`value` as a number of tokens, which some write as text or as 8192.0."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < _MAX_CHARS:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 < value <= _MAX_TOKENS else None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


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
