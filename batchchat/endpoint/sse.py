"""Server-sent events to their data, and the chunks of a streamed reply to one response; pure and incremental.

A response that was asked for as JSON and came as a stream is read with the same two classes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["ChunkJoiner", "EventParser"]

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")
_APPENDED = frozenset({"content", "reasoning_content", "reasoning", "refusal", "arguments", "data", "transcript"})
"""What a delta has the next piece of; any other text is whole each time."""
_CONTENT = ("content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call", "images", "audio")
Fields = dict[str, Any]


class EventParser:
    """Splits the bytes of a stream into the (name, data) of its events, wherever the pieces that are fed end.

    Comments, ids and retry times are passed over, and a byte order mark at the start. No character of UTF-8 has a line
    end in it, so the data of an event is whole text.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []  # of the line that has not ended
        self._pending_bytes = 0
        self._name = ""
        self._data: list[bytes] = []
        self._after_cr = False  # a line feed that comes next is the other half of the line end before
        self._is_first_line = True

    @property
    def pending_bytes(self) -> int:
        """How many bytes of an event that is not complete are kept."""
        return self._pending_bytes + sum(map(len, self._data))

    def feed(self, data: bytes) -> Sequence[tuple[str, bytes]]:
        """The events that are complete with `data`, the next piece of the stream."""
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if not data:
            return ()
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            lines = _LINE_END.split(data)
        else:
            lines = data.split(b"\n")
        beginning = lines.pop()
        if lines and self._pieces:
            lines[0] = b"".join((*self._pieces, lines[0]))
            self._pieces, self._pending_bytes = [], 0
        if beginning:
            self._pieces.append(beginning)
            self._pending_bytes += len(beginning)
        return self._events(lines)

    def close(self) -> Sequence[tuple[str, bytes]]:
        """The event that the stream ended in, without the blank line behind it."""
        line = b"".join(self._pieces)
        self._pieces, self._pending_bytes = [], 0
        return self._events([line, b""])

    def _events(self, lines: list[bytes]) -> list[tuple[str, bytes]]:
        events: list[tuple[str, bytes]] = []
        if self._is_first_line and lines:
            self._is_first_line = False
            lines[0] = lines[0].removeprefix(_BOM)
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b" ", 5) else line[5:])
            elif line:
                self._take_field(line)
            else:
                if self._data:
                    events.append((self._name, self._data[0] if len(self._data) == 1 else b"\n".join(self._data)))
                    self._data = []
                self._name = ""
        return events

    def _take_field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name == b"event":
            self._name = value.removeprefix(b" ").decode("utf-8", "replace")
        elif name == b"data":  # without a colon: an empty line of data
            self._data.append(b"")


class ChunkJoiner:
    """Joins the chunks of one streamed chat completion.

    Text is appended, tool calls are joined by their index, usage is the last that came. The stream is complete with
    `end`, or with a chunk that has a finish_reason. An error among the chunks makes the response an error.
    `has_content` is set with the first chunk that has a piece of the reply. `ended`: the event came that ends it.
    """

    def __init__(self) -> None:
        self._top: Fields = {}
        self._choices: dict[int, Fields] = {}
        self._broken = False
        self.ended = False
        self.has_content = False

    @property
    def complete(self) -> bool:
        """Whether the stream came to its end."""
        finished = any(choice.get("finish_reason") for choice in self._choices.values())
        return not self._broken and (self.ended or finished)

    @property
    def failed(self) -> bool:
        """Whether there was an error among the chunks."""
        return bool(self._top.get("error"))

    def end(self) -> None:
        """The event came that ends the stream."""
        self.ended = True

    def skip(self) -> None:
        """A chunk came that can't be read: what it had is missing."""
        self._broken = True

    def add(self, chunk: Any, event: str = "") -> None:
        """Take the next chunk, the JSON of an event named `event`."""
        if not isinstance(chunk, dict):
            return self.skip()
        if "error" not in chunk and (event == "error" or chunk.get("object") == "error"):
            chunk = {"error": chunk}
        top = self._top
        for name, value in chunk.items():
            if name != "choices":
                if value is not None:
                    top[name] = value
            elif isinstance(value, list):
                for position, choice in enumerate(value):
                    if isinstance(choice, dict):
                        index = choice.get("index")
                        self._add_choice(index if type(index) is int else position, choice)
        return None

    def response(self) -> Fields:
        """The response that the chunks make up to now, whether they are complete or not."""
        choices = [choice | {"message": _finished(choice["message"])} for _, choice in sorted(self._choices.items())]
        return {**self._top, "object": "chat.completion", "choices": choices}

    def _add_choice(self, index: int, choice: Fields) -> None:
        joined = self._choices.get(index)
        if joined is None:
            joined = self._choices[index] = {"index": index, "message": {}, "finish_reason": None}
        for name, value in choice.items():
            if value is None:
                continue
            if name in {"delta", "message"}:
                if isinstance(value, dict):
                    self._add_delta(joined["message"], value)
            elif name == "text" and isinstance(value, str):
                self._add_delta(joined["message"], {"content": value})
            elif name == "logprobs" and isinstance(value, dict) and isinstance(joined.get(name), dict):
                _merge(joined[name], value)
            else:
                joined[name] = value

    def _add_delta(self, message: Fields, delta: Fields) -> None:
        if not self.has_content:
            self.has_content = any(delta.get(name) for name in _CONTENT)
        _merge(message, delta)


