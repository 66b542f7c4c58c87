"""Overrides of the command line, laid over the tree of the file before anything is checked.

An override replaces the value and whatever is wrong with it. Its value is one YAML value: what begins with
a bracket, a brace or a quote is read as such, anything else is one plain value as it stands (`#` and `: `
mean nothing in it). The label in messages shows the value only where it can be no secret.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import yaml

from batchchat.job.diagnostics import Diagnostic, RefusedError, SourceLocation
from batchchat.job.keys import FREE, KEYS, PLANNED, SECTIONS, nearest, not_a_key
from batchchat.job.tree import MappingNode, Node, is_null, kind_of, printable
from batchchat.job.yaml_parser import compose, plain_scalar, unfold

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Override", "comment_lines", "overlay", "put"]

_NAMES = {key.name for key in KEYS}
_FLOW = ("[", "{", '"', "'")


@dataclass(frozen=True, slots=True)
class Override:
    """`value` for the job's `key`, as typed after `option`: `--set retry.max_wait=5`, `--concurrency 64`."""

    option: str
    key: str
    value: str

    @property
    def is_secret(self) -> bool:
        """Whether its value may be a header's, or an address that people post to: it is shown nowhere."""
        return self.key == "endpoint" or self.key.startswith(("endpoint.headers", "on_finish"))

    def label(self, *, hidden: bool, blank: str = "") -> str:
        """The option as typed; with `hidden`, `blank` in the place of its value."""
        value = blank if hidden else printable(self.value)
        name, equals = (f"{self.option} {self.key}", "=") if self.option == "--set" else (self.option, " ")
        return f"{printable(name)}{equals}{value}" if value or not hidden else printable(name)


def overlay(
    tree: MappingNode, overrides: Sequence[Override], environ: Mapping[str, str]
) -> tuple[MappingNode, list[Diagnostic], set[str]]:
    """`tree` with the overrides laid over it, their own faults, and the keys that the faulty ones meant."""
    faults: list[Diagnostic] = []
    meant: set[str] = set()
    for index, override in enumerate(overrides):
        try:
            parts = _located(override, index)
            tree = put(tree, parts, "", _parsed(override, index, environ))
        except RefusedError as exc:
            faults += exc.faults
            meant |= {override.key, nearest(*_split(override.key)) or ""} - {""}
    return tree, faults, meant


def _located(override: Override, index: int) -> tuple[str, ...]:
    """The steps down to the override's key. Raises for what is no key."""
    key = override.key
    if key in _NAMES or key in SECTIONS:
        return tuple(key.split("."))
    for free in FREE:
        rest = key.removeprefix(f"{free}.")
        if rest != key and all(rest.split(".")):
            # A header's name may hold dots; a parameter's dots go down.
            return (*free.split("."), *(rest.split(".") if free == "params" else (rest,)))
    place = SourceLocation.of_option(override.label(hidden=True), index)
    for planned in PLANNED:
        if key == planned or key.startswith(f"{planned}."):
            raise RefusedError(Diagnostic(place, not_a_key(*_split(planned))))
    section, leaf = _split(key)
    raise RefusedError(Diagnostic(place, not_a_key(section, leaf) if section in SECTIONS else not_a_key("", key)))


def _split(key: str) -> tuple[str, str]:
    section, _, leaf = key.rpartition(".")
    return section, leaf


def _parsed(override: Override, index: int, environ: Mapping[str, str]) -> Node:
    """The override's value as a tree, all of it at the override's place."""
    secret = override.key.partition(".")[0] == "endpoint" or override.key == "on_finish"
    written = override.value.strip()
    if not written.startswith(_FLOW):
        return plain_scalar(written, SourceLocation.of_option(override.label(hidden=secret), index), environ)
    unseen = SourceLocation.of_option(override.label(hidden=True), index)
    root = compose(written, lambda _line, _column: unseen)
    assert root is not None, "text that opens a bracket or a quote composes to a node, or raises"
    # A mapping may hold an unknown key, whose value must not be repeated.
    flat = isinstance(root, yaml.ScalarNode) or (
        isinstance(root, yaml.SequenceNode) and all(isinstance(item, yaml.ScalarNode) for item in root.value)
    )
    place = SourceLocation.of_option(override.label(hidden=secret or not flat), index)
    node, faults = unfold(root, lambda _line, _column: place, environ)
    if faults:
        raise RefusedError(*faults)
    return node


def put(branch: MappingNode, parts: Sequence[str], above: str, node: Node) -> MappingNode:
    """`branch` with `node` at the end of `parts`; mappings on the way are made where nothing stands."""
    head, rest = parts[0], parts[1:]
    dotted = f"{above}.{head}" if above else head
    entries = dict(branch.entries)
    if above == "endpoint.headers":
        entries = {name: entry for name, entry in entries.items() if name == head or name.lower() != head.lower()}
    if not rest:
        return replace(branch, entries={**entries, head: node})
    child = entries.get(head)
    if child is None or is_null(child):
        child = MappingNode(node.place if child is None else child.place, {})
    if not isinstance(child, MappingNode):
        if not above.startswith("params"):
            return branch  # what stands there is told as a fault of the file
        sentence = f"`{dotted}` is {kind_of(child)}, with no keys below it. Set `{dotted}` itself."
        raise RefusedError(Diagnostic(node.place, sentence))
    return replace(branch, entries={**entries, head: put(child, rest, dotted, node)})


def comment_lines(overrides: Sequence[Override]) -> list[str]:
    """The overrides in force as comment lines for the job's text; what may hold a header value is blanked."""
    lines: list[str] = []
    for index, override in enumerate(overrides):
        later = [other.key for other in overrides[index + 1 :]]
        if any(override.key == key or override.key.startswith(f"{key}.") for key in later):
            continue
        lines.append(f"# {override.label(hidden=override.is_secret, blank='***')}")
    return lines
