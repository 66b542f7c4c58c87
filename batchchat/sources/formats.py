"""The formats of input rows: which columns hold the conversation, the parameters and the id.

A format turns the columns of a row into a `RowRequest`, or into `Bad` if it can't. It never changes the columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import isfinite, isnan
from typing import TYPE_CHECKING, Any, NamedTuple

from batchchat.core.bad import Bad
from batchchat.sources.conversations import check_messages
from batchchat.sources.json_value import describe, list_columns, parse
from batchchat.sources.sharegpt import is_sharegpt, parse_sharegpt

if TYPE_CHECKING:
    from batchchat.core.conversation import Message

__all__ = ["Format", "RowRequest", "drop_null_keys", "format_of", "match_format", "parse_row_params"]


class RowRequest(NamedTuple):
    """A conversation, with parameters and a model of the row's own."""

    messages: list[Message]
    params: dict[str, Any]
    model: str | None


class RowParams(NamedTuple):
    """Parameters of a row's own, and its model, None if it names none."""

    params: dict[str, Any]
    model: str | None


@dataclass(frozen=True, slots=True)
class Format:
    """`parse` reads the `columns`; those in `excluded` don't go to the output unless the job lists them."""

    name: str
    columns: tuple[str, ...]
    excluded: tuple[str, ...]
    id_column: str | None
    parse: Callable[[dict[str, Any]], RowRequest | Bad]


def format_of(name: str, column: str | None) -> Format:
    """The format `name`. `column` is `input.column`, the column of the conversation, if the job names one."""
    if name == "openai-batch":
        return Format(name, ("body",), ("custom_id", "method", "url", "body"), "custom_id", _parse_batch)
    own, parse_column = _ONE_COLUMN_FORMATS[name]
    where = column or own
    return Format(name, (where,), (where,), None, partial(parse_column, where))


def match_format(columns: dict[str, Any], column: str | None) -> tuple[Format, str] | None:
    """The first format that the row of `columns` fits, and by which columns; None if it fits none."""
    if "custom_id" in columns and type(_from_json_or_none(columns.get("body"))) is dict:
        return format_of("openai-batch", column), "`custom_id` and `body`"
    for where in ("messages", "conversations") if column is None else (column,):
        value = _from_json_or_none(columns.get(where))
        if type(value) is list:
            as_sharegpt = is_sharegpt(value) or (column is None and where == "conversations")
            return format_of("sharegpt" if as_sharegpt else "messages", where), f"the column `{where}`"
    where = column or "prompt"
    if type(columns.get(where)) is str:
        return format_of("prompt", column), f"the column `{where}`"
    return None


def drop_null_keys(value: Any) -> Any:
    """A Parquet cell without the null keys of its structs: Arrow fills the keys that a row doesn't have with null.

    `content` stays: it may be null in a message with tool calls.
    """
    if type(value) is dict:
        # Most values are text; a call for each would double the cost of a row.
        return {
            k: v if type(v) is str else drop_null_keys(v) for k, v in value.items() if v is not None or k == "content"
        }
    if type(value) is list:
        return [drop_null_keys(v) for v in value]
    return value


def parse_row_params(value: Any, where: str) -> RowParams | Bad:
    """The parameters in `value`, the cell of the column `where`.

    Null means none, and so does an empty text: CSV has no null.
    """
    if value is None or value == "":
        return RowParams({}, None)
    try:
        params = _from_json(value)
    except ValueError as error:
        return Bad(f"`{where}` {error}")
    if type(params) is not dict:
        return Bad(f"`{where}` is {describe(params)}. It takes an object of parameters.")
    if "messages" in params:
        return Bad(f"`{where}.messages` is not allowed there: the conversation has its own column.")
    return _split(params, where)


