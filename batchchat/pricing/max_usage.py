"""The most a request may cost, before it is sent; pure.

A prompt has at most as many tokens as its text has bytes in UTF-8, and 16 a message for role and delimiters. Where more
than text goes in (tool calls, tools, a schema, names), the bytes of the whole body stand for it: they hold all of that,
keys and quotes included. A reply has at most `max_tokens`, or `max_completion_tokens`; where both are set, the larger.
An image or a sound has no bound, nor has a reply without either.

On the way of every row of a job whose price is known: measured 1.1 us a row of 0.7 KB, where a row costs some 200.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from batchchat.core.attempt import MaxUsage
from batchchat.core.conversation import Message
from batchchat.core.price import Price
from batchchat.tokens.reply_limit import max_reply_tokens

__all__ = ["HighestPriceOf", "UsageBounds"]

_MILLION = Decimal(1_000_000)
_TOKENS_A_MESSAGE = 16
_PLAIN_KEYS = 2  # role and content
_WORDS = frozenset({"text", "refusal", "thinking"})


HighestPriceOf = Callable[[str, str | None], Price | None]
"""(model, service tier) -> the price a request is reckoned with; None where nobody knows."""


class UsageBounds:
    """Knows the worst case of requests at the prices that `highest_price_of` tells."""

    def __init__(self, highest_price_of: HighestPriceOf) -> None:
        self._highest_price_of = highest_price_of
        self._model: str | None = None
        self._prompt_usd = self._reply_usd = Decimal(0)
        self._priced = False
        self._params: Mapping[str, Any] | None = None
        self._reply: int | None = None
        self._plain = False

    def __call__(self, model: str, messages: list[Message], params: Mapping[str, Any], body_bytes: int) -> MaxUsage:
        """The worst case of a request whose body has `body_bytes`; None is what has no bound."""
        if params is not self._params or model != self._model:  # most rows have the job's own
            self._price(model, params.get("service_tier"))
            self._params, self._reply = params, max_reply_tokens(params)
            self._plain = not any(isinstance(value, dict | list) for value in params.values())
        reply = self._reply
        prompt = _prompt_tokens(messages, body_bytes, plain=self._plain)
        if prompt is None or reply is None or not self._priced:
            return MaxUsage(prompt, reply, None)
        return MaxUsage(prompt, reply, prompt * self._prompt_usd + reply * self._reply_usd)

    def _price(self, model: str, tier: Any) -> None:
        self._model, price = model, self._highest_price_of(model, tier if isinstance(tier, str) else None)
        self._priced = price is not None
        if price is not None:
            dearest = price.input if price.cached_input is None else max(price.input, price.cached_input)
            self._prompt_usd, self._reply_usd = dearest / _MILLION, price.output / _MILLION


def _prompt_tokens(messages: list[Message], body_bytes: int, *, plain: bool) -> int | None:
    """`plain`: nothing but messages is in the body that could become tokens."""
    tokens = _TOKENS_A_MESSAGE * len(messages)
    for message in messages:
        content = message.get("content")
        if type(content) is not str or len(message) != _PLAIN_KEYS:
            break
        tokens += len(content) if content.isascii() else len(content.encode("utf-8", "surrogatepass"))
    else:
        if plain:
            return tokens
    if not all(_is_words(message) for message in messages):
        return None
    return _TOKENS_A_MESSAGE * len(messages) + body_bytes


def _is_words(message: Message) -> bool:
    """Whether a message holds text alone."""
    content = message.get("content")
    if "audio" in message:
        return False
    if not isinstance(content, list):
        return True
    return all(isinstance(part, str) or (isinstance(part, dict) and part.get("type") in _WORDS) for part in content)
