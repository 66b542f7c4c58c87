"""An error as a value: what is wrong, in a sentence for the user."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

__all__ = ["Bad", "BadReason"]


class BadReason(StrEnum):
    """The kind of what is wrong with an input row; the value names it in a count: "12 rows: duplicate id"."""

    UNREADABLE = "can't be read"
    REPEATED_KEY = "a key twice in one object"
    NO_CONVERSATION = "no conversation"
    MESSAGES = "not a list of messages that can be sent"
    ENDS_WITH_ANSWER = "ends with an answer"
    TURNS = "turns that can't be played one by one"
    PARAMETERS = "a parameter that can't be sent"
    NO_ID = "no readable id"
    DUPLICATE_ID = "duplicate id"
    TEMPLATE = "the template can't be rendered"
    CONDITION = "`input.where` can't be decided"
    FILE = "a file that can't be sent"
    OTHER = "other"


class Bad(NamedTuple):
    """What is wrong with a value that could not be used. `sentence` says it, and the way out where there is one."""

    sentence: str
    reason: BadReason = BadReason.OTHER
