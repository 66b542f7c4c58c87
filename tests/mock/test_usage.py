from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.mock.usage import count_prompt, count_text, plain_usd, usage_of


@given(st.integers(0, 10**15 - 1))
def test_a_cost_survives_the_clients_float(nano_usd: int) -> None:
    """The decimal is plain and exact, and a float read from it prints as the same decimal."""
    text = plain_usd(nano_usd)
    assert Decimal(text) == Decimal(nano_usd).scaleb(-9)
    assert Decimal(repr(float(text))) == Decimal(text)
    assert "e" not in text.lower()


@pytest.mark.parametrize(
    ("nano_usd", "text"),
    [
        (0, "0"),
        (26_800, "0.0000268"),
        (354_930, "0.00035493"),
        (10**9, "1"),
        (100 * 10**9, "100"),
        (1, "0.000000001"),
    ],
)
def test_a_cost_is_written_without_idle_zeros(nano_usd: int, text: str) -> None:
    """Whole dollars keep their zeros, fractions lose theirs."""
    assert plain_usd(nano_usd) == text


def test_cost_is_price_times_tokens() -> None:
    """A million tokens in and a million out cost the two prices."""
    assert usage_of(10**6, 10**6).cost_nano_usd == 1_600_000_000


@given(st.text())
def test_tokens_are_four_characters(text: str) -> None:
    """Characters are counted in fours, the last token perhaps short."""
    assert 4 * count_text(text) - 4 < max(1, len(text)) <= max(1, 4 * count_text(text))


def test_a_prompt_counts_whatever_it_holds() -> None:
    """Texts, parts, images, tool calls and tools each add tokens; null content adds none."""
    plain = count_prompt([{"role": "user", "content": "x" * 40}])
    assert plain == 3 + 4 + 10
    parts = [{"type": "text", "text": "x" * 40}, {"type": "image_url", "image_url": {"url": "u"}}]
    assert count_prompt([{"role": "user", "content": parts}]) == plain + 256
    assert count_prompt([{"role": "assistant", "content": None}]) == 7
    assert count_prompt([{"role": "assistant", "content": None, "tool_calls": [{"id": "call_1"}]}]) > 7
    assert count_prompt([{"role": "user", "content": "x" * 40}], [{"type": "function"}]) > plain
