"""Whether a conversation can be sent.

A conversation is a list of messages with known roles, each with content. Other keys of a message are passed on
unchecked: the endpoint judges them. Keys that are null are no keys, whatever the file format: Arrow fills the keys that
a message doesn't have with null, and so do writers of JSON.
"""

from __future__ import annotations

from typing import Any

from batchchat.core.bad import Bad, BadReason
from batchchat.core.conversation import ROLES, Message
from batchchat.lossless_json import dumps
from batchchat.sources.json_value import describe

__all__ = ["check_messages", "cut_answers", "drop_null_keys", "is_plain", "reference_text", "without_null_keys"]

_INSTEAD_OF_CONTENT = ("tool_calls", "function_call", "refusal", "audio")
_SHAPE = 'It takes a list of messages: [{"role": "user", "content": "..."}].'


def is_plain(messages: Any) -> bool:
    """Whether `messages` is a list of messages that have a known role, a text and no other key, as most have.

    Nothing can be wrong with them then, and there is nothing in them to leave out.
    """
    if type(messages) is not list or not messages:
        return False
    try:
        for message in messages:
            if (
                type(message) is not dict
                or len(message) != 2  # noqa: PLR2004
                or type(message["content"]) is not str
                or message["role"] not in ROLES
            ):
                return False
    except (KeyError, TypeError):  # no such key, or a role that is a list or an object
        return False
    return True


def check_messages(messages: Any, where: str) -> Bad | None:
    """The first thing wrong with `messages`, the value of the column or field `where`; None if they can be sent."""
    if type(messages) is not list:
        reason = BadReason.NO_CONVERSATION if messages is None else BadReason.MESSAGES
        return Bad(f"`{where}` is {describe(messages)}. {_SHAPE}", reason)
    if not messages:
        return Bad(f"`{where}` is empty", BadReason.NO_CONVERSATION)
    for index, message in enumerate(messages):
        if type(message) is dict and type(message.get("content")) is str:
            role = message.get("role")
            if type(role) is str and role in ROLES:
                continue
        problem = _check_message(message, f"{where}[{index}]")
        if problem is not None:
            return problem
    return None


def without_null_keys(messages: list[Any]) -> list[Any]:
    """`messages` without keys that are null, but for `content`; the same list where there are none."""
    for message in messages:
        if type(message) is not dict or len(message) > 2 or type(message.get("content")) is not str:  # noqa: PLR2004
            cleaned: list[Any] = drop_null_keys(messages)
            return cleaned
    return messages


def drop_null_keys(value: Any) -> Any:
    """`value` without the null keys of its objects. `content` stays: it may be null in a message with tool calls."""
    if type(value) is dict:
        # Most values are text; a call for each would double the cost of a row.
        return {
            k: v if type(v) is str else drop_null_keys(v) for k, v in value.items() if v is not None or k == "content"
        }
    if type(value) is list:
        return [drop_null_keys(v) for v in value]
    return value


def cut_answers(messages: list[Message]) -> tuple[list[Message], list[Message]]:
    """`messages` without the assistant's turns at their end, and those turns."""
    end = len(messages)
    while end and messages[end - 1]["role"] == "assistant":
        end -= 1
    return messages[:end], messages[end:]


def reference_text(answers: list[Message]) -> str:
    """What the output keeps of `answers` that were cut: the text of a plain one, else the messages as JSON."""
    first = answers[0]
    if len(answers) == 1 and type(first.get("content")) is str and set(first) == {"role", "content"}:
        text: str = first["content"]
        return text
    return dumps(answers).decode()


def _check_message(message: Any, where: str) -> Bad | None:
    problem = _problem_of(message, where)
    return None if problem is None else Bad(problem.sentence, BadReason.MESSAGES)


def _problem_of(message: Any, where: str) -> Bad | None:
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
