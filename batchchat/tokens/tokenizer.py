"""The interface of a tokenizer, and how every tokenizer reads a message; pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from batchchat.core.conversation import Message

__all__ = ["INSTALL", "Tokenizer", "is_plain", "texts_of"]

INSTALL = "pip install 'batchchat[tokens]'"
_PLAIN = {"role", "content"}


class Tokenizer(Protocol):
    """Counts the prompt tokens of conversations."""

    @property
    def name(self) -> str:
        """The name shown to users and in `--json`."""

    @property
    def exact(self) -> bool:
        """True if conversations of plain text are counted exactly as the model's own tokenizer and template do."""

    @property
    def error(self) -> float | None:
        """The measured relative error of an input's total: 0.0 where it is exact, None where it was not measured."""

    @property
    def note(self) -> str | None:
        """Why the count is not exact and how to improve it, without a full stop; None where it is exact."""

    def count(self, messages: list[Message], tools: Any = None) -> int:
        """The tokens of the prompt that `messages` and `tools` make, including the opening of the reply."""

    def exact_for(self, messages: list[Message], tools: Any = None) -> bool:
        """True if `count` is exact for this conversation. The template's treatment of tools and images is unknown."""


def texts_of(message: Message) -> Iterator[str]:
    """The texts of `message`: its content where that is a string, else the text parts of it."""
    content = message.get("content")
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            text = part.get("text") if isinstance(part, dict) else part
            if isinstance(text, str):
                yield text


def is_plain(messages: list[Message], tools: Any) -> bool:
    """True if each message has only a role and a string as content, and there are no `tools`."""
    if tools:
        return False
    return all(isinstance(message.get("content"), str) and message.keys() <= _PLAIN for message in messages)
