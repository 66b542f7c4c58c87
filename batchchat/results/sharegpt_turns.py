"""A conversation as ShareGPT's turns: the inverse of `sources.sharegpt`; pure.

Turns are written only where they are read back as the same messages. Two things are as the reader makes them, and no
others: the ids of tool calls, which turns have no place for, are numbered, and the blanks in a call's arguments are
gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, takewhile
from typing import Any

from batchchat.core.bad import Bad
from batchchat.core.conversation import Message
from batchchat.lossless_json import dumps, loads
from batchchat.sources.sharegpt import SENT_TOO, parse_sharegpt

__all__ = ["as_read_back", "sharegpt_turns"]

_NAMES = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


def sharegpt_turns(messages: Sequence[Message]) -> list[dict[str, Any]] | None:
    """The turns of `messages`; None where ShareGPT can't hold them: images, a developer, text beside a call."""
    try:
        turns = list(_turns(messages))
    except (KeyError, TypeError, ValueError):  # a role, a call or a content of another shape
        return None
    read_back = parse_sharegpt(turns, "conversations")
    return None if isinstance(read_back, Bad) or read_back != as_read_back(messages) else turns


def as_read_back(messages: Sequence[Message]) -> list[Message]:
    """`messages` as turns give them back. Raises `KeyError`, `TypeError` or `ValueError` for calls of another shape."""
    numbers, numbered = count(1), dict[str, str]()
    return [_message_read_back(message, numbers, numbered) for message in messages]


def _message_read_back(message: Message, numbers: Iterator[int], numbered: dict[str, str]) -> Message:
    """`message` with ids by `numbers`; `numbered` has the new ids of earlier calls by their old ones."""
    if calls := message.get("tool_calls"):
        renamed = [_call_read_back(call, numbers, numbered) for call in calls]
        return {**message, "content": message.get("content") or None, "tool_calls": renamed}
    if (id_ := message.get("tool_call_id")) is not None:
        return {**message, "tool_call_id": numbered.get(id_, id_)}
    return message


def _call_read_back(call: Any, numbers: Iterator[int], numbered: dict[str, str]) -> dict[str, Any]:
    name = numbered[call["id"]] = f"call_{next(numbers)}"
    function = call["function"]
    arguments = _arguments(function["arguments"])
    text = arguments if isinstance(arguments, str) else dumps(arguments).decode()
    return {"id": name, "type": "function", "function": {"name": function["name"], "arguments": text}}


def _turns(messages: Sequence[Message]) -> Iterator[dict[str, Any]]:
    at = 0
    while at < len(messages):
        message = messages[at]
        at += 1
        calls = message.get("tool_calls")
        if not calls:
            yield _text_turn(message)
            continue
        functions = [call["function"] for call in calls]
        named = [{"name": function["name"], "arguments": _arguments(function["arguments"])} for function in functions]
        yield {"from": "function_call", "value": dumps(named[0] if len(named) == 1 else named).decode()}
        results = list(takewhile(lambda message: message["role"] == "tool", messages[at:]))
        if len(results) == len(calls) > 1:
            # One turn for all, since trainers want the two sides to alternate.
            yield {"from": "observation", "value": dumps([result["content"] for result in results]).decode()}
        else:
            yield from ({"from": "observation", "value": result["content"]} for result in results)
        at += len(results)


def _text_turn(message: Message) -> dict[str, Any]:
    more = {key: message[key] for key in SENT_TOO if key in message and key != "tool_calls"}
    return {"from": _NAMES[message["role"]], "value": message["content"], **more}


def _arguments(text: Any) -> Any:
    """The object in `text`, the arguments of a call; else the text itself."""
    if not isinstance(text, str):
        raise TypeError
    try:
        value = loads(text.encode())
    except ValueError:
        return text
    return value if isinstance(value, dict) else text
