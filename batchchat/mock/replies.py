"""The reply to a request: JSON where that is wanted, or that of DeepInfra's model page, or prose.

The page's reply is given where the conversation is the page's. A reply depends on the request's content and the seed,
never on when it arrived, nor on how it is delivered.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from batchchat.mock.bad_json import spoil
from batchchat.mock.chance import draw
from batchchat.mock.json_values import ValueWriter
from batchchat.mock.prose import write_prose
from batchchat.mock.request import RefusedRequest
from batchchat.mock.usage import CHARS_PER_TOKEN, MockUsage, count_text, usage_of

if TYPE_CHECKING:
    from batchchat.mock.request import MockRequest

__all__ = ["MockReply", "empty_reply", "reply_to"]

SPREAD = 0.6  # sigma of the lognormal length: one reply in a hundred is four times the median
MAX_REPLY_TOKENS = 16384  # DeepInfra's hard cap


@dataclass(frozen=True, slots=True)
class MockReply:
    """The assistant's reply, streamed or not."""

    text: str
    finish_reason: str
    usage: MockUsage


_HELLO: list[dict[str, Any]] = [{"role": "user", "content": "Hello!"}]
_CHEF: list[dict[str, Any]] = [
    {"role": "system", "content": "Respond like a michelin starred chef."},
    {"role": "user", "content": "Can you name at least two different techniques to cook lamb?"},
    {
        "role": "assistant",
        "content": "Bonjour! Let me tell you, my friend, cooking lamb is an art form, and I'm more than "
        "happy to share with you not two, but three of my favorite techniques to coax out the rich, unctuous "
        "flavors and tender textures of this majestic protein. First, we have the classic "
        '"Sous Vide" method. Next, we have the ancient art of "Sous le Sable". '
        'And finally, we have the more modern technique of "Hot Smoking."',
    },
    {"role": "user", "content": "Tell me more about the second method."},
]
_HELLO_REPLY = MockReply(
    " Hello! It's nice to meet you. Is there something I can help you with or would you like to chat for a bit?",
    "stop",
    MockUsage(15, 16, 26_800),
)
_CHEF_REPLY = MockReply(
    "Sous le Sable, my friend! It's an ancient technique that's been used for centuries in the Middle East "
    "and North Africa. The name itself...",
    "stop",
    MockUsage(149, 338, 354_930),
)

# By the last message, so that a request which is not of the page costs one look-up.
_PAGE = {
    "Hello!": (_HELLO, _HELLO_REPLY),
    "Tell me more about the second method.": (_CHEF, _CHEF_REPLY),
}


def reply_to(request: MockRequest, seed: int, median_tokens: int, *, bad_json: bool = False) -> MockReply:
    """The reply to `request`; within its `max_tokens`, `finish_reason` being `length` where that cut it.

    With `bad_json`, JSON is spoiled, and billed as it is sent. Raises `RefusedRequest` for a schema that is none.
    """
    if request.json_schema is not None:
        return _from_schema(request, request.json_schema, seed, bad_json=bad_json)
    return _from_page(request) or _from_prose(request, seed, median_tokens)


def empty_reply(request: MockRequest) -> MockReply:
    """A reply without text, whose prompt is billed."""
    return MockReply("", "stop", usage_of(request.prompt_tokens, 0))


def _from_page(request: MockRequest) -> MockReply | None:
    last = request.messages[-1].get("content")
    exchange = _PAGE.get(last) if isinstance(last, str) else None
    if exchange is None or request.messages != exchange[0]:
        return None
    reply = exchange[1]
    fits = request.max_tokens is None or reply.usage.completion_tokens <= request.max_tokens
    return reply if fits else None


def _from_prose(request: MockRequest, seed: int, median_tokens: int) -> MockReply:
    random = _random_of(request, seed)
    tokens = min(int(random.lognormvariate(math.log(median_tokens), SPREAD)) + 1, MAX_REPLY_TOKENS)
    limit = _limit(request)
    # No text past the limit is sent; one more sentence is written to tell a cut reply from one that just fits.
    return _limited(write_prose(min(tokens, limit) * CHARS_PER_TOKEN, random.getrandbits), request)


def _from_schema(request: MockRequest, schema: dict[str, Any], seed: int, *, bad_json: bool) -> MockReply:
    random = _random_of(request, seed)
    try:
        value = ValueWriter(schema, random).write(schema)
        text = spoil(value, schema, random) if bad_json else json.dumps(value, ensure_ascii=False)
    except (AttributeError, ArithmeticError, TypeError, ValueError) as error:
        message = f"Invalid schema for response_format: {error}"
        raise RefusedRequest(400, {"error": {"message": message, "type": "invalid_request_error"}}) from None
    return _limited(text, request)


def _random_of(request: MockRequest, seed: int) -> Random:
    return Random(draw("reply", seed, request.content))


def _limit(request: MockRequest) -> int:
    return min(request.max_tokens or MAX_REPLY_TOKENS, MAX_REPLY_TOKENS)


def _limited(text: str, request: MockRequest) -> MockReply:
    """The reply of this text, cut where it is longer than the request allows."""
    limit = _limit(request)
    used = count_text(text)
    if used <= limit:
        return MockReply(text, "stop", usage_of(request.prompt_tokens, used))
    return MockReply(text[: limit * CHARS_PER_TOKEN], "length", usage_of(request.prompt_tokens, limit))