def _finished(message: Fields) -> Fields:
    """`message` as a whole response has it: tool calls without an index, and no empty text beside them."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list) or not calls:
        return message
    without = [{name: value for name, value in call.items() if name != "index"} for call in calls]
    return message | {"tool_calls": without} | ({"content": None} if message.get("content") == "" else {})


def _merge(message: Fields, delta: Fields) -> None:
    """Add what `delta` has to `message`, in place."""
    for name, value in delta.items():
        if value is None:
            continue
        before = message.get(name)
        if type(value) is str and type(before) is str and name in _APPENDED:
            # Text that nothing else refers to grows in place: else a long reply is copied with each of its chunks.
            message[name] = None
            before += value
            message[name] = before
        elif name == "tool_calls" and isinstance(value, list):
            message[name] = calls = before if isinstance(before, list) else []
            _merge_calls(calls, value)
        elif name == "function_call" and isinstance(value, dict):
            message[name] = function = before if isinstance(before, dict) else {}
            _merge_function(function, value)
        elif isinstance(value, dict) and isinstance(before, dict):
            _merge(before, value)
        elif isinstance(value, list) and isinstance(before, list):
            before.extend(value)
        elif isinstance(value, list) and isinstance(before, str):
            message[name] = [{"type": "text", "text": before}, *value] if before else list(value)
        elif isinstance(value, str) and isinstance(before, list):
            before.append({"type": "text", "text": value})
        else:
            message[name] = value.copy() if isinstance(value, dict | list) else value


def _merge_calls(calls: list[Fields], pieces: list[Any]) -> None:
    """Add the `pieces` of tool calls to those they belong to: by index, else by id, else to the last one."""
    for piece in pieces:
        if not isinstance(piece, dict):
            continue
        index, id_, function = piece.get("index"), piece.get("id"), piece.get("function")
        if type(index) is int:
            call = next((call for call in calls if call.get("index") == index), None)
        elif id_:
            call = next((call for call in calls if call.get("id") == id_), None)
        else:
            is_named = isinstance(function, dict) and bool(function.get("name"))
            call = calls[-1] if calls and not is_named else None
        if call is None:
            call = {}
            calls.append(call)
        for name, value in piece.items():
            if name == "function" and isinstance(value, dict):
                before = call.get(name)
                call[name] = before = before if isinstance(before, dict) else {}
                _merge_function(before, value)
            elif value is not None and value != "":
                call[name] = value


def _merge_function(function: Fields, piece: Fields) -> None:
    """Arguments come in pieces; a name comes once, or whole each time."""
    name, arguments = piece.get("name"), piece.get("arguments")
    if isinstance(name, str) and name and name != function.get("name"):
        function["name"] = f"{function.get('name', '')}{name}"
    before = function.get("arguments")
    if isinstance(arguments, str) and isinstance(before, str):
        function["arguments"] = None
        before += arguments
        function["arguments"] = before
    elif arguments is not None:
        function["arguments"] = arguments
