"""A job's input: opens its files, detects the format, and reads the rows as often as they are needed.

Rules: what can be refused before the first row is refused in `open_source`, with one sentence. Reading is
deterministic: the same files give the same rows, ids and errors. Apart from 24 bytes per id, memory does not grow with
the input.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from batchchat.core.bad import Bad
from batchchat.core.output_columns import CARRIED, KEY_COLUMNS, TECHNICAL
from batchchat.errors import InputError
from batchchat.job.env_file import with_env_file
from batchchat.job.spec import NOT_REPLAYED
from batchchat.object_store.url import is_url
from batchchat.sources.column_selection import ColumnSelection, ParquetFooter
from batchchat.sources.file_types import FileKind
from batchchat.sources.files import InputFiles, find_files
from batchchat.sources.first_rows import count_if_small, id_column_of, look_at_first_rows
from batchchat.sources.format_detection import check_columns, check_ids, detect_format, summarize_entries
from batchchat.sources.input_digest import InputDigest
from batchchat.sources.readers import begin, declared_columns, read_footers, read_records, resolve_json_kind
from batchchat.sources.rendering import TEMPLATE, Rendering
from batchchat.sources.row_builder import REFERENCE, Columns, RowBuilder
from batchchat.sources.unsent_fields import UnsentFields
from batchchat.text.numbers import rows as rows_left_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from batchchat.core.conversation import BadRow, Row
    from batchchat.core.unanswered_rows import UnansweredRows
    from batchchat.job.spec import InputSpec
    from batchchat.job.template import TemplateSpec
    from batchchat.sources.files import InputFile, Record
    from batchchat.sources.formats import Format
    from batchchat.sources.remote_object import RemoteObject
    from batchchat.sources.sampling import Sample

__all__ = ["Source", "open_source"]

_NOUNS = {
    "messages": "messages",
    "prompt": "prompts",
    "turns": "turns",
    "request": "requests",
    "openai-batch": "openai-batch requests",
    "sharegpt": "sharegpt conversations",
    TEMPLATE: "rows",
}


class Source:
    """The rows of an input.

    `bytes_read` counts the current pass over the files: compressed bytes for gz and zst, bytes in proportion to the
    rows for Parquet. `rows_total` is None unless all files are Parquet, few rows are to be read, or the job takes a
    random sample; and where only a shard of the rows is read.
    `column_types` has the Arrow types of those columns that go to the output and whose files declare a type.
    `recognised` says how the format was detected ("messages, from the column `messages` of the first row"), and is
    None where the job names it. `left_out` rows of the current pass are left out by `input.where`; they are in no other
    count.
    """

    def __init__(
        self,
        spec: InputSpec,
        inputs: InputFiles,
        form: tuple[Format, str | None],
        footers: list[ParquetFooter],
        id_column: str | None,
        *,
        rendering: Rendering,
    ) -> None:
        self.format, self.recognised = form[0].name, form[1]
        self.left_out = 0
        self._is_at_end = False
        self._remote: RemoteObject | None = None
        self._following: InputFile | None = None
        self._inputs = inputs.files
        self._sample: Sample | None = None
        is_output = len(footers) == len(inputs.files) and all(footer.is_output for footer in footers)
        self._columns = Columns(
            form[0], id_column, spec, technical=_technical(footers) if is_output else None, rendering=rendering
        )
        ours = CARRIED | TECHNICAL if is_output else frozenset[str]()
        self._unsent = UnsentFields(spec, form[0], id_column, ours, rendering.names)
        self._unsent.note_media(name for footer in footers for name in footer.types)
        look_at_first_rows(spec, self._unsent, inputs.files)
        self.description = f"{_NOUNS[self.format]} from {summarize_entries(inputs.entries)}"
        self.bytes_read = 0
        self.rows_total: int | None = None
        self.column_types: dict[str, pa.DataType] = {}
        if len(footers) == len(inputs.files):
            if not rendering.has_where and spec.shard is None:
                rows = sum(footer.rows for footer in footers)
                self.rows_total = rows if spec.first is None else min(rows, spec.first)
            self.column_types = _column_types(footers, self._columns)
        self._selection = ColumnSelection(self._columns.wanted, self.column_types, frozenset(self._columns.texts))
        rendering.declare(self.column_types)
        self.column_types = _with_reference(self.column_types, self._columns)
        if spec.random is not None:
            from batchchat.sources.sampling import choose

            # Which rows are in the sample depends on all of them, so all are read before the first is handed out.
            self._sample = choose(self._rows(of_all=True), spec.random, spec.seed)
            self.rows_total = self._sample.rows if spec.shard is None else None
            self.bytes_read = 0
        if self.rows_total is None and spec.shard is None:
            selection = self._selection if rendering.has_where else ColumnSelection(set())
            self.rows_total = count_if_small(inputs.files, spec.first, selection, rendering.holds)

    @property
    def id_column(self) -> str | None:
        """The column of ids; None where ids are hashes."""
        return self._columns.id

    @property
    def may_name_models(self) -> bool:
        """True if rows may have a model of their own."""
        return self._columns.spec.params is not None or self.format in {"request", "openai-batch"}

    @property
    def files(self) -> tuple[Path, ...]:
        """The files on this machine that are read."""
        return tuple(file.path for file in self._inputs if isinstance(file.path, Path))

    @property
    def refers_to_files(self) -> bool:
        """Whether a row read so far names a file, which no digest of the input tells of."""
        return self._columns.files.used

    def digest(self) -> InputDigest:
        """The digest of the files as they are now."""
        return InputDigest(self._inputs)

    @property
    def is_waiting(self) -> bool:
        """Whether the next row is still on its way from a store."""
        stream = None if self._remote is None else self._remote.stream
        if stream is None:
            return False
        if stream.is_waiting:
            return True
        return stream.is_at_end and self._following is not None and begin(self._following, self._selection)

    @property
    def bytes_total(self) -> int:
        """The size of the files."""
        return sum(file.size for file in self._inputs)

    def estimated_rows(self, rows_read: int) -> int | None:
        """About how many rows there are, by the bytes of the `rows_read`; None before any was read."""
        if not rows_read or not self.bytes_read:
            return None
        rows = round(rows_read * self.bytes_total / self.bytes_read)
        spec = self._columns.spec
        return rows if spec.first is None or spec.shard is not None else min(rows, spec.first)

    def read(self, unanswered: UnansweredRows | None = None) -> Iterator[Row | BadRow]:
        """The rows, from the first, or those `unanswered`. Raises `InputError` if a file was removed since."""
        rows = self._rows(unanswered)
        return rows if self._sample is None else self._sample.select(rows)

    @property
    def notes(self) -> list[str]:
        """What is to be said of the rows read so far, the first ones included: fields that are not sent, and names."""
        sentences = self._unsent.sentences()
        if self._is_at_end and self.left_out:
            sentences.append(f"{rows_left_out(self.left_out)} left out by `input.where`.")
        return sentences

    def _rows(self, unanswered: UnansweredRows | None = None, *, of_all: bool = False) -> Iterator[Row | BadRow]:
        self.bytes_read = before = self.left_out = 0
        self._is_at_end = False
        spec = self._columns.spec
        builder = RowBuilder(self._columns, self._unsent, None if of_all else spec.shard)
        remaining = spec.first
        for file, following in zip_longest(self._inputs, self._inputs[1:]):
            self._following = following
            self._remote = None if isinstance(file.path, Path) else file.path
            start = before

            def on_progress(of_this_file: int, start: int = start) -> None:
                self.bytes_read = start + of_this_file

            rows = self._rows_of(builder, file, read_records(file, self._selection, on_progress), unanswered)
            yield from (row for row in islice(rows, remaining) if row is not None)
            before += file.size
            self.bytes_read = before
            if spec.first is not None:
                remaining = spec.first - builder.rows
                if not remaining:
                    break
        self._is_at_end = True

    def _rows_of(
        self, builder: RowBuilder, file: InputFile, records: Iterator[Record], unanswered: UnansweredRows | None
    ) -> Iterator[Row | BadRow | None]:
        """The rows of the `records` of a file; None for one of another shard, or that is passed over.

        Those of which `input.where` holds not are no rows.
        """
        sparse = file.kind is FileKind.PARQUET
        for line, columns in records:
            holds = True if isinstance(columns, Bad) else self._columns.rendering.holds(columns)
            if holds is False:
                self.left_out += 1
                continue
            problem = holds if isinstance(holds, Bad) else None
            if unanswered is None or unanswered.has(builder.rows):
                yield builder.build(file.label, line, columns, sparse=sparse, problem=problem)
            else:
                builder.skip(file.label, line, columns, sparse=sparse, problem=problem)
                yield None


def open_source(
    spec: InputSpec, template: TemplateSpec | None = None, systems: Mapping[str, str] | None = None
) -> Source:
    """Find the files of the input `spec`, detect their format, and choose the rows of a random sample.

    `template` makes the conversations, where the job has one; `systems` are its system messages by variant. Raises
    `InputError` with one sentence that says what is wrong and what to do.
    """
    rendering = Rendering(template, systems, spec.where)
    environ: Mapping[str, str] = os.environ
    if spec.folder is not None and any(map(is_url, spec.paths)):
        environ = with_env_file(environ, spec.folder)
    named = find_files(spec.paths, spec.as_given, environ)
    inputs = InputFiles(tuple(resolve_json_kind(file) for file in named.files), named.entries)
    footers = read_footers(inputs.files)
    headers = [header for file in inputs.files if (header := declared_columns(file)) is not None]
    form = detect_format(spec, inputs.files, rendering.form)
    if spec.replay and form[0].name in NOT_REPLAYED:
        raise InputError(
            f"{summarize_entries(inputs.entries)} has {_NOUNS[form[0].name]}, and `input.replay` plays the user's turns"
            " of conversations. Leave it out."
        )
    if len(footers) + len(headers) == len(inputs.files):
        declared: list[Iterable[str]] = [*(footer.types for footer in footers), *headers]
        names = dict.fromkeys(name for names in declared for name in names)
        check_columns(spec, form[0], names, rendering.required)
    id_column = id_column_of(spec, form[0], inputs.files, footers)
    if id_column is not None and footers:
        check_ids(id_column, (footer.types.get(id_column) for footer in footers))
    return Source(spec, inputs, form, footers, id_column, rendering=rendering)


def _technical(footers: list[ParquetFooter]) -> frozenset[str]:
    """The columns of an output that stay behind; its id, too, where it has the id of its own input with its type."""
    id_, *_ = KEY_COLUMNS
    return TECHNICAL | {id_} if any(f"input_{id_}" in footer.types for footer in footers) else TECHNICAL


def _column_types(footers: list[ParquetFooter], columns: Columns) -> dict[str, pa.DataType]:
    from batchchat.sources.unify import common_type, text_type

    kinds: dict[str, list[pa.DataType]] = {}
    for footer in footers:
        for name, kind in footer.types.items():
            kinds.setdefault(name, []).append(kind)
    common = {name: common_type(own) for name, own in kinds.items()}
    for name in columns.texts & common.keys():
        if common[name] is not None:
            common[name] = text_type(common[name]) or common[name]
    return {name: kind for name, kind in common.items() if kind is not None and columns.passes_through(name, kind)}


def _with_reference(types: dict[str, pa.DataType], columns: Columns) -> dict[str, pa.DataType]:
    """The `types` of the output's own names, where it has the column `reference` and the input declares types."""
    if not types or not columns.has_reference:
        return types
    import pyarrow as pa

    return {**{columns.output_name(name): kind for name, kind in types.items()}, REFERENCE: pa.string()}
