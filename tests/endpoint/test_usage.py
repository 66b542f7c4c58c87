"""Tokens and costs are read in every spelling, and only where they can be what they say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.attempt import Usage
from batchchat.endpoint.usage import read_usage

CACHE = {"cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000}
COUNTS = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


@pytest.mark.parametrize(
    ("reported", "tokens"),
    [
        *[(12, 12), (12.0, 12), (0, 0), ("12", 12), (" 12 ", 12), ("12.0", 12), ("1e2", 100)],
        *[(-1, None), (1.5, None), ("1.5", None), (True, None), (None, None), ("", None), ("many", None)],
        *[(10**9, 10**9), (10**9 + 1, None), (1 << 63, None), (10**400, None), ("9" * 5000, None), ("NaN", None)],
        *[(float("inf"), None), ([12], None), ("1_000", None)],
    ],
)
def test_tokens_are_counts(reported: Any, tokens: int | None) -> None:
    """A whole number that one answer can have, as a number or as text, else nothing."""
    usage = read_usage(
        {
            "usage": {
                "prompt_tokens": reported,
                "completion_tokens": reported,
                "total_tokens": reported,
                "prompt_tokens_details": {"cached_tokens": reported},
                "completion_tokens_details": {"reasoning_tokens": reported},
            }
        }
    )
    assert usage == Usage(tokens, tokens, tokens, tokens, tokens, None)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 10, "output_tokens": 5}, Usage(10, 5)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "input_tokens": 10, "output_tokens": 5}, Usage(10, 5)),
        ({"prompt_tokens": 10, "total_tokens": 15}, Usage(10, 5, 15)),
        ({"completion_tokens": 5, "total_tokens": 15}, Usage(10, 5, 15)),
        ({"prompt_tokens": 10, "total_tokens": 9}, Usage(10, None, 9)),
        ({"total_tokens": 9}, Usage(None, None, 9)),
        ({**COUNTS, "cached_tokens": 8}, Usage(10, 5, 15, 8)),
        ({**COUNTS, "prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 2}, Usage(10, 5, 15, 8)),
        ({**COUNTS, "prompt_tokens_details": {"cached_tokens": 3}, "cached_tokens": 8}, Usage(10, 5, 15, 3)),
        (
            {
                "input_tokens": 10,
                "output_tokens": 5,
                "input_tokens_details": {"cached_tokens": 3},
                "output_tokens_details": {"reasoning_tokens": 2},
            },
            Usage(10, 5, None, 3, 2),
        ),
        ({**COUNTS, "prompt_tokens_details": 5, "completion_tokens_details": []}, Usage(10, 5, 15)),
    ],
)
def test_every_spelling_of_tokens(usage: dict[str, Any], expected: Usage) -> None:
    """OpenAI's names and those of its newer interface, Moonshot's, DeepSeek's; a missing count is total less other."""
    assert read_usage({"usage": usage}) == expected


