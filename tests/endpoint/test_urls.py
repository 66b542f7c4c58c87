"""The addresses that follow from a base URL."""

from __future__ import annotations

import pytest

from batchchat.endpoint.urls import allowance_url, completions_url, costs_url, models_url


def test_the_query_is_kept() -> None:
    """Azure's api-version follows the path; a slash at the end of the base URL makes no difference."""
    assert completions_url("https://x/v1/openai/") == "https://x/v1/openai/chat/completions"
    assert completions_url("https://x/openai?api-version=1") == "https://x/openai/chat/completions?api-version=1"
    assert models_url("https://x/openai/?api-version=1") == "https://x/openai/models?api-version=1"


@pytest.mark.parametrize(
    ("base_url", "v1"),
    [
        ("https://api.deepinfra.com/v1/openai", "https://api.deepinfra.com/v1"),
        ("http://localhost:8010/v1", "http://localhost:8010/v1"),
        ("http://proxy/deep/v1/openai?x=1", "http://proxy/deep/v1"),
        ("http://host/openai", "http://host/v1"),
    ],
)
def test_limits_and_costs_are_next_to_v1(base_url: str, v1: str) -> None:
    """The account's limits and bills are at the `/v1` of the base URL, without its query."""
    assert allowance_url(base_url) == f"{v1}/me/rate_limit"
    assert costs_url(base_url) == f"{v1}/request-costs"
