"""The formats of input rows: where in the columns the conversation stands, and what else is asked for.

A format turns a row's columns into what is asked, or into the sentence that says why nothing can be. It
never changes the columns it is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import isfinite, isnan
from typing import TYPE_CHECKING, Any, NamedTuple

from batchchat.sources.conversations import check_messages
from batchchat.sources.json_value import describe, list_columns, parse
from batchchat.sources.sharegpt import is_sharegpt, parse_sharegpt

if TYPE_CHECKING:
    from batchchat.core.conversation import Message

__all__ = ["Format", "RowRequest", "drop_null_keys", "format_of", "match_format", "parse_row_params"]


class RowRequest(NamedTuple):
    """A conversation, with the row's own parameters and model."""

    messages: list[Message]
    params: dict[str, Any]
    model: str | None


@dataclass(frozen=True, slots=True)
class Format:
    """`columns` are those it reads, `excluded` those that don't go to the output of their own accord."""

    name: str
    columns: tuple[str, ...]
    excluded: tuple[str, ...]
    id_column: str | None
    parse: Callable[[dict[str, Any]], RowRequest | str]


def format_of(name: str, column: str | None) -> Format:
    """The format `name`, with its conversation in `column` if it has one of the user's choice."""
    if name == "openai-batch":
        return Format(name, ("body",), ("custom_id", "method", "url", "body"), "custom_id", _parse_batch)
    own, parse_column = _ONE_COLUMN_FORMATS[name]
    where = column or own
    return Format(name, (where,), (where,), None, partial(parse_column, where))


def match_format(columns: dict[str, Any], column: str | None) -> tuple[Format, str] | None:
    """The first format that a row fits, and by which columns; None where it fits none."""
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
    """A Parquet cell without the null keys of its structs: Arrow fills what a row doesn't have with null.

    `content` stays, since a message with tool calls says something by its null.
    """
    if type(value) is dict:
        # Most values are text; a call for each would double the cost of a row.
        return {
            k: v if type(v) is str else drop_null_keys(v) for k, v in value.items() if v is not None or k == "content"
        }
    if type(value) is list:
        return [drop_null_keys(v) for v in value]
    return value


def parse_row_params(value: Any, where: str) -> tuple[dict[str, Any], str | None] | str:
    """The parameters and the model that a column holds, or the sentence that says why not.

    Null is none, and so is an empty text: a CSV has no other word for it.
    """
    if value is None or value == "":
        return {}, None
    try:
        params = _from_json(value)
    except ValueError as error:
        return f"`{where}` {error}"
    if type(params) is not dict:
        return f"`{where}` is {describe(params)}. It takes an object of parameters."
    if "messages" in params:
        return f"`{where}.messages` can't stand there: the conversation has its own column."
    return _split(params, where)


def _split(params: dict[str, Any], where: str) -> tuple[dict[str, Any], str | None] | str:
    stream, n, model = params.get("stream"), params.get("n"), params.get("model")
    if stream is not None and stream is not False:
        return f"`{where}.stream` is {describe(stream)}. Replies are read whole: leave it out."
    if n is not None and (n != 1 or type(n) is not int):
        return f"`{where}.n` is {describe(n)}. It takes 1: for more completions of a row set `samples`."
    if model is not None and (type(model) is not str or not model):
        return f"`{where}.model` is {describe(model)}. It takes a model's name."
    own = {k: v for k, v in params.items() if k not in {"model", "messages"}}
    return _unsendable(own, where) or (own, model)


def _unsendable(value: Any, where: str) -> str | None:
    """The sentence about a number that JSON has no word for: it would be sent as null."""
    if type(value) is float and not isfinite(value):
        return f"`{where}` is {'not a number' if isnan(value) else 'infinite'}, which JSON has no number for."
    inner = value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
    for name, part in inner:
        if type(part) is float or type(part) is dict or type(part) is list:
            problem = _unsendable(part, f"{where}.{name}" if type(value) is dict else f"{where}[{name}]")
            if problem is not None:
                return problem
    return None


def _parse_messages(where: str, columns: dict[str, Any]) -> RowRequest | str:
    cell = _list_in(where, columns)
    if isinstance(cell, str):
        return cell
    (value,) = cell
    return check_messages(value, where) or RowRequest(value, {}, None)


def _parse_sharegpt(where: str, columns: dict[str, Any]) -> RowRequest | str:
    cell = _list_in(where, columns)
    if isinstance(cell, str):
        return cell
    messages = parse_sharegpt(cell[0], where)
    return messages if isinstance(messages, str) else RowRequest(messages, {}, None)


def _list_in(where: str, columns: dict[str, Any]) -> tuple[Any] | str:
    """What stands in the column of a conversation, as JSON text too; or the sentence that says why nothing does."""
    if where not in columns:
        return _missing(where, columns)
    try:
        return (_from_json(columns[where]),)
    except ValueError as error:
        return f"`{where}` {error}"


def _parse_prompt(where: str, columns: dict[str, Any]) -> RowRequest | str:
    if where not in columns:
        return _missing(where, columns)
    prompt = columns[where]
    if type(prompt) is not str:
        return f"`{where}` is {describe(prompt)}. It takes text."
    if not prompt or prompt.isspace():
        return f"`{where}` is empty"
    return RowRequest([{"role": "user", "content": prompt}], {}, None)


# The formats with one column, by their names: what it is called of its own accord, and how it is read.
_ONE_COLUMN_FORMATS: dict[str, tuple[str, Callable[[str, dict[str, Any]], RowRequest | str]]] = {
    "messages": ("messages", _parse_messages),
    "prompt": ("prompt", _parse_prompt),
    "sharegpt": ("conversations", _parse_sharegpt),
}


def _parse_batch(columns: dict[str, Any]) -> RowRequest | str:
    if "body" not in columns:
        return _missing("body", columns)
    url = columns.get("url")
    if type(url) is str and not url.endswith("/chat/completions"):
        return f"`url` is {describe(url)}. It takes /v1/chat/completions."
    try:
        body = _from_json(columns["body"])
    except ValueError as error:
        return f"`body` {error}"
    if type(body) is not dict:
        return f"`body` is {describe(body)}. It takes an object with messages."
    if "messages" not in body:
        return _missing("body.messages", body)
    problem = check_messages(body["messages"], "body.messages")
    if problem is not None:
        return problem
    split = _split(body, "body")
    return split if isinstance(split, str) else RowRequest(body["messages"], *split)


def _missing(where: str, columns: dict[str, Any]) -> str:
    return f"`{where}` is missing. There is {list_columns(columns)}."


def _from_json(value: Any) -> Any:
    # A lone surrogate can't be part of JSON text: it is refused as what is not UTF-8.
    return parse(value.encode(errors="surrogatepass")) if type(value) is str else value


def _from_json_or_none(value: Any) -> Any:
    try:
        return _from_json(value)
    except ValueError:
        return None
