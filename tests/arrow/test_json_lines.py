"""Lines of JSON as Arrow columns."""

from __future__ import annotations

import pyarrow as pa
import pytest

from batchchat.arrow.json_lines import read_json_lines

SCHEMA = pa.schema([("id", pa.string()), ("usage", pa.struct([("tokens", pa.int64())]))])
LINES = b'{"id":"a\\u00e9","usage":{"tokens":3}}\n{"usage":null,"id":"b"}\n'


def test_columns_by_path() -> None:
    """Members of structs have paths of two keys; what a line lacks is null."""
    columns = read_json_lines(LINES, 2, SCHEMA, "error")
    assert columns is not None
    assert list(columns) == [("id",), ("usage",), ("usage", "tokens")]
    assert columns["id",].to_pylist() == ["aé", "b"]
    assert columns["usage", "tokens"].to_pylist() == [3, None]


@pytest.mark.parametrize(
    ("line", "as_error", "as_ignored"),
    [
        (b'{"id":"c","more":1}\n', None, ["c"]),
        (b'{"id":4}\n', None, None),
        (b'{"id":"c"\n', None, None),
        (b"\n", None, None),  # no row: not as many as there are lines
    ],
)
def test_what_is_not_of_the_schema(line: bytes, as_error: list[str] | None, as_ignored: list[str] | None) -> None:
    """Unknown keys may be ignored; another type, half a line and an empty one never are."""
    for unexpected, expected in (("error", as_error), ("ignore", as_ignored)):
        columns = read_json_lines(line, 1, SCHEMA, unexpected)  # type: ignore[arg-type]
        assert (None if columns is None else columns["id",].to_pylist()) == expected
