"""The formats of input rows: which columns hold the conversation, the parameters and the id.

A format turns the columns of a row into a `RowRequest`, or into `Bad` if it can't. It never changes the columns.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from batchchat.core.bad import Bad, BadReason
from batchchat.job.request_fields import NOT_SENT_FROM_ROWS, ROW_FIELDS
from batchchat.sources.conversations import check_messages, is_plain, without_null_keys
from batchchat.sources.json_value import bad_json, describe, list_columns, parse_text
from batchchat.sources.row_params import params_of_columns, split_body
from batchchat.sources.sharegpt import BESIDE, is_sharegpt, parse_sharegpt
from batchchat.sources.user_turns import parse_turns

if TYPE_CHECKING:
    from batchchat.core.conversation import Message

__all__ = ["Format", "RowRequest", "column_of_messages", "format_of", "match_format", "problem_of_shape", "with_system"]


class RowRequest(NamedTuple):
    """A conversation, with parameters and a model of the row's own; `turns` are sent after it, one by one.

    `plain`: the messages are known to be a role and a text and no more.
    """

    messages: list[Message]
    params: dict[str, Any]
    model: str | None
    turns: tuple[Message, ...] = ()
    plain: bool = False


class Format(NamedTuple):
    """`parse` reads the columns of a row.

    `columns` must be there, `optional` ones are read too; those in `excluded` don't go to the output unless the job
    lists them. `where` is what messages call the conversation.
    """

    name: str
    columns: tuple[str, ...]
    excluded: tuple[str, ...]
    id_column: str | None
    where: str
    parse: Callable[[dict[str, Any]], RowRequest | Bad]
    optional: tuple[str, ...] = ()


_JSON_STARTS = ("", "[", "{", '"', "(")  # a list of Python begins like one of JSON
_BODY_COLUMNS = tuple(name for name in ROW_FIELDS if name not in NOT_SENT_FROM_ROWS)
"""The columns of a row of format `request` that are sent."""


def format_of(name: str, column: str | None) -> Format:
    """The format `name`. `column` is `input.column`, the column of the conversation, if the job names one."""
    if name == "openai-batch":
        of_batch = ("custom_id", "method", "url", "body")
        return Format(name, ("body",), of_batch, "custom_id", "body.messages", _parse_batch)
    own, parse_column = _ONE_COLUMN_FORMATS[name]
    where = column or own
    excluded = (where, *_BODY_COLUMNS) if name == "request" else (where,)
    optional = _BODY_COLUMNS if name == "request" else BESIDE if name == "sharegpt" else ()
    return Format(name, (where,), excluded, None, where, partial(parse_column, where), optional)


def match_format(columns: dict[str, Any], column: str | None) -> tuple[Format, str] | None:
    """The first format that the row of `columns` fits, and by which columns; None if it fits none.

    No row is taken for a `request`: in many datasets `model` is who gave the answers there are.
    """
    if "custom_id" in columns and type(_from_json_or_none(columns.get("body"))) is dict:
        return format_of("openai-batch", column), "`custom_id` and `body`"
    for where in ("messages", "conversations", "prompt") if column is None else (column,):
        value = _as_list(_from_json_or_none(columns.get(where)))
        if column is not None and _is_list_of_texts(value):
            return format_of("turns", column), f"the column `{column}`"
        if type(value) is list and (where != "prompt" or column is not None or _is_conversation(value)):
            as_sharegpt = is_sharegpt(value) or (column is None and where == "conversations")
            return format_of("sharegpt" if as_sharegpt else "messages", where), f"the column `{where}`"
    where = column or "prompt"
    if type(columns.get(where)) is str:
        return format_of("prompt", column), f"the column `{where}`"
    if column is None and _is_list_of_texts(_from_json_or_none(columns.get("turns"))):
        return format_of("turns", None), "the column `turns`"
    return None


def problem_of_shape(columns: dict[str, Any]) -> Bad | None:
    """What is wrong with the first column that is named as a conversation is; None if there is none so named."""
    for name in ("messages", "conversations", "prompt", "turns", "body"):
        if name in columns:
            form = format_of({"conversations": "sharegpt", "body": "openai-batch"}.get(name, name), None)
            problem = form.parse(columns)
            return problem if isinstance(problem, Bad) else None
    return None


def column_of_messages(columns: dict[str, Any]) -> str | None:
    """The first column that holds a list of messages or turns, whatever its name."""
    values = ((name, value) for name, value in columns.items() if type(value) is not str or value.lstrip()[:1] == "[")
    return next((name for name, value in values if _is_conversation(_as_list(_from_json_or_none(value)))), None)


def with_system(messages: list[Message], system: str | None) -> list[Message]:
    """`messages` with `system` put first, where there is one and they have none of their own."""
    if system is None or (messages and messages[0]["role"] in {"system", "developer"}):
        return messages
    return [{"role": "system", "content": system}, *messages]


def _parse_messages(where: str, columns: dict[str, Any]) -> RowRequest | Bad:
    messages: Any = columns.get(where)
    if is_plain(messages):
        return RowRequest(messages, {}, None, (), True)
    messages = _messages(where, columns)
    return messages if isinstance(messages, Bad) else RowRequest(messages, {}, None, plain=is_plain(messages))


def _parse_request(where: str, columns: dict[str, Any]) -> RowRequest | Bad:
    request = _parse_messages(where, columns)
    if isinstance(request, Bad):
        return request
    own = params_of_columns(columns, [name for name in columns if name in _BODY_COLUMN_SET])
    if isinstance(own, Bad):
        return own
    return RowRequest(with_system(request.messages, own.system), own.params, own.model, plain=request.plain)


_BODY_COLUMN_SET = frozenset(_BODY_COLUMNS)


def _messages(where: str, columns: dict[str, Any]) -> list[Message] | Bad:
    value = _cell(where, columns)
    if isinstance(value, Bad):
        return value
    messages = without_null_keys(value) if type(value) is list else value
    return check_messages(messages, where) or messages


def _parse_sharegpt(where: str, columns: dict[str, Any]) -> RowRequest | Bad:
    value = _cell(where, columns)
    if isinstance(value, Bad):
        return value
    messages = parse_sharegpt(value, where)
    if isinstance(messages, Bad):
        return messages
    own = params_of_columns(columns, BESIDE)
    if isinstance(own, Bad):
        return own
    tools = own.params.get("tools")  # an empty list is how LLaMA-Factory writes that there are none
    return RowRequest(with_system(messages, own.system), {"tools": tools} if tools else {}, None)


def _cell(where: str, columns: dict[str, Any]) -> Any:
    """The value of the column `where`, read from JSON if it is text; `Bad` if the column is missing or isn't JSON."""
    if where not in columns:
        return _missing(where, columns)
    value = columns[where]
    if value == "":
        return Bad(f"`{where}` is empty", BadReason.NO_CONVERSATION)
    try:
        return _as_list(_from_json(value))
    except ValueError as error:
        bad = bad_json(f"`{where}`", error, BadReason.MESSAGES)
        begins = value.lstrip()[:1] if isinstance(value, str) else ""
        if begins in _JSON_STARTS or "\ud800" <= begins <= "\udfff":  # a byte that is not UTF-8
            return bad
        hint = f"`input.format: prompt` with `input.column: {where}` sends text as it is."
        return bad._replace(sentence=f"{bad.sentence}. {hint}")


