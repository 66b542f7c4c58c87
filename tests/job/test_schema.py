from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from batchchat.job.keys import FREE_FORM, KEYS, SECTIONS
from batchchat.job.schema import job_schema, schema_text
from tests.job.given import KEYED, faults

JOBS = Path(__file__).parents[2] / "jobs"
VALIDATOR = Draft7Validator(job_schema())
BASE: dict[str, Any] = {"input": {"path": "q.jsonl"}, "model": "m", "output": {"path": "o.parquet"}}


def with_key(dotted: str, value: Any) -> dict[str, Any]:
    """The smallest job, with one more key set."""
    job: dict[str, Any] = json.loads(json.dumps(BASE))
    *above, leaf = dotted.split(".")
    inner = job
    for part in above:
        inner = inner.setdefault(part, {})
    inner[leaf] = value
    return job


def nodes(schema: Any, at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each mapping of the schema with the dotted name of its key."""
    yield at, schema
    for name, below in schema.get("properties", {}).items():
        if isinstance(below, dict):
            yield from nodes(below, f"{at}.{name}" if at else name)


def test_it_is_a_schema() -> None:
    """What is printed is JSON and a valid draft 7 schema."""
    Draft7Validator.check_schema(json.loads(schema_text()))


def test_the_samples_have_the_schema_there_is() -> None:
    """The committed schema is what the command prints. If not: batchchat schema > jobs/job.schema.json."""
    assert (JOBS / "job.schema.json").read_text() == schema_text() + "\n"


@pytest.mark.parametrize("path", sorted(JOBS.glob("*.yaml")), ids=lambda path: path.name)
def test_the_samples_validate(path: Path) -> None:
    """Each sample job names the schema beside it in its first line, and is valid by it."""
    text = path.read_text()
    assert text.startswith("# yaml-language-server: $schema=job.schema.json\n")
    assert list(VALIDATOR.iter_errors(yaml.safe_load(text))) == []


def test_every_key_is_described() -> None:
    """Each key is in its section with its help, what it takes and its default; nothing else is."""
    schemas = dict(nodes(job_schema()))
    for key in KEYS:
        node = schemas.pop(key.name)
        assert node["title"] == key.name
        assert key.help[1:] in node["description"]
        assert key.type.takes in node["description"]
        assert node.get("default") == key.default
    own = tuple(f"{name}." for name in FREE_FORM)
    others = {name for name in schemas if not name.startswith(own)}
    assert others == {"", *SECTIONS}
    assert all(schemas[name]["additionalProperties"] is False for name in others)


GOOD: list[tuple[str, Any]] = [
    ("input.path", ["a.jsonl", "b/*.parquet"]),
    ("input.path", "${DIR:-x}/q.jsonl"),
    ("input.format", "openai-batch"),
    ("input.format", "${FORMAT:-prompt}"),
    ("input.first", 5),
    ("input.first", "${N:-5}"),
    ("input.columns", []),
    ("input.columns", ["a", "b"]),
    ("model", "${MODEL:-m}"),
    ("endpoint", None),
    ("endpoint.base_url", "mock"),
    ("endpoint.base_url", "http://localhost:8000/v1"),
    ("endpoint.base_url", "${URL:-mock}"),
    ("endpoint.headers", {"X-Title": "t"}),
    ("params", {"temperature": 0.7, "max_tokens": 5, "stop": ["x"], "seed": None}),
    ("params", {"max_tokens": "${MOST:-5}", "stream": False, "n": 1}),
    ("params.max_tokens", None),
    ("concurrency", "${AT_ONCE:-8}"),
    ("timeout.total", 0.5),
    ("retry", {"max_wait": 0, "max_attempts": 1}),
    ("drain", 0),
    ("price", {"input": 0.48, "output": 1}),
    ("output.path", "${OUT:-x.parquet}"),
]
BAD: list[tuple[str, Any]] = [
    ("concurency", 5),
    ("input", None),
    ("input", "q.jsonl"),
    ("input.path", []),
    ("input.path", 5),
    ("input.path", " "),
    ("input.format", "xml"),
    ("input.first", 0),
    ("input.first", "5"),
    ("input.columns", "a"),
    ("model", None),
    ("model", ""),
    ("model", 5),
    ("endpoint.base_url", "ftp://x"),
    ("endpoint.api_key_env", "not a name"),
    ("endpoint.api_key", "x"),
    ("endpoint.headers", {"X-Number": 5}),
    ("params", [1]),
    ("params", {"max_tokens": "512"}),
    ("params", {"max_tokens": 0}),
    ("params", {"stream": True}),
    ("params", {"n": 2}),
    ("params", {"model": "m"}),
    ("params", {"messages": []}),
    ("concurrency", True),
    ("concurrency", 10_001),
    ("timeout.total", 0),
    ("timeout", 5),
    ("retry.max_attempts", 1.5),
    ("drain", -1),
    ("price", {"input": -0.1, "output": 1}),
    ("output.path", "x.csv"),
]


@pytest.mark.parametrize(("dotted", "value"), GOOD)
def test_what_loads_is_valid(dotted: str, value: Any) -> None:
    """What the loader accepts the schema accepts."""
    job = with_key(dotted, value)
    assert faults(yaml.safe_dump(job), environ=KEYED) == []
    assert list(VALIDATOR.iter_errors(job)) == []


@pytest.mark.parametrize(("dotted", "value"), BAD)
def test_what_is_refused_is_invalid(dotted: str, value: Any) -> None:
    """What the loader refuses of one key's value the schema refuses."""
    job = with_key(dotted, value)
    assert faults(yaml.safe_dump(job), environ=KEYED)
    assert not VALIDATOR.is_valid(job)


@pytest.mark.parametrize("missing", ["input", "model", "output"])
def test_what_a_job_must_have(missing: str) -> None:
    """A job without one of the three is refused by both."""
    job = {name: value for name, value in BASE.items() if name != missing}
    assert faults(yaml.safe_dump(job), environ=KEYED)
    assert not VALIDATOR.is_valid(job)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_null_is_as_if_left_out(key: Any) -> None:
    """Loader and schema accept null if the key is optional, and refuse it if the key is required."""
    job = with_key(key.name, None)
    assert (not faults(yaml.safe_dump(job), environ=KEYED)) == VALIDATOR.is_valid(job) == (not key.required)
