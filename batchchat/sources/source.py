"""An input opened: its files found, its format known, its rows to be read as often as one likes.

Rules: what can be refused before the first row is refused here, in one sentence. A reading is deterministic:
the same files give the same rows, ids and errors. Memory does not grow with the input but for 24 bytes an
id.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

from batchchat.sources.file_types import FileKind
from batchchat.sources.files import InputFiles, find_files
from batchchat.sources.format_detection import check_columns, check_ids, found_format, told
from batchchat.sources.parquet import ParquetFacts, Wanted, facts_of
from batchchat.sources.readers import columns_of, looked_into, records
from batchchat.sources.row_builder import Columns, RowBuilder
from batchchat.sources.sampling import Sample, choose
from batchchat.sources.unify import unified

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from batchchat.core.conversation import BadRow, Row
    from batchchat.job.spec import InputSpec
    from batchchat.sources.formats import Format

__all__ = ["Source", "open_source"]

_NOUNS = {
    "messages": "messages",
    "prompt": "prompts",
    "openai-batch": "openai-batch requests",
    "sharegpt": "sharegpt conversations",
}


class Source:
    """Rows to be read.

    `bytes_read` is of the current reading, packed bytes for gz and zst and in proportion to rows for Parquet.
    `rows_total` is known where all files are Parquet, and of rows at random. `column_types` are the carried columns
    with a declared type. `recognised` says how the format was found where the job left it open: "messages, from the
    column `messages` of the first row".
    """

    def __init__(
        self,
        spec: InputSpec,
        found: InputFiles,
        form: tuple[Format, str | None],
        facts: list[ParquetFacts],
    ) -> None:
        self.format, self.recognised = form[0].name, form[1]
        self._inputs = found.files
        self._first = spec.first
        self._sample: Sample | None = None
        self._columns = Columns(form[0], spec.id or form[0].id, spec.params, spec.columns)
        self.files: tuple[Path, ...] = tuple(file.path for file in found.files)
        self.description = f"{_NOUNS[self.format]} from {told(found.told)}"
        self.bytes_total = sum(file.size for file in found.files)
        self.bytes_read = 0
        self.rows_total: int | None = None
        self.column_types: dict[str, pa.DataType] = {}
        if len(facts) == len(found.files):
            rows = sum(fact.rows for fact in facts)
            self.rows_total = rows if spec.first is None else min(rows, spec.first)
            self.column_types = _common_types(facts, self._columns)
        self._wanted = Wanted(self._columns.wanted, self.column_types)
        if spec.random is not None:
            # The one thing that has to see all rows before the first: which are the chosen ones depends on all.
            self._sample = choose(self._rows(), spec.random, spec.seed)
            self.rows_total = self._sample.rows
            self.bytes_read = 0

    def read(self) -> Iterator[Row | BadRow]:
        """A fresh reading from the first row. Raises `InputError` where a file has gone since."""
        rows = self._rows()
        return rows if self._sample is None else self._sample.of(rows)

    def _rows(self) -> Iterator[Row | BadRow]:
        self.bytes_read = before = 0
        assembly = RowBuilder(self._columns)
        left = self._first
        for file in self._inputs:
            start = before

            def tell(of_this_file: int, start: int = start) -> None:
                self.bytes_read = start + of_this_file

            sparse = file.kind is FileKind.PARQUET
            for line, columns in islice(records(file, self._wanted, tell), left):
                yield assembly.row(file.label, line, columns, sparse=sparse)
            before += file.size
            self.bytes_read = before
            if self._first is not None:
                left = self._first - assembly.rows
                if not left:
                    return


def open_source(spec: InputSpec) -> Source:
    """Find the files and the format of an input, and choose the rows where some are asked for at random.

    Raises `InputError` with one sentence that says the way out.
    """
    named = find_files(spec.paths, spec.as_given)
    found = InputFiles(tuple(looked_into(file) for file in named.files), named.told)
    facts = [facts_of(file) for file in found.files if file.kind is FileKind.PARQUET]
    headers = [header for file in found.files if (header := columns_of(file)) is not None]
    form = found_format(spec, found.files)
    if len(facts) + len(headers) == len(found.files):
        declared: list[Iterable[str]] = [*(fact.types for fact in facts), *headers]
        check_columns(spec, form[0], dict.fromkeys(name for names in declared for name in names))
    if column := spec.id or form[0].id:
        check_ids(column, (fact.types.get(column) for fact in facts))
    return Source(spec, found, form, facts)


def _common_types(facts: list[ParquetFacts], columns: Columns) -> dict[str, pa.DataType]:
    names = dict.fromkeys(name for fact in facts for name in fact.types if columns.carries(name))
    common = {name: unified([fact.types[name] for fact in facts if name in fact.types]) for name in names}
    return {name: kind for name, kind in common.items() if kind is not None}
