"""A user's turns that are played one by one: a row's list of texts, or those of a conversation that is played again.

Of a conversation everything before its first answer is sent first. Each answer is replaced by a new one, and the user's
message behind it is the next turn. An answer is what the assistant says after a user's message; what it says before
the first (a greeting) is no answer, and stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from batchchat.core.bad import Bad, BadReason
from batchchat.lossless_json import dumps
from batchchat.sources.conversations import reference_text
from batchchat.sources.json_value import describe

if TYPE_CHECKING:
    from batchchat.core.conversation import Message

__all__ = ["PlayedTurns", "answers_text", "parse_turns", "split_turns"]

_TAKES = 'It takes a list of texts, the user\'s turns in their order: ["...", "..."].'
_REPLAYS = "`input.replay` plays a conversation of user messages and answers."


class PlayedTurns(NamedTuple):
    """`messages` are sent first, each of `turns` after the reply before it; `answers` are what they replace."""

    messages: list[Message]
    turns: tuple[Message, ...]
    answers: list[Message]


def parse_turns(value: Any, where: str) -> tuple[Message, ...] | Bad:
    """The user messages of `value`, the list in the column `where`; `Bad` if they can't be sent."""
    if type(value) is not list:
        return Bad(f"`{where}` is {describe(value)}. {_TAKES}", _reason(value))
    if not value:
        return Bad(f"`{where}` is empty", BadReason.NO_CONVERSATION)
    for number, turn in enumerate(value):
        if type(turn) is not str:
            hint = ""
            if type(turn) is dict and ("role" in turn or "from" in turn):
                form = "messages" if "role" in turn else "sharegpt"
                hint = f" `input.format: {form}` with `input.replay: true` plays the user's turns of messages."
            return Bad(f"`{where}[{number}]` is {describe(turn)}. It takes text.{hint}", BadReason.TURNS)
        if not turn or turn.isspace():
            return Bad(f"`{where}[{number}]` is empty", BadReason.TURNS)
    return tuple({"role": "user", "content": turn} for turn in value)


def split_turns(messages: list[Message], where: str) -> PlayedTurns | Bad:
    """The conversation `messages`, in the column `where`, as it is played again; `Bad` if that can't be done."""
    for number, message in enumerate(messages):
        if (problem := _tool_use(message)) is not None:
            return Bad(f"`{where}[{number}]` {problem}. {_REPLAYS}", BadReason.TURNS)
    roles = [message["role"] for message in messages]
    if "user" not in roles:
        return Bad(f"`{where}` has no user message. {_REPLAYS}", BadReason.TURNS)
    start = roles.index("user")
    first = next((n for n, role in enumerate(roles) if n > start and role == "assistant"), len(roles))
    turns: list[Message] = []
    answers: list[Message] = []
    for number in range(first, len(messages)):
        if roles[number] == "assistant":
            answers.append(messages[number])
        elif roles[number] != "user":
            role = roles[number]
            return Bad(f"`{where}[{number}]` is a {role} message behind an answer. {_REPLAYS}", BadReason.TURNS)
        elif roles[number - 1] == "user":
            sentence = f"`{where}[{number}]` is a second user message behind one answer. {_REPLAYS} Join the two."
            return Bad(sentence, BadReason.TURNS)
        else:
            turns.append(messages[number])
    return PlayedTurns(messages[:first], tuple(turns), answers)


def answers_text(answers: list[Message]) -> str | None:
    """What the output keeps of replaced `answers`: the text of one, a JSON list of the texts of several.

    Where one is more than text, their messages as JSON; None where there is none.
    """
    if not answers:
        return None
    if len(answers) > 1 and all(_is_text(answer) for answer in answers):
        return dumps([answer["content"] for answer in answers]).decode()
    return reference_text(answers)


def _is_text(message: Message) -> bool:
    return type(message.get("content")) is str and message.keys() == {"role", "content"}


def _reason(value: Any) -> BadReason:
    return BadReason.NO_CONVERSATION if value is None else BadReason.TURNS


def _tool_use(message: Message) -> str | None:
    """What `message` is, where it belongs to the use of a tool; else None."""
    if message["role"] in {"tool", "function"}:
        return f"is a {message['role']} message, the result of a call that a new answer may not make"
    if message.get("tool_calls") or message.get("function_call"):
        return "has tool calls, which a new answer may not make"
    return None
