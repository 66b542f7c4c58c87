"""Templates and conditions over the columns of a row, in Jinja2's language, in a sandbox.

A template gives text, a condition true or false. Names are the row's columns; `row` is the row itself, for a column
such as `row["Review text"]`. What is not there is an error, and so is a null that is printed. Both have bounds, which
`sandbox` sets.

Jinja2 is imported when the first of them is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from batchchat.core.bad import Bad, BadReason
from batchchat.errors import InputError
from batchchat.lossless_json import scrub
from batchchat.sources.json_value import describe, list_columns
from batchchat.sources.template_names import Names
from batchchat.text.nearest import did_you_mean

if TYPE_CHECKING:
    from batchchat.sources.sandbox import MissingError, Program

__all__ = ["ROW", "Condition", "Template"]

ROW = "row"
"""The name under which a template has the whole row, where no column has it."""
_MAX_ERROR_CHARS = 200
_COMPARISON = re.compile(r"'([<>]=?)' not supported between instances of '(\w+)' and '(\w+)'")
_PLAIN_TYPES = {
    "str": "text",
    "int": "a number",
    "float": "a number",
    "NoneType": "null",
    "list": "a list",
    "dict": "an object",
    "bool": "true or false",
}
_OPERATORS = {
    "=": " `==` compares.",
    "&&": " Write `and`.",
    "&": " Write `and`.",
    "||": " Write `or`.",
    "<>": " Write `!=`.",
    "AND": " Write `and`.",
    "OR": " Write `or`.",
    "NOT": " Write `not`.",
    "IS": " Write `is`.",
    "IN": " Write `in`.",
    "LIKE": " Write `in`, as in `'word' in text`.",
}


@dataclass(frozen=True, slots=True)
class Template:
    """A text with Jinja2 in it. `where` is what messages call it: `` `template` `` or `` `prompt.j2` ``."""

    where: str
    names: Names
    _program: Program = field(repr=False)

    @classmethod
    def parse(cls, text: str, where: str) -> Self:
        """The template in `text`. Raises `InputError` with its line if it is none."""
        from batchchat.sources.sandbox import TemplateSyntaxError, parse_template

        try:
            program = parse_template(text)
        except TemplateSyntaxError as error:
            raise InputError(f"{where}, line {error.lineno:,}: {_sentence(error.message or '')}") from None
        except RecursionError:
            raise InputError(f"{where} is nested too deeply.") from None
        return cls(where, _names_of(program), program)

    def render(self, columns: Mapping[str, Any]) -> str | Bad:
        """The text for a row of `columns`, or why there is none, with the line of the template."""
        try:
            return self._program.text({ROW: columns, **columns})
        except Exception as error:  # noqa: BLE001  whatever an expression raises is the row's or the template's
            line = self._program.line_of(error)
            return Bad(f"{self.where}, line {line:,}: {_sentence_of(error, columns)}", BadReason.TEMPLATE)


@dataclass(frozen=True, slots=True)
class Condition:
    """An expression that is true or false of a row. `where` is what messages call it: `` `input.where` ``."""

    text: str
    where: str
    names: Names
    _program: Program = field(repr=False)

    @classmethod
    def parse(cls, text: str, where: str) -> Self:
        """The condition in `text`. Raises `InputError` if it is none."""
        from batchchat.sources.sandbox import TemplateSyntaxError, UnexpectedError, parse_condition

        try:
            program = parse_condition(text)
        except UnexpectedError as error:
            raise InputError(f"{where}: unexpected `{error.token}`.{_hint_of(error.token, text)}") from None
        except TemplateSyntaxError as error:
            raise InputError(f"{where}: {_sentence(error.message or '')}{_hint_of('', text)}") from None
        except RecursionError:
            raise InputError(f"{where} is nested too deeply.") from None
        return cls(text, where, _names_of(program), program)

    def holds(self, columns: Mapping[str, Any]) -> bool | Bad:
        """Whether it is true of a row of `columns`; null counts as false. `Bad` where it can't be decided."""
        try:
            value = self._program.value({ROW: columns, **columns})
        except Exception as error:  # noqa: BLE001  whatever an expression raises is the row's or the condition's
            hint = self._values_hint(columns) if isinstance(error, TypeError) else ""
            return Bad(f"{self.where}: {_sentence_of(error, columns)}{hint}", BadReason.CONDITION)
        if type(value) is bool or value is None:
            return bool(value)
        sentence = f"{self.where} gives {_shown(value)}. It takes a comparison, which gives true or false."
        return Bad(sentence, BadReason.CONDITION)

    def _values_hint(self, columns: Mapping[str, Any]) -> str:
        """The columns that are null or text, which can't be compared with a number."""
        names = sorted(self.names.read & columns.keys())
        nulls = [name for name in names if columns[name] is None]
        if nulls:
            return f" `{nulls[0]}` is null. Write `{nulls[0]} is not none and ...`."
        texts = [name for name in names if isinstance(columns[name], str)]
        if texts:
            value = describe(columns[texts[0]])
            return f" `{texts[0]}` is {value}. `{texts[0]}|float` reads a number from text."
        return ""


def _names_of(program: Program) -> Names:
    return Names(program.names, program.required - {ROW}, reads_row=ROW in program.names)


def _hint_of(token: str, condition: str) -> str:
    """How a `condition` is written that has `token` or another operator of SQL or C."""
    operators = [token] if token in _OPERATORS else [name for name in _OPERATORS if f" {name} " in f" {condition} "]
    return _OPERATORS[operators[0]] if operators else ""


def _shown(value: Any) -> str:
    return describe(value) if value is None or isinstance(value, str | int | float | list | dict) else _type(value)


def _type(value: Any) -> str:
    return f"a {type(value).__name__}"


def _sentence_of(error: Exception, columns: Mapping[str, Any]) -> str:
    """What went wrong, for the user."""
    from batchchat.sources.sandbox import MissingError

    if isinstance(error, MissingError):
        return _missing(error, columns)
    if isinstance(error, RecursionError):
        return "calls itself without end."
    if comparison := _COMPARISON.fullmatch(str(error)):
        operator, *types = comparison.groups()
        left, right = (_PLAIN_TYPES.get(name, name) for name in types)
        return f"`{operator}` can't compare {left} with {right}."
    return _sentence(str(error) or type(error).__name__)


def _missing(error: MissingError, columns: Mapping[str, Any]) -> str:
    if error.hint is not None:
        return _sentence(error.hint)
    name = scrub(str(error.name))
    if error.is_variable or error.owner is columns:
        near = did_you_mean(name, columns) or f" There is {list_columns(columns)}."
        return f"there is no column `{name}`.{near}"
    if isinstance(error.owner, dict):
        keys: Iterable[str] = [key for key in error.owner if isinstance(key, str)]
        return f"there is no key `{name}` in {describe(error.owner)}.{did_you_mean(name, keys)}"
    return f"there is no `{name}` in {_shown(error.owner)}."


def _sentence(text: str) -> str:
    """`text`, an error's, on one line, shortened, with a full stop."""
    line = " ".join(scrub(text).split()).removesuffix(".")
    if len(line) > _MAX_ERROR_CHARS:
        line = f"{line[: _MAX_ERROR_CHARS - 1]}…"
    return line if line.endswith("?") else f"{line}."
