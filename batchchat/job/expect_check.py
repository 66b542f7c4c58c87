"""Reads the schema of `expect` and checks its keys; what is wrong names the line of the job, or of the schema file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from batchchat.core.response_format import ResponseFormat
from batchchat.errors import refuse_pipe
from batchchat.job.check import Checked
from batchchat.job.diagnostics import Diagnostic, RefusedError, SourceLocation
from batchchat.job.expect import FORMAT_AUTO, SchemaSource
from batchchat.job.params import json_value
from batchchat.job.paths import resolved
from batchchat.job.tree import MappingNode, Node, SequenceNode, printable
from batchchat.job.yaml_parser import parse, resolve_nodes

__all__ = ["resolve_expect"]

_MAX_SCHEMA_BYTES = 1 << 20
_MAX_PROBLEMS = 5


def resolve_expect(checked: Checked, folder: Path, environ: Mapping[str, str]) -> Mapping[str, Any] | None:
    """The schema of a job in `folder`, None where it has none; what is wrong with `expect` is added to `checked`."""
    source: SchemaSource | None = checked["expect.json_schema"]
    matches: str | None = checked["expect.matches"]
    if matches is not None:
        from batchchat.job.schema_check import pattern_problem

        if (problem := pattern_problem(matches)) is not None:
            checked.add("expect.matches", f"is no regular expression: {problem}.")
    _check_together(checked, source)
    if source is None:
        return None
    try:
        schema = source.schema
        if schema is None:
            assert source.path is not None
            schema = _read_file(resolved(source.path, folder, environ), source, environ)
        _check_schema(schema, source)
        if checked["expect.columns"] and not schema.get("properties"):
            checked.add("expect.columns", "needs a schema with `properties` at its top, and this one has none.")
    except RefusedError as error:
        checked.diagnostics += error.diagnostics
        return None
    return schema


def _check_together(checked: Checked, source: SchemaSource | None) -> None:
    """Add what has no meaning together."""
    if checked.is_suppressed("expect.json_schema"):
        return
    if source is None:
        for name, is_set in (
            ("expect.columns", checked["expect.columns"]),
            ("expect.response_format", checked["expect.response_format"] != FORMAT_AUTO),
        ):
            if is_set:
                checked.add(name, "needs `expect.json_schema`. Set that, or leave it out.")
        if checked["expect.re_ask"] and checked["expect.matches"] is None:
            checked.add("expect.re_ask", "needs `expect.json_schema` or `expect.matches`. Set one, or leave it out.")
    elif (
        checked["params"].get("response_format") is not None
        and checked["expect.response_format"] != ResponseFormat.NONE.value
    ):
        sentence = (
            "has `response_format`, and so has each request with `expect.json_schema`. Leave it out, or set"
            " `expect.response_format: none` to send yours."
        )
        checked.add("params", sentence)


def _read_file(path: Path, source: SchemaSource, environ: Mapping[str, str]) -> Mapping[str, Any]:
    """The schema in the file at `path`. Raises `RefusedError`."""
    location, name = source.node.location, printable(source.path or "")

    def refused(problem: str) -> RefusedError:
        return RefusedError(Diagnostic(location, f"`expect.json_schema` is {name}, {problem}"))

    try:
        refuse_pipe(path)
        with path.open("rb") as file:
            data = file.read(_MAX_SCHEMA_BYTES + 1)
    except FileNotFoundError:
        raise refused("and there is no such file.") from None
    except (OSError, ValueError) as error:
        raise refused(f"which can't be read: {getattr(error, 'strerror', None) or 'not a path'}.") from None
    if len(data) > _MAX_SCHEMA_BYTES:
        raise refused("which is over 1 MiB.")
    try:
        text_ = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise refused("which is not UTF-8.") from None
    is_yaml = path.suffix.lower() in {".yaml", ".yml"}
    value = _parsed_yaml(text_, name, environ) if is_yaml else _parsed_json(text_, refused)
    if not isinstance(value, dict):
        raise refused("which holds no mapping. A JSON Schema is an object.")
    return value


def _parsed_json(text_: str, refused: Callable[[str], RefusedError]) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"which has the key {printable(twice)!r} twice in one object.")
        return value

    def no_number(word: str) -> Any:
        raise ValueError(f"which is not JSON: {word} is no number.")

    try:
        return json.loads(text_, object_pairs_hook=unique, parse_constant=no_number)
    except json.JSONDecodeError as error:
        raise refused(f"which is not JSON: {error.msg} (line {error.lineno}, column {error.colno}).") from None
    except RecursionError:
        raise refused("which is nested too deeply.") from None
    except ValueError as error:
        raise refused(str(error)) from None


def _parsed_yaml(text_: str, name: str, environ: Mapping[str, str]) -> Any:
    """The value in the YAML `text_`; in its own lines, not the job's, stands what is wrong. Raises `RefusedError`."""

    def location_at(line: int, column: int) -> SourceLocation:
        return SourceLocation.in_file(name, line, column)

    root = parse(text_, location_at)
    if root is None:
        return None
    node, diagnostics = resolve_nodes(root, location_at, environ)
    if diagnostics:
        raise RefusedError(*diagnostics)
    return json_value("expect.json_schema", node)


def _check_schema(schema: Mapping[str, Any], source: SchemaSource) -> None:
    """Raise `RefusedError` with what is wrong with `schema`, each where it is written."""
    from batchchat.job.schema_check import schema_problems

    problems = schema_problems(schema)[:_MAX_PROBLEMS]
    if not problems:
        return
    diagnostics = []
    for problem in problems:
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{printable(part)}" for part in problem.path)
        within = "" if source.path is None else f" ({printable(source.path)})"
        where = f"`expect.json_schema{path}`{within}"
        diagnostics.append(Diagnostic(_location(source.node, problem.path), f"{where} {problem.sentence}"))
    raise RefusedError(*diagnostics)


def _location(node: Node, path: tuple[str | int, ...]) -> SourceLocation:
    """Where `path` is written under `node`, as far down as it is."""
    for part in path:
        if isinstance(node, MappingNode) and isinstance(part, str) and part in node.entries:
            node = node.entries[part]
        elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
        else:
            break
    return node.location
