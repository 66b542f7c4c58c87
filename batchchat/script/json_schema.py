"""JSON Schema's validator, its regular expressions bounded in time. `jsonschema` is imported where it is used only.

The validator of the library searches with `re`, which can't be interrupted: `^(a+)+$` on 40 characters takes hours.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from batchchat.text import numbers

__all__ = ["MAX_ERRORS", "SEARCH_S", "CheckTimeoutError", "SchemaCheck", "TimeLimitedSearch"]

SEARCH_S = 0.25
"""Seconds that the regular expressions may take for one reply: the event loop waits meanwhile."""
_MAX_MORE_S = 2.0
CHECK_S = 3.0
"""Seconds that the check of one reply may take in all: one that refers to itself may take twice as long a level."""
MAX_ERRORS = 10
_ERROR_WIDTH = 200
_FEW_ITEMS = 50


class CheckTimeoutError(Exception):
    """A reply takes too long to check against its schema."""


class TimeLimitedSearch:
    """Searches with regular expressions for a bounded time from each `begin` on; then it raises `TimeoutError`.

    That is `SEARCH_S` seconds of CPU in all, and up to two more for a long reply. What the machine does meanwhile does
    not count. What the validator does between two searches has `CHECK_S`.
    """

    def __init__(self) -> None:
        import regex

        self._search = regex.search
        self._left_s = SEARCH_S
        self.begin(0)

    def begin(self, size: int) -> None:
        """All the time is left again, for a reply of `size` characters."""
        self._left_s = SEARCH_S + min(_MAX_MORE_S, size / 1e6)
        self._deadline = time.thread_time() + CHECK_S

    def check_time(self) -> None:
        """Raise `CheckTimeoutError` where the check has taken too long in all."""
        if time.thread_time() > self._deadline:
            raise CheckTimeoutError

    def __call__(self, pattern: str, text: str) -> bool:
        """Whether `pattern` matches somewhere in `text`. Raises `TimeoutError`."""
        if self._left_s <= 0:
            raise TimeoutError
        start = time.thread_time()
        try:
            return self._search(pattern, text, timeout=self._left_s) is not None
        finally:
            self._left_s -= time.thread_time() - start


class SchemaCheck:
    """Checks values against `schema`, which is a valid one without references to elsewhere."""

    def __init__(self, schema: Mapping[str, Any], search: TimeLimitedSearch) -> None:
        from jsonschema import Draft202012Validator
        from jsonschema.validators import extend, validator_for
        from referencing.jsonschema import EMPTY_REGISTRY

        library_class: Any = validator_for(schema, default=Draft202012Validator)
        keywords = _Keywords(library_class.VALIDATORS, search)
        validator_class = extend(library_class, keywords.checks)  # type: ignore[no-untyped-call]
        self._validator: Any = validator_class(schema, registry=EMPTY_REGISTRY)

    def errors(self, value: Any) -> list[str]:
        """What does not fit, each with its JSON path, at most `MAX_ERRORS`; empty where `value` is valid.

        Raises `TimeoutError` where a regular expression takes too long, `CheckTimeoutError` where all of it does.
        """
        try:
            errors = islice(self._validator.iter_errors(value), MAX_ERRORS)
            return [f"{error.json_path}: {numbers.shorten(error.message, _ERROR_WIDTH)}" for error in errors]
        except RecursionError:
            return ["$: the schema refers to itself without end"]
        except (ValueError, ArithmeticError) as error:  # a number beyond floats under `multipleOf`
            return [f"$: it can't be checked: {error}"]


class _Keywords:
    """The `library`'s keywords, bounded in time; own are those that search, and one that takes quadratic time."""

    def __init__(self, library: Mapping[str, Any], search: TimeLimitedSearch) -> None:
        self._library = library
        self._search = search
        own = {
            "pattern": self._pattern,
            "patternProperties": self._pattern_properties,
            "additionalProperties": self._additional_properties,
            "uniqueItems": self._unique_items,
        }
        self.checks = {name: self._timed(own.get(name, check)) for name, check in library.items()}
        """Those that the draft has; each as the library calls it."""

    def _timed(self, check: Any) -> Any:
        def run(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
            self._search.check_time()
            return check(validator, value, instance, schema)

        return run

    def _pattern(self, validator: Any, pattern: str, instance: Any, _: Any) -> Iterator[Any]:
        if validator.is_type(instance, "string") and not self._search(pattern, instance):
            yield _error(f"{instance!r} does not match {pattern!r}")

    def _pattern_properties(self, validator: Any, patterns: Any, instance: Any, _: Any) -> Iterator[Any]:
        for pattern, subschema in patterns.items() if validator.is_type(instance, "object") else ():
            for name, value in instance.items():
                if self._search(pattern, name):
                    yield from validator.descend(value, subschema, path=name, schema_path=pattern)

    def _additional_properties(self, validator: Any, additional: Any, instance: Any, schema: Any) -> Iterator[Any]:
        patterns = schema.get("patternProperties")
        if not patterns or not validator.is_type(instance, "object"):
            yield from self._library["additionalProperties"](validator, additional, instance, schema) or ()
            return
        named = schema.get("properties", {})
        extras = [name for name in instance if name not in named and not any(self._search(p, name) for p in patterns)]
        if validator.is_type(additional, "object"):
            for name in extras:
                yield from validator.descend(instance[name], additional, path=name)
        elif not additional and extras:
            yield _error(f"{', '.join(map(repr, extras))}: no such property is allowed")

    def _unique_items(self, validator: Any, unique: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if not unique or not validator.is_type(instance, "array") or len(instance) <= _FEW_ITEMS:
            yield from self._library["uniqueItems"](validator, unique, instance, schema) or ()
        elif len({json.dumps(_plain(item), sort_keys=True) for item in instance}) < len(instance):
            yield _error("the list has an item twice")


def _error(message: str) -> Any:
    from jsonschema import ValidationError

    return ValidationError(message)


def _plain(value: Any) -> Any:
    """`value` with 1.0 as 1, which JSON Schema holds to be the same."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
