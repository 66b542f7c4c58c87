"""Arrow cells as JSON and back, and the widening of JSON columns."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from decimal import Decimal, localcontext
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchchat.arrow.cells import decode, encode
from batchchat.arrow.widened_arrays import decode_widened
from batchchat.arrow.widening import Kind, Widened, widen
from batchchat.lossless_json import dumps, loads

Typed = tuple[pa.DataType, st.SearchStrategy[Any]]
"""An Arrow type, with a strategy for cells in the form that `decode` takes."""


def _integers(bits: int, *, signed: bool = True) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else st.integers(0, 2**bits - 1)


def _floats(width: Any) -> st.SearchStrategy[Any]:
    return st.floats(width=width, allow_nan=False, allow_infinity=False) | st.sampled_from(
        ["NaN", "Infinity", "-Infinity"]
    )


def _decimals(precision: int, scale: int) -> st.SearchStrategy[str]:
    def text(number: int) -> str:
        with localcontext() as context:
            context.prec = 100
            return str(Decimal(number).scaleb(-scale))

    return st.integers(-(10**precision) + 1, 10**precision - 1).map(text)


_text = st.text(st.characters(codec="utf-8"), max_size=5)
_base64 = st.sampled_from(["", "AA==", "/+8=", "YmF0Y2g="])
_LEAVES: list[Any] = [
    (pa.null(), st.none()),
    (pa.bool_(), st.booleans()),
    *((kind, _integers(8 << at)) for at, kind in enumerate([pa.int8(), pa.int16(), pa.int32(), pa.int64()])),
    *(
        (kind, _integers(8 << at, signed=False))
        for at, kind in enumerate([pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()])
    ),
    (pa.float16(), _floats(16)),
    (pa.float32(), _floats(32)),
    (pa.float64(), _floats(64)),
    *((kind, _text) for kind in (pa.string(), pa.large_string(), pa.string_view())),
    *((kind, _base64) for kind in (pa.binary(), pa.large_binary(), pa.binary_view())),
    (pa.binary(2), st.just("/+8=")),
    (pa.date32(), _integers(32)),
    (pa.date64(), st.integers(-1000, 1000).map(lambda day: day * 86_400_000)),
    (pa.time32("s"), st.integers(0, 86_399)),
    (pa.time32("ms"), st.integers(0, 86_399_999)),
    (pa.time64("us"), st.integers(0, 86_399_999_999)),
    (pa.time64("ns"), st.integers(0, 86_399_999_999_999)),
    *((pa.timestamp(cast("Any", unit)), _integers(64)) for unit in ("s", "ms", "us", "ns")),
    (pa.timestamp("us", "UTC"), _integers(64)),
    (pa.timestamp("ns", "Europe/Berlin"), _integers(64)),
    *((pa.duration(cast("Any", unit)), _integers(64)) for unit in ("s", "ms", "us", "ns")),
    (pa.decimal32(9, 3), _decimals(9, 3)),
    (pa.decimal64(18, 0), _decimals(18, 0)),
    (pa.decimal128(38, 10), _decimals(38, 10)),
    (pa.decimal128(5, -2), _decimals(5, -2)),
    (pa.decimal256(76, 76), _decimals(76, 76)),
    (pa.dictionary(pa.int32(), pa.string()), _text),
    (pa.dictionary(pa.int8(), pa.int64(), ordered=True), _integers(64)),
    (pa.uuid(), st.just("AAAAAAAAAAAAAAAAAAAAAA==")),
    (pa.json_(), st.just("{}")),
]


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def lists(typed: Typed) -> st.SearchStrategy[Any]:
        kind, cells = typed
        some = st.lists(st.none() | cells, max_size=3)
        pair = st.lists(st.none() | cells, min_size=2, max_size=2)
        entries = st.lists(st.tuples(_text, st.none() | cells).map(list), max_size=3)
        return st.sampled_from(
            [
                (pa.list_(kind), some),
                (pa.large_list(kind), some),
                (pa.list_(kind, 2), pair),
                (pa.map_(pa.string(), kind), entries),
            ]
        )

    def struct(fields: list[Typed]) -> Any:
        names = "abc"[: len(fields)]
        kind = pa.struct([(name, field[0]) for name, field in zip(names, fields, strict=True)])
        return kind, st.fixed_dictionaries(
            {name: st.none() | field[1] for name, field in zip(names, fields, strict=True)}
        )

    return inner.flatmap(lists) | st.lists(inner, max_size=3).map(struct)


_typed: st.SearchStrategy[Any] = st.recursive(st.sampled_from(_LEAVES), _nested, max_leaves=4)
_columns: st.SearchStrategy[Any] = _typed.flatmap(
    lambda typed: st.tuples(st.just(typed[0]), st.lists(st.none() | typed[1], max_size=6))
)


def _plain(column: pa.Array[Any]) -> Any:
    return column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column


@settings(max_examples=400)
@given(_columns, st.integers(0, 6), st.integers(0, 6))
def test_every_column_survives(column: tuple[Any, list[Any]], start: int, length: int) -> None:
    """Cells of any type, nested as they like, go through JSON text and come back the same, slices too."""
    kind, values = column
    array = decode(values, kind)
    array.validate(full=not _has_far_dates(kind))
    assert array.type == kind
    form = encode(array)
    assert form == values
    assert repr(loads(dumps(form))) == repr(form)
    part = array.slice(start, length)
    assert encode(part) == values[start : start + length]
    assert encode(pa.chunked_array([array, part], type=kind)) == values + values[start : start + length]


def _has_far_dates(kind: Any) -> bool:
    # Full validation refuses times and strings it can't print; ours are any integers.
    return "time" in str(kind)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, None, 2], pa.uint64()),
        pa.array([0.1, None, float("inf")]),
        pa.array([1.5, None], pa.float16()),
        pa.array([Decimal("1.50"), None], pa.decimal128(9, 2)),
        pa.array([dt.datetime(2024, 1, 1, tzinfo=dt.UTC), None], pa.timestamp("us", "UTC")),
        pa.array([dt.date(2024, 1, 1), None]),
        pa.array([dt.timedelta(days=1), None], pa.duration("ms")),
        pa.array([b"\x00\xff", None]),
        pa.array([[{"a": [1]}, None], None, []]),
        pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int8())),
        pa.array(["a", None, "b", "a"]).dictionary_encode(),
        pa.array([[1, 2], None, [None, 3]], pa.list_(pa.int8(), 2)),
        pa.array([{}, None], pa.struct([])),
        pa.array([[], None], pa.list_(pa.null(), 0)),
    ],
    ids=lambda column: str(column.type),
)
def test_arrow_made_columns_survive(column: pa.Array[Any]) -> None:
    """Columns that Arrow itself built come back equal, with the same type."""
    back = decode(encode(column), column.type)
    assert back.type == column.type
    assert _plain(back).equals(_plain(column))


def test_the_forms() -> None:
    """The JSON form of each kind, as journals hold it: it may not change."""
    assert encode(pa.array([dt.date(1970, 1, 3)])) == [2]
    assert encode(pa.array([1], pa.timestamp("ns", "UTC"))) == [1]
    assert encode(pa.array([float("nan"), float("-inf")])) == ["NaN", "-Infinity"]
    assert encode(pa.array([Decimal("-0.10")])) == ["-0.10"]
    assert encode(pa.array([b"\xff\xef"])) == ["/+8="]
    assert encode(pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int8()))) == [[["k", 1]]]


def test_a_struct_that_names_two_fields_alike_survives() -> None:
    """Such a struct is a list of its values, since an object would lose one."""
    kind = pa.struct([("a", pa.int8()), ("a", pa.string())])
    array = decode([[1, "x"], None], kind)
    assert encode(array) == [[1, "x"], None]


def test_what_parquet_cannot_hold_is_a_type_error() -> None:
    """A type without a JSON form is named."""
    interval = pa.array([], pa.month_day_nano_interval())
    with pytest.raises(TypeError, match=r"^month_day_nano_interval has no JSON form$"):
        encode(interval)
    with pytest.raises(TypeError, match=r"^month_day_nano_interval has no JSON form$"):
        decode([], interval.type)


def test_parquet_gives_back_what_it_was_given(tmp_path: Any) -> None:
    """A column of each type read from a file, encoded, decoded and written again is the same."""
    columns = {}
    for at, (kind, cells) in enumerate(_LEAVES):
        if pa.types.is_null(kind) or "view" in str(kind) or "date64" in str(kind) or "-2" in str(kind):
            continue  # what Arrow itself doesn't write, or writes as another type
        example = _some(cells)
        columns[f"c{at}"] = decode([example, None, example], kind)
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    for column in table.columns:
        chunk: Any = column.combine_chunks()
        back = decode(encode(chunk), chunk.type)
        assert _plain(back).equals(_plain(chunk)), chunk.type


def _some(cells: st.SearchStrategy[Any]) -> Any:
    found: list[Any] = []

    @settings(max_examples=1, database=None, derandomize=True)
    @given(cells)
    def take(cell: Any) -> None:
        found.append(cell)

    take()
    return found[0]


def test_pandas_stays_out() -> None:
    """Neither direction imports pandas, which costs 50 MB and 0.3 s."""
    code = """
