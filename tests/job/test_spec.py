"""The spec and the keys that its fields declare agree."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

from batchchat.core.key_shard import KeyShard
from batchchat.job.declaration import KEY, SECTION
from batchchat.job.keys import KEYS, SECTIONS, JobKey
from batchchat.job.spec import JobSpec
from batchchat.object_store.url import ObjectUrl
from tests.job.given import KEYED, MOCK, TOP, faults, load

NAMES = {"Decimal": Decimal, "KeyShard": KeyShard, "Mapping": Mapping, "ObjectUrl": ObjectUrl, "Path": Path}
# Fields that no key sets: the loader works them out, or makes the value of several keys one.
DERIVED = {
    "": {"ask_concurrency", "endpoints_file", "path", "text"},
    "input": {"folder", "paths", "shard"},
    "endpoint": {"api_key"},
    "output": {"path", "url"},
}
EXAMPLES = {
    "budget.stop_at": "6h",
    "cluster.address": "auto",
    "cluster.resources": {"CPU": 0.5},
    "endpoint.base_url": "http://localhost:8000/v1",
    "endpoint.headers": {"X-Team": "red"},
    "endpoints": [{"base_url": "http://localhost:8000/v1"}],
    "expect.json_schema": {"type": "object"},
    "params": {"temperature": 0.5},
    "template": "{{ text }}",
    "matrix": {"model": ["a", "b"]},
    "output.path": "other.parquet",
    "store.ship_journal": "s3://bucket/journals",
}


def example(key: JobKey) -> Any:
    """A value that `key` takes and that is not its default."""
    if key.name in EXAMPLES:
        return EXAMPLES[key.name]
    schema = key.type.schema.get("anyOf", [key.type.schema])[-1]
    if "enum" in schema:
        return next(value for value in schema["enum"] if value != key.default)
    return {"boolean": not key.default, "integer": 7, "number": 7, "string": "OTHER", "array": ["a"]}[schema["type"]]


def load_with(key: JobKey, value: Any) -> JobSpec:
    """A job that sets `key`, with the keys that it needs beside it."""
    sets = [f"{key.name}={json.dumps(value)}"]
    if key.section == "price":
        sets += [f"price.{name}=1" for name in ("input", "output") if name != key.field]
    if key.section == "expect" and key.field != "json_schema":
        sets += ['expect.json_schema={"properties": {"a": {}}}']
    if key.name == "endpoints":
        sets += ["endpoint=null"]
    return load(MOCK, *sets, environ={**KEYED, "OTHER": "a-key"})


def fits(value: Any, hint: Any) -> bool:
    """Whether `value` is of the type `hint`; what a container holds is not looked at."""
    if get_origin(hint) in (Union, types.UnionType):
        return any(fits(value, alternative) for alternative in get_args(hint))
    return isinstance(value, get_origin(hint) or hint)


def test_every_field_is_a_key_or_derived() -> None:
    """No field is left out of the job file by mistake."""
    for name, spec in {"": JobSpec, **SECTIONS}.items():
        undeclared = {field.name for field in fields(spec) if not {KEY, SECTION} & set(field.metadata)}
        assert undeclared == DERIVED.get(name, set()), name


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_every_key_reaches_its_field(key: JobKey) -> None:
    """A key that is set changes its field of the spec, to a value of the type that the field is annotated with."""
    job = load_with(key, example(key))
    spec = getattr(job, key.section) if key.section else job
    value = getattr(spec, key.field)
    assert value != key.default
    assert fits(value, get_type_hints(type(spec), localns=NAMES)[key.field]), value


@pytest.mark.parametrize("key", [key for key in KEYS if key.default is not None], ids=lambda key: key.name)
def test_a_default_is_a_value_of_its_key(key: JobKey) -> None:
    """A job may write the default of any key."""
    assert faults(TOP, f"{key.name}={json.dumps(key.default)}", environ=KEYED) == []


def test_price_host() -> None:
    """Prices are found by the host's name, without its port; the mock has none."""
    local = load(MOCK, "endpoint.base_url=http://Localhost:8000/v1")
    assert (local.price_host, local.host) == ("localhost", "localhost:8000")
    assert load(MOCK).price_host == ""
