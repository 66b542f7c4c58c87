"""Journal lines straight to the output's columns: Arrow's JSON reader, and no Python object for a value.

That takes a third of the time of the way over records. Every key and type that it may meet is declared. Lines with
anything else (tool calls, parts of a message, a `lenient` line, a key of a later version) are refused as a whole, and
their records are converted by `columns`, which can do all of it: the two give the same columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from batchchat.arrow import cells
from batchchat.arrow.buffers import offsets_of
from batchchat.arrow.json_lines import read_json_lines
from batchchat.arrow.widened_arrays import arrow_type
from batchchat.arrow.widening import Widened
from batchchat.core.conversation import ErrorKind
from batchchat.core.record import RowRecord
from batchchat.lossless_json import scrub
from batchchat.store.columns import COLUMNS, Column, times_of
from batchchat.store.conversation_columns import BEYOND_TEXT, MESSAGES

__all__ = ["AS_CARRIED", "KeyPath", "LineColumns", "LineForm"]

_TEXT, _FLOAT, _INT = pa.string(), pa.float64(), pa.int64()
_NO_PATHS: Mapping[str, KeyPath] = {}
_NO_SIZE = cells.decode([0], pa.int32())
_ZERO = _NO_SIZE[0]
_CARRIED = "carried"
KeyPath = tuple[str, ...]
"""The keys that lead to a value in a line's record."""
_UNPUBLISHED: dict[KeyPath, pa.DataType] = {
    ("kind",): _TEXT,
    ("fp",): _TEXT,
    ("place",): _TEXT,
    ("ordinal",): _INT,
    ("messages",): MESSAGES,
    ("re_asks",): pa.int32(),
    ("possibly_billed_usd",): _FLOAT,
    ("unbounded",): _INT,
    ("unreported_usd",): _FLOAT,
    ("retries",): pa.struct([(kind.value, _INT) for kind in ErrorKind]),
    ("mock",): pa.bool_(),
    ("endpoint",): _TEXT,
    ("crc",): _TEXT,
}
"""What a line has that is no column, or not as it is."""


class LineForm(NamedTuple):
    """How lines have the passthrough columns of an output: each at its path in `paths`, else carried under its name.

    `published` makes of a line's record one that carries all of them under their names.
    """

    paths: Mapping[str, KeyPath]
    published: Callable[[RowRecord], RowRecord]


AS_CARRIED = LineForm({}, lambda row: row)


class LineColumns:
    """Makes record batches of `schema`, an output's, of lines of kind `row`; `passthrough` are its last columns.

    `paths` are those of `LineForm`.
    """

    def __init__(
        self,
        schema: pa.Schema,
        passthrough: Mapping[str, pa.DataType | Widened],
        paths: Mapping[str, KeyPath] = _NO_PATHS,
    ) -> None:
        self._schema = schema
        self._passthrough = [paths.get(name, (_CARRIED, name)) for name in passthrough]
        self._line_schema: pa.Schema | None = None
        """What lines are read as; None where a passthrough column can't be."""
        types = dict(zip(self._passthrough, map(_type_in_line, passthrough.values()), strict=True))
        if all(dtype is not None and scrub(path[-1]) == path[-1] for path, dtype in types.items()):
            self._line_schema = _line_schema(types)

    def batch(self, lines: Sequence[bytes]) -> pa.RecordBatch | None:
        """The columns of intact `lines` (without newlines); None where they have what only a record can hold."""
        if self._line_schema is None:
            return None
        values = read_json_lines(b"\n".join(lines), len(lines), self._line_schema, "error")
        return None if values is None else self._converted(values, len(lines))

    def _converted(self, values: Mapping[KeyPath, Any], count: int) -> pa.RecordBatch | None:
        messages = _messages(values)
        if messages is None:
            return None
        arrays: list[Any] = []
        for column in COLUMNS:
            if column.type is MESSAGES:
                arrays.append(messages)
            elif column.name == "re_asks":
                re_asks = pc.fill_null(values["re_asks",], _ZERO)
                arrays.append(pc.if_else(values["attempts",].is_valid(), re_asks, pa.nulls(count, pa.int32())))
            elif (path := _path(column)) is None:
                arrays.append(_nulls(count, column.type))
            else:
                arrays.append(times_of(values[path]) if pt.is_timestamp(column.type) else values[path])
        arrays += [values[path] for path in self._passthrough]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


def _nulls(count: int, dtype: Any) -> pa.Array[Any]:
    nulls: pa.Array[Any] = pa.nulls(count, dtype)
    return nulls


