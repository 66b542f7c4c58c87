"""What lists of models say, as providers spell them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.price import Price
from batchchat.endpoint.model_list import read_listing
from batchchat.pricing.rates import ListedModel


def usd(given_in: str, out: str, hit: str | None = None) -> Price:
    return Price(Decimal(given_in), Decimal(out), None if hit is None else Decimal(hit))


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            {"metadata": {"context_length": 65536, "pricing": {"input_tokens": 0.48, "output_tokens": 0.49}}},
            ListedModel(usd("0.48", "0.49"), 65536),
        ),
        ({"metadata": None}, ListedModel(None, None)),
        ({"max_model_len": 8192}, ListedModel(None, 8192)),
        (
            {"context_length": 4096, "pricing": {"prompt": "0.00000048", "completion": "0.0000005"}},
            ListedModel(usd("0.48", "0.50"), 4096),
        ),
        (
            {"pricing": {"prompt": "0.000001", "completion": "0.000002", "input_cache_read": "0.0000001"}},
            ListedModel(usd("1", "2", "0.1"), None),
        ),
        ({"pricing": {"prompt": "-1", "completion": "-1"}}, ListedModel(None, None)),
        (
            {"context_length": 131072, "pricing": {"input": 0.88, "output": 0.88}},
            ListedModel(usd("0.88", "0.88"), 131072),
        ),
        ({"context_window": 131072}, ListedModel(None, 131072)),
        ({"context_length": True, "pricing": {"input": "free", "output": 0}}, ListedModel(None, None)),
        ({"context_length": 0, "pricing": []}, ListedModel(None, None)),
        ({"meta": {"n_ctx": 4096, "n_ctx_train": 131072}}, ListedModel(None, 4096)),
        ({"meta": {"n_ctx_train": 131072}}, ListedModel(None, 131072)),
        ({"max_context_length": "32768"}, ListedModel(None, 32768)),
        ({"max_context_length": 131072, "loaded_context_length": 4096.0}, ListedModel(None, 4096)),
        ({"max_model_len": float("inf"), "meta": [4096]}, ListedModel(None, None)),
    ],
    ids=[
        "DeepInfra",
        "no metadata",
        "vLLM",
        "OpenRouter",
        "cached",
        "varies",
        "Together",
        "Groq",
        "nonsense",
        "empty",
        "llama.cpp",
        "of old",
        "text",
        "LM Studio",
        "no numbers",
    ],
)
def test_the_spellings(entry: dict[str, Any], expected: ListedModel) -> None:
    """Each provider's own, in USD per million and to the digit; what is no number is not said."""
    assert read_listing({"object": "list", "data": [{"id": "m", **entry}]}) == {"m": expected}


def test_a_bare_list_is_one() -> None:
    """Together sends no object around it; what has no id is passed over."""
    assert read_listing([{"id": "m", "max_model_len": 5}, {"max_model_len": 6}, 7]) == {"m": ListedModel(None, 5)}


@pytest.mark.parametrize("payload", [None, {}, {"data": {}}, "models", 7])
def test_what_is_no_list(payload: Any) -> None:
    """It says nothing, and breaks nothing."""
    assert read_listing(payload) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(
    ["id", "metadata", "pricing", "context_length", "max_model_len", "prompt", "completion", "input"]
)


@given(st.lists(st.dictionaries(keys, json_values | st.dictionaries(keys, json_values), max_size=5), max_size=3))
def test_any_answer_is_read(data: list[Any]) -> None:
    """Whatever an endpoint sends: each entry with an id is listed; its length and prices make sense or are absent."""
    listing = read_listing({"data": data})
    assert listing is not None
    assert set(listing) == {entry["id"] for entry in data if isinstance(entry.get("id"), str)}
    for model in listing.values():
        assert model.context_length is None or 0 < model.context_length <= 10**9
        if model.price is not None:
            price = model.price
            assert all(usd is None or 0 <= usd <= 10**6 for usd in (price.input, price.output, price.cached_input))
