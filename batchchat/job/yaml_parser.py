"""YAML text -> tree: the 1.2 core schema over PyYAML's scanner, each value with its location.

Only `true` and `false` (also True, TRUE, ...) are booleans, `1e-3` is a number, `no`, `17:30` and dates are
text. Variables are expanded before a plain value gets its type; a quoted value stays text. Keys are text as
written. Values must be JSON values: other tags, whole numbers beyond 64 bits and lone surrogates are refused.
Aliases and merge keys are resolved, up to `MAX_VALUES` values in all. Messages never contain PyYAML's excerpt of
the file, which could show a key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from batchchat.job.diagnostics import Diagnostic, RefusedError, SourceLocation
from batchchat.job.tree import InvalidNode, MappingNode, Node, Scalar, SequenceNode, Span, printable
from batchchat.job.variables import expand

__all__ = ["LocationAt", "parse", "plain_scalar", "resolve_nodes", "resolve_scalar"]

LocationAt = Callable[[int, int], SourceLocation]

MAX_VALUES = 10_000
MAX_DEPTH = 50

_PLAIN = "plain"
_TAG = "tag:yaml.org,2002:"
_TYPED: dict[str, type] = {"null": type(None), "bool": bool, "int": int, "float": float}

_NULLS = {"", "~", "null", "Null", "NULL"}
_BOOLS = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_WHOLE = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_DECIMAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)")
_NANS = {".nan", ".NaN", ".NAN"}
_TAGGED = "has a tag (`!...`). A job takes plain text, numbers, lists and mappings; leave it out."
_MAX_DIGITS = 40  # far over 64 bits; int() itself refuses thousands


class _TooBigError(ValueError):
    pass


class _PlainLoader(yaml.SafeLoader):
    """PyYAML's scanner and composer, leaving the type of plain values to us."""

    def resolve(self, kind: type, value: Any, implicit: Any) -> Any:  # noqa: ARG002  PyYAML's signature
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else f"{_TAG}str"
        return f"{_TAG}seq" if kind is yaml.SequenceNode else f"{_TAG}map"


def parse(text: str, location_at: LocationAt) -> yaml.Node | None:
    """PyYAML's root node of the one document in `text`; None if it is empty. Raises `RefusedError`."""
    try:
        node: yaml.Node | None = _PlainLoader(text).get_single_node()
    except yaml.MarkedYAMLError as exc:
        from batchchat.job.yaml_errors import plain_words

        mark, words = plain_words(exc, text)
        raise RefusedError(Diagnostic(location_at(mark.line, mark.column), f"this is not YAML: {words}.")) from None
    except yaml.reader.ReaderError as exc:
        location = location_at(text.count("\n", 0, exc.position), 0)
        raise RefusedError(Diagnostic(location, "this is not YAML: a control character is not allowed here.")) from None
    except RecursionError:
        raise RefusedError(Diagnostic(location_at(0, 0), _too_deep())) from None
    return node


