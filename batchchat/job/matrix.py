"""`matrix`: lists of values for the model, the system message and parameters; each combination of them is a variant."""

from __future__ import annotations

from typing import Any, NamedTuple

from batchchat import lossless_json
from batchchat.job.diagnostics import Diagnostic, RefusedError
from batchchat.job.params import parameter
from batchchat.job.request_fields import PARAMETERS
from batchchat.job.tree import MappingNode, Node, SequenceNode, is_null, kind_of, printable, wrong_type
from batchchat.job.value_types import ValueType, collect, indexed_items, line, text
from batchchat.text.nearest import did_you_mean

__all__ = ["Axis", "matrix"]

_TAKES = "a mapping of lists, such as {model: [a, b], params.temperature: [0, 1]}"
_VALUES = "a list of values, or a mapping of names to values"
_MAX_VARIANTS = 10_000
_MAX_LABEL_CHARS = 80
_KEYS = ("model", "system")
_PARAMS = "params."


class Axis(NamedTuple):
    """One key of the matrix (`model`, `system` or `params.<name>`), with its values, each behind its label.

    Of `system` null is no system message; of a parameter it is sent as null.

    `labelled`: the job names the values, and columns have the names.
    """

    key: str
    values: tuple[tuple[str, Any], ...]
    labelled: bool

    @property
    def name(self) -> str:
        """What its column and its part of a variant's name are called: the key without `params.`."""
        return self.key.removeprefix(_PARAMS)


def matrix() -> ValueType:
    """The axes, in the order of the job."""

    def read(name: str, node: Node) -> tuple[Axis, ...]:
        if not isinstance(node, MappingNode):
            raise wrong_type(name, node, _TAKES)
        if not node.entries:
            raise RefusedError(Diagnostic(node.location, f"`{name}` is empty. It takes {_TAKES}."))
        named = [(f"{name}.{printable(key)}", entry) for key, entry in node.entries.items()]
        keys = iter(node.entries)
        axes = tuple(collect(lambda dotted, entry: _axis(next(keys), dotted, entry), named))
        variants = 1
        for axis in axes:
            variants *= len(axis.values)
        if variants > _MAX_VARIANTS:
            sentence = f"`{name}` has {variants:,} combinations. It takes at most {_MAX_VARIANTS:,}."
            raise RefusedError(Diagnostic(node.location, sentence))
        return axes

    values = {"anyOf": [{"type": "array", "minItems": 1, "items": {}}, {"type": "object", "minProperties": 1}]}
    return ValueType(_TAKES, {"type": "object", "minProperties": 1, "additionalProperties": values}, read)


def _axis(key: str, name: str, node: Node) -> Axis:
    if key == "endpoint" or key.startswith("endpoint."):
        sentence = f"`{name}` is not in this version yet. Run the job once for each endpoint, each with its own output:"
        raise RefusedError(
            Diagnostic(node.location, f"{sentence} --set endpoint.base_url=URL --output out/NAME.parquet")
        )
    if key not in _KEYS and not (key.startswith(_PARAMS) and len(key) > len(_PARAMS)):
        as_parameter = f" Did you mean `{_PARAMS}{key}`?" if key in PARAMETERS else ""
        hint = did_you_mean(key, _KEYS) or as_parameter
        sentence = f"`{name}` is not a key of a matrix. It takes model, system, and params.<name>.{hint}"
        raise RefusedError(Diagnostic(node.location, sentence))
    if isinstance(node, MappingNode) and node.entries:
        labels = list(node.entries)
        entries = [(f"{name}.{printable(label)}", entry) for label, entry in node.entries.items()]
    elif isinstance(node, SequenceNode) and node.items:
        labels, entries = [], indexed_items(name, node)
    else:
        raise RefusedError(Diagnostic(node.location, f"`{name}` is {kind_of(node)}. It takes {_VALUES}."))
    values = collect(lambda dotted, entry: _value(key, dotted, entry), entries)
    return Axis(key, _labelled(name, node, labels, values), bool(labels))


def _value(key: str, name: str, node: Node) -> Any:
    if key == "system" and is_null(node):
        return None  # no system message
    if key == "model":
        return line("the name of a model").read(name, node)
    if key == "system":
        return text().read(name, node)
    return parameter(key.removeprefix(_PARAMS), name, node)


def _labelled(name: str, node: Node, labels: list[str], values: list[Any]) -> tuple[tuple[str, Any], ...]:
    """The `values` behind their labels, which are the values themselves where the job names none."""
    if not labels:
        labels = [value if isinstance(value, str) else lossless_json.dumps(value).decode() for value in values]
        long = next((label for label in labels if len(label) > _MAX_LABEL_CHARS or "\n" in label), None)
        if long is not None:
            sentence = (
                f"`{name}` has a value of {len(long):,} characters. Name the values: {name}: {{short: ..., long: ...}}"
            )
            raise RefusedError(Diagnostic(node.location, sentence))
    duplicate = next((label for label in labels if labels.count(label) > 1), None)
    if duplicate is not None:
        raise RefusedError(Diagnostic(node.location, f"`{name}` has `{printable(duplicate)}` twice."))
    return tuple(zip(labels, values, strict=True))
