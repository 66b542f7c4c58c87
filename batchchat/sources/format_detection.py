"""Detects the format of an input where the job doesn't name it: that of the first row that fits one.

Problems that show before the rows are read, in the declared columns and their types, are refused here.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from batchchat.core.bad import Bad
from batchchat.errors import InputError
from batchchat.job.spec import AUTO
from batchchat.lossless_json import scrub
from batchchat.sources.column_selection import ColumnSelection
from batchchat.sources.formats import Format, column_of_messages, format_of, match_format, problem_of_shape
from batchchat.sources.json_value import describe, list_columns
from batchchat.sources.readers import read_records
from batchchat.text.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

    from batchchat.job.spec import InputSpec
    from batchchat.sources.files import InputFile

__all__ = ["check_columns", "check_ids", "detect_format", "summarize_entries"]

_MAX_ROWS_READ = 1000
_MAX_ENTRIES_SHOWN = 3


def detect_format(
    spec: InputSpec, files: tuple[InputFile, ...], of_template: Format | None = None
) -> tuple[Format, str | None]:
    """The format of the rows in `files`, and how it was detected, None if `spec` names it.

    It is `of_template` where a template makes the conversations. Raises `InputError` if no row fits a format, or there
    are no rows.
    """
    if spec.format == "auto" and of_template is None:
        return _detect(spec, files)
    if next(_first_records(files), None) is None:
        raise _empty(spec)
    if of_template is not None:
        return of_template, None
    return format_of(spec.format, spec.column), None


def _detect(spec: InputSpec, files: tuple[InputFile, ...]) -> tuple[Format, str]:
    unreadable: str | None = None
    unmatched: tuple[InputFile, int, dict[str, Any]] | None = None
    number = 0
    for number, (file, line, columns) in enumerate(islice(_first_records(files), _MAX_ROWS_READ), 1):
        if isinstance(columns, Bad):
            unreadable = unreadable or f"{file.as_given}:{line}: {columns.sentence}"
            continue
        match = match_format(columns, spec.column)
        if match is not None:
            row = "the first row" if number == 1 else f"{file.label}:{line}"
            return match[0], f"{match[0].name}, from {match[1]} of {row}"
        unmatched = unmatched or (file, line, columns)
    if unmatched is not None:
        raise _unmatched(spec, *unmatched, number)
    if unreadable is not None:
        raise InputError(f"{unreadable.removesuffix('.')} ({_share(number)}).")
    raise _empty(spec)


def _share(number: int) -> str:
    return "the only row" if number == 1 else f"none of the first {number:,} rows is good"


def _unmatched(spec: InputSpec, file: InputFile, line: int, columns: dict[str, Any], number: int) -> InputError:
    has = f"{file.as_given}:{line} has {list_columns(columns)}"
    if spec.column is not None:
        if spec.column in columns:
            value = describe(columns[spec.column])
            return InputError(f"{file.as_given}:{line}: `{spec.column}` is {value}. It takes messages or text.")
        sentence = f"{has}, but no `{spec.column}` (`input.column`)."
        return InputError(sentence + did_you_mean(spec.column, columns))
    if number == 1 and (hint := _hint_of_one_object(columns)):
        raise InputError(f"{file.as_given} is one object. {hint}")
    if (problem := problem_of_shape(columns)) is not None:
        return InputError(f"{file.as_given}:{line}: {problem.sentence.removesuffix('.')} ({_share(number)}).")
    if (name := column_of_messages(columns)) is not None:
        return InputError(f"{has}: `input.column: {scrub(name)}` reads the messages there.")
    return InputError(
        f"{has}: no conversation found. It takes `messages` or `conversations` (lists), `prompt` (text), `turns` "
        "(a list of texts), or `custom_id` with `body`; a column of another name goes under `input.column`."
    )


def _hint_of_one_object(columns: dict[str, Any]) -> str:
    """What to do about `columns`, the first row, where it is a whole table: pandas' default, or rows under a key."""
    are_objects = bool(columns) and all(type(value) is dict for value in columns.values())
    if are_objects and ("0" in columns or all("0" in value for value in columns.values())):
        return _PANDAS
    if type(columns.get("columns")) is list and "data" in columns:
        return _PANDAS
    rows = [name for name, value in columns.items() if type(value) is list and value and type(value[0]) is dict]
    others = [value for name, value in columns.items() if name not in rows]
    if len(rows) == 1 and rows[0] in _NAMES_OF_ROWS and not any(type(value) is list for value in others):
        return f"Its rows are in `{rows[0]}`: `jq -c '.{rows[0]}[]'` writes them one a line."
    return ""


_PANDAS = "pandas writes a row a line with `to_json(..., orient='records', lines=True)`."
_NAMES_OF_ROWS = frozenset({"data", "rows", "train", "examples", "instances"})


def _empty(spec: InputSpec) -> InputError:
    return InputError(f"{summarize_entries(spec.as_given)} has no rows. Name a file that has at least one.")


def summarize_entries(entries: Sequence[str]) -> str:
    """The first three `entries` of `input.path`, and the number of the others."""
    if len(entries) <= _MAX_ENTRIES_SHOWN:
        return ", ".join(entries)
    return f"{', '.join(entries[:_MAX_ENTRIES_SHOWN])} and {len(entries) - _MAX_ENTRIES_SHOWN:,} more"


def _first_records(files: tuple[InputFile, ...]) -> Iterator[tuple[InputFile, int, dict[str, Any] | Bad]]:
    for file in files:
        for line, columns in read_records(file, ColumnSelection(), lambda _: None):
            yield file, line, columns


def check_columns(
    spec: InputSpec, form: Format, declared: Iterable[str], rendered: Iterable[tuple[str, str]] = ()
) -> None:
    """Raise `InputError` if a column that `spec` or `form` needs is not one of the `declared` columns.

    `rendered` are the columns that the job's templates need, each with its key.
    """
    names = list(declared)
    required: list[tuple[str, str | None]] = [("input.format", name) for name in form.columns]
    required += [("input.id", form.id_column if spec.id == AUTO else spec.id)]
    params = (spec.params,) if isinstance(spec.params, str) else spec.params or ()
    required += [("input.params", name) for name in params]
    required += [("input.columns", name) for name in spec.columns or ()]
    required += rendered
    for key, name in required:
        if name is not None and name not in names:
            option = "input.column" if key == "input.format" and spec.column else key
            sentence = (
                f"{summarize_entries(spec.as_given)} has no column `{name}` (`{option}`): it has {list_columns(names)}."
            )
            raise InputError(sentence + did_you_mean(name, names))


def check_ids(column: str, kinds: Iterable[pa.DataType | None]) -> None:
    """Raise `InputError` if one of `kinds`, the types of `column` in each file, is neither text nor an integer."""
    from batchchat.sources.unify import makes_ids

    for kind in kinds:
        if kind is not None and not makes_ids(kind):
            raise InputError(f"`{column}` (`input.id`) is a column of {kind}. It takes text or whole numbers.")