def resolve_scalar(text: str) -> str | int | float | bool | None:
    """The value of a plain scalar by the YAML 1.2 core schema."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _WHOLE.fullmatch(text):
        if len(text) > _MAX_DIGITS:
            raise _TooBigError
        number = int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
        if not -(2**63) <= number < 2**64:
            raise _TooBigError
        return number
    if _DECIMAL.fullmatch(text):
        return float(text)
    if infinite := _INFINITE.fullmatch(text):
        return float(f"{infinite.group(1)}inf")
    return float("nan") if text in _NANS else text


def plain_scalar(
    written: str, location: SourceLocation, environ: Mapping[str, str], *, tag: str = _PLAIN, span: Span | None = None
) -> Scalar | InvalidNode:
    """The single value `written`: its variables expanded, then its type resolved (or the one that `tag` names)."""
    expansion = expand(written, environ)
    if expansion.problem:
        return InvalidNode(location, expansion.problem, span)
    text = _joined(expansion.text)
    if text is None:
        return InvalidNode(location, "holds half a character, which is not Unicode text.", span)
    try:
        value = text if tag == f"{_TAG}str" else resolve_scalar(text)
    except _TooBigError:
        return InvalidNode(location, "is a whole number beyond 64 bits, which JSON readers do not take.", span)
    if tag == f"{_TAG}float" and isinstance(value, int):
        value = float(value)
    if tag not in (_PLAIN, f"{_TAG}str") and _TYPED.get(tag.removeprefix(_TAG)) is not type(value):
        return InvalidNode(location, _TAGGED, span)
    return Scalar(location, value, text, written, expansion.has_variables, span)


def _joined(text: str) -> str | None:
    r"""`text` with surrogate pairs (JSON's "\ud83d\ude00") joined; None if half of one is left."""
    try:
        text.encode()
    except UnicodeEncodeError:
        try:
            return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            return None
    return text


def resolve_nodes(
    root: yaml.Node, location_at: LocationAt, environ: Mapping[str, str]
) -> tuple[Node, list[Diagnostic]]:
    """The tree under `root`, and what is wrong with its keys (repeated, empty, not text). Raises `RefusedError`."""
    resolver = _NodeResolver(location_at, environ)
    mark = root.start_mark
    return resolver.node(root, location_at(mark.line, mark.column), "", 0), resolver.diagnostics


def _too_deep() -> str:
    return f"this goes deeper than {MAX_DEPTH} levels, or holds an alias of itself. Write it flatter."


class _NodeResolver:
    """One pass over PyYAML's nodes; counts the values, so that aliases of aliases are bounded."""

    def __init__(self, location_at: LocationAt, environ: Mapping[str, str]) -> None:
        self.location_at = location_at
        self.environ = environ
        self.diagnostics: list[Diagnostic] = []
        self.values = 0

    def node(self, node: yaml.Node, location: SourceLocation, name: str, depth: int) -> Node:
        """The tree under `node`, the value of the dotted key `name`."""
        self.values += 1
        if self.values > MAX_VALUES:
            raise RefusedError(
                Diagnostic(location, f"this holds more than {MAX_VALUES:,} values with its aliases unfolded.")
            )
        if depth > MAX_DEPTH:
            raise RefusedError(Diagnostic(location, _too_deep()))
        span = (node.start_mark.index, node.end_mark.index)
        kind = node.tag.removeprefix(_TAG)
        if isinstance(node, yaml.ScalarNode):
            return plain_scalar(str(node.value), location, self.environ, tag=node.tag, span=span)
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return SequenceNode(location, tuple(self.items(node, name, depth)), span)
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return self.mapping(node, location, name, depth)
        return InvalidNode(location, _TAGGED, span)

    def items(self, node: yaml.SequenceNode, name: str, depth: int) -> list[Node]:
        return [self.node(item, self.location_of(item), f"{name}[]", depth + 1) for item in node.value]

    def mapping(self, node: yaml.MappingNode, location: SourceLocation, name: str, depth: int) -> MappingNode:
        entries: dict[str, Node] = {}
        bases: list[MappingNode] = []
        first_line: dict[str, int] = {}
        for key, value in node.value:
            key_location = self.location_of(key)
            text = self.key_text(key, key_location, name)
            if text is None:
                continue
            dotted = f"{name}.{text}" if name else text
            if text in first_line:
                problem = f"is repeated; line {first_line[text]} already sets it."
                self.diagnostics.append(Diagnostic(key_location, f"`{printable(dotted)}` {problem}"))
                continue
            first_line[text] = key.start_mark.line + 1
            if text == "<<" and key.tag == _PLAIN:
                bases = self.merged_mappings(value, name, depth)
            else:
                entries[text] = self.node(value, key_location, dotted, depth + 1)
        shadowed: list[Node] = []
        for source in bases:
            shadowed += source.shadowed
            shadowed += [entry for text, entry in source.entries.items() if text in entries]
            entries = {**source.entries, **entries}
        return MappingNode(location, entries, (node.start_mark.index, node.end_mark.index), tuple(shadowed))

    def merged_mappings(self, value: yaml.Node, name: str, depth: int) -> list[MappingNode]:
        """The mappings that the value of `<<` names; the first of several that has a key wins."""
        sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
        mappings: list[MappingNode] = []
        for source in sources:
            location = self.location_of(source)
            resolved = self.node(source, location, name, depth + 1)
            if isinstance(resolved, MappingNode):
                mappings.append(resolved)
            else:
                self.diagnostics.append(Diagnostic(location, "`<<` takes an alias of a mapping, or a list of such."))
        return mappings

    def key_text(self, key: yaml.Node, location: SourceLocation, name: str) -> str | None:
        under = f" under `{printable(name)}`" if name else ""
        if not isinstance(key, yaml.ScalarNode):
            self.diagnostics.append(
                Diagnostic(location, f"a key{under} is a list or a mapping. Quote text that contains braces.")
            )
            return None
        text = _joined(str(key.value))
        if not text:
            self.diagnostics.append(Diagnostic(location, f"a key{under} has no readable name."))
            return None
        return text

    def location_of(self, node: yaml.Node) -> SourceLocation:
        return self.location_at(node.start_mark.line, node.start_mark.column)
