"""The job's text to be kept beside the results: as written, but for what may be a secret.

Blanked are header values, comments under `endpoint` (a header or a key that was commented out), and what an
override replaced under `endpoint` or in a whole section, since nobody vetted it. Blanking follows the marks
of the parsed nodes, so that it holds for flow style, block scalars and aliases alike.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

from batchchat.job.tree import MappingNode, Node, SequenceNode, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["blanked"]

BLANK = '"***"'
_ANCHORS = re.compile(r"(?:[&!]\S*\s+)*")
_COMMENT = re.compile(r"#.*")


def blanked(text: str, tree: MappingNode, overridden: Iterable[str]) -> str:
    """`text`, which `tree` was read from, without secrets; options replaced the keys `overridden`."""
    cuts: dict[Span, str] = {}
    for node in _secret_nodes(tree, overridden):
        if node.span and node.span[0] < node.span[1]:
            cuts[node.span] = _blank(text[slice(*node.span)])
    cuts |= {span: _COMMENT.sub("# ***", text[slice(*span)]) for span in _comments(text, tree.entries.get("endpoint"))}
    parts: list[str] = []
    at = 0
    for (start, end), put in sorted(cuts.items(), key=lambda cut: (cut[0][0], -cut[0][1])):
        if start >= at:
            parts += [text[at:start], put]
            at = end
    return "".join([*parts, text[at:]])


def _blank(old: str) -> str:
    """What stands for `old`: its anchor is kept for its aliases, its line ends for what follows."""
    found = _ANCHORS.match(old)
    before = found.group() if found else ""
    anchors = "".join(f"{word} " for word in before.split() if word.startswith("&"))
    return f"{anchors}{BLANK}{old[len(old.rstrip()) :]}"


def _secret_nodes(tree: MappingNode, overridden: Iterable[str]) -> Iterator[Node]:
    headers = _at(tree, "endpoint.headers")
    for branch in (tree, _at(tree, "endpoint"), headers):
        yield from branch.shadowed if isinstance(branch, MappingNode) else ()
    if isinstance(headers, MappingNode):
        yield from headers.entries.values()
    elif headers:
        yield headers
    command = _at(tree, "on_finish")  # addresses that people post to are secrets too
    if command:
        yield from command.items if isinstance(command, SequenceNode) else (command,)
    for key in overridden:
        node = _at(tree, key)
        unvetted = isinstance(node, (MappingNode, SequenceNode)) and key.partition(".")[0] != "params"
        if node and (unvetted or key.partition(".")[0] == "endpoint"):
            yield node


def _at(tree: MappingNode, key: str) -> Node | None:
    """The node of a dotted key in the file."""
    node: Node = tree
    for part in key.split("."):
        if not isinstance(node, MappingNode) or part not in node.entries:
            return None
        node = node.entries[part]
    return node


def _comments(text: str, endpoint: Node | None) -> list[Span]:
    """The gaps between tokens that hold a comment, from the key `endpoint` to its value's end."""
    if endpoint is None or endpoint.span is None:
        return []
    gaps: list[Span] = []
    last = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        start = token.start_mark
        inside = (start.line, start.column) > endpoint.place.order[1:] and last < endpoint.span[1]
        if inside and "#" in text[last : start.index]:
            gaps.append((last, start.index))
        last = max(last, token.end_mark.index)
    return gaps
