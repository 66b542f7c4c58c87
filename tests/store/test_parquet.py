"""The output file: one schema, every reader, nothing half."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchchat.arrow.widening import Kind
from batchchat.core.record import RowRecord
from batchchat.errors import MachineError
from batchchat.store.columns import COLUMNS
from batchchat.store.parquet import GROUP_LIMITS, GroupLimits, PassthroughColumn, is_ours, metadata_of, write_parquet
from tests.store.given import answered, failed, invalid, small_disk

OURS = [(column.name, column.type) for column in COLUMNS]
TOOLS = {"text": None, "tool_calls": [{"id": "c", "type": "function"}]}
MIXED = [
    answered("a", carried={"topic": "sauce", "n": 1}),
    failed("b", carried={"topic": None, "n": 2.5}),
    invalid("c"),
    answered("d", reply=TOOLS, carried={"n": 3}),
]
CARRIED: dict[str, PassthroughColumn] = {"topic": Kind.TEXT, "n": Kind.FLOAT}


def write(
    path: Path,
    rows: Iterable[RowRecord],
    carried: Mapping[str, PassthroughColumn] | None = None,
    length: int = 500,
    limits: GroupLimits = GROUP_LIMITS,
) -> pa.Table:
    write_parquet(path, ((row, length) for row in rows), carried or {}, {"name": "x"}, limits=limits)
    table: pa.Table = pq.read_table(path)
    table.validate(full=True)
    return table


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "x.parquet"


@pytest.mark.parametrize("rows", [[], [failed()] * 3, [invalid()], [answered()], MIXED])
def test_the_schema_is_declared(output: Path, rows: list[RowRecord]) -> None:
    """No rows, all failed, all invalid or mixed: columns and types are the same, carried ones last."""
    table = write(output, rows, CARRIED)
    wanted = pa.schema([*OURS, ("topic", pa.string()), ("n", pa.float64())])
    assert table.schema.remove_metadata() == wanted
    assert table["id"].to_pylist() == [row["id"] for row in rows]


def test_rows_stand_in_the_order_given(output: Path) -> None:
    """Order holds over slices and row groups."""
    ids = [str(number) for number in range(50)]
    assert write(output, map(answered, ids), limits=GroupLimits(rows=7, slice_rows=3))["id"].to_pylist() == ids


@pytest.mark.parametrize(
    ("rows", "size", "groups"),
    [
        (10, 1 << 30, [10, 10, 5]),
        (1000, 700, [7, 7, 7, 4]),
        (10, 700, [7, 7, 7, 4]),
        (25, 1 << 30, [25]),
        (1000, 1, [1] * 25),
    ],
)
def test_row_groups_close_by_rows_or_bytes(output: Path, rows: int, size: int, groups: list[int]) -> None:
    """A group closes at so many rows, or so many bytes of the journal, whichever is first."""
    write(output, [answered()] * 25, length=100, limits=GroupLimits(rows, size, slice_rows=4))
    meta = pq.ParquetFile(output).metadata
    assert [meta.row_group(at).num_rows for at in range(meta.num_row_groups)] == groups
    assert meta.row_group(0).column(0).compression == "ZSTD"


def test_carried_columns_keep_their_types(output: Path) -> None:
    """A Parquet input's types come back, JSON's are widened, nested values are JSON, and names of ours make way."""
    carried = {
        "day": 19000,
        "blob": "AP8=",
        "price": "1.50",
        "tags": ["a", None],
        "flag": True,
        "count": 3,
        "mixed": {"a": [1]},
        "nothing": None,
        "id": "their id\ud800",
    }
    kinds: dict[str, PassthroughColumn] = {
        "day": pa.date32(),
        "blob": pa.binary(),
        "price": pa.decimal128(5, 2),
        "tags": pa.list_(pa.string()),
        "flag": Kind.BOOL,
        "count": Kind.INT,
        "mixed": Kind.TEXT,
        "nothing": Kind.NULL,
        "id": Kind.TEXT,
    }
    table = write(output, [answered("our id", carried=carried), invalid()], kinds)
    assert table.column_names[len(OURS) :] == [*list(kinds)[:-1], "input_id"]
    first, second = table.slice(0, 1).to_pylist()[0], table.slice(1, 1).to_pylist()[0]
    assert first["day"] == dt.date(2022, 1, 8)
    assert (first["blob"], str(first["price"]), first["tags"]) == (b"\x00\xff", "1.50", ["a", None])
    assert (first["flag"], first["count"], first["mixed"], first["nothing"]) == (True, 3, '{"a":[1]}', None)
    assert (first["id"], first["input_id"]) == ("our id", "their id\ufffd")
    assert {second[name] for name in [*list(kinds)[:-1], "input_id"]} == {None}
    types = {name: table.schema.field(name).type for name in ("day", "price", "tags", "flag", "nothing")}
    assert list(types.values()) == [pa.date32(), pa.decimal128(5, 2), pa.list_(pa.string()), pa.bool_(), pa.string()]


def test_the_common_readers_open_it_with_no_option(output: Path) -> None:
    """pandas, Polars and DuckDB (a file and a folder of them) read every row and the conversations."""
    write(output, MIXED, CARRIED)
    write(output.with_name("y.parquet"), [], CARRIED)
    write(output.with_name("z.parquet"), [failed("e")], CARRIED)

    frame = pd.read_parquet(output)
    assert list(frame["id"]) == ["a", "b", "c", "d"]
    assert frame["messages"][0][1] == {"role": "assistant", "content": "Flour and butter."}

    table = pl.read_parquet(output)
    assert table["messages"].to_list()[0][1]["content"] == "Flour and butter."
    assert pl.read_parquet(f"{output.parent}/*.parquet").height == 5

    with duckdb.connect() as base:
        last = "messages[-1].content"
        assert base.execute(f"select {last} from '{output}' where status = 'answered' order by id").fetchall() == [
            ("Flour and butter.",),
            (None,),
        ]
        assert base.execute(f"select count(*), sum(n) from '{output.parent}/*.parquet'").fetchall() == [(5, 6.5)]


HUGGING_FACE = """
import sys
from datasets import load_dataset
for files in (sys.argv[1], [sys.argv[1], sys.argv[2]]):
    rows = load_dataset("parquet", data_files=files, cache_dir=sys.argv[3])["train"]
    print(len(rows), rows[0]["messages"][1]["content"], rows[0]["topic"])
