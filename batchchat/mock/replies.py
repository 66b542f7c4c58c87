"""The reply to a request: the founding page's where the conversation is the page's, otherwise prose.

A reply depends on the request's content and the seed, on nothing else: neither on when it came, nor on how it
is delivered. One exception is the page's own: its streamed answer to "Hello!" is another text than the plain
one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from batchchat.mock.chance import drawn
from batchchat.mock.prose import write_prose
from batchchat.mock.usage import CHARS_PER_TOKEN, MockUsage, count_text, usage_of

if TYPE_CHECKING:
    from batchchat.mock.asked import MockRequest

__all__ = ["MockReply", "empty_reply", "reply_to"]

SPREAD = 0.6  # sigma of the lognormal length: one reply in a hundred is four times the median
LONGEST_TOKENS = 16384  # DeepInfra's hard cap


@dataclass(frozen=True, slots=True)
class MockReply:
    """What the assistant says. `deltas`, where given, are the pieces it is streamed in."""

    text: str
    finish_reason: str
    usage: MockUsage
    deltas: tuple[str, ...] | None = None


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
_HELLO_DELTAS = (" ", " Hi", "!", "", "</s>")
_HELLO_STREAM = MockReply("".join(_HELLO_DELTAS), "stop", usage_of(15, len(_HELLO_DELTAS)), _HELLO_DELTAS)
_CHEF_REPLY = MockReply(
    "Sous le Sable, my friend! It's an ancient technique that's been used for centuries in the Middle East "
    "and North Africa. The name itself...",
    "stop",
    MockUsage(149, 338, 354_930),
)

# By the last message, so that a request which is not of the page costs one look-up: (conversation, plain,
# streamed).
_PAGE = {
    "Hello!": (_HELLO, _HELLO_REPLY, _HELLO_STREAM),
    "Tell me more about the second method.": (_CHEF, _CHEF_REPLY, _CHEF_REPLY),
}


def reply_to(asked: MockRequest, seed: int, median_tokens: int) -> MockReply:
    """The reply to `asked`; within its `max_tokens`, `finish_reason` being `length` where that cut it."""
    return _from_page(asked) or _from_prose(asked, seed, median_tokens)


def empty_reply(asked: MockRequest) -> MockReply:
    """A reply without a word, its prompt paid for."""
    return MockReply("", "stop", usage_of(asked.prompt_tokens, 0))


def _from_page(asked: MockRequest) -> MockReply | None:
    last = asked.messages[-1].get("content")
    found = _PAGE.get(last) if isinstance(last, str) else None
    if found is None or asked.messages != found[0]:
        return None
    reply = found[2] if asked.stream else found[1]
    fits = asked.max_tokens is None or reply.usage.completion_tokens <= asked.max_tokens
    return reply if fits else None


def _from_prose(asked: MockRequest, seed: int, median_tokens: int) -> MockReply:
    random = Random(drawn("reply", seed, asked.content))
    tokens = min(int(random.lognormvariate(math.log(median_tokens), SPREAD)) + 1, LONGEST_TOKENS)
    limit = min(asked.max_tokens or LONGEST_TOKENS, LONGEST_TOKENS)
    # Not a word past the limit is written; the one sentence more tells a cut reply from one that just fits.
    text = write_prose(min(tokens, limit) * CHARS_PER_TOKEN, random.getrandbits)
    used = count_text(text)
    if used <= limit:
        return MockReply(text, "stop", usage_of(asked.prompt_tokens, used))
    return MockReply(text[: limit * CHARS_PER_TOKEN], "length", usage_of(asked.prompt_tokens, limit))