@pytest.mark.parametrize(
    ("usage", "prompt", "completion"),
    [
        ({"prompt_tokens": 20, "completion_tokens": 151, "total_tokens": 553}, 20, 533),  # Gemini
        ({"prompt_tokens": 10120, "completion_tokens": 1499, "total_tokens": 14428}, 10120, 4308),  # xAI
        (COUNTS, 10, 5),
        ({**COUNTS, "total_tokens": 12}, 10, 5),
        ({"prompt_tokens": 10, "completion_tokens": 5}, 10, 5),
        # Anthropic's own form, and a gateway that adds up its total of it
        (
            {
                "input_tokens": 10,
                "output_tokens": 5,
                "cache_creation_input_tokens": 100,
                "cache_read_input_tokens": 1000,
            },
            1110,
            5,
        ),
        (
            {**COUNTS, "total_tokens": 1115, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000},
            1110,
            5,
        ),
        # A gateway whose count of the prompt has the cache in it
        ({**COUNTS, "cache_creation_input_tokens": 1, "cache_read_input_tokens": 8}, 10, 5),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cache_read_input_tokens": 8}, 10, 5),
        # Both
        (
            {**COUNTS, "total_tokens": 1125, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000},
            1110,
            15,
        ),
    ],
)
def test_what_only_the_total_has_is_billed(usage: dict[str, Any], prompt: int, completion: int) -> None:
    """Reasoning outside of the reply's count is billed as reply, a cache outside of the prompt's as prompt."""
    read = read_usage({"usage": usage})
    assert read is not None
    assert (read.billed_prompt_tokens, read.billed_completion_tokens) == (prompt, completion)
    assert read.prompt_tokens == usage.get("prompt_tokens", usage.get("input_tokens"))
    assert read.completion_tokens == usage.get("completion_tokens", usage.get("output_tokens"))


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"estimated_cost": 0.0000268}, 0.0000268),
        ({"cost": 0.5}, 0.5),
        ({"cost": 0}, 0.0),
        ({"estimated_cost": 0.1, "cost": 0.5}, 0.1),
        ({"estimated_cost": None, "cost": 0.5}, 0.5),
        ({"estimated_cost": "0.1"}, 0.1),
        ({"cost": "3.4e-05"}, 0.000034),
        ({"cost_in_usd_ticks": 232856000}, 0.0232856),
        ({"cost_in_usd_ticks": "232856000"}, 0.0232856),
        ({"cost": {"total_cost": 0.006, "request_cost": 0.005}}, 0.006),
        ({"cost": {"total_cost": "0.006", "currency": "usd"}}, 0.006),
        ({"cost": {"total_cost": 0.006, "currency": "EUR"}}, None),
        ({"cost": {"input_tokens_cost": 0.006}}, None),
        ({"total_cost": 0.02}, 0.02),
        ({"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.0360795}}, 0.0360795),
        ({"cost": 0.002, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.036}}, 0.038),
        ({"cost": 0, "is_byok": True}, None),
        ({"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, None),
        ({"cost": 0.002, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.002}}, 0.002),
        ({"cost": 0, "cost_details": {"upstream_inference_cost": 0.002}}, 0.002),
        ({"estimated_cost": -0.1}, None),
        ({"estimated_cost": True}, None),
        ({"estimated_cost": float("nan")}, None),
        ({"estimated_cost": float("inf")}, None),
        ({"estimated_cost": 10**400}, None),
        ({"estimated_cost": 1e20}, None),
        ({"estimated_cost": 10_001}, None),
        ({"cost": "1e400"}, None),
        ({"cost_in_usd_ticks": 10**15}, None),
        ({"estimated_cost": {}, "prompt_tokens_details": 5}, None),
    ],
)
def test_a_cost_is_what_was_reported_or_nothing(usage: dict[str, Any], cost: float | None) -> None:
    """In every spelling, to the last digit; booleans, negatives, NaN and what no answer costs are no cost."""
    read = read_usage({"usage": usage})
    assert read is not None
    assert read.cost_usd == cost


def test_the_cost_in_a_header() -> None:
    """LiteLLM's header is the cost where the body has none, and where it has no usage at all."""
    headers = {"x-litellm-response-cost": "3.4e-05"}
    assert read_usage({"usage": COUNTS}, headers) == Usage(10, 5, 15, cost_usd=0.000034)
    assert read_usage({}, headers) == Usage(cost_usd=0.000034)
    assert read_usage({"usage": {**COUNTS, "cost": 0.5}}, headers) == Usage(10, 5, 15, cost_usd=0.5)
    assert read_usage({}, {"x-litellm-response-cost": "None"}) is None
    assert read_usage({"usage": COUNTS, "cost": 0.25}) == Usage(10, 5, 15, cost_usd=0.25)


@pytest.mark.parametrize("usage", [None, [], "12", 12])
def test_without_usage_nothing_is_reported(usage: Any) -> None:
    """A usage that is missing or no object is none."""
    assert read_usage({"usage": usage}) is None
    assert read_usage({}) is None


VALUES = st.none() | st.integers() | st.floats() | st.text(max_size=5) | st.booleans()
NAMES = ["prompt_tokens", "completion_tokens", "total_tokens", "cost", "cost_details", "is_byok", "cached_tokens"]


@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_whatever_it_is_it_is_read(usage: dict[str, Any]) -> None:
    """No value of a usage is an error, and what comes of it can be counted."""
    read = read_usage({"usage": usage})
    assert read is not None
    assert all(count is None or count >= 0 for count in read)
