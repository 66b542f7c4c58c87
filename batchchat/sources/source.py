"""An input opened: its files found, its format known, its rows to be read as often as one likes.

Rules: what can be refused before the first row is refused here, in one sentence. A reading is deterministic:
the same files give the same rows, ids and errors. Memory does not grow with the input but for 24 bytes an
id.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow.types as pt

from batchchat.errors import InputError
from batchchat.sources.assembly import Assembly, Columns
from batchchat.sources.files import FileKind, InputFile, find_files
from batchchat.sources.formats import Format, format_of, recognised_format
from batchchat.sources.jsonl import Record, read_jsonl
from batchchat.sources.jsonvalue import listed, nearest, said
from batchchat.sources.parquet import ParquetFacts, facts_of, read_parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from batchchat.conversation import BadRow, Row
    from batchchat.job.spec import InputSpec

__all__ = ["Source", "open_source"]

_ROWS_LOOKED_AT = 1000
_MOST_PATHS_TOLD = 3
_NOUNS = {"messages": "messages", "prompt": "prompts", "openai-batch": "openai-batch requests"}


class Source:
    """Rows to be read.

    `bytes_read` is of the current reading, compressed bytes for gz and in proportion to rows for Parquet.
    `rows_total` is known where all files are Parquet. `column_types` are the carried columns with a declared
    type. `recognised` says how the format was found where the job left it open: "messages, from the column
    `messages` of the first row".
    """

    def __init__(
        self,
        spec: InputSpec,
        files: tuple[InputFile, ...],
        found: tuple[Format, str | None],
        facts: list[ParquetFacts] | None,
    ) -> None:
        form, self.recognised = found
        self._inputs = files
        self._first = spec.first
        self._columns = Columns(form, spec.id or form.id, spec.params, spec.columns)
        self.files: tuple[Path, ...] = tuple(file.path for file in files)
        self.format = form.name
        self.description = f"{_NOUNS[form.name]} from {_told(spec.typed)}"
        self.bytes_total = sum(file.size for file in files)
        self.bytes_read = 0
        self.rows_total: int | None = None
        self.column_types: dict[str, pa.DataType] = {}
        if facts is not None:
            rows = sum(fact.rows for fact in facts)
            self.rows_total = rows if spec.first is None else min(rows, spec.first)
            self.column_types = _common_types(facts, self._columns)

    def read(self) -> Iterator[Row | BadRow]:
        """A fresh reading from the first row. Raises `InputError` where a file has gone since."""
        self.bytes_read = before = 0
        assembly = Assembly(self._columns)
        left = self._first
        for file in self._inputs:
            start = before

            def tell(of_this_file: int, start: int = start) -> None:
                self.bytes_read = start + of_this_file

            sparse = file.kind is FileKind.PARQUET
            for line, columns in islice(_records(file, self._columns.wanted, tell), left):
                yield assembly.row(file.label, line, columns, sparse=sparse)
            before += file.size
            self.bytes_read = before
            if self._first is not None:
                left = self._first - assembly.rows
                if not left:
                    return


def open_source(spec: InputSpec) -> Source:
    """Find the files and the format of an input.

    Raises `InputError` with one sentence that says the way out.
    """
    files = find_files(spec.paths, spec.typed)
    facts = [facts_of(file) for file in files if file.kind is FileKind.PARQUET]
    found = _recognise(spec, files) if spec.format == "auto" else (format_of(spec.format, spec.column), None)
    if spec.format != "auto" and next(_first_records(files), None) is None:
        raise _empty(spec)
    if len(facts) < len(files):
        return Source(spec, files, found, None)
    _check_columns(spec, found[0], facts)
    return Source(spec, files, found, facts)


def _recognise(spec: InputSpec, files: tuple[InputFile, ...]) -> tuple[Format, str]:
    """The format of the first row that fits one, and the fragment that tells it."""
    unreadable: str | None = None
    unfit: tuple[InputFile, int, dict[str, Any]] | None = None
    number = 0
    for number, (file, line, columns) in enumerate(islice(_first_records(files), _ROWS_LOOKED_AT), 1):
        if isinstance(columns, str):
            unreadable = unreadable or f"{file.typed}:{line}: {columns}"
            continue
        fit = recognised_format(columns, spec.column)
        if fit is not None:
            row = "the first row" if number == 1 else f"{file.label}:{line}"
            return fit[0], f"{fit[0].name}, from {fit[1]} of {row}"
        unfit = unfit or (file, line, columns)
    if unfit is not None:
        raise _unfit(spec, *unfit)
    if unreadable is not None:
        among = "the only row" if number == 1 else f"none of the first {number:,} rows is good"
        raise InputError(f"{unreadable.removesuffix('.')} ({among}).")
    raise _empty(spec)


def _unfit(spec: InputSpec, file: InputFile, line: int, columns: dict[str, Any]) -> InputError:
    has = f"{file.typed}:{line} has {listed(columns)}"
    if spec.column is not None:
        if spec.column in columns:
            value = said(columns[spec.column])
            return InputError(f"{file.typed}:{line}: `{spec.column}` is {value}. It takes messages or text.")
        sentence = f"{has}, but no `{spec.column}` (`input.column`)."
        return InputError(sentence + nearest(spec.column, columns))
    return InputError(
        f"{has}: no conversation is found there. It takes `messages` (a list), `prompt` (text), or `custom_id` "
        "with `body`; a column of another name goes under `input.column`."
    )


def _empty(spec: InputSpec) -> InputError:
    return InputError(f"{_told(spec.typed)} has no rows. Name a file that has at least one.")


def _told(typed: tuple[str, ...]) -> str:
    if len(typed) <= _MOST_PATHS_TOLD:
        return ", ".join(typed)
    return f"{', '.join(typed[:_MOST_PATHS_TOLD])} and {len(typed) - _MOST_PATHS_TOLD:,} more"


def _records(file: InputFile, columns: set[str] | None, tell: Callable[[int], None]) -> Iterator[Record]:
    return read_parquet(file, columns, tell) if file.kind is FileKind.PARQUET else read_jsonl(file, tell)


def _first_records(files: tuple[InputFile, ...]) -> Iterator[tuple[InputFile, int, dict[str, Any] | str]]:
    for file in files:
        for line, columns in _records(file, None, lambda _: None):
            yield file, line, columns


def _check_columns(spec: InputSpec, form: Format, facts: list[ParquetFacts]) -> None:
    """Refuse, for an input with a schema, a column that isn't in it and ids that are of no such type."""
    known = {name: kind for fact in reversed(facts) for name, kind in fact.types.items()}
    asked: list[tuple[str, str | None]] = [("input.format", name) for name in form.columns]
    asked += [("input.id", spec.id or form.id), ("input.params", spec.params)]
    asked += [("input.columns", name) for name in spec.columns or ()]
    for key, name in asked:
        if name is not None and name not in known:
            given = "input.column" if key == "input.format" and spec.column else key
            sentence = f"{_told(spec.typed)} has no column `{name}` (`{given}`): it has {listed(known)}."
            raise InputError(sentence + nearest(name, known))
    for kind in (fact.types.get(spec.id or form.id or "") for fact in facts):
        if kind is not None and not _makes_ids(kind):
            column = f"`{spec.id or form.id}` (`input.id`) is a column of {kind}"
            raise InputError(f"{column}. It takes text or whole numbers.")


def _makes_ids(kind: Any) -> bool:
    if pt.is_dictionary(kind):
        return _makes_ids(kind.value_type)
    return pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind) or pt.is_integer(kind)


def _common_types(facts: list[ParquetFacts], columns: Columns) -> dict[str, pa.DataType]:
    names = dict.fromkeys(name for fact in facts for name in fact.types if columns.carries(name))
    common: dict[str, pa.DataType] = {}
    for name in names:
        kinds = [fact.types[name] for fact in facts if name in fact.types]
        if all(kind == kinds[0] for kind in kinds):
            common[name] = kinds[0]
    return common
