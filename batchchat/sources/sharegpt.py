"""ShareGPT conversations, with turns of either form: `{from, value}` or `{role, content}`.

Of a turn its role and content are sent, and the keys that an endpoint knows of a message; others, such as training
weights, are left out. A `function_call` turn is the assistant's tool calls, and the `observation` turns after it are
their results. The columns `system` and `tools` beside the conversation are its system message and its tools.
"""

from __future__ import annotations

from typing import Any

from batchchat.core.bad import Bad, BadReason
from batchchat.lossless_json import dumps
from batchchat.sources.conversations import check_messages
from batchchat.sources.json_value import describe, parse_text

__all__ = ["BESIDE", "SENT_TOO", "is_sharegpt", "parse_sharegpt"]

BESIDE = ("system", "tools")
"""The columns beside the conversation that are sent with it."""

_CALL = "call"
_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "function_call": _CALL,
    "tool_call": _CALL,
}
_TAKES = (
    "It takes system, human, gpt, function_call or observation (or user, assistant, chatgpt, model, tool, function)."
)
_CALL_TAKES = 'A function_call holds {"name": ..., "arguments": {...}}, or a list of these.'
SENT_TOO = ("name", "tool_calls", "tool_call_id", "function_call", "refusal")
"""The keys of a turn that are sent beside its role and content."""


def is_sharegpt(value: Any) -> bool:
    """True if `value` is a list of turns whose first has the key `from`."""
    return type(value) is list and bool(value) and type(value[0]) is dict and "from" in value[0]


def parse_sharegpt(value: Any, where: str) -> list[dict[str, Any]] | Bad:
    """The messages of the conversation `value`, a cell of the column `where`; `Bad` if they can't be sent."""
    if type(value) is not list:
        reason = BadReason.NO_CONVERSATION if value is None else BadReason.MESSAGES
        return Bad(f"`{where}` is {describe(value)}. It takes a list of {{from, value}}.", reason)
    messages: list[dict[str, Any]] = []
    calls = _Calls()
    for index, turn in enumerate(value):
        message = _message(turn, f"{where}[{index}]", calls)
        if isinstance(message, Bad):
            return Bad(message.sentence, BadReason.MESSAGES)
        messages += calls.results(message) if message["role"] == "tool" else [message]
    return check_messages(messages, where) or messages


class _Calls:
    """The tool calls of a conversation, numbered from 1, and those of the last turn that have no result yet."""

    def __init__(self) -> None:
        self.open: list[str] = []
        self._count = 0

    def results(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """The tool message `message` with the id of the call that it answers; one for each call where it holds all."""
        if not self.open or "tool_call_id" in message:
            return [message]
        content = message["content"]
        if len(self.open) > 1 and type(content) is str:
            try:
                parts = parse_text(content)
            except ValueError:
                parts = None
            if type(parts) is list and len(parts) == len(self.open):
                ids, self.open = self.open, []
                texts = (part if type(part) is str else dumps(part).decode() for part in parts)
                return [{**message, "content": text, "tool_call_id": id_} for text, id_ in zip(texts, ids, strict=True)]
        return [{**message, "tool_call_id": self.open.pop(0)}]

    def tool_call(self, name: str, arguments: Any) -> dict[str, Any]:
        """The call of the function `name`."""
        self._count += 1
        self.open.append(f"call_{self._count}")
        text = arguments if type(arguments) is str else dumps({} if arguments is None else arguments).decode()
        return {"id": self.open[-1], "type": "function", "function": {"name": name, "arguments": text}}


def _message(turn: Any, where: str, calls: _Calls) -> dict[str, Any] | Bad:
    if type(turn) is not dict:
        return Bad(f"`{where}` is {describe(turn)}. It takes an object with from and value.")
    speaker = next((name for name in ("from", "role") if turn.get(name) is not None), None)
    if speaker is None:
        speaker = next((name for name in ("from", "role") if name in turn), None)
        state = "missing" if speaker is None else "null"
        return Bad(f"`{where}.{speaker or 'from'}` is {state}. {_TAKES}")
    role = _ROLES.get(turn[speaker].lower()) if type(turn[speaker]) is str else None
    if role is None:
        return Bad(f"`{where}.{speaker}` is {describe(turn[speaker])}. {_TAKES}")
    name = "value" if turn.get("value") is not None or "content" not in turn else "content"
    if role == _CALL:
        return _call_message(turn.get(name), f"{where}.{name}", calls)
    return _text_message(turn, role, name, where, calls)


def _text_message(turn: dict[str, Any], role: str, name: str, where: str, calls: _Calls) -> dict[str, Any] | Bad:
    """The message of a turn whose content is its `name`."""
    content = turn.get(name)
    more = {key: turn[key] for key in SENT_TOO if turn.get(key) is not None}
    if content is None and not (role == "assistant" and more):
        return Bad(f"`{where}.{name}` is {'null' if name in turn else 'missing'}. It takes text.")
    if content is not None and type(content) is not str and (name == "value" or type(content) is not list):
        return Bad(f"`{where}.{name}` is {describe(content)}. It takes text.")
    if role != "tool":
        calls.open.clear()
    return {"role": role, "content": content, **more}


def _call_message(content: Any, where: str, calls: _Calls) -> dict[str, Any] | Bad:
    """The assistant's message of a `function_call` turn."""
    value = content
    if type(content) is str:
        try:
            value = parse_text(content)
        except ValueError as error:
            return Bad(f"`{where}` {error}. {_CALL_TAKES}")
    functions = value if type(value) is list and value else [value]
    for function in functions:
        if type(function) is not dict or type(function.get("name")) is not str:
            return Bad(f"`{where}` is {describe(content)}. {_CALL_TAKES}")
    calls.open.clear()
    tool_calls = [calls.tool_call(function["name"], function.get("arguments")) for function in functions]
    return {"role": "assistant", "content": None, "tool_calls": tool_calls}
