"""Values of a Python program as the YAML of a job: what is read back has the same values, whatever their text.

A Pydantic model stands for its JSON schema, a path for its text, NumPy's numbers for Python's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import yaml

from batchchat.errors import JobError
from batchchat.job.tree import printable
from batchchat.job.yaml_parser import resolve_scalar

__all__ = ["flow_text", "yaml_text"]

_MAX_DEPTH = 100


def yaml_text(keys: Mapping[str, Any]) -> str:
    """The job with `keys`, a mapping of names to values, as the text of a job file.

    Raises `JobError` for a value that no job file can hold.
    """
    return _dumped(_plain(keys, "", 0), flow=False)


def flow_text(key: str, value: Any) -> str:
    """The `value` of the dotted `key` in one line, as `--set` takes it. Raises `JobError` as `yaml_text` does."""
    return _dumped([_plain(value, key, 1)], flow=True).strip()[1:-1]


def _dumped(value: Any, *, flow: bool) -> str:
    return yaml.dump(
        value, Dumper=_Dumper, default_flow_style=flow, allow_unicode=True, sort_keys=False, width=float("inf")
    )


class _Dumper(yaml.SafeDumper):
    """Text that a job file would take for a number, a boolean or null is quoted, and nothing becomes an alias."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  PyYAML's signature
        return True


class _Number(str):
    """A decimal number, whose digits are kept."""

    __slots__ = ()


def _text_node(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    plain = "\n" not in text and resolve_scalar(text) == text and text == text.strip()
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


def _number_node(dumper: _Dumper, number: _Number) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:float", str(number))


_Dumper.add_representer(str, _text_node)
_Dumper.add_representer(_Number, _number_node)


def _plain(value: Any, name: str, depth: int) -> Any:
    """`value`, that of the dotted key `name`, of the types that YAML has."""
    if depth > _MAX_DEPTH:
        raise JobError([f"job: `{printable(name)}` goes deeper than {_MAX_DEPTH} levels, or holds itself."])
    if isinstance(value, Mapping):
        prefix = f"{name}." if name else ""
        return {_key(key, name): _plain(item, f"{prefix}{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{name}[]", depth + 1) for item in value]
    if isinstance(value, type) and callable(schema := getattr(value, "model_json_schema", None)):
        return _plain(schema(), name, depth + 1)
    if getattr(value, "shape", None) == () and callable(item := getattr(value, "item", None)):
        value = item()  # a number of NumPy
    if value is None or isinstance(value, bool):
        return value
    for type_, convert in _SCALARS:
        if isinstance(value, type_) and not (isinstance(value, int) and not -(2**63) <= value < 2**64):
            return convert(value)
    what = "a whole number beyond 64 bits" if isinstance(value, int) else f"of the type {type(value).__name__}"
    way_out = "It takes text, numbers, booleans, None, lists and mappings."
    raise JobError([f"job: `{printable(name)}` is {what}, which a job can't hold. {way_out}"])


def _literal(text: str) -> str:
    """`text` as a job file has it, where variables are expanded."""
    return str.__str__(text).replace("${", "$${")


_SCALARS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, _literal),
    (os.PathLike, lambda path: _literal(os.fspath(path))),
    (int, int),
    (float, float),
    (Decimal, lambda number: _Number(number) if number.is_finite() else float(number)),
)


def _key(key: object, name: str) -> str:
    if isinstance(key, str):
        return key
    under = f" under `{printable(name)}`" if name else ""
    raise JobError([f"job: the key {printable(repr(key))}{under} is no text."])