import sys
import pyarrow as pa
from batchchat.arrow.cells import *
from batchchat.arrow.widened_arrays import *
from batchchat.arrow.widening import *
for kind, value in [(pa.int64(), 1), (pa.float64(), 1.5), (pa.string(), "a"), (pa.bool_(), True), (pa.binary(), "AA=="),
                    (pa.timestamp("ns", "UTC"), 1), (pa.duration("us"), 1), (pa.date32(), 1), (pa.float16(), 1.5),
                    (pa.decimal128(9, 2), "1.50"), (pa.dictionary(pa.int32(), pa.string()), "a"),
                    (pa.list_(pa.struct([("a", pa.map_(pa.string(), pa.int8()))])), [{"a": [["k", 1]]}])]:
    assert encode(decode([value, None], kind)) == [value, None], kind
decode_widened([1, None, "x", 2.5, [1]], Kind.TEXT)
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


_json: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text()
    | st.just([1, {"a": None}])
)


def _widened(values: list[Any]) -> Widened:
    kind: Widened = Kind.NULL
    for value in values:
        kind = widen(kind, value)
    return kind


@given(st.lists(_json, max_size=6), st.randoms())
def test_widening_is_independent_of_order(values: list[Any], random: Any) -> None:
    """The common type of a column depends on its values alone."""
    shuffled = list(values)
    random.shuffle(shuffled)
    assert _widened(shuffled) == _widened(values)


