"""`params`: any mapping of JSON values, sent unchanged.

Values that would fail every request (a number as text, `stream: true`, a conversation) are refused before the run.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from batchchat.job.diagnostics import Diagnostic, RefusedError
from batchchat.job.tree import (
    InvalidNode,
    MappingNode,
    Node,
    Scalar,
    SequenceNode,
    is_null,
    kind_of,
    printable,
    shown,
    wrong_type,
)
from batchchat.job.value_types import Read, ValueType, collect, indexed_items, integer, number

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["WELL_KNOWN", "json_value", "parameter", "params"]

# Parameters of the OpenAI API; only for the message that suggests `params.top_p` for `top_p` at the top of a job.
WELL_KNOWN = (
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "min_p",
    "n",
    "presence_penalty",
    "reasoning_effort",
    "repetition_penalty",
    "response_format",
    "stop",
    "stream",
    "temperature",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
)
_CHECKED: Mapping[str, ValueType] = {
    "max_tokens": integer(1),
    "max_completion_tokens": integer(1),
    "temperature": number(),
}
# name -> (the only value that is taken, why no other)
_FIXED: Mapping[str, tuple[Any, str]] = {
    "n": (1, "batchchat keeps one reply a request; leave it out."),
    "stream": (False, "Set `endpoint.stream: true` instead."),
}
_ELSEWHERE: Mapping[str, str] = {
    "model": "is not taken there; set `model` instead.",
    "messages": "is not taken there; conversations come from `input.path`.",
}


def params() -> ValueType:
    """The mapping as JSON values; null stays null."""
    takes = "a mapping of parameters, such as {temperature: 0.7}"

    def read(name: str, node: Node) -> dict[str, Any]:
        if not isinstance(node, MappingNode):
            raise wrong_type(name, node, takes)
        return _mapping(name, node, _param)

    properties: dict[str, Any] = {
        parameter: {"anyOf": [value_type.schema, {"type": "null"}]} for parameter, value_type in _CHECKED.items()
    }
    properties |= {parameter: {"enum": [value, None]} for parameter, (value, _) in _FIXED.items()}
    properties |= dict.fromkeys(_ELSEWHERE, False)
    return ValueType(takes, {"type": "object", "properties": properties}, read)


def _mapping(name: str, node: MappingNode, read: Read) -> dict[str, Any]:
    named = [(f"{name}.{printable(key)}", entry) for key, entry in node.entries.items()]
    return dict(zip(node.entries, collect(read, named), strict=True))


def _param(name: str, node: Node) -> Any:
    return parameter(name.partition(".")[2], name, node)


def parameter(key: str, name: str, node: Node) -> Any:
    """The parameter `key` as a JSON value; the known ones are checked. `name` is what messages call it."""
    if key in _ELSEWHERE:
        raise RefusedError(Diagnostic(node.location, f"`{name}` {_ELSEWHERE[key]}"))
    if isinstance(node, InvalidNode) or is_null(node):
        return json_value(name, node)
    if key in _FIXED:
        return _fixed(name, node, *_FIXED[key])
    if key in _CHECKED:
        _CHECKED[key].read(name, node)
    return json_value(name, node)


def _fixed(name: str, node: Node, allowed: Any, reason: str) -> Any:
    if isinstance(node, Scalar) and type(node.value) is type(allowed) and node.value == allowed:
        return allowed
    description = shown(node) if isinstance(node, Scalar) else kind_of(node)
    raise RefusedError(Diagnostic(node.location, f"`{name}` is {description}. {reason}"))


def json_value(name: str, node: Node) -> Any:
    """`node` as a JSON value."""
    match node:
        case MappingNode():
            return _mapping(name, node, json_value)
        case SequenceNode():
            return collect(json_value, indexed_items(name, node))
        case Scalar(value=float(value)) if not math.isfinite(value):
            sentence = f"`{name}` is {shown(node)}, which JSON has no number for."
            raise RefusedError(Diagnostic(node.location, sentence))
        case Scalar():
            return node.value
        case InvalidNode():
            raise wrong_type(name, node, "")
