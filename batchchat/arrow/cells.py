"""The JSON form of an Arrow cell and back, and the common type of JSON columns that declare none.

`encode` and `decode` lose nothing of any type that Parquet can hold: what JSON has no word for becomes an
integer of its unit (dates, times, timestamps, durations), a decimal or base64 text, or "NaN" and "Infinity".
The form alone does not say which type it was: who decodes must know.

Arrays are built from buffers: `pa.array(list)` imports pandas where it is installed (50 MB, 0.3 s).
"""

from __future__ import annotations

from array import array as machine_array
from base64 import b64decode, b64encode
from decimal import Decimal
from enum import IntEnum
from itertools import accumulate, pairwise
from math import isfinite
from struct import pack
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.types as pt

from batchchat.lossless_json import dumps, scrub

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Kind", "decode", "decode_widened", "encode", "widen"]

_OF_TEXT = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_INTEGER_CODES = {8: "b", 16: "h", 32: "i", 64: "q"}


def encode(column: pa.Array[Any] | pa.ChunkedArray[Any]) -> list[Any]:
    """The JSON form of each cell.

    Raises `TypeError` for a type Parquet does not hold, and `UnicodeDecodeError` where text is not UTF-8.
    """
    if isinstance(column, pa.ChunkedArray):
        return [value for chunk in column.chunks for value in encode(chunk)]
    kind: Any = column.type
    cells: Any = column
    if _is_plain(kind):
        return cast("list[Any]", cells.to_pylist())
    if isinstance(kind, pa.BaseExtensionType):
        return encode(cells.storage)
    if pt.is_dictionary(kind):
        values = encode(cells.dictionary)
        return [None if at is None else values[at] for at in cells.indices.to_pylist()]
    if pt.is_nested(kind):
        return _encode_nested(cells, kind)
    if pt.is_temporal(kind) and not pt.is_interval(kind):
        return cast("list[Any]", cells.view(_integers_of(kind)).to_pylist())
    if pt.is_floating(kind):
        floats = cells.cast(pa.float32()) if pt.is_float16(kind) else cells
        return [v if v is None or isfinite(v) else _text_of(v) for v in floats.to_pylist()]
    if pt.is_decimal(kind):
        return [None if v is None else str(v) for v in cells.to_pylist()]
    if _is_binary(kind):
        return [None if v is None else b64encode(v).decode() for v in cells.to_pylist()]
    raise TypeError(f"{kind} has no JSON form")


def _is_plain(kind: Any) -> bool:
    """Whether Arrow's own Python values are the JSON form: four times faster for a list of structs."""
    if pt.is_struct(kind):
        return _named_apart(kind) and all(_is_plain(field.type) for field in kind)
    if pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind):
        return _is_plain(kind.value_type)
    return _is_text(kind) or pt.is_integer(kind) or pt.is_boolean(kind) or pt.is_null(kind)


def _encode_nested(cells: Any, kind: Any) -> list[Any]:
    valid = cells.is_valid().to_pylist() if cells.null_count else None
    if pt.is_struct(kind):
        columns = [encode(cells.field(at)) for at in range(kind.num_fields)]
        rows = zip(*columns, strict=True) if columns else iter([()] * len(cells))
        if _named_apart(kind):
            names = [field.name for field in kind]
            found: list[Any] = [dict(zip(names, row, strict=True)) for row in rows]
        else:
            found = [list(row) for row in rows]
    elif pt.is_fixed_size_list(kind):
        size = kind.list_size
        children = encode(cells.values.slice(cells.offset * size, len(cells) * size))
        found = [children[at : at + size] for at in range(0, len(cells) * size, size)] if size else []
        found = found if size else [[] for _ in range(len(cells))]
    elif pt.is_list(kind) or pt.is_large_list(kind) or pt.is_map(kind):
        offsets = cells.offsets.to_pylist() if len(cells) else [0]
        start = offsets[0]
        children = _encode_entries(cells, kind, start, offsets[-1] - start)
        found = [children[a - start : b - start] for a, b in pairwise(offsets)]
    else:
        raise TypeError(f"{kind} has no JSON form")
    return found if valid is None else [v if ok else None for v, ok in zip(found, valid, strict=True)]


def _encode_entries(cells: Any, kind: Any, start: int, length: int) -> list[Any]:
    if not pt.is_map(kind):
        return encode(cells.values.slice(start, length))
    keys, items = encode(cells.keys.slice(start, length)), encode(cells.items.slice(start, length))
    return [list(entry) for entry in zip(keys, items, strict=True)]


