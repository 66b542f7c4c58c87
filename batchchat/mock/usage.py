"""Tokens and money of one answer.

Tokens are counted by a rule, not a tokenizer: 4 characters to a token, a few more for each message. Money is
a whole number of nano-USD (1e-9), so sums are exact and `request-costs` can be true to what `usage` said.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

__all__ = [
    "CHARS_PER_TOKEN",
    "INPUT_NANO_USD",
    "OUTPUT_NANO_USD",
    "MockUsage",
    "count_prompt",
    "count_text",
    "per_million_usd",
    "plain_usd",
    "usage_of",
]

CHARS_PER_TOKEN = 4
MESSAGE_TOKENS = 4  # role and delimiters
PROMPT_TOKENS = 3  # the opening of the reply
PART_TOKENS = 256  # an image or sound, whatever its size

# Per token. About what the two answers on DeepInfra's page cost ($0.73 and $0.86 per million), and odd, so that sums
# have digits.
INPUT_NANO_USD = 761
OUTPUT_NANO_USD = 839


@dataclass(frozen=True, slots=True)
class MockUsage:
    """What an answer used and costs."""

    prompt_tokens: int
    completion_tokens: int
    cost_nano_usd: int


def usage_of(prompt_tokens: int, completion_tokens: int) -> MockUsage:
    """The usage at the mock's prices."""
    cost = prompt_tokens * INPUT_NANO_USD + completion_tokens * OUTPUT_NANO_USD
    return MockUsage(prompt_tokens, completion_tokens, cost)


def count_text(text: str) -> int:
    """Tokens of a text, the last one perhaps a short one."""
    return -(-len(text) // CHARS_PER_TOKEN)


def count_prompt(messages: list[dict[str, Any]], tools: Any = None) -> int:
    """Tokens of a conversation as it is sent."""
    tokens = PROMPT_TOKENS
    for message in messages:
        tokens += MESSAGE_TOKENS + _count_content(message.get("content"))
        if "tool_calls" in message:
            tokens += _count_json(message["tool_calls"])
    return tokens + _count_json(tools) if tools else tokens


def _count_content(content: Any) -> int:
    if isinstance(content, str):
        return count_text(content)
    if not isinstance(content, list):
        return 0
    texts = [part.get("text") if isinstance(part, dict) else part for part in content]
    return sum(count_text(text) if isinstance(text, str) else PART_TOKENS for text in texts)


def _count_json(value: Any) -> int:
    return len(orjson.dumps(value)) // CHARS_PER_TOKEN


def plain_usd(nano_usd: int) -> str:
    """Nano-USD as a decimal of USD without exponent or idle zeros: 26800 is `0.0000268`."""
    text = format(Decimal(nano_usd).scaleb(-9), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def per_million_usd(nano_usd: int) -> float:
    """A price per token in nano-USD as one per million tokens in USD."""
    return nano_usd / 1000
