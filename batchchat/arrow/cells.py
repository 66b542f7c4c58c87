"""The JSON form of an Arrow cell and back.

`encode` and `decode` lose nothing of any type that Parquet can hold: what JSON has no word for becomes an
integer of its unit (dates, times, timestamps, durations), a decimal or base64 text, or "NaN" and "Infinity".
The form alone does not say which type it was: the caller of `decode` must know it.

`_CODECS`, below, has one line for each kind of type: which types, how a cell becomes JSON, how it comes back.
"""

from __future__ import annotations

from array import array as machine_array
from base64 import b64decode, b64encode
from decimal import Decimal
from itertools import pairwise
from math import isfinite
from struct import pack
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pyarrow as pa
import pyarrow.types as pt

from batchchat.arrow.buffers import bytes_array, fixed_width_array, list_offsets, nested_array, text_array
from batchchat.lossless_json import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["decode", "encode", "text_of"]

_OF_TEXT = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_INTEGER_CODES = {8: "b", 16: "h", 32: "i", 64: "q"}


def encode(column: pa.Array[Any] | pa.ChunkedArray[Any]) -> list[Any]:
    """The JSON form of each cell.

    Raises `TypeError` for a type Parquet does not hold, and `UnicodeDecodeError` where text is not UTF-8.
    """
    if isinstance(column, pa.ChunkedArray):
        return [value for chunk in column.chunks for value in encode(chunk)]
    cells: Any = column
    if _is_plain(cells.type):
        return _encode_plain(cells, cells.type)
    return _codec_of(cells.type).encode(cells, cells.type)


def decode(values: Sequence[Any], dtype: pa.DataType) -> pa.Array[Any]:
    """The inverse of `encode`: an array of exactly `dtype`.

    Raises `TypeError` for a type Parquet does not hold.
    """
    return _codec_of(dtype).decode(values, dtype)


def _codec_of(dtype: Any) -> _Codec:
    for codec in _CODECS:
        if codec.matches(dtype):
            return codec
    raise TypeError(f"{dtype} has no JSON form")


class _Codec(NamedTuple):
    """How the cells of each type that `matches` become JSON and come back. It is looked up once a column."""

    matches: Callable[[Any], bool]
    encode: Callable[[Any, Any], list[Any]]
    decode: Callable[[Sequence[Any], Any], pa.Array[Any]]


def _is_plain(dtype: Any) -> bool:
    """Whether Arrow's own Python values are the JSON form: four times faster for a list of structs."""
    if pt.is_struct(dtype):
        return _has_distinct_names(dtype) and all(_is_plain(field.type) for field in dtype)
    if pt.is_list(dtype) or pt.is_large_list(dtype) or pt.is_fixed_size_list(dtype):
        return _is_plain(dtype.value_type)
    return _is_text(dtype) or pt.is_integer(dtype) or pt.is_boolean(dtype) or pt.is_null(dtype)


def _encode_plain(cells: Any, _dtype: Any) -> list[Any]:
    return cast("list[Any]", cells.to_pylist())


def _decode_extension(values: Sequence[Any], dtype: Any) -> pa.Array[Any]:
    return cast("pa.Array[Any]", dtype.wrap_array(decode(values, dtype.storage_type)))


def _encode_dictionary(cells: Any, _dtype: Any) -> list[Any]:
    values = encode(cells.dictionary)
    return [None if at is None else values[at] for at in cells.indices.to_pylist()]


def _decode_dictionary(values: Sequence[Any], dtype: Any) -> pa.Array[Any]:
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
    at = decode(indices, dtype.index_type)
    words = decode(distinct, dtype.value_type)
    return cast("pa.Array[Any]", pa.DictionaryArray.from_arrays(at, words, ordered=dtype.ordered))


def _encode_struct(cells: Any, dtype: Any) -> list[Any]:
    columns = [encode(cells.field(at)) for at in range(dtype.num_fields)]
    rows = zip(*columns, strict=True) if columns else iter([()] * len(cells))
    if not _has_distinct_names(dtype):  # an object would lose a value
        return _with_nulls([list(row) for row in rows], cells)
    names = [field.name for field in dtype]
    return _with_nulls([dict(zip(names, row, strict=True)) for row in rows], cells)