"""


def test_hugging_face_datasets_opens_it_with_no_option(output: Path, tmp_path: Path) -> None:
    """`load_dataset("parquet")` reads it, alone and beside a part whose rows all failed."""
    write(output, MIXED, CARRIED)
    other = output.with_name("z.parquet")
    write(other, [failed("e")], CARRIED)
    done = subprocess.run(
        [sys.executable, "-c", HUGGING_FACE, str(output), str(other), str(tmp_path / "cache")],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["4 Flour and butter. sauce", "5 Flour and butter. sauce"], done.stderr


def test_metadata_comes_back(output: Path) -> None:
    """What the run notes in the file is read again; a file without it is not ours."""
    metadata = {"name": "chef", "totals": {"cost_usd": "0.1", "rows": {"answered": 1}}, "odd": "\ud800", "big": 2**70}
    write_parquet(output, [], {}, metadata)
    assert metadata_of(output) == metadata
    assert is_ours(output)
    pq.write_table(pa.table({"a": [1]}), output)
    assert not is_ours(output)
    output.write_bytes(b"PAR1")
    assert metadata_of(output) is None
    assert metadata_of(output.with_name("gone")) is None


def test_a_name_that_is_no_utf8_is_still_a_column(output: Path) -> None:
    """Half a surrogate pair in a column's name becomes U+FFFD."""
    table = write(output, [answered(carried={"a\ud800": 1})], {"a\ud800": Kind.INT})
    assert table["a\ufffd"].to_pylist() == [1]


def breaking(rows: int) -> Iterator[RowRecord]:
    for number in range(rows):
        yield answered(str(number))
    raise ZeroDivisionError


@pytest.mark.parametrize("rows", [0, 3, 25])
def test_a_failure_half_way_changes_nothing(output: Path, rows: int) -> None:
    """The old file stays as it was, and nothing is left beside it."""
    write(output, [answered("old")])
    before = output.read_bytes()
    with pytest.raises(ZeroDivisionError):
        write(output, breaking(rows), limits=GroupLimits(rows=10))
    assert output.read_bytes() == before
    assert list(output.parent.iterdir()) == [output]


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    """ENOSPC on a real disk is told with the way out; the old file stays, no litter."""
    with small_disk(tmp_path, 128) as disk:
        output = disk / "x.parquet"
        write(output, [answered("old")])
        before = output.read_bytes()
        long = os.urandom(200_000).hex()
        with pytest.raises(MachineError) as caught:
            write(output, [answered(messages=[{"role": "user", "content": long}])])
        assert str(caught.value).startswith(f"{output} can't be written: ")
        assert "No space left on device" in str(caught.value)
        assert str(caught.value).endswith(
            ". The journal has every row. Free space or repair the disk, then run the same command again."
        )
        assert output.read_bytes() == before
        assert list(disk.iterdir()) == [output]


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    """An output whose folder vanished is a fault of this machine."""
    output = tmp_path / "gone" / "x.parquet"
    with pytest.raises(MachineError, match=r"x\.parquet can't be written: .*No such file"):
        write(output, [])


MEMORY = """
import resource, sys
from pathlib import Path
from batchchat.arrow.widening import Kind
from batchchat.store.ledger import Ledger  # all that a run imports to get here
from batchchat.store.parquet import write_parquet
from tests.store.given import answered

count = int(sys.argv[1])
text = "".join(chr(97 + (n * n + n // 7) % 26) for n in range(1200))

def rows():
    for n in range(count):
        words = f"{n} {text}"
        row = answered(str(n), messages=[{"role": "user", "content": words[:600]}], carried={"topic": words[:100]})
        row["reply"]["text"] = words
        yield row, 2300

write_parquet(Path(sys.argv[2]), rows(), {"topic": Kind.TEXT}, {})
assert "pandas" not in sys.modules, "pandas was imported"
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Ten times the rows take about the same memory, and pandas is not imported by writing."""
    peak = []
    for count in (10_000, 100_000):
        command = [sys.executable, "-c", MEMORY, str(count), str(tmp_path / f"{count}.parquet")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
        assert done.returncode == 0, done.stderr
        peak.append(int(done.stdout))
    print(f"peak RSS: {peak[0]} MB of 10,000 rows, {peak[1]} MB of 100,000")
    assert peak[1] < 1.5 * peak[0]
