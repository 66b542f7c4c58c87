"""What headers say of limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from batchchat.core.attempt import Quota
from batchchat.endpoint.quota import Allowance, read_allowance, read_quota


@pytest.mark.parametrize(
    ("headers", "quota"),
    [
        ({}, None),
        ({"Retry-After": "3"}, None),
        (
            {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-tokens": "149984",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            Quota(59, 1.0, 149984, 360.0),
        ),
        (
            {"X-RateLimit-Remaining-Requests": "14370", "X-RateLimit-Reset-Requests": "2m59.56s"},
            Quota(14370, 179.56, None, 179.56),
        ),
        ({"x-ratelimit-remaining": "2", "x-ratelimit-reset": "7"}, Quota(2, 7.0, None, 7.0)),
        ({"x-ratelimit-remaining": "2", "x-ratelimit-reset": "1700000005000"}, Quota(2, 5.0, None, 5.0)),
        ({"x-ratelimit-remaining": "2", "x-ratelimit-reset": "1699999000"}, Quota(2, 0.0, None, 0.0)),
        (
            {
                "llm_provider-x-ratelimit-remaining-requests": "9.0",
                "llm_provider-x-ratelimit-reset-requests": "120ms",
            },
            Quota(9, 0.12, None, 0.12),
        ),
        ({"x-ratelimit-remaining-requests": "-1", "x-ratelimit-reset-requests": "-5s"}, Quota()),
        ({"x-ratelimit-remaining-requests": "nan", "x-ratelimit-reset-requests": "inf"}, Quota()),
        ({"x-ratelimit-remaining-tokens": "9" * 400, "x-ratelimit-reset-tokens": "9" * 400 + "s"}, Quota()),
        ({"x-ratelimit-remaining-tokens": "7", "x-ratelimit-reset-tokens": "1d2h"}, Quota(None, None, 7, 93_600.0)),
        ({"x-ratelimit-remaining-tokens": "7", "x-ratelimit-reset-tokens": "soon"}, Quota(tokens=7)),
        ({"x-ratelimit-remaining-tokens": "7", "x-ratelimit-reset-tokens": ""}, Quota(tokens=7)),
    ],
)
def test_each_spelling_is_read(headers: dict[str, str], quota: Quota | None) -> None:
    """OpenAI's, Groq's, Together's, OpenRouter's and LiteLLM's; what makes no sense is not said."""
    found = read_quota(CIMultiDict(headers), lambda: 1_700_000_000.0)
    assert found == quota or (found is not None and quota is not None and found == pytest.approx(quota))


@given(st.text(max_size=50), st.text(max_size=50))
def test_no_header_breaks_it(left: str, reset: str) -> None:
    """Whatever stands there, what is read is None or a finite number of 0 or more."""
    found = read_quota({"x-ratelimit-remaining": left, "x-ratelimit-reset": reset})
    assert found is not None
    assert all(value is None or 0 <= value < float("inf") for value in found)


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        ({"rate_limit": 200, "tpm_rate_limit": 1_000_000}, Allowance(200, 1_000_000)),
        ({"rate_limit": 200, "tpm_rate_limit": None}, Allowance(200, None)),
        ({"rate_limit": True, "tpm_rate_limit": -1}, None),
        ({"rate_limit": 0.5}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
def test_an_allowance_is_read(payload: object, found: Allowance | None) -> None:
    """DeepInfra's answer; anything else is none."""
    assert read_allowance(payload) == found
