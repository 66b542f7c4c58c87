from __future__ import annotations

from typing import Any

import pytest

from batchchat.mock import MockOptions, MockServer


def test_the_key_is_never_shown() -> None:
    """Neither the options nor the server show the API key."""
    options = MockOptions(api_key="sk-very-secret")
    assert "secret" not in repr(options)
    assert "secret" not in repr(MockServer(options))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("latency_s", -1),
        ("latency_jitter_s", float("inf")),
        ("slow_s", float("nan")),
        ("max_concurrent", 0),
        ("rate_limit", 0),
        ("tpm_rate_limit", 0),
        ("context_length", 0),
        ("reply_tokens", 0),
        ("api_key", ""),
        ("refused_formats", ("json",)),
        ("price_share", (1.0, 0.5)),
        ("price_share", (-0.1, 0.5)),
        ("price_share", (0.0, float("inf"))),
    ],
)
def test_nonsense_is_refused_by_name(name: str, value: Any) -> None:
    """A value that can't be meant is refused with the option's name."""
    with pytest.raises(ValueError, match=f"^{name} is"):
        MockOptions(**{name: value})
