"""Server-sent events to their data, and the chunks of a streamed reply to one response; pure and incremental.

A response that was asked for as JSON and came as a stream is read with the same two classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

__all__ = ["DONE", "ChunkJoiner", "EventParser"]

DONE = "[DONE]"
"""The data of the event that ends a stream."""
_LINE_END = re.compile(r"\r\n|\n|\r")
_APPENDED = frozenset({"content", "reasoning_content", "reasoning", "refusal", "arguments", "data", "transcript"})
"""What a delta has the next piece of; any other text is whole each time."""
Fields = dict[str, Any]


class EventParser:
    """Splits a stream into the (name, data) of its events. Comments, ids and retry times are passed over."""

    def __init__(self) -> None:
        self._rest = ""
        self._name = ""
        self._data: list[str] = []

    def feed(self, text: str) -> Iterator[tuple[str, str]]:
        """The events that are complete with `text`, the next piece of the stream."""
        lines = _LINE_END.split(self._rest + text)
        self._rest = lines.pop()
        if text.endswith("\r") and lines:  # the other half of the line end may be next
            self._rest = lines.pop() + "\r"
        for line in lines:
            yield from self._take(line)

    def close(self) -> Iterator[tuple[str, str]]:
        """The event that the stream ended in, without the blank line behind it."""
        yield from self._take(self._rest.rstrip("\r"))
        self._rest = ""
        yield from self._take("")

    def _take(self, line: str) -> Iterator[tuple[str, str]]:
        if not line:
            if self._data:
                yield self._name, "\n".join(self._data)
            self._name, self._data = "", []
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._name = value


class ChunkJoiner:
    """Joins the chunks of one streamed chat completion.

    Text is appended, tool calls are joined by their index, usage is the last that came. The stream is complete with
    `end`, or with a chunk that has a finish_reason. An error among the chunks makes the response an error.
    """

    def __init__(self) -> None:
        self._top: Fields = {}
        self._choices: dict[int, Fields] = {}
        self._ended = False
        self._broken = False

    @property
    def complete(self) -> bool:
        """Whether the stream came to its end."""
        finished = any(choice.get("finish_reason") for choice in self._choices.values())
        return not self._broken and (self._ended or finished)

    def end(self) -> None:
        """The event came that ends the stream."""
        self._ended = True

    def skip(self) -> None:
        """A chunk came that can't be read: what it had is missing."""
        self._broken = True

    def add(self, chunk: Any, event: str = "") -> None:
        """Take the next chunk, the JSON of an event named `event`."""
        if not isinstance(chunk, dict):
            return self.skip()
        if "error" not in chunk and (event == "error" or chunk.get("object") == "error"):
            chunk = {"error": chunk}
        choices = chunk.get("choices")
        self._top |= {name: value for name, value in chunk.items() if name != "choices" and value is not None}
        for position, choice in enumerate(choices if isinstance(choices, list) else []):
            if isinstance(choice, dict):
                index = choice.get("index")
                self._add_choice(index if type(index) is int else position, choice)
        return None

    def payload(self) -> Fields:
        """The response that the chunks make: without its choices where the stream broke off or had an error."""
        top = {**self._top, "object": "chat.completion"}
        if self._top.get("error") or not self.complete:
            return top
        return top | {"choices": [choice for _, choice in sorted(self._choices.items())]}

    def _add_choice(self, index: int, choice: Fields) -> None:
        joined = self._choices.setdefault(index, {"index": index, "message": {}, "finish_reason": None})
        for name, value in choice.items():
            if value is None:
                continue
            if name in {"delta", "message"}:
                if isinstance(value, dict):
                    _merge(joined["message"], value)
            elif name == "text" and isinstance(value, str):
                _merge(joined["message"], {"content": value})
            elif name == "logprobs" and isinstance(value, dict):
                _merge(joined.setdefault(name, {}), value)
            else:
                joined[name] = value


def _merge(message: Fields, delta: Fields) -> None:
    """Add what `delta` has to `message`, in place."""
    for name, value in delta.items():
        if value is None:
            continue
        before = message.get(name)
        if name == "tool_calls" and isinstance(value, list):
            _merge_calls(message.setdefault(name, []), value)
        elif name == "function_call" and isinstance(value, dict):
            _merge_function(message.setdefault(name, {}), value)
        elif isinstance(value, dict) and isinstance(before, dict):
            _merge(before, value)
        elif isinstance(value, list) and isinstance(before, list):
            before.extend(value)
        elif isinstance(value, list) and isinstance(before, str):
            message[name] = [{"type": "text", "text": before}, *value] if before else list(value)
        elif isinstance(value, str) and isinstance(before, list):
            before.append({"type": "text", "text": value})
        elif isinstance(value, str) and isinstance(before, str) and name in _APPENDED:
            message[name] = before + value
        else:
            message[name] = value.copy() if isinstance(value, dict | list) else value


def _merge_calls(calls: list[Fields], pieces: list[Any]) -> None:
    """Add the `pieces` of tool calls to those they belong to: by index, else by id, else to the last one."""
    for piece in pieces:
        if not isinstance(piece, dict):
            continue
        index, id_ = piece.get("index"), piece.get("id")
        if type(index) is int:
            call = next((call for call in calls if call.get("index") == index), None)
        elif id_:
            call = next((call for call in calls if call.get("id") == id_), None)
        else:
            call = calls[-1] if calls and not (piece.get("function") or {}).get("name") else None
        if call is None:
            call = {}
            calls.append(call)
        for name, value in piece.items():
            if name == "function" and isinstance(value, dict):
                _merge_function(call.setdefault(name, {}), value)
            elif value is not None and value != "":
                call[name] = value


def _merge_function(function: Fields, piece: Fields) -> None:
    """Arguments come in pieces; a name comes once, or whole each time."""
    name, arguments = piece.get("name"), piece.get("arguments")
    if isinstance(name, str) and name and name != function.get("name"):
        function["name"] = function.get("name", "") + name
    before = function.get("arguments")
    if isinstance(arguments, str) and isinstance(before, str):
        function["arguments"] = before + arguments
    elif arguments is not None:
        function["arguments"] = arguments
