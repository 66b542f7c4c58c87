"""The parameters of a row's own: of an object in one column, or of columns that are sent under their own names.

A column of CSV is text, and one of Parquet may be JSON text: what a parameter takes says how its text is read. Null is
not sent, nor is an empty text, since CSV has no null.
"""

from __future__ import annotations

from math import isfinite, isnan
from typing import TYPE_CHECKING, Any, NamedTuple

from batchchat.core.bad import Bad, BadReason
from batchchat.job.request_fields import ROW_FIELDS, FieldType
from batchchat.sources.json_value import RepeatedKeyError, bad_json, describe, parse_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "RowParams",
    "as_tools",
    "non_finite_in",
    "params_of_columns",
    "parse_params_column",
    "read_field",
    "split_body",
    "with_whole_numbers",
]


class RowParams(NamedTuple):
    """Parameters of a row's own; its model and its system message, None if it has none."""

    params: dict[str, Any]
    model: str | None
    system: str | None = None


_JSON_TYPES: Mapping[FieldType, tuple[type, ...]] = {
    FieldType.OBJECT: (dict,),
    FieldType.LIST: (list,),
    FieldType.TEXT_OR_LIST: (str, list),
    FieldType.TEXT_OR_OBJECT: (str, dict),
}
_BOOLEANS = {"true": True, "false": False}


def parse_params_column(value: Any, where: str) -> RowParams | Bad:
    """The parameters in `value`, the cell of the column `where`; a text under `system` is the row's system message.

    Null means none, and so does an empty text: CSV has no null.
    """
    if value is None or value == "":
        return RowParams({}, None)
    try:
        params = parse_text(value) if type(value) is str else value
    except ValueError as error:
        return bad_json(f"`{where}`", error, BadReason.PARAMETERS)
    if type(params) is not dict:
        way_out = f" `input.params: [{where}]` sends the column itself." if where in ROW_FIELDS else ""
        return _bad(f"`{where}` is {describe(params)}. It takes an object of parameters.{way_out}")
    if "messages" in params:
        return _bad(f"`{where}.messages` is not allowed there: the conversation has its own column.")
    system = params.get("system")
    if type(system) is not str or not system:
        return split_body(params, f"{where}.")
    own = split_body({name: part for name, part in params.items() if name != "system"}, f"{where}.")
    return own if isinstance(own, Bad) else own._replace(system=system)


def params_of_columns(columns: dict[str, Any], names: Iterable[str]) -> RowParams | Bad:
    """The parameters in those of `columns` that `names` lists, each under its own name."""
    params: dict[str, Any] = {}
    for name in names:
        if (value := columns.get(name)) is None:
            continue
        field = read_field(name, value)
        if isinstance(field, Bad):
            return field
        if field is not None:
            params[name] = field
    system = params.pop("system", None)
    own = split_body(params, "")
    return own if isinstance(own, Bad) else own._replace(system=system)


def split_body(params: dict[str, Any], prefix: str) -> RowParams | Bad:
    """The parameters and the model of a request body; `prefix` stands before their names in messages."""
    stream, n, model = params.get("stream"), params.get("n"), params.get("model")
    if stream is not None and stream is not False:
        return _bad(f"`{prefix}stream` is {describe(stream)}. Leave it out: `endpoint.stream` is for all rows.")
    if n is not None and (n != 1 or type(n) is not int):
        return _bad(f"`{prefix}n` is {describe(n)}. It takes 1: repeat the row under another id for more completions.")
    if model is not None and (type(model) is not str or not model):
        return _bad(f"`{prefix}model` is {describe(model)}. It takes a model's name.")
    own = {k: v for k, v in params.items() if k not in {"model", "messages"}}
    for name, value in own.items():
        if isinstance(value, float | dict | list):
            problem = _check_numbers(value, f"{prefix}{name}")
            if problem is not None:
                return problem
    return RowParams(own, model)


def non_finite_in(messages: list[dict[str, Any]]) -> Bad | None:
    """What is wrong where one of `messages` holds a number that JSON can't express; None where none does."""
    for index, message in enumerate(messages):
        # Most messages are a role and a text.
        if len(message) != 2 or type(message.get("content")) is not str:  # noqa: PLR2004
            problem = _check_numbers(message, f"messages[{index}]")
            if problem is not None:
                return problem
    return None