def _decode_struct(values: Sequence[Any], dtype: Any) -> pa.Array[Any]:
    keys: Sequence[Any] = [field.name for field in dtype] if _has_distinct_names(dtype) else range(dtype.num_fields)
    children = [
        decode([None if v is None else v[key] for v in values], dtype.field(at).type) for at, key in enumerate(keys)
    ]
    return nested_array(values, dtype, [], children)


def _encode_fixed_size_list(cells: Any, dtype: Any) -> list[Any]:
    size = dtype.list_size
    if not size:
        return _with_nulls([[] for _ in range(len(cells))], cells)
    children = encode(cells.values.slice(cells.offset * size, len(cells) * size))
    return _with_nulls([children[at : at + size] for at in range(0, len(cells) * size, size)], cells)


def _decode_fixed_size_list(values: Sequence[Any], dtype: Any) -> pa.Array[Any]:
    absent = [None] * dtype.list_size
    children = decode([c for v in values for c in (absent if v is None else v)], dtype.value_type)
    return nested_array(values, dtype, [], [children])


def _encode_list(cells: Any, _dtype: Any) -> list[Any]:
    return _with_nulls(_split_at_offsets(cells, lambda start, size: encode(cells.values.slice(start, size))), cells)


def _decode_list(values: Sequence[Any], dtype: Any) -> pa.Array[Any]:
    children = decode([child for v in values if v is not None for child in v], dtype.value_type)
    return nested_array(values, dtype, [list_offsets(values, wide=pt.is_large_list(dtype))], [children])


def _encode_map(cells: Any, _dtype: Any) -> list[Any]:
    def entries(start: int, size: int) -> list[Any]:
        keys, items = encode(cells.keys.slice(start, size)), encode(cells.items.slice(start, size))
        return [list(entry) for entry in zip(keys, items, strict=True)]

    return _with_nulls(_split_at_offsets(cells, entries), cells)


def _decode_map(values: Sequence[Any], dtype: Any) -> pa.Array[Any]:
    entries = [entry for v in values if v is not None for entry in v]
    pair = [decode([e[0] for e in entries], dtype.key_type), decode([e[1] for e in entries], dtype.item_type)]
    struct = pa.struct([dtype.key_field, dtype.item_field])
    children = pa.Array.from_buffers(struct, len(entries), [None], children=pair)
    return nested_array(values, dtype, [list_offsets(values, wide=False)], [children])


def _split_at_offsets(cells: Any, encode_children: Callable[[int, int], list[Any]]) -> list[Any]:
    offsets = cells.offsets.to_pylist() if len(cells) else [0]
    start = offsets[0]
    children = encode_children(start, offsets[-1] - start)
    return [children[a - start : b - start] for a, b in pairwise(offsets)]


def _with_nulls(values: list[Any], cells: Any) -> list[Any]:
    if not cells.null_count:
        return values
    return [v if is_valid else None for v, is_valid in zip(values, cells.is_valid().to_pylist(), strict=True)]


def _is_temporal(dtype: Any) -> bool:
    return pt.is_temporal(dtype) and not pt.is_interval(dtype)


def _encode_temporal(cells: Any, dtype: Any) -> list[Any]:
    return cast("list[Any]", cells.view(_integers_of(dtype)).to_pylist())


def _decode_temporal(values: Sequence[Any], dtype: Any) -> pa.Array[Any]:
    return _decode_integers(values, _integers_of(dtype)).view(dtype)


def _decode_booleans(values: Sequence[Any], dtype: Any) -> pa.Array[Any]:
    return _decode_integers([None if v is None else int(v) for v in values], pa.int8()).cast(dtype)


def _decode_integers(values: Sequence[Any], dtype: Any) -> pa.Array[Any]:
    code = _INTEGER_CODES[dtype.bit_width]
    code = code if pt.is_signed_integer(dtype) else code.upper()
    numbers = [0 if v is None else v for v in values] if None in values else values
    return fixed_width_array(values, dtype, machine_array(code, numbers))


def _encode_floats(cells: Any, dtype: Any) -> list[Any]:
    floats = cells.cast(pa.float32()) if pt.is_float16(dtype) else cells
    return [v if v is None or isfinite(v) else text_of(v) for v in floats.to_pylist()]


