"""What counts tokens: the noun, and what all that count read of a message; pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from batchchat.core.conversation import Message

__all__ = ["INSTALL", "Tokenizer", "is_plain", "texts_of"]

INSTALL = "pip install 'batchchat[tokens]'"
_PLAIN = {"role", "content"}


class Tokenizer(Protocol):
    """Counts prompt tokens, one conversation after the other; nothing is kept of them."""

    @property
    def name(self) -> str:
        """For people and for `--json`."""

    @property
    def exact(self) -> bool:
        """Whether plain conversations are counted as the model reads them."""

    @property
    def error(self) -> float | None:
        """The relative error of a whole input, as measured: 0.0 where it is exact, None where nobody measured."""

    @property
    def note(self) -> str | None:
        """Why the count is not exact, and the way out, without a full stop; None where it is exact."""

    def count(self, messages: list[Message], tools: Any = None) -> int:
        """Tokens of the prompt, the opening of the reply included."""

    def exact_for(self, messages: list[Message], tools: Any = None) -> bool:
        """Whether this very conversation is counted exactly: how tools and images are framed is not seen from here."""


def texts_of(message: Message) -> Iterator[str]:
    """The texts of a message that a model reads: its content, or the text parts of it."""
    content = message.get("content")
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            text = part.get("text") if isinstance(part, dict) else part
            if isinstance(text, str):
                yield text


def is_plain(messages: list[Message], tools: Any) -> bool:
    """Whether nothing but text under a role goes in."""
    if tools:
        return False
    return all(isinstance(message.get("content"), str) and message.keys() <= _PLAIN for message in messages)
