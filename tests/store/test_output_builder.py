"""An output whose files say of the run what is known only at its end."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from batchchat.arrow.widening import Kind
from batchchat.store.output_builder import OutputBuilder
from batchchat.store.parquet import metadata_of, write_parquet
from batchchat.store.parquet_file import GroupLimits
from batchchat.store.parsed_columns import ParsedColumns
from batchchat.store.records import encode
from tests.store.given import answered, open_files

LIMITS = GroupLimits(rows=4, slice_rows=2)
ROWS = [answered(f"r{number}", ordinal=number) for number in range(23)]


def content(path: Path) -> dict[str, list[bytes]]:
    """The bytes of each file, the metadata in JSON included."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return {file.name if path.is_dir() else "": [file.read_bytes()] for file in files}


@pytest.mark.parametrize("part_rows", [None, 5, 23, 100])
@pytest.mark.parametrize("described_after", [0, 7, 10, 23])
@pytest.mark.parametrize("in_threads", [True, False])
def test_it_is_the_same_whenever_it_is_described(
    tmp_path: Path, part_rows: int | None, described_after: int, *, in_threads: bool
) -> None:
    """To the byte: parts that are full wait for what is to be said of the run."""
    paths = [tmp_path / name / ("out" if part_rows else "out.parquet") for name in ("early", "late")]
    for path in paths:
        path.parent.mkdir()
    write_parquet(paths[0], ((row, 100) for row in ROWS), {}, {"name": "x"}, part_rows=part_rows, limits=LIMITS)
    builder = OutputBuilder(paths[1], {}, part_rows, LIMITS)
    builder.use_threads(in_threads)
    for row in ROWS[:described_after]:
        builder.add(row, 100)
    assert builder.open_files == max(1, -(-described_after // (part_rows or 100)))
    builder.describe(b'{"name":"x"}')
    assert builder.open_files == 1
    builder.use_threads(True)
    for row in ROWS[described_after:]:
        builder.add(row, 100)
    assert not paths[1].exists()
    builder.commit()
    assert content(paths[1]) == content(paths[0])
    assert metadata_of(paths[1]) == {"name": "x"}
    assert list(paths[1].parent.iterdir()) == [paths[1]]


def test_lines_of_several_endpoints(tmp_path: Path) -> None:
    """A slice whose lines are refused has the columns that it has with lines that are read, and with records."""
    rows = [answered(f"r{number}", endpoint="north", carried={"endpoint": "x"}) for number in range(4)]
    rows.append(answered("r4", endpoint="south", reply={"text": "x", "tool_calls": [{"id": "c"}]}))
    columns = ParsedColumns([], {"endpoint": Kind.TEXT}, has_endpoints=True)
    assert columns.line_form is not None
    builder = OutputBuilder(tmp_path / "out.parquet", columns.columns, None, LIMITS, columns.line_form)
    builder.describe(b"{}")
    for row in rows:
        builder.add(encode(row).removesuffix(b"\n"), 100)
    builder.commit()
    write_parquet(
        tmp_path / "expected.parquet", ((columns.of(row), 100) for row in rows), columns.columns, {}, limits=LIMITS
    )
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["endpoint"].to_pylist() == [*["north"] * 4, "south"]
    assert table["input_endpoint"].to_pylist() == [*["x"] * 4, None]
    assert table.equals(pq.read_table(tmp_path / "expected.parquet"))


@pytest.mark.parametrize("name", ["out", "out.parquet"])
def test_nothing_is_left_of_one_that_is_abandoned(tmp_path: Path, name: str) -> None:
    """Neither a file nor an open one; what was there before stays."""
    path, part_rows = tmp_path / name, None if "." in name else 5
    write_parquet(path, ((row, 100) for row in ROWS), {}, {}, part_rows=part_rows)
    before, descriptors = content(path), open_files()
    builder = OutputBuilder(path, {}, part_rows, LIMITS)
    for row in ROWS:
        builder.add(row, 100)
    assert open_files() > descriptors
    builder.abandon()
    assert (list(tmp_path.iterdir()), content(path), open_files()) == ([path], before, descriptors)


def test_a_folder_without_rows_has_one_empty_part(tmp_path: Path) -> None:
    """So that its columns can be read."""
    builder = OutputBuilder(tmp_path / "out", {}, 5)
    builder.describe(b"{}")
    builder.commit()
    assert [pq.read_metadata(file).num_rows for file in (tmp_path / "out").iterdir()] == [0]