@given(st.lists(_json, max_size=6))
def test_a_widened_column_holds_its_values(values: list[Any]) -> None:
    """Every list of JSON values fits the column its kind makes; what isn't text keeps its value."""
    kind = _widened(values)
    column = decode_widened(values, kind)
    column.validate(full=True)
    back = column.to_pylist()
    assert [value is None for value in back] == [value is None for value in values]
    if kind is Kind.BOOL or kind is Kind.INT:
        assert back == values
    if kind is Kind.FLOAT:
        assert back == [None if value is None else float(value) for value in values]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([None, None], Kind.NULL, [None, None]),
        ([None, True], Kind.BOOL, [None, True]),
        ([1, None], Kind.INT, [1, None]),
        ([1, 2.5], Kind.FLOAT, [1.0, 2.5]),
        ([2**63], Kind.TEXT, ["9223372036854775808"]),
        ([2**63, 0.5], Kind.TEXT, ["9223372036854775808", "0.5"]),
        ([True, 1], Kind.TEXT, ["true", "1"]),
        ([1, "a", None], Kind.TEXT, ["1", "a", None]),
        ([{"b": 1, "a": [None, "é"]}, 1], Kind.TEXT, ['{"b":1,"a":[null,"é"]}', "1"]),
        (["\ud800x"], Kind.TEXT, ["\ufffdx"]),
        (["x", float("inf")], Kind.TEXT, ["x", "Infinity"]),
    ],
)
def test_the_lattice(values: list[Any], kind: Kind, expected: list[Any]) -> None:
    """Null < bool; int64 < float64; any other mix is text, and nested values are JSON."""
    assert _widened(values) is kind
    column = decode_widened(values, kind)
    assert column.to_pylist() == expected
    names = {Kind.NULL: "string", Kind.BOOL: "bool", Kind.INT: "int64", Kind.FLOAT: "double", Kind.TEXT: "string"}
    assert str(column.type) == names[kind]


def test_nested_text_is_json() -> None:
    """What stands in a text column for a nested value can be parsed again, lone surrogates included."""
    value = {"a": ["\ud800"]}
    assert [json.loads(str(text)) for text in decode_widened([value], Kind.TEXT).to_pylist()] == [value]