def with_whole_numbers(value: Any) -> Any:
    """`value` with each float that is a whole number as an integer: JSON has one type for both."""
    if type(value) is float:
        return int(value) if value.is_integer() and abs(value) < _EXACT else value
    if type(value) is dict:
        return {name: with_whole_numbers(part) for name, part in value.items()}
    if type(value) is list:
        return [with_whole_numbers(part) for part in value]
    return value


_EXACT = 2**53


def read_field(name: str, value: Any) -> Any | Bad:
    """The value that is sent for `value`, a cell of the column `name`; None if nothing is."""
    if value is None or (type(value) is str and (not value or value.isspace())):
        return None
    kind = ROW_FIELDS.get(name)
    match kind:
        case None:
            return _parsed_or_text(value)
        case FieldType.NUMBER | FieldType.INTEGER:
            result: Any = _number(value, whole=kind is FieldType.INTEGER)
        case FieldType.BOOLEAN:
            boolean = _BOOLEANS.get(value.strip().lower()) if type(value) is str else value
            result = boolean if type(boolean) is bool else None
        case FieldType.TEXT:
            result = value if type(value) is str else None
        case _:
            return _json_field(name, value, kind)
    return _wrong(name, value, kind) if result is None else result


def as_tools(value: Any) -> Any:
    """`value`, a list of tools, in OpenAI's form: a function without `type`, as LLaMA-Factory writes it, gets one."""
    if type(value) is not list:
        return value
    return [{"type": "function", "function": tool} if _is_bare_function(tool) else tool for tool in value]


def _is_bare_function(tool: Any) -> bool:
    return (
        type(tool) is dict
        and type(tool.get("name")) is str
        and not any(key in tool for key in ("type", "function", "input_schema"))
    )


def _number(value: Any, *, whole: bool) -> float | None:
    """The number in `value`; None if it holds none. A whole number may be written as a float, as pandas does."""
    if type(value) is str:
        try:
            value = int(value)
        except ValueError:
            try:
                value = float(value)
            except ValueError:
                return None
            if not isfinite(value):
                return None
    if type(value) is int:
        return value
    if not isinstance(value, float):  # an infinity is one, and has a refusal of its own
        return None
    if whole:
        return int(value) if isfinite(value) and value.is_integer() else None
    return value


def _json_field(name: str, value: Any, kind: FieldType) -> Any | Bad:
    takes = _JSON_TYPES[kind]
    result = value
    if type(value) is str and (str not in takes or value.lstrip()[:1] in {"{", "["}):
        try:
            result = parse_text(value)
        except ValueError as error:
            if str not in takes or isinstance(error, RepeatedKeyError):
                return bad_json(f"`{name}`", error, BadReason.PARAMETERS)
            return value
        if result is None:
            return None
    if type(result) not in takes:
        return value if type(value) is str and str in takes else _wrong(name, value, kind)
    return as_tools(result) if name == "tools" else result


def _parsed_or_text(value: Any) -> Any:
    """The object or list that is written in `value`, or `value` where it is no text of one."""
    if type(value) is str and value.lstrip()[:1] in {"{", "["}:
        try:
            return parse_text(value)
        except ValueError:
            return value
    return value


def _wrong(name: str, value: Any, kind: FieldType) -> Bad:
    return _bad(f"`{name}` is {describe(value)}. It takes {kind.value}.")


def _bad(sentence: str) -> Bad:
    return Bad(sentence, BadReason.PARAMETERS)


def _check_numbers(value: Any, where: str) -> Bad | None:
    """Refuse a number that JSON can't express: it would be sent as null."""
    if isinstance(value, float) and not isfinite(value):
        return _bad(f"`{where}` is {'not a number' if isnan(value) else 'infinite'}, which JSON has no number for.")
    inner = value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
    for name, part in inner:
        if isinstance(part, float | dict | list):
            problem = _check_numbers(part, f"{where}.{name}" if type(value) is dict else f"{where}[{name}]")
            if problem is not None:
                return problem
    return None
