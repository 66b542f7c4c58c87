"""What is wrong with a JSON Schema that replies are to fit; pure. `jsonschema` and `regex` are imported where used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from batchchat.job.request_fields import one_letter_off

__all__ = ["SchemaProblem", "pattern_problem", "schema_problems"]

# Keywords whose values are data, in which nothing is a schema.
_DATA = {"const", "default", "enum", "examples"}
# Keywords whose values map names of the user's own to schemas.
_NAMED = {"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"}
# Names that say nothing of what fits, and are near a keyword.
_ANNOTATIONS = frozenset({"example", "examples"})
# Keywords under which a schema need not be met.
_CHOICES = {"not", "if", "then", "else", "anyOf", "oneOf", "contains", "dependentSchemas"}
_NO_DRAFT: Any = object()
_SAMPLES: tuple[Any, ...] = ({}, [], "", 0, None, True)


class SchemaProblem(NamedTuple):
    """`sentence` says what is wrong with `path`, the keys and indexes down from the schema's root."""

    path: tuple[str | int, ...]
    sentence: str


def pattern_problem(pattern: str) -> str | None:
    """Why `pattern` is no regular expression; None where it is one."""
    import regex

    try:
        regex.compile(pattern)
    except regex.error as error:
        return str(error)
    except (RecursionError, OverflowError, MemoryError):
        return "it is too large"
    return None


def schema_problems(schema: Mapping[str, Any]) -> list[SchemaProblem]:
    """Everything that is wrong with `schema`: keywords, patterns, references, what has no end."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for

    dialect = schema.get("$schema")
    draft: Any = Draft202012Validator if dialect is None else validator_for(schema, default=_NO_DRAFT)
    if draft is _NO_DRAFT:
        return [_invalid(("$schema",), f"{dialect!r} is no draft of JSON Schema that is known here")]
    checker = draft(draft.META_SCHEMA)
    try:
        problems = [
            _invalid(tuple(error.absolute_path), _shortened(error.message)) for error in _leaves(checker, schema)
        ]
    except RecursionError:
        return [_invalid((), "it is nested too deeply")]
    if not problems:
        problems = [problem for path, part in _parts(schema) for problem in _part_problems(path, part)]
    problems = problems or _reference_problems(draft, schema)
    return problems or [*_misspelt(draft, schema), *_unmet(schema)]


def _invalid(path: tuple[str | int, ...], problem: str) -> SchemaProblem:
    return SchemaProblem(path, f"is no valid JSON Schema: {problem}.")


def _misspelt(draft: Any, schema: Mapping[str, Any]) -> Iterator[SchemaProblem]:
    """Names that are one letter off a keyword. A validator passes over names that it does not know."""
    keywords = set(draft.VALIDATORS)
    for path, part in _parts(schema):
        for name in part.keys() - keywords - _ANNOTATIONS:
            if (meant := next((word for word in sorted(keywords) if one_letter_off(name, word)), None)) is not None:
                yield SchemaProblem((*path, name), f"is no keyword of JSON Schema. Did you mean `{meant}`?")


def _unmet(schema: Mapping[str, Any]) -> Iterator[SchemaProblem]:
    """Properties that are required where no other than those declared are allowed, and are not declared."""
    for path, part in _parts(schema):
        if part.get("additionalProperties") is not False or "patternProperties" in part or _CHOICES & {*path}:
            continue
        for name in part.get("required", ()):
            if name not in part.get("properties", {}):
                sentence = f"can't be met: `properties` has no `{name}`, and `additionalProperties` is false."
                yield SchemaProblem((*path, "required"), sentence)


def _leaves(checker: Any, schema: Any) -> Iterator[Any]:
    """The errors of `schema`: of one that sums up others, the first of these."""
    for error in checker.iter_errors(schema):
        yield next(iter(error.context), error)


def _shortened(message: str) -> str:
    max_length = 200
    return message if len(message) <= max_length else f"{message[:max_length]}…"


def _parts(schema: Any) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    """Each schema in `schema` with its path, itself first."""
    pending: list[tuple[tuple[str | int, ...], Any, bool]] = [((), schema, True)]
    while pending:
        path, value, is_schema = pending.pop()
        if isinstance(value, list):
            pending += [((*path, at), item, True) for at, item in enumerate(value)]
        elif isinstance(value, Mapping):
            if is_schema:
                yield path, value
            pending += [
                ((*path, name), inner, not is_schema or name not in _NAMED)
                for name, inner in value.items()
                if not is_schema or name not in _DATA
            ]


def _part_problems(path: tuple[str | int, ...], part: Mapping[str, Any]) -> Iterator[SchemaProblem]:
    patterns: list[tuple[tuple[str, ...], str]] = [(("pattern",), part["pattern"])] if "pattern" in part else []
    patterns += [(("patternProperties", name), name) for name in part.get("patternProperties", ())]
    for own, pattern in patterns:
        if (problem := pattern_problem(pattern)) is not None:
            yield _invalid((*path, *own), f"{pattern!r} is no regular expression: {problem}")
    if "patternProperties" in part and "unevaluatedProperties" in part:
        # The validator would search with patterns that nothing can interrupt.
        sentence = "it can't be combined with `patternProperties`; use `additionalProperties`"
        yield _invalid((*path, "unevaluatedProperties"), sentence)


def _reference_problems(draft: Any, schema: Mapping[str, Any]) -> list[SchemaProblem]:
    """What a reference leads to that is not in `schema`: nothing is fetched. And what has no end."""
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import EMPTY_REGISTRY, specification_with

    resource = specification_with(draft.META_SCHEMA["$schema"]).create_resource(schema)
    base = resource.id() or ""
    resolver = EMPTY_REGISTRY.with_resource(base, resource).resolver(base)
    problems = []
    for path, part in _parts(schema):
        if path and "$id" in part:
            continue  # its references are relative to that
        for keyword in ("$ref", "$dynamicRef"):
            if isinstance(reference := part.get(keyword), str):
                try:
                    resolver.lookup(reference)
                except Unresolvable:
                    sentence = f"{reference!r} is not in this schema, and nothing is fetched"
                    problems.append(_invalid((*path, keyword), sentence))
    if not problems:
        validator = draft(schema, registry=EMPTY_REGISTRY)
        try:
            for sample in _SAMPLES:
                next(validator.iter_errors(sample), None)
        except RecursionError:
            problems.append(_invalid((), "it refers to itself without end"))
        except Unresolvable as error:
            problems.append(_invalid((), f"{error.ref!r} is not in this schema, and nothing is fetched"))
    return problems