def decode(values: Sequence[Any], kind: pa.DataType) -> pa.Array[Any]:
    """The inverse of `encode`: an array of exactly `kind`.

    Raises `TypeError` for a type Parquet does not hold.
    """
    any_kind: Any = kind
    if isinstance(kind, pa.BaseExtensionType):
        return cast("pa.Array[Any]", any_kind.wrap_array(decode(values, any_kind.storage_type)))
    if pt.is_null(kind):
        return pa.nulls(len(values))
    if pt.is_dictionary(kind):
        return _decode_dictionary(values, any_kind)
    if pt.is_nested(kind):
        return _decode_nested(values, any_kind)
    if pt.is_temporal(kind) and not pt.is_interval(kind):
        return decode(values, _integers_of(any_kind)).view(kind)
    if pt.is_boolean(kind):
        return decode([None if v is None else int(v) for v in values], pa.int8()).cast(kind)
    if _is_binary(kind):
        return _bytes_array([None if v is None else b64decode(v) for v in values], any_kind)
    if _is_text(kind):
        return _bytes_array([None if v is None else v.encode() for v in values], any_kind)
    return _fixed_array(values, any_kind)


def _fixed_array(values: Sequence[Any], kind: Any) -> pa.Array[Any]:
    """Integers, floats and decimals."""
    if pt.is_integer(kind):
        code = _INTEGER_CODES[kind.bit_width]
        code = code if pt.is_signed_integer(kind) else code.upper()
        data: Any = machine_array(code, [0 if v is None else v for v in values])
    elif pt.is_floating(kind):
        floats = [0.0 if v is None else _OF_TEXT[v] if isinstance(v, str) else v for v in values]
        data = pack(f"<{len(floats)}e", *floats) if pt.is_float16(kind) else None
        data = data if data is not None else machine_array("f" if pt.is_float32(kind) else "d", floats)
    elif pt.is_decimal(kind):
        data = b"".join(_unscaled(v, kind.scale).to_bytes(kind.byte_width, "little", signed=True) for v in values)
    else:
        raise TypeError(f"{kind} has no JSON form")
    return pa.Array.from_buffers(kind, len(values), [_validity(values), pa.py_buffer(data)])


def _bytes_array(values: Sequence[bytes | None], kind: Any) -> pa.Array[Any]:
    if pt.is_fixed_size_binary(kind):
        empty = bytes(kind.byte_width)
        data = b"".join(empty if v is None else v for v in values)
        return pa.Array.from_buffers(kind, len(values), [_validity(values), pa.py_buffer(data)])
    if pt.is_string_view(kind) or pt.is_binary_view(kind):
        return _bytes_array(values, pa.string() if pt.is_string_view(kind) else pa.binary()).cast(kind)
    wide = pt.is_large_string(kind) or pt.is_large_binary(kind)
    offsets = _offsets((0 if v is None else len(v) for v in values), wide=wide)
    data = b"".join(v for v in values if v is not None)
    return pa.Array.from_buffers(kind, len(values), [_validity(values), offsets, pa.py_buffer(data)])


def _decode_nested(values: Sequence[Any], kind: Any) -> pa.Array[Any]:
    buffers = [_validity(values)]
    if pt.is_struct(kind):
        names: list[Any] = [field.name for field in kind] if _named_apart(kind) else list(range(kind.num_fields))
        children = [
            decode([None if v is None else v[name] for v in values], kind.field(at).type)
            for at, name in enumerate(names)
        ]
    elif pt.is_fixed_size_list(kind):
        absent = [None] * kind.list_size
        children = [decode([c for v in values for c in (absent if v is None else v)], kind.value_type)]
    elif pt.is_list(kind) or pt.is_large_list(kind) or pt.is_map(kind):
        buffers.append(_offsets((0 if v is None else len(v) for v in values), wide=pt.is_large_list(kind)))
        entries = [entry for v in values if v is not None for entry in v]
        if pt.is_map(kind):
            pair = [
                decode([e[0] for e in entries], kind.key_type),
                decode([e[1] for e in entries], kind.item_type),
            ]
            struct = pa.struct([kind.key_field, kind.item_field])
            children = [pa.Array.from_buffers(struct, len(entries), [None], children=pair)]
        else:
            children = [decode(entries, kind.value_type)]
    else:
        raise TypeError(f"{kind} has no JSON form")
    return pa.Array.from_buffers(kind, len(values), cast("Any", buffers), children=children)


