"""Whether a conversation fits a model's context, before it is sent; pure.

A prompt has at most as many tokens as its request has bytes, plus those of the chat template. Where that bound fits,
nothing is counted (0.3 us a row); only longer prompts are counted, and the tokenizer is loaded for the first of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from batchchat.core.attempt import Request
from batchchat.text import numbers
from batchchat.tokens.reply_limit import max_reply_tokens

if TYPE_CHECKING:
    from batchchat.tokens.tokenizer import Tokenizer

__all__ = ["ContextWindow", "TooLong"]

_TEMPLATE_TOKENS = 64  # more than Vicuna's default system message and the opening of the reply have
_TEMPLATE_TOKENS_PER_MESSAGE = 16
_MAX_TOKENIZERS = 1_000


class TooLong(NamedTuple):
    """A conversation that does not fit its model's context.

    `max_reply_tokens` is the limit that its request sets on the reply, None where it sets none. `exact` says whether
    `prompt_tokens` is exact, `counted_by` the name of the tokenizer.
    """

    prompt_tokens: int
    max_reply_tokens: int | None
    context_length: int
    exact: bool
    counted_by: str

    @property
    def description(self) -> str:
        """The token counts and the context they exceed, as a row's error and `validate` show them."""
        about = "" if self.exact else "about "
        tokens = f"{about}{numbers.count(self.prompt_tokens)} prompt tokens"
        if self.prompt_tokens < self.context_length and self.max_reply_tokens is not None:
            tokens += f" and up to {numbers.count(self.max_reply_tokens)} of the reply"
        return f"{tokens} do not fit the context of {numbers.count(self.context_length)} tokens"


class ContextWindow:
    """Checks requests against the context of their model.

    `length_of` gives a model's context length in tokens, None where it is unknown; `tokenizer_of` gives its tokenizer.
    """

    def __init__(self, length_of: Callable[[str], int | None], tokenizer_of: Callable[[str], Tokenizer]) -> None:
        self._length_of = length_of
        self._tokenizer_of = tokenizer_of
        self._params: Mapping[str, Any] | None = None
        self._max_reply_tokens: int | None = None
        self._tokenizers: dict[str, Tokenizer] = {}

    def too_long(self, request: Request, params: Mapping[str, Any]) -> TooLong | None:
        """How `request` exceeds its model's context; None where it fits or the context length is unknown."""
        length = self._length_of(request.model)
        if length is None:
            return None
        if params is not self._params:  # most rows use the job's params object itself
            self._params, self._max_reply_tokens = params, max_reply_tokens(params)
        reply = self._max_reply_tokens
        max_prompt = len(request.body) + _TEMPLATE_TOKENS + _TEMPLATE_TOKENS_PER_MESSAGE * len(request.messages)
        if max_prompt + (reply or 0) <= length:
            return None
        tokenizer = self.tokenizer(request.model)
        tools = params.get("tools")
        tokens = tokenizer.count(request.messages, tools)
        if tokens < length and tokens + (reply or 0) <= length:
            return None
        exact = tokenizer.exact_for(request.messages, tools)
        return TooLong(tokens, reply, length, exact, tokenizer.name)

    def tokenizer(self, model: str) -> Tokenizer:
        """The tokenizer of `model`, loaded once."""
        if model not in self._tokenizers:
            if len(self._tokenizers) >= _MAX_TOKENIZERS:
                self._tokenizers.clear()
            self._tokenizers[model] = self._tokenizer_of(model)
        return self._tokenizers[model]
