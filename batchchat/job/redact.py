"""The job's text as the results keep it: as written, except for possible secrets.

Replaced by `***` are header values, the command of `on_finish`, comments under `endpoint` (a header or a key that was
commented out), words of other comments that look like a key, and what an override replaced under `endpoint` or in a
whole section, since it was never checked. The positions are those of the parsed nodes, so that flow style, block
scalars and aliases are all covered.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

from batchchat.job.keys import SECRET
from batchchat.job.tree import MappingNode, Node, SequenceNode, Span
from batchchat.secret import mask_likely_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["redact"]

ENDPOINTS = ("endpoint", "endpoints")
REDACTED = '"***"'
_ANCHORS = re.compile(r"(?:[&!]\S*\s+)*")
_COMMENT = re.compile(r"#.*")


def redact(text: str, tree: MappingNode, overridden: Iterable[str]) -> str:
    """`text`, which `tree` was read from, without secrets; `overridden` are the keys that options replaced."""
    replacements: dict[Span, str] = {}
    for node in _secret_nodes(tree, overridden):
        if node.span and node.span[0] < node.span[1]:
            replacements[node.span] = _redact_value(text[slice(*node.span)])
    of_endpoint, others = _comments(text, [tree.entries[name] for name in ENDPOINTS if name in tree.entries])
    for span in of_endpoint:
        replacements[span] = _COMMENT.sub("# ***", text[slice(*span)])
    for span in others:
        replacements[span] = mask_likely_keys(text[slice(*span)])
    parts: list[str] = []
    end = 0
    for span in sorted(replacements, key=lambda span: (span[0], -span[1])):
        if span[0] >= end:  # a span inside the last one is replaced with it
            parts += [text[end : span[0]], replacements[span]]
            end = span[1]
    return "".join([*parts, text[end:]])


def _redact_value(written: str) -> str:
    """The replacement of `written`: its anchor is kept for its aliases, its line ends for what follows."""
    anchors_match = _ANCHORS.match(written)
    prefix = anchors_match.group() if anchors_match else ""
    anchors = "".join(f"{word} " for word in prefix.split() if word.startswith("&"))
    return f"{anchors}{REDACTED}{written[len(written.rstrip()) :]}"


def _secret_nodes(tree: MappingNode, overridden: Iterable[str]) -> Iterator[Node]:
    """The nodes of `tree` whose text may be secret: values of secret keys, and what was never checked."""
    for mapping in (tree, _at(tree, "endpoint"), *(_at(tree, key) for key in SECRET)):
        yield from mapping.shadowed if isinstance(mapping, MappingNode) else ()
    yield from _headers_of(_at(tree, "endpoints"))
    for key in SECRET:
        match _at(tree, key):
            case MappingNode(entries=entries):
                yield from entries.values()
            case SequenceNode(items=items):
                yield from items
            case node if node is not None:
                yield node
    for key in overridden:
        node = _at(tree, key)
        unchecked = isinstance(node, (MappingNode, SequenceNode)) and key.partition(".")[0] != "params"
        if node and (unchecked or key.partition(".")[0] in ENDPOINTS):
            yield node


def _headers_of(endpoints: Node | None) -> Iterator[Node]:
    """The values of the headers of a list of endpoints, and what entries merge and override."""
    for entry in endpoints.items if isinstance(endpoints, SequenceNode) else ():
        headers = _at(entry, "headers") if isinstance(entry, MappingNode) else None
        for mapping in (entry, headers):
            yield from mapping.shadowed if isinstance(mapping, MappingNode) else ()
        if isinstance(headers, MappingNode):
            yield from headers.entries.values()


def _at(tree: MappingNode, key: str) -> Node | None:
    """The node of the dotted `key`; None if the file has none."""
    node: Node = tree
    for part in key.split("."):
        if not isinstance(node, MappingNode) or part not in node.entries:
            return None
        node = node.entries[part]
    return node


def _comments(text: str, endpoints: Sequence[Node]) -> tuple[list[Span], list[Span]]:
    """The spans between tokens that contain a comment: from the key of `endpoints` to the end of its value; others."""
    of_endpoint: list[Span] = []
    others: list[Span] = []
    last = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        start = token.start_mark
        if "#" in text[last : start.index]:
            inside = any(
                node.span is not None and (start.line, start.column) > node.location.order[1:] and last < node.span[1]
                for node in endpoints
            )
            (of_endpoint if inside else others).append((last, start.index))
        last = max(last, token.end_mark.index)
    if "#" in text[last:]:
        others.append((last, len(text)))
    return of_endpoint, others
