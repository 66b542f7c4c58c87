"""Whether a conversation fits a model's context, before it is sent; pure.

A prompt has at most as many tokens as its request has bytes, and some for the frame: where that many fit, nothing is
counted (0.3 us a row). Only longer ones are given to a tokenizer, which is not loaded before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from batchchat.core.attempt import Request
from batchchat.text import numbers
from batchchat.tokens.reply_limit import reply_tokens
from batchchat.tokens.tokenizer import Tokenizer

__all__ = ["Context", "TooLong"]

_FRAME = 64  # Vicuna's default system message and the openings, with room
_FRAME_OF_MESSAGE = 16
_MOST_KEPT = 1_000


@dataclass(frozen=True, slots=True)
class TooLong:
    """A conversation that does not fit. `reply_tokens` is what its request asks for; None: it says nothing of it."""

    prompt_tokens: int
    reply_tokens: int | None
    context_length: int
    exact: bool
    counted_by: str

    @property
    def words(self) -> str:
        """What a row's error and a message say."""
        about = "" if self.exact else "about "
        said = f"{about}{numbers.count(self.prompt_tokens)} prompt tokens"
        if self.prompt_tokens < self.context_length and self.reply_tokens is not None:
            said += f" and up to {numbers.count(self.reply_tokens)} of the reply"
        return f"{said} do not fit the context of {numbers.count(self.context_length)} tokens"


class Context:
    """Knows of each model how long its context is (`length_of`) and who counts its tokens (`tokenizer_of`)."""

    def __init__(self, length_of: Callable[[str], int | None], tokenizer_of: Callable[[str], Tokenizer]) -> None:
        self._length_of = length_of
        self._tokenizer_of = tokenizer_of
        self._params: Mapping[str, Any] | None = None
        self._reply: int | None = None
        self._tokenizers: dict[str, Tokenizer] = {}

    def too_long(self, request: Request, params: Mapping[str, Any]) -> TooLong | None:
        """What is too long about `request`; None where it fits, or its model's context is not known."""
        length = self._length_of(request.model)
        if length is None:
            return None
        if params is not self._params:  # most rows have the job's own
            self._params, self._reply = params, reply_tokens(params)
        reply = self._reply
        most = len(request.body) + _FRAME + _FRAME_OF_MESSAGE * len(request.messages)
        if most + (reply or 0) <= length:
            return None
        tokenizer = self.tokenizer(request.model)
        tools = params.get("tools")
        tokens = tokenizer.count(request.messages, tools)
        if tokens < length and tokens + (reply or 0) <= length:
            return None
        exact = tokenizer.exact_for(request.messages, tools)
        return TooLong(tokens, reply, length, exact, tokenizer.name)

    def tokenizer(self, model: str) -> Tokenizer:
        """Who counts the tokens of `model`."""
        if model not in self._tokenizers:
            if len(self._tokenizers) >= _MOST_KEPT:
                self._tokenizers.clear()
            self._tokenizers[model] = self._tokenizer_of(model)
        return self._tokenizers[model]
