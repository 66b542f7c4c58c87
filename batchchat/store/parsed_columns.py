"""`expect.columns`: the top-level properties of a schema as columns, made of the parsed replies as rows are read.

A run declares them in its `run` record. No row's record has them, so that another schema needs no row written again.
They come before the carried columns, which get `input_` where they have the same name. A property that is named as one
of our own columns gets `parsed_`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.types as pt

from batchchat import lossless_json
from batchchat.core.record import RowRecord
from batchchat.store.columns import COLUMNS
from batchchat.store.line_columns import LineForm
from batchchat.store.parquet import PassthroughColumn

__all__ = ["ENDPOINT", "ParsedColumns", "ParsedField", "declared_text", "fields_of_schema", "fields_of_text"]

_JSON = {b"json": b"1"}
"""The metadata of a column that has values of several types, each as JSON text."""
_TEXT = pa.string()
_SCALARS: dict[str, pa.DataType] = {
    "string": _TEXT,
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
}
ParsedField: TypeAlias = "pa.Field[Any]"
"""The name of a property and the type of its column."""
_MAX_DEPTH = 8
_INT64 = range(-(1 << 63), 1 << 63)
ENDPOINT = "endpoint"
"""The column with the name of the endpoint that answered, of a job that has several."""
_NONE: dict[str, Any] = {}


def fields_of_schema(schema: Mapping[str, Any]) -> list[ParsedField]:
    """A field for each property at the top of the JSON `schema`, in its order."""
    fields = []
    for name, subschema in schema.get("properties", {}).items():
        if lossless_json.scrub(name) != name:  # no Arrow field can be called so
            continue
        dtype = _type_of(subschema, schema, 0)
        fields.append(pa.field(name, _TEXT, metadata=_JSON) if dtype is None else pa.field(name, dtype))
    return fields


def declared_text(fields: Iterable[ParsedField]) -> str | None:
    """The `fields` as text for a `run` record; None without any."""
    schema = pa.schema(list(fields))
    return base64.b64encode(schema.serialize()).decode() if len(schema) else None


def fields_of_text(text: str | None) -> list[ParsedField]:
    """The inverse of `declared_text`."""
    return [] if text is None else list(pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text))))


def _type_of(schema: Any, root: Mapping[str, Any], depth: int) -> pa.DataType | None:
    """The Arrow type that holds every value of `schema` but those beyond 64 bits; None where there is none."""
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return None
    if "$ref" in schema:
        return _type_of(_target(schema["$ref"], root), root, depth + 1)
    options = [option for option in schema.get("anyOf", schema.get("oneOf", ())) if option != {"type": "null"}]
    if options:
        return _type_of(options[0], root, depth + 1) if len(options) == 1 else None
    names = schema.get("type", [])
    names = [name for name in ([names] if isinstance(names, str) else names) if name != "null"]
    if not names:
        return _type_of_values(schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else [])
    if set(names) == {"integer", "number"}:
        names = ["number"]
    if len(names) != 1:
        return None
    if names[0] == "array":
        item = _type_of(schema.get("items"), root, depth + 1)
        return None if item is None or "prefixItems" in schema else pa.list_(item)
    return _struct_of(schema, root, depth) if names[0] == "object" else _SCALARS[names[0]]


def _struct_of(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> pa.DataType | None:
    """The struct of an object that has no other properties than those named; else a part of it would be lost."""
    names = schema.get("properties", {})
    if schema.get("additionalProperties") is not False or schema.get("patternProperties"):
        return None
    if any(lossless_json.scrub(name) != name for name in names):
        return None
    types = {name: _type_of(value, root, depth + 1) for name, value in names.items()}
    fields = [pa.field(name, dtype) for name, dtype in types.items() if dtype is not None]
    return pa.struct(fields) if fields and len(fields) == len(types) else None


def _type_of_values(values: Iterable[Any]) -> pa.DataType | None:
    kinds = {type(value) for value in values if value is not None}
    types: dict[type, pa.DataType] = {str: _TEXT, bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    if kinds == {int, float}:
        return pa.float64()
    return types.get(kinds.pop()) if len(kinds) == 1 else None


def _target(reference: Any, root: Mapping[str, Any]) -> Any:
    """What a pointer into `root` leads to; None for any other reference."""
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return root if reference == "#" else None
    node: Any = root
    for part in reference[2:].split("/"):
        node = node.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(node, Mapping) else None
    return node


class ParsedColumns:
    """Puts the columns of `fields` before those of `passthrough`, whose names may change for it.

    Where the run `has_endpoints`, the column of the one that answered comes first of all.
    """

    def __init__(
        self,
        fields: Iterable[ParsedField],
        passthrough: Mapping[str, PassthroughColumn],
        *,
        has_endpoints: bool = False,
    ) -> None:
        taken = {column.name for column in COLUMNS}
        self._has_endpoints = has_endpoints
        self._values: list[tuple[str, str, Callable[[Any], Any]]] = []
        """Of each column its name, the property, and what makes a cell of its value."""
        self.columns: dict[str, PassthroughColumn] = {ENDPOINT: _TEXT} if has_endpoints else {}
        taken |= self.columns.keys()
        for field in fields:
            name = field.name
            while name in taken:
                name = f"parsed_{name}"
            taken.add(name)
            self.columns[name] = field.type
            to_cell = _as_json if field.metadata else _cell_maker(field.type)
            self._values.append((name, field.name, to_cell))
        taken = {*self.columns, *passthrough} if self.columns else set()
        self._renamed: dict[str, str] = {}
        for name, column in passthrough.items():
            out = name
            while out in self.columns or (out is not name and out in taken):
                out = f"input_{out}"
            taken.add(out)
            self._renamed[name] = out
            self.columns[out] = column

    @property
    def line_form(self) -> LineForm | None:
        """How the line of a row has these columns; None where it does not have all of them."""
        if self._values:
            return None
        paths = {out: ("carried", name) for name, out in self._renamed.items() if out != name}
        return LineForm(paths | {ENDPOINT: (ENDPOINT,)} if self._has_endpoints else paths, self.of)

    def of(self, row: RowRecord) -> RowRecord:
        """The record `row` with the cells of these columns among its carried ones."""
        if not self._values and not self._has_endpoints:
            return row
        parsed = row.get("reply", _NONE).get("parsed")
        values = parsed if isinstance(parsed, dict) else _NONE
        cells = {ENDPOINT: row.get("endpoint")} if self._has_endpoints else {}
        cells |= {name: to_cell(values.get(origin)) for name, origin, to_cell in self._values}
        carried = {self._renamed.get(name, name): value for name, value in row.get("carried", _NONE).items()}
        return {**row, "carried": {**cells, **carried}}


def _as_json(value: Any) -> Any:
    return None if value is None else lossless_json.dumps(value).decode()


def _cell_maker(dtype: Any) -> Callable[[Any], Any]:
    """What gives the cell of a column of `dtype` for a value; None for a value that it can't hold."""
    if pt.is_list(dtype):
        to_cell = _cell_maker(dtype.value_type)
        return lambda value: [to_cell(item) for item in value] if isinstance(value, list) else None
    if pt.is_struct(dtype):
        members = {field.name: _cell_maker(field.type) for field in dtype}
        return lambda value: (
            {name: member(value.get(name)) for name, member in members.items()} if isinstance(value, dict) else None
        )
    if pt.is_boolean(dtype):
        return lambda value: value if isinstance(value, bool) else None
    if pt.is_integer(dtype):
        return _int64
    if pt.is_floating(dtype):
        return _float64
    return lambda value: lossless_json.scrub(value) if isinstance(value, str) else None


def _int64(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():  # to JSON Schema 1.0 is a whole number
        value = int(value)
    return value if type(value) is int and value in _INT64 else None


def _float64(value: Any) -> float | None:
    try:
        return float(value) if type(value) in (int, float) else None
    except OverflowError:
        return None