def _decode_dictionary(values: Sequence[Any], kind: Any) -> pa.Array[Any]:
    numbers: dict[bytes, int] = {}
    distinct: list[Any] = []
    indices: list[int | None] = []
    for value in values:
        if value is None:
            indices.append(None)
            continue
        number = numbers.setdefault(dumps(value), len(distinct))
        if number == len(distinct):
            distinct.append(value)
        indices.append(number)
    at = decode(indices, kind.index_type)
    words = decode(distinct, kind.value_type)
    return cast("pa.Array[Any]", pa.DictionaryArray.from_arrays(at, words, ordered=kind.ordered))


def _validity(values: Sequence[Any]) -> pa.Buffer | None:
    if None not in values:
        return None
    present = pa.py_buffer(bytes([v is not None for v in values]))
    return pa.Array.from_buffers(pa.int8(), len(values), [None, present]).cast(pa.bool_()).buffers()[1]


def _offsets(lengths: Iterable[int], *, wide: bool) -> pa.Buffer:
    return pa.py_buffer(cast("Any", machine_array("q" if wide else "i", accumulate(lengths, initial=0))))


def _integers_of(kind: Any) -> Any:
    return pa.int32() if kind.bit_width == _INT32_BITS else pa.int64()


_INT32_BITS = 32


def _unscaled(text: str | None, scale: int) -> int:
    if text is None:
        return 0
    sign, digits, exponent = Decimal(text).as_tuple()
    assert isinstance(exponent, int)
    # The scale is at least the exponent's size: a decimal cell was written with it.
    number = int("".join(map(str, digits))) * 10 ** max(exponent + scale, 0)
    return int(-number if sign else number)


def _named_apart(kind: Any) -> bool:
    return len({field.name for field in kind}) == len(list(kind))


def _is_text(kind: pa.DataType) -> bool:
    return pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return (
        pt.is_binary(kind)
        or pt.is_large_binary(kind)
        or pt.is_binary_view(kind)
        or (pt.is_fixed_size_binary(kind) and not pt.is_decimal(kind))
    )


def _text_of(number: float) -> str:
    return "NaN" if number != number else "Infinity" if number > 0 else "-Infinity"  # noqa: PLR0124 -- NaN alone differs


class Kind(IntEnum):
    """The common type of the values of a JSON column so far."""

    NULL = 0
    BOOL = 1
    INT = 2
    FLOAT = 3
    TEXT = 4


_KINDS: dict[type, Kind] = {type(None): Kind.NULL, bool: Kind.BOOL, int: Kind.INT, float: Kind.FLOAT}
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


def _joined(one: Kind, other: Kind) -> Kind:
    if one is other or other is Kind.NULL:
        return one
    if one is Kind.NULL:
        return other
    return Kind.FLOAT if {one, other} == {Kind.INT, Kind.FLOAT} else Kind.TEXT


# Indexed, not looked up: an enum's hash is Python code (0.3 µs).
_JOINED = [[_joined(one, other) for other in Kind] for one in Kind]


def widen(kind: Kind, value: Any) -> Kind:
    """The narrowest kind that holds `value` and all before it.

    null < bool; int64 < float64; any other mix is text, and so is an integer outside int64. Integers among
    floats become floats, rounded beyond 2^53, as the contract says.
    """
    seen = _KINDS.get(type(value), Kind.TEXT)
    if seen is Kind.INT and not _SMALLEST <= value <= _LARGEST:
        seen = Kind.TEXT
    return kind if seen is kind else _JOINED[kind][seen]


def decode_widened(values: Sequence[Any], kind: Kind) -> pa.Array[Any]:
    """A column of bool, int64, float64 or string that holds `values`; one that is all null is of strings."""
    if kind is Kind.BOOL:
        return decode(values, pa.bool_())
    if kind is Kind.INT:
        return decode(values, pa.int64())
    if kind is Kind.FLOAT:
        return decode([None if v is None else float(v) for v in values], pa.float64())
    return decode([None if v is None else _rendered(v) for v in values], pa.string())


def _rendered(value: Any) -> str:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, float) and not isfinite(value):
        return _text_of(value)
    return dumps(value).decode()
