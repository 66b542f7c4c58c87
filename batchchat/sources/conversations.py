"""Whether a conversation can be sent: the sentence that says why not, or none.

It must be a list of messages with known roles, each with content, and must not end with the assistant's
turn. What else a message holds is the endpoint's business.
"""

from __future__ import annotations

from typing import Any

from batchchat.core.conversation import ROLES
from batchchat.sources.json_value import said

__all__ = ["fault_of"]

_STAND_INS = ("tool_calls", "function_call", "refusal")


def fault_of(messages: Any, where: str) -> str | None:
    """The first thing wrong with `messages`, which stand in the column or field `where`."""
    if type(messages) is not list:
        return f"`{where}` is {said(messages)}. It takes a list of messages."
    if not messages:
        return f"`{where}` is empty"
    for at, message in enumerate(messages):
        if type(message) is dict and type(message.get("content")) is str:
            role = message.get("role")
            if type(role) is str and role in ROLES:
                continue
        fault = _fault_of_message(message, f"{where}[{at}]")
        if fault is not None:
            return fault
    if messages[-1]["role"] == "assistant":
        return f"`{where}` ends with an assistant message: nothing to answer"
    return None


def _fault_of_message(message: Any, where: str) -> str | None:
    if type(message) is not dict:
        return f"`{where}` is {said(message)}. It takes an object with role and content."
    if "role" not in message:
        return f"`{where}.role` is missing. It takes system, developer, user, assistant or tool."
    role = message["role"]
    if type(role) is not str or role not in ROLES:
        return f"`{where}.role` is {said(role)}. It takes system, developer, user, assistant or tool."
    content = message.get("content")
    if content is None:
        if role == "assistant" and any(message.get(name) for name in _STAND_INS):
            return None
        state = "null" if "content" in message else "missing"
        return f"`{where}.content` is {state}. It takes text or a list of parts."
    if type(content) is list:
        if not content:
            return f"`{where}.content` is an empty list. It takes text or a list of parts."
        wrong = next((part for part in content if type(part) is not dict), None)
        if wrong is not None or None in content:
            return f"`{where}.content` holds {said(wrong)}. Each part takes an object."
        return None
    if type(content) is not str:
        return f"`{where}.content` is {said(content)}. It takes text or a list of parts."
    return None
