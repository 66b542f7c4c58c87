"""Overrides of the command line, applied to the tree of the file before it is checked.

An override replaces the value and whatever is wrong with it. Its value is one YAML value: if it begins with a bracket,
a brace or a quote it is parsed as YAML, anything else is one plain value (`#` and `: ` have no meaning in it). The
label in messages shows the value only if it can't be a secret.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import yaml

from batchchat.job.diagnostics import Diagnostic, RefusedError, SourceLocation
from batchchat.job.keys import FREE_FORM, KEYS, PLANNED, SECRET, SECTIONS, nearest, not_a_key
from batchchat.job.paths import may_have_secrets
from batchchat.job.tree import MappingNode, Node, is_null, kind_of, printable
from batchchat.job.yaml_parser import parse, plain_scalar, resolve_nodes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Override", "apply_overrides", "comment_lines", "put"]

_PAIRS = ("--set", "")
"""The options of which key and value are written together; "" is a keyword of Python."""
_INPUT = ("input", "input.path")
_NOTHING = {"", "null"}
_REFERENCE = re.compile(r"\$\{\w+\}")
_NAMES = {key.name for key in KEYS}
_FLOW = ("[", "{", '"', "'")
_TEMPLATE = ("{{", "{%", "{#")  # no YAML begins so


class Override(NamedTuple):
    """`value` for the job's `key`, as typed after `option`: `--set retry.max_wait=5`, `--concurrency 64`.

    Of a keyword of a Python program `option` is "", and `value` its value as `--set` would take it.
    """

    option: str
    key: str
    value: str

    @property
    def is_secret(self) -> bool:
        """Whether the value may be a header's, a URL to post to, or one that is signed: then it is never shown."""
        is_signed = self.key in _INPUT and may_have_secrets(self.value)
        return self.key in {"endpoint", "endpoints"} or self.key.startswith(SECRET) or is_signed

    @property
    def may_be_shown(self) -> bool:
        """Whether the value is no secret, or only names the variable that has it."""
        return not self.is_secret or self.value in _NOTHING or _REFERENCE.fullmatch(self.value) is not None

    @property
    def again(self) -> str:
        """The argument of `--set` for a command that is shown; a value that may be secret becomes a variable.

        If such a command is pasted unchanged, it is refused with the name of the variable that is not set.
        """
        return f"{self.key}={self.value_again}"

    @property
    def value_again(self) -> str:
        """The value for a command that is shown, or the variable in its place."""
        if self.may_be_shown:
            return self.value
        name = self.key if self.key in _INPUT else self.key.rpartition(".")[2]
        return f"${{{re.sub('[^A-Za-z0-9]+', '_', name).upper()}}}"

    def label(self, *, hidden: bool, mask: str = "") -> str:
        """The option as typed; if `hidden`, with `mask` for its value."""
        value = mask if hidden else printable(self.value)
        is_pair = self.option in _PAIRS
        name, equals = (f"{self.option} {self.key}".strip(), "=") if is_pair else (self.option, " ")
        return f"{printable(name)}{equals}{value}" if value or not hidden else printable(name)


def apply_overrides(
    tree: MappingNode, overrides: Sequence[Override], environ: Mapping[str, str]
) -> tuple[MappingNode, list[Diagnostic], set[str]]:
    """`tree` with the overrides applied, the diagnostics of wrong overrides, and the keys that those meant."""
    diagnostics: list[Diagnostic] = []
    meant_keys: set[str] = set()
    for index, override in enumerate(overrides):
        try:
            parts = _path_to(override, index)
            tree = put(tree, parts, "", _parse_value(override, index, environ))
        except RefusedError as exc:
            diagnostics += exc.diagnostics
            meant_keys |= {override.key, nearest(*_split(override.key)) or ""} - {""}
    return tree, diagnostics, meant_keys


def _path_to(override: Override, index: int) -> tuple[str, ...]:
    """The path from the root to the override's key. Raises `RefusedError` if there is no such key."""
    key = override.key
    if key in _NAMES or key in SECTIONS:
        return tuple(key.split("."))
    for mapping in FREE_FORM:
        below = key.removeprefix(f"{mapping}.")
        if below != key and all(below.split(".")):
            # A header's name may hold dots; a parameter's dots go down.
            return (*mapping.split("."), *(below.split(".") if mapping == "params" else (below,)))
    location = SourceLocation.of_option(override.label(hidden=True), index)
    for planned in PLANNED:
        if key == planned or key.startswith(f"{planned}."):
            raise RefusedError(Diagnostic(location, not_a_key(*_split(planned))))
    section, leaf = _split(key)
    raise RefusedError(Diagnostic(location, not_a_key(section, leaf) if section in SECTIONS else not_a_key("", key)))


def _split(key: str) -> tuple[str, str]:
    section, _, leaf = key.rpartition(".")
    return section, leaf


def _parse_value(override: Override, index: int, environ: Mapping[str, str]) -> Node:
    """The override's value as a tree, whose nodes all have the override's location."""
    secret = override.key.partition(".")[0] == "endpoint" or override.is_secret
    written = override.value.strip()
    if not written.startswith(_FLOW) or written.startswith(_TEMPLATE):
        return plain_scalar(written, SourceLocation.of_option(override.label(hidden=secret), index), environ)
    unseen = SourceLocation.of_option(override.label(hidden=True), index)
    root = parse(written, lambda _line, _column: unseen)
    assert root is not None, "text that opens a bracket or a quote composes to a node, or raises"
    # A mapping may hold an unknown key, whose value must not be repeated.
    flat = isinstance(root, yaml.ScalarNode) or (
        isinstance(root, yaml.SequenceNode) and all(isinstance(item, yaml.ScalarNode) for item in root.value)
    )
    location = SourceLocation.of_option(override.label(hidden=secret or not flat), index)
    node, diagnostics = resolve_nodes(root, lambda _line, _column: location, environ)
    if diagnostics:
        raise RefusedError(*diagnostics)
    return node


def put(mapping: MappingNode, parts: Sequence[str], prefix: str, node: Node) -> MappingNode:
    """`mapping`, whose dotted name is `prefix`, with `node` at the path `parts`; missing mappings are created."""
    head, below = parts[0], parts[1:]
    dotted = f"{prefix}.{head}" if prefix else head
    entries = dict(mapping.entries)
    if prefix == "endpoint.headers":
        entries = {name: entry for name, entry in entries.items() if name == head or name.lower() != head.lower()}
    if not below:
        return mapping._replace(entries={**entries, head: node})
    child = entries.get(head)
    if child is None or is_null(child):
        child = MappingNode(node.location if child is None else child.location, {})
    if not isinstance(child, MappingNode):
        if not prefix.startswith("params"):
            return mapping  # `check` reports that value as wrong
        sentence = f"`{dotted}` is {kind_of(child)}, with no keys below it. Set `{dotted}` itself."
        raise RefusedError(Diagnostic(node.location, sentence))
    return mapping._replace(entries={**entries, head: put(child, below, dotted, node)})


def comment_lines(overrides: Sequence[Override]) -> list[str]:
    """The overrides in force as comment lines for the job's text; secret values are redacted."""
    lines: list[str] = []
    for index, override in enumerate(overrides):
        later_keys = [override_after.key for override_after in overrides[index + 1 :]]
        if any(override.key == key or override.key.startswith(f"{key}.") for key in later_keys):
            continue
        lines.append(f"# {override.label(hidden=override.is_secret, mask='***')}")
    return lines
