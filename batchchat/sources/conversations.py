"""Whether a conversation can be sent.

A conversation is a list of messages with known roles, each with content, that does not end with the assistant's turn.
Other keys of a message are passed on unchecked: the endpoint judges them.
"""

from __future__ import annotations

from typing import Any

from batchchat.core.bad import Bad
from batchchat.core.conversation import ROLES
from batchchat.sources.json_value import describe

__all__ = ["check_messages"]

_INSTEAD_OF_CONTENT = ("tool_calls", "function_call", "refusal")


def check_messages(messages: Any, where: str) -> Bad | None:
    """The first thing wrong with `messages`, the value of the column or field `where`; None if they can be sent."""
    if type(messages) is not list:
        return Bad(f"`{where}` is {describe(messages)}. It takes a list of messages.")
    if not messages:
        return Bad(f"`{where}` is empty")
    for index, message in enumerate(messages):
        if type(message) is dict and type(message.get("content")) is str:
            role = message.get("role")
            if type(role) is str and role in ROLES:
                continue
        problem = _check_message(message, f"{where}[{index}]")
        if problem is not None:
            return problem
    if messages[-1]["role"] == "assistant":
        return Bad(f"`{where}` ends with an assistant message: nothing to answer")
    return None


def _check_message(message: Any, where: str) -> Bad | None:
    if type(message) is not dict:
        return Bad(f"`{where}` is {describe(message)}. It takes an object with role and content.")
    if "role" not in message:
        return Bad(f"`{where}.role` is missing. It takes system, developer, user, assistant or tool.")
    role = message["role"]
    if type(role) is not str or role not in ROLES:
        return Bad(f"`{where}.role` is {describe(role)}. It takes system, developer, user, assistant or tool.")
    content = message.get("content")
    if content is None:
        if role == "assistant" and any(message.get(name) for name in _INSTEAD_OF_CONTENT):
            return None
        state = "null" if "content" in message else "missing"
        return Bad(f"`{where}.content` is {state}. It takes text or a list of parts.")
    if type(content) is list:
        if not content:
            return Bad(f"`{where}.content` is an empty list. It takes text or a list of parts.")
        invalid_part = next((part for part in content if type(part) is not dict), None)
        if invalid_part is not None or None in content:
            return Bad(f"`{where}.content` holds {describe(invalid_part)}. Each part takes an object.")
        return None
    if type(content) is not str:
        return Bad(f"`{where}.content` is {describe(content)}. It takes text or a list of parts.")
    return None