def _parse_prompt(where: str, columns: dict[str, Any]) -> RowRequest | Bad:
    if where not in columns:
        return _missing(where, columns)
    prompt = columns[where]
    if type(prompt) is not str:
        hint = ""
        if _is_conversation(prompt):
            hint = f" `input.format: messages` with `input.column: {where}` reads a list of messages."
        elif _is_list_of_texts(prompt):
            hint = f" `input.format: turns` with `input.column: {where}` plays a list of texts one by one."
        reason = BadReason.NO_CONVERSATION if prompt is None else BadReason.MESSAGES
        return Bad(f"`{where}` is {describe(prompt)}. It takes text.{hint}", reason)
    if not prompt or prompt.isspace():
        return Bad(f"`{where}` is empty", BadReason.NO_CONVERSATION)
    return RowRequest([{"role": "user", "content": prompt}], {}, None, plain=True)


def _parse_turns(where: str, columns: dict[str, Any]) -> RowRequest | Bad:
    value = _cell(where, columns)
    if isinstance(value, Bad):
        return value
    turns = parse_turns(value, where)
    return turns if isinstance(turns, Bad) else RowRequest([turns[0]], {}, None, turns[1:], plain=True)


# The formats of one column, by name: the default name of the column, and how it is read.
_ONE_COLUMN_FORMATS: dict[str, tuple[str, Callable[[str, dict[str, Any]], RowRequest | Bad]]] = {
    "messages": ("messages", _parse_messages),
    "prompt": ("prompt", _parse_prompt),
    "turns": ("turns", _parse_turns),
    "request": ("messages", _parse_request),
    "sharegpt": ("conversations", _parse_sharegpt),
}


def _parse_batch(columns: dict[str, Any]) -> RowRequest | Bad:
    if "body" not in columns:
        return _missing("body", columns)
    url = columns.get("url")
    if type(url) is str and not url.endswith("/chat/completions"):
        return Bad(f"`url` is {describe(url)}. It takes /v1/chat/completions.", BadReason.PARAMETERS)
    try:
        body = _from_json(columns["body"])
    except ValueError as error:
        return bad_json("`body`", error, BadReason.MESSAGES)
    if type(body) is not dict:
        return Bad(f"`body` is {describe(body)}. It takes an object with messages.", BadReason.NO_CONVERSATION)
    if "messages" not in body:
        return _missing("body.messages", body)
    messages = body["messages"]
    if type(messages) is list:
        messages = without_null_keys(messages)
    problem = check_messages(messages, "body.messages")
    if problem is not None:
        return problem
    own = split_body(body, "body.")
    return own if isinstance(own, Bad) else RowRequest(messages, own.params, own.model, plain=is_plain(messages))


def _missing(where: str, columns: dict[str, Any]) -> Bad:
    return Bad(f"`{where}` is missing. There is {list_columns(columns)}.", BadReason.NO_CONVERSATION)


def _as_list(value: Any) -> Any:
    """`value`; the list of messages of an object of lists (`{"role": [...], "content": [...]}`).

    Hugging Face's `Sequence` of a struct is written so.
    """
    if _has_lists(value):
        lengths = {len(column) for column in value.values()}
        if len(lengths) == 1:
            return [dict(zip(value, turn, strict=True)) for turn in zip(*value.values(), strict=True)]
    return value


def _has_lists(value: Any) -> bool:
    if type(value) is not dict or not ("content" in value or "value" in value):
        return False
    return all(type(column) is list for column in value.values())


def _is_conversation(value: Any) -> bool:
    """Whether `value` is a list of messages or turns, not of texts or numbers."""
    if type(value) is not list or not value or type(value[0]) is not dict:
        return False
    return "role" in value[0] or "from" in value[0]


def _is_list_of_texts(value: Any) -> bool:
    return type(value) is list and bool(value) and all(type(text) is str for text in value)


def _from_json(value: Any) -> Any:
    return parse_text(value) if type(value) is str else value


def _from_json_or_none(value: Any) -> Any:
    try:
        return _from_json(value)
    except ValueError:
        return None