def _path(column: Column) -> KeyPath | None:
    """Where lines have the value of `column` as it is; None where lines that have one are refused."""
    path = column.accessor.path
    return None if path is None or path[-1] in BEYOND_TEXT else path


def _line_schema(passthrough: Mapping[KeyPath, Any]) -> pa.Schema:
    """The keys of a line, each with its type."""
    types = dict(_UNPUBLISHED)
    for column in COLUMNS:
        if (path := _path(column)) is not None:
            types[path] = _FLOAT if pt.is_timestamp(column.type) else column.type
    types |= passthrough
    fields: dict[str, Any] = {}
    for path, dtype in types.items():
        if len(path) == 1:
            fields[path[0]] = dtype
        else:
            fields.setdefault(path[0], []).append((path[1], dtype))
    return pa.schema([(name, pa.struct(dtype) if isinstance(dtype, list) else dtype) for name, dtype in fields.items()])


def _type_in_line(kind: pa.DataType | Widened) -> pa.DataType | None:
    """The type of a passthrough column, where its JSON is read as exactly what `cells` makes of it."""
    dtype: Any = kind if isinstance(kind, pa.DataType) else arrow_type(kind)
    return dtype if _is_plain(dtype) else None


def _is_plain(dtype: Any) -> bool:
    if pt.is_struct(dtype):
        names = [field.name for field in dtype]
        return len(set(names)) == len(names) and all(_is_plain(field.type) for field in dtype)
    if pt.is_list(dtype):
        return _is_plain(dtype.value_type)
    return dtype in {_TEXT, _INT, pa.int32(), _FLOAT, pa.bool_()}


def _messages(values: Mapping[KeyPath, Any]) -> Any:
    """The conversations with their replies; None where role and content can't hold one without loss."""
    lists, replies, texts = values["messages",], values["reply",], values["reply", "text"]
    if texts.null_count != replies.null_count or (
        lists.null_count and pc.any(pc.and_(replies.is_valid(), lists.is_null())).as_py()
    ):
        return None
    messages = lists.values
    roles, contents = messages.field("role"), messages.field("content")
    if messages.null_count or roles.null_count or contents.null_count:
        return None
    # Each reply goes behind the messages that it answers; replies come after all messages in what is taken from.
    ends, question_count, replied = lists.offsets.to_pylist(), len(messages), 0
    question_text, reply_text = _Texts(contents), _Texts(texts.drop_null())
    order: list[int] = []
    lengths: list[int] = []
    parts: list[memoryview] = []
    for (start, end), has_reply in zip(pairwise(ends), replies.is_valid().to_pylist(), strict=True):
        order += range(start, end)
        parts.append(question_text.between(start, end))
        if has_reply:
            order.append(question_count + replied)
            parts.append(reply_text.between(replied, replied + 1))
            replied += 1
        lengths.append(end - start + has_reply)
    positions = cells.decode(order, _INT)
    speakers = cells.decode(["assistant"] * replied, _TEXT)
    sizes = pa.concat_arrays([question_text.sizes, reply_text.sizes]).take(positions)
    columns = [pa.concat_arrays([roles, speakers]).take(positions), _texts_of(sizes, parts)]
    struct = pa.StructArray.from_arrays(columns, fields=list(MESSAGES.value_type))
    validity = lists.is_valid().buffers()[1] if lists.null_count else None
    buffers: Any = [validity, offsets_of(lengths, wide=False)]
    return pa.Array.from_buffers(MESSAGES, len(lists), buffers, children=[struct])


class _Texts:
    """The bytes of an array of texts without nulls."""

    def __init__(self, texts: Any) -> None:
        _, offsets, data = texts.buffers()
        self.sizes = pc.binary_length(texts)
        self._data = memoryview(b"" if data is None else data)
        self._offsets = memoryview(offsets).cast("i")[texts.offset :] if len(texts) else memoryview(bytes(4)).cast("i")

    def between(self, start: int, end: int) -> memoryview:
        """Those of the texts from `start` to before `end`, one after the other."""
        return self._data[self._offsets[start] : self._offsets[end]]


def _texts_of(sizes: Any, parts: Sequence[memoryview]) -> Any:
    """Texts of these `sizes`, whose bytes are `parts` one after the other: a long text is copied once."""
    offsets: Any = pa.concat_arrays([_NO_SIZE, pc.cumulative_sum_checked(sizes)])
    data: Any = pa.py_buffer(b"".join(parts))
    return pa.Array.from_buffers(_TEXT, len(sizes), [None, offsets.buffers()[1], data])
