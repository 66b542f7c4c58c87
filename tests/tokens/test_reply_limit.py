"""The limit that parameters set on a reply."""

from __future__ import annotations

from typing import Any

import pytest

from batchchat.tokens.reply_limit import max_reply_tokens


@pytest.mark.parametrize(
    ("params", "limit"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "n": 3}, 15),
        ({"max_tokens": None, "max_completion_tokens": 2}, 2),
        ({}, None),
        ({"max_tokens": None}, None),
        ({"max_tokens": 0}, None),
        ({"max_tokens": "512"}, None),
        ({"max_tokens": True}, None),
        ({"max_tokens": 5, "max_completion_tokens": -1}, None),
    ],
)
def test_the_limit_is_the_one_that_is_set(params: dict[str, Any], limit: int | None) -> None:
    """The larger of two, times the choices; None without one or where a value is not a positive integer."""
    assert max_reply_tokens(params) == limit