def _decode_floats(values: Sequence[Any], dtype: Any) -> pa.Array[Any]:
    if pt.is_float16(dtype):
        return fixed_width_array(values, dtype, pack(f"<{len(values)}e", *map(_float_of, values)))
    code = "f" if pt.is_float32(dtype) else "d"
    try:
        floats = machine_array(code, values)
    except TypeError:  # None, or a text
        floats = machine_array(code, map(_float_of, values))
    return fixed_width_array(values, dtype, floats)


def _float_of(value: float | str | None) -> float:
    return 0.0 if value is None else _OF_TEXT[value] if isinstance(value, str) else value


def _encode_decimals(cells: Any, _dtype: Any) -> list[Any]:
    return [None if v is None else str(v) for v in cells.to_pylist()]


def _decode_decimals(values: Sequence[Any], dtype: Any) -> pa.Array[Any]:
    data = b"".join(_unscaled(v, dtype.scale).to_bytes(dtype.byte_width, "little", signed=True) for v in values)
    return fixed_width_array(values, dtype, data)


def _encode_binary(cells: Any, _dtype: Any) -> list[Any]:
    return [None if v is None else b64encode(v).decode() for v in cells.to_pylist()]


def _decode_binary(values: Sequence[Any], dtype: Any) -> pa.Array[Any]:
    return bytes_array([None if v is None else b64decode(v) for v in values], dtype)


def _decode_text(values: Sequence[Any], dtype: Any) -> pa.Array[Any]:
    return text_array(values, dtype)


def _integers_of(dtype: Any) -> Any:
    return pa.int32() if dtype.bit_width == _INT32_BITS else pa.int64()


_INT32_BITS = 32


def _unscaled(text: str | None, scale: int) -> int:
    if text is None:
        return 0
    sign, digits, exponent = Decimal(text).as_tuple()
    assert isinstance(exponent, int)
    # The scale is at least the exponent's size: a decimal cell was written with it.
    number = int("".join(map(str, digits))) * 10 ** max(exponent + scale, 0)
    return int(-number if sign else number)


def _has_distinct_names(dtype: Any) -> bool:
    return len({field.name for field in dtype}) == len(list(dtype))


def _is_text(dtype: pa.DataType) -> bool:
    return pt.is_string(dtype) or pt.is_large_string(dtype) or pt.is_string_view(dtype)


def _is_binary(dtype: pa.DataType) -> bool:
    return (
        pt.is_binary(dtype)
        or pt.is_large_binary(dtype)
        or pt.is_binary_view(dtype)
        or (pt.is_fixed_size_binary(dtype) and not pt.is_decimal(dtype))
    )


def text_of(number: float) -> str:
    """NaN or an infinity as `encode` writes it."""
    return "NaN" if number != number else "Infinity" if number > 0 else "-Infinity"  # noqa: PLR0124 -- NaN alone differs


# The first that matches counts.
_CODECS = (
    _Codec(
        lambda dtype: isinstance(dtype, pa.BaseExtensionType), lambda cells, _: encode(cells.storage), _decode_extension
    ),
    _Codec(pt.is_null, _encode_plain, lambda values, _: pa.nulls(len(values))),
    _Codec(pt.is_dictionary, _encode_dictionary, _decode_dictionary),
    _Codec(pt.is_struct, _encode_struct, _decode_struct),
    _Codec(pt.is_fixed_size_list, _encode_fixed_size_list, _decode_fixed_size_list),
    _Codec(pt.is_map, _encode_map, _decode_map),
    _Codec(lambda dtype: pt.is_list(dtype) or pt.is_large_list(dtype), _encode_list, _decode_list),
    _Codec(_is_temporal, _encode_temporal, _decode_temporal),
    _Codec(pt.is_boolean, _encode_plain, _decode_booleans),
    _Codec(pt.is_integer, _encode_plain, _decode_integers),
    _Codec(pt.is_floating, _encode_floats, _decode_floats),
    _Codec(pt.is_decimal, _encode_decimals, _decode_decimals),
    _Codec(_is_binary, _encode_binary, _decode_binary),
    _Codec(_is_text, _encode_plain, _decode_text),
)
