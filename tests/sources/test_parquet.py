"""Parquet files as records."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchchat.core.bad import Bad
from batchchat.errors import InputError
from batchchat.sources.column_selection import ColumnSelection
from batchchat.sources.files import InputFile, find_files
from batchchat.sources.parquet import read_footer, read_parquet
from tests.sources.folder import records_told

if TYPE_CHECKING:
    from batchchat.sources.files import Record
    from tests.sources.folder import Folder


def the_file(folder: Folder, content: bytes | list[Any] | pa.Table) -> InputFile:
    folder.write("x.parquet", content)
    (file,) = find_files([str(folder.path / "x.parquet")], ["x.parquet"]).files
    return file


def records(file: InputFile, columns: set[str] | None = None, **types: Any) -> list[Record]:
    return records_told(partial(read_parquet, file, ColumnSelection(columns, types)), file.size)


def test_rows_are_numbered_from_1(folder: Folder) -> None:
    """Each row is one record, over batches and row groups."""
    table = pa.table({"n": list(range(1234))})
    pq.write_table(table, folder.path / "y.parquet", row_group_size=700)
    (file,) = find_files([str(folder.path / "y.parquet")], ["y.parquet"]).files
    assert records(file) == [(n + 1, {"n": n}) for n in range(1234)]


def test_cells_are_in_their_json_form(folder: Folder) -> None:
    """Of a declared type, times are integers, decimals and bytes text, structs objects with their nulls."""
    file = the_file(folder, [{"t": dt.datetime(1970, 1, 1, 0, 0, 1), "b": b"\xff", "s": [{"a": 1, "b": None}]}])  # noqa: DTZ001
    cells = {"t": 1_000_000, "b": "/w==", "s": [{"a": 1, "b": None}]}
    types: dict[str, Any] = read_footer(file).types
    assert records(file, **types) == [(1, cells)]
    assert records(file) == [(1, {**cells, "t": "1970-01-01T00:00:01"})]


def test_cells_are_cast_to_the_declared_type(folder: Folder) -> None:
    """A row whose cell doesn't fit the type that all files share is bad alone, and says which cell."""
    days = pa.array([0, 253402214400, 1], pa.timestamp("s"))
    file = the_file(folder, pa.table({"t": days, "n": pa.array([1, 2, 3], pa.int8())}))
    assert records(file, t=pa.timestamp("ns"), n=pa.float64()) == [
        (1, {"t": 0, "n": 1.0}),
        (2, Bad("`t` is \"9999-12-31T00:00:00\", text, which the other files' timestamp[ns] can't hold.")),
        (3, {"t": 1_000_000_000, "n": 3.0}),
    ]


def test_only_the_wanted_columns_are_read(folder: Folder) -> None:
    """Columns nobody asked for are not read, nor those that begin like one that was."""
    file = the_file(folder, pa.table({"a": [1], "a.b": [2], "c": [3]}))
    assert records(file, {"a"}) == [(1, {"a": 1})]
    assert records(file, {"a.b", "nowhere"}) == [(1, {"a.b": 2})]
    assert records(file, {"nowhere"}) == [(1, {})]


def test_text_that_is_not_utf8_spoils_its_row_alone(folder: Folder) -> None:
    """Arrow doesn't check text it reads: the row that holds a bad byte is bad, its neighbours are good."""
    data = pa.array([b"a", b"\xff", b"c"]).view(pa.string())
    file = the_file(folder, pa.table({"s": data}))
    assert records(file) == [
        (1, {"s": "a"}),
        (2, Bad("the row is not UTF-8: byte 0xff in a text column")),
        (3, {"s": "c"}),
    ]


def test_a_damaged_page_breaks_the_file_off(folder: Folder) -> None:
    """Rows before the damage are used; the break is one bad record that says how many rows are lost."""
    table = pa.table({"s": [os.urandom(50).hex() for _ in range(4000)]})
    path = folder.path / "x.parquet"
    pq.write_table(table, path, row_group_size=1000, compression="zstd", use_dictionary=False)
    start = pq.read_metadata(path).row_group(2).column(0).data_page_offset
    content = bytearray(path.read_bytes())
    content[start : start + 400] = b"\xff" * 400
    found = records(the_file(folder, bytes(content)))
    good, broken = found[:-1], found[-1]
    assert good == [(at + 1, {"s": text}) for at, text in enumerate(table["s"].to_pylist()[: len(good)])]
    assert len(good) == 2000
    assert broken[0] == 2001
    assert isinstance(broken[1], Bad)
    assert broken[1].sentence.startswith("the file breaks off here, 2,000 rows before its end: ")


@pytest.mark.parametrize("keep", [4, 8, 100])
def test_a_file_cut_short_is_an_input_error(folder: Folder, keep: int) -> None:
    """Without its footer a file can't be read at all; the sentence is one line and names it."""
    folder.write("y.parquet", [{"a": n} for n in range(1000)])
    file = the_file(folder, (folder.path / "y.parquet").read_bytes()[:keep])
    with pytest.raises(InputError, match=r"^x\.parquet can't be read as Parquet: [^\n]+\. Write the file again\.$"):
        read_footer(file)


def test_facts_come_from_the_footer(folder: Folder) -> None:
    """Types and the number of rows are known before reading."""
    facts = read_footer(the_file(folder, pa.table({"a": pa.array([1, 2], pa.int16())})))
    assert facts.types == {"a": pa.int16()}
    assert facts.rows == 2


def test_pandas_stays_out(folder: Folder) -> None:
    """Reading Parquet doesn't import pandas."""
    folder.write(
        "x.parquet", [{"id": 1, "messages": [{"role": "user", "content": "a"}], "f": 0.5, "t": dt.date(2024, 1, 1)}]
    )
    code = """
import sys
from batchchat.job.spec import InputSpec
from batchchat.sources import open_source
(row,) = open_source(InputSpec((sys.argv[1],), ("x.parquet",), id="id")).read()
assert row.messages == [{"role": "user", "content": "a"}], row
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, str(folder.path / "x.parquet")], check=True)
