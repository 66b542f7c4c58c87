"""Conversations as columns: structs of role and content, and JSON where these can't hold them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from batchchat import lossless_json
from batchchat.arrow import cells
from batchchat.arrow.buffers import nested_array, offsets_of
from batchchat.core.record import RowRecord

__all__ = [
    "BEYOND_TEXT",
    "MESSAGES",
    "Conversations",
    "conversation",
    "conversations_of",
    "messages_array",
    "text_column",
]

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
BEYOND_TEXT = ("tool_calls", "refusal")
"""What a reply's message may have that is neither role nor content."""
_TEXT = pa.string()


def conversation(row: RowRecord) -> list[dict[str, Any]] | None:
    """The messages of `row`, its reply last; None for a row that could not be read."""
    messages = row.get("messages")
    if messages is None or (reply := row.get("reply")) is None:
        return messages
    message = {"role": "assistant", "content": reply.get("text")}
    message |= {name: reply[name] for name in BEYOND_TEXT if name in reply}
    return [*messages, message]


class Conversations(NamedTuple):
    """Conversations as struct columns: `lengths` has of each how many messages are its own, None for a null.

    `in_json` has the positions of the conversations that role and content can't hold without loss.
    """

    lengths: list[int | None]
    roles: list[str]
    contents: list[str]
    in_json: set[int]


def conversations_of(rows: Sequence[RowRecord]) -> Conversations:
    """The conversations of `rows`, each with its reply."""
    conversations = lengths, roles, contents, in_json = Conversations([], [], [], set())
    for row in rows:
        start, fits = len(roles), True
        for message in row.get("messages", ()):
            content = message.get("content")
            if len(message) != 2 or not isinstance(content, str):  # noqa: PLR2004
                fits = False
                break
            roles.append(message["role"])
            contents.append(content)
        if fits and (reply := row.get("reply")) is not None:
            text: Any = reply.get("text")
            fits = isinstance(text, str) and "tool_calls" not in reply and "refusal" not in reply
            roles.append("assistant")
            contents.append(text)
        if fits and "messages" in row:
            lengths.append(len(roles) - start)
            continue
        del roles[start:], contents[start:]
        if not fits:
            in_json.add(len(lengths))
        lengths.append(None)
    return conversations


def messages_array(conversations: Conversations) -> pa.Array[Any]:
    """The column of `conversations`, of the type `MESSAGES`."""
    lengths, roles, contents, _ = conversations
    if not roles and lengths.count(None) == len(lengths):
        nulls: pa.Array[Any] = pa.nulls(len(lengths), MESSAGES)
        return nulls
    struct = pa.StructArray.from_arrays([text_column(roles), text_column(contents)], fields=list(MESSAGES.value_type))
    return nested_array(lengths, MESSAGES, [offsets_of((size or 0 for size in lengths), wide=False)], [struct])


def text_column(values: list[Any]) -> pa.Array[Any]:
    """A column of texts. Lone surrogates, which no Parquet text can hold, become U+FFFD."""
    try:
        return cells.decode(values, _TEXT)
    except UnicodeEncodeError:
        return cells.decode([None if value is None else lossless_json.scrub(value) for value in values], _TEXT)