def _split(params: dict[str, Any], where: str) -> RowParams | Bad:
    stream, n, model = params.get("stream"), params.get("n"), params.get("model")
    if stream is not None and stream is not False:
        return Bad(f"`{where}.stream` is {describe(stream)}. Replies are read whole: leave it out.")
    if n is not None and (n != 1 or type(n) is not int):
        return Bad(f"`{where}.n` is {describe(n)}. It takes 1: repeat the row under another id for more completions.")
    if model is not None and (type(model) is not str or not model):
        return Bad(f"`{where}.model` is {describe(model)}. It takes a model's name.")
    own = {k: v for k, v in params.items() if k not in {"model", "messages"}}
    return _check_numbers(own, where) or RowParams(own, model)


def _check_numbers(value: Any, where: str) -> Bad | None:
    """Refuse a number that JSON can't express: it would be sent as null."""
    if type(value) is float and not isfinite(value):
        return Bad(f"`{where}` is {'not a number' if isnan(value) else 'infinite'}, which JSON has no number for.")
    inner = value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
    for name, part in inner:
        if type(part) is float or type(part) is dict or type(part) is list:
            problem = _check_numbers(part, f"{where}.{name}" if type(value) is dict else f"{where}[{name}]")
            if problem is not None:
                return problem
    return None


def _parse_messages(where: str, columns: dict[str, Any]) -> RowRequest | Bad:
    value = _cell(where, columns)
    if isinstance(value, Bad):
        return value
    return check_messages(value, where) or RowRequest(value, {}, None)


def _parse_sharegpt(where: str, columns: dict[str, Any]) -> RowRequest | Bad:
    value = _cell(where, columns)
    if isinstance(value, Bad):
        return value
    messages = parse_sharegpt(value, where)
    return messages if isinstance(messages, Bad) else RowRequest(messages, {}, None)


def _cell(where: str, columns: dict[str, Any]) -> Any:
    """The value of the column `where`, read from JSON if it is text; `Bad` if the column is missing or isn't JSON."""
    if where not in columns:
        return _missing(where, columns)
    try:
        return _from_json(columns[where])
    except ValueError as error:
        return Bad(f"`{where}` {error}")


def _parse_prompt(where: str, columns: dict[str, Any]) -> RowRequest | Bad:
    if where not in columns:
        return _missing(where, columns)
    prompt = columns[where]
    if type(prompt) is not str:
        return Bad(f"`{where}` is {describe(prompt)}. It takes text.")
    if not prompt or prompt.isspace():
        return Bad(f"`{where}` is empty")
    return RowRequest([{"role": "user", "content": prompt}], {}, None)


# The formats of one column, by name: the default name of the column, and how it is read.
_ONE_COLUMN_FORMATS: dict[str, tuple[str, Callable[[str, dict[str, Any]], RowRequest | Bad]]] = {
    "messages": ("messages", _parse_messages),
    "prompt": ("prompt", _parse_prompt),
    "sharegpt": ("conversations", _parse_sharegpt),
}


def _parse_batch(columns: dict[str, Any]) -> RowRequest | Bad:
    if "body" not in columns:
        return _missing("body", columns)
    url = columns.get("url")
    if type(url) is str and not url.endswith("/chat/completions"):
        return Bad(f"`url` is {describe(url)}. It takes /v1/chat/completions.")
    try:
        body = _from_json(columns["body"])
    except ValueError as error:
        return Bad(f"`body` {error}")
    if type(body) is not dict:
        return Bad(f"`body` is {describe(body)}. It takes an object with messages.")
    if "messages" not in body:
        return _missing("body.messages", body)
    problem = check_messages(body["messages"], "body.messages")
    if problem is not None:
        return problem
    own = _split(body, "body")
    return own if isinstance(own, Bad) else RowRequest(body["messages"], own.params, own.model)


def _missing(where: str, columns: dict[str, Any]) -> Bad:
    return Bad(f"`{where}` is missing. There is {list_columns(columns)}.")


def _from_json(value: Any) -> Any:
    # A lone surrogate can't be part of JSON text: it is refused as not UTF-8.
    return parse(value.encode(errors="surrogatepass")) if type(value) is str else value


def _from_json_or_none(value: Any) -> Any:
    try:
        return _from_json(value)
    except ValueError:
        return None
