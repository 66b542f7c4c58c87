"""`endpoints`: a list of endpoints that serve one job, each with the keys of `endpoint` and some of its own."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from batchchat.job.bounds import PriceSpec
from batchchat.job.declaration import KEY, SECTION, Declaration
from batchchat.job.diagnostics import Diagnostic, RefusedError
from batchchat.job.endpoint_spec import EndpointEntry
from batchchat.job.tree import MappingNode, Node, SequenceNode, is_null, printable, wrong_type
from batchchat.job.value_types import ValueType, collect, indexed_items, line
from batchchat.secret import is_plain_name
from batchchat.text.nearest import nearest_names

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = ["MAX_ENDPOINTS", "EndpointsPath", "endpoints", "entry_of"]

_TAKES = "a list of endpoints, such as [{base_url: http://a:8000/v1}, {base_url: http://b:8000/v1}], or {file: PATH}"
_FILE = line("the path of a file with a base_url a line")
_ENTRY = "a mapping with `base_url` and the other keys of an endpoint"
MAX_ENDPOINTS = 256
_MAX_SHOWN_LENGTH = 16
_NOT_SHOWN = "a name (not shown, in case it is an API key)"


class EndpointsPath(NamedTuple):
    """The path of a file of endpoints, as the job writes it."""

    as_given: str


def endpoints() -> ValueType:
    """The endpoints of a job, each with a name of its own, all of them real or all of them the mock; or their file."""

    def read(name: str, node: Node) -> tuple[EndpointEntry, ...] | EndpointsPath:
        if isinstance(node, MappingNode) and list(node.entries) == ["file"]:
            return EndpointsPath(_FILE.read(f"{name}.file", node.entries["file"]))
        if isinstance(node, MappingNode) and (diagnostics := _not_file(name, node)):
            raise RefusedError(*diagnostics)
        if not isinstance(node, SequenceNode):
            raise wrong_type(name, node, _TAKES, hidden=True)
        if not 0 < len(node.items) <= MAX_ENDPOINTS:
            state = f"has {len(node.items):,} endpoints, more than {MAX_ENDPOINTS}" if node.items else "is empty"
            raise RefusedError(Diagnostic(node.location, f"`{name}` {state}. It takes {_TAKES}."))
        entries = tuple(collect(entry_of, indexed_items(name, node)))
        _check_together(name, node, entries)
        return entries

    items = {"type": "array", "minItems": 1, "maxItems": MAX_ENDPOINTS, "items": _schema_of(EndpointEntry)}
    file = {"type": "object", "additionalProperties": False, "required": ["file"], "properties": {"file": _FILE.schema}}
    schema = {"anyOf": [items, file]}
    return ValueType(_TAKES, schema, read)


def _not_file(name: str, node: MappingNode) -> list[Diagnostic]:
    """What is wrong with the keys of `node` where it is meant as `{file: PATH}`."""
    has_file = "file" in node.entries
    return [
        Diagnostic(below.location, _not_a_key(f"`{name}`, which takes a list or `file` alone", leaf, ["file"]))
        for leaf, below in node.entries.items()
        if leaf != "file" and (has_file or nearest_names(leaf, ["file"], cutoff=0.7))
    ]


def _schema_of(spec: Any) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for leaf, declared in _declared(spec).items():
        schema = declared.type.schema if isinstance(declared, Declaration) else _schema_of(declared)
        properties[leaf] = {"anyOf": [schema, {"type": "null"}]} if leaf != "base_url" else schema
    required = {"required": ["base_url"]} if spec is EndpointEntry else {}
    return {"type": "object", "additionalProperties": False, **required, "properties": properties}


def _declared(spec: Any) -> dict[str, Any]:
    """The keys of `spec` by name: the `Declaration` of each, or the dataclass of a section."""
    declared: dict[str, Any] = {}
    for field in fields(spec):
        if KEY in field.metadata:
            declared[field.metadata[KEY].name or field.name] = field.metadata[KEY]
        elif SECTION in field.metadata:
            declared[field.name] = field.metadata[SECTION]
    return declared


def entry_of(name: str, node: Node, names: Collection[str] | None = None) -> EndpointEntry:
    """The endpoint that `node` describes; it has those of its keys that are in `names`. Raises `RefusedError`.

    `name` is what messages call it, "" for a line of a file.
    """
    values = _values(EndpointEntry, name, node, _ENTRY, names)
    if "base_url" not in values:
        sentence = f"`{name}.base_url` is missing. It takes a URL such as http://localhost:8000/v1."
        raise RefusedError(Diagnostic(node.location, sentence))
    entry = EndpointEntry(**values)
    if entry.limits.share is not None:
        sentence = f"`{name}.limits.share` can't be used here: jobs share what is under the job's own `limits`."
        raise RefusedError(Diagnostic(node.location, sentence))
    return entry if entry.name else replace(entry, name="mock" if entry.is_mock else entry.address)


def _values(spec: Any, name: str, node: Node, takes: str, names: Collection[str] | None = None) -> dict[str, Any]:
    """The values that the mapping `node` gives the fields of `spec`. Raises `RefusedError` with all that is wrong."""
    if not isinstance(node, MappingNode):
        raise wrong_type(name, node, takes, hidden=True)
    declared = {key: of for key, of in _declared(spec).items() if names is None or key in names}
    values: dict[str, Any] = {}

    def read(leaf: str, below: Node) -> None:
        if leaf not in declared:
            whole = f"`{name}`" if name else "a line"
            raise RefusedError(Diagnostic(below.location, _not_a_key(whole, leaf, list(declared))))
        if is_null(below):
            return
        target, full_name = declared[leaf], f"{name}.{leaf}".removeprefix(".")
        if isinstance(target, Declaration):
            values[leaf] = target.type.read(full_name, below)
        else:
            values[leaf] = _section(target, full_name, below)

    collect(read, node.entries.items())
    return values


def _section(spec: Callable[..., Any], name: str, node: Node) -> Any:
    section = spec(**_values(spec, name, node, "a mapping"))
    if not isinstance(section, PriceSpec):
        return section
    for leaf in ("input", "output"):
        if getattr(section, leaf) is None:
            sentence = f"`{name}.{leaf}` is missing. A price takes `input` and `output`, USD per million tokens."
            raise RefusedError(Diagnostic(node.location, sentence))
    return section.as_price()


def _not_a_key(whole: str, leaf: str, names: list[str]) -> str:
    is_hidden = len(leaf) > _MAX_SHOWN_LENGTH and not is_plain_name(leaf)
    start = f"{_NOT_SHOWN if is_hidden else f'`{printable(leaf)}`'} is not a key of {whole}."
    if close := nearest_names(leaf.lower().replace("-", "_"), names, cutoff=0.7):
        return f"{start} Did you mean `{close[0]}`?"
    return start if len(names) == 1 else f"{start} It takes {', '.join(names[:-1])} and {names[-1]}."


def _check_together(name: str, node: SequenceNode, entries: tuple[EndpointEntry, ...]) -> None:
    """Names are unique, and the embedded mock is not among real endpoints."""
    names = [entry.name for entry in entries]
    for number, entry in enumerate(entries):
        if entry.name in names[:number]:
            sentence = (
                f"`{name}[{number}].name` is {printable(entry.name)}, which `{name}[{names.index(entry.name)}]` has"
                " already. Give each endpoint a `name` of its own."
            )
            raise RefusedError(Diagnostic(node.items[number].location, sentence))
        if entry.is_mock is not entries[0].is_mock:
            sentence = (
                f"`{name}[{number}].base_url` mixes the mock and real endpoints. Their answers are never kept together."
                " Leave one kind out."
            )
            raise RefusedError(Diagnostic(node.items[number].location, sentence))
