"""ShareGPT conversations, with turns of either form: `{from, value}` or `{role, content}`.

Only the role and the content of a turn are sent. Other keys, such as training weights, are left out.
"""

from __future__ import annotations

from typing import Any

from batchchat.core.bad import Bad
from batchchat.sources.conversations import check_messages
from batchchat.sources.json_value import describe

__all__ = ["is_sharegpt", "parse_sharegpt"]

_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
}
_TAKES = "It takes system, human, gpt or tool (or user, assistant, chatgpt, model, function, observation)."
_NOTHING_TO_ANSWER = (
    "ends with the model's turn: nothing to answer. Remove that turn to get a new answer to the one before it."
)


def is_sharegpt(value: Any) -> bool:
    """True if `value` is a list of turns whose first has the key `from`."""
    return type(value) is list and bool(value) and type(value[0]) is dict and "from" in value[0]


def parse_sharegpt(value: Any, where: str) -> list[dict[str, Any]] | Bad:
    """The messages of the conversation `value`, a cell of the column `where`; `Bad` if they can't be sent."""
    if type(value) is not list:
        return Bad(f"`{where}` is {describe(value)}. It takes a list of {{from, value}}.")
    messages: list[dict[str, Any]] = []
    for index, turn in enumerate(value):
        location = f"{where}[{index}]"
        if type(turn) is not dict:
            return Bad(f"`{location}` is {describe(turn)}. It takes an object with from and value.")
        speaker = next((name for name in ("from", "role") if name in turn), None)
        if speaker is None:
            return Bad(f"`{location}.from` is missing. {_TAKES}")
        role = _ROLES.get(turn[speaker].lower()) if type(turn[speaker]) is str else None
        if role is None:
            return Bad(f"`{location}.{speaker}` is {describe(turn[speaker])}. {_TAKES}")
        content = next((name for name in ("value", "content") if name in turn), None)
        if content is None:
            return Bad(f"`{location}.value` is missing. It takes text.")
        if type(turn[content]) is not str and (content == "value" or type(turn[content]) is not list):
            return Bad(f"`{location}.{content}` is {describe(turn[content])}. It takes text.")
        messages.append({"role": role, "content": turn[content]})
    if messages and messages[-1]["role"] == "assistant":
        return Bad(f"`{where}` {_NOTHING_TO_ANSWER}")
    return check_messages(messages, where) or messages
