"""The values of a row: its key, its conversation, its status.

All are frozen and hold plain JSON values; nothing here reads, sends or writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from batchchat.core.bad import BadReason

__all__ = ["ROLES", "BadRow", "ErrorKind", "Key", "Message", "Row", "Status"]

Message = dict[str, Any]
"""`{role, content, ...}` as the user wrote it; unknown keys pass through untouched."""

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


class Key(NamedTuple):
    """Identifies an output row; unique in a run. `variant` is empty and `sample` 0 where there is only one."""

    id: str
    variant: str = ""
    sample: int = 0


class Status(StrEnum):
    """How a row ended."""

    ANSWERED = "answered"
    FAILED = "failed"
    INVALID = "invalid"


class ErrorKind(StrEnum):
    """Why a row has no answer; the closed list of `error_kind` in `docs/output.md`."""

    INVALID_INPUT = "invalid_input"
    CONTEXT_LENGTH = "context_length"
    CONTENT_FILTER = "content_filter"
    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    QUOTA = "quota"
    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    GATEWAY_TIMEOUT = "gateway_timeout"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    BAD_RESPONSE = "bad_response"
    EMPTY_REPLY = "empty_reply"
    TOO_LARGE = "too_large"
    SCHEMA = "schema"
    TURN_FAILED = "turn_failed"
    OTHER = "other"


_NOTHING: dict[str, Any] = {}
"""A default of what no one changes."""


class Row(NamedTuple):
    """A good input row.

    `ordinal` is its position in this reading, from 0, over all files; `location` is `<file>:<line>` for messages to a
    person. `model` and `params` are the row's own and win over the job's. `passthrough` has the columns that go to the
    output unchanged, in the JSON form of `cells`.
    `messages` are what is sent first; `turns` are the user messages to be sent one by one after them, each with the
    conversation before it, once that is answered.
    `systems` are the job's system messages that are templates, rendered for this row: by the name of their variant, ""
    for the job's own; None where none is.
    `plain`: each of `messages` is known to be a role and a text and no more; others may be, too.
    """

    key: Key
    ordinal: int
    location: str
    messages: list[Message]
    params: dict[str, Any] = _NOTHING
    model: str | None = None
    passthrough: dict[str, Any] = _NOTHING
    turns: tuple[Message, ...] = ()
    systems: Mapping[str, str] | None = None
    plain: bool = False


@dataclass(frozen=True, slots=True)
class BadRow:
    """An input row that can't be sent, with the sentence that says why, and the kind of what is wrong."""

    key: Key
    ordinal: int
    location: str
    error: str
    passthrough: dict[str, Any] = field(default_factory=dict)
    reason: BadReason = field(default=BadReason.OTHER, compare=False)
