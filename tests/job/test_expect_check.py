"""`expect`: schemas and patterns that are none, and keys that mean nothing together; each where it is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batchchat.errors import JobError
from batchchat.job.load import load_job
from batchchat.job.spec import JobSpec

JOB = """\
input: {path: in.jsonl}
model: m
endpoint: {base_url: mock}
output: {path: out.parquet}
"""
NO_SCHEMA = "is no valid JSON Schema"


def loaded(folder: Path, expect: str, **files: str) -> JobSpec:
    """The job with the lines `expect`, which begin at line 5; `files` are written by their names, a dot for `__`."""
    (folder / "job.yaml").write_text(JOB + expect)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return load_job(folder / "job.yaml", environ={})


def faults(folder: Path, expect: str, **files: str) -> list[str]:
    """What is wrong with it, without the folder."""
    with pytest.raises(JobError) as caught:
        loaded(folder, expect, **files)
    return [line.replace(f"{folder}/", "") for line in str(caught.value).splitlines()]


def inline(schema: Any) -> str:
    return f"expect:\n  json_schema: {json.dumps(schema)}\n"


@pytest.mark.parametrize(
    ("schema", "wrong"),
    [
        (
            {"type": "objct"},
            "`expect.json_schema.type` {}: 'objct' is not one of ['array', 'boolean', 'integer', 'null', ",
        ),
        ({"required": "a"}, "`expect.json_schema.required` {}: 'a' is not of type 'array'."),
        ({"properties": {"a": {"minimum": "1"}}}, "`expect.json_schema.properties.a.minimum` {}: '1' is not of type"),
        ({"pattern": "(("}, "`expect.json_schema.pattern` {}: '((' is no regular expression: missing ) at position 2."),
        (
            {"patternProperties": {"[": {}}},
            "`expect.json_schema.patternProperties.[` {}: '[' is no regular expression:",
        ),
        (
            {"$ref": "#/$defs/a"},
            "`expect.json_schema.$ref` {}: '#/$defs/a' is not in this schema, and nothing is fetched.",
        ),
        (
            {"items": {"$ref": "https://x.org/s"}},
            "`expect.json_schema.items.$ref` {}: 'https://x.org/s' is not in this",
        ),
        ({"$ref": "#"}, "`expect.json_schema` {}: it refers to itself without end."),
        (
            {"$schema": "http://x.org/draft"},
            "`expect.json_schema.$schema` {}: 'http://x.org/draft' is no draft of JSON",
        ),
        (
            {"patternProperties": {"a": {}}, "unevaluatedProperties": False},
            "`expect.json_schema.unevaluatedProperties` {}: it can't be combined with `patternProperties`;",
        ),
    ],
)
def test_a_schema_that_is_none(tmp_path: Path, schema: Any, wrong: str) -> None:
    """The keyword is named, at its line."""
    (fault,) = faults(tmp_path, inline(schema))
    assert fault.startswith(f"job.yaml:6: {wrong.format(NO_SCHEMA)}")


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"a": {"type": "string"}}, "$ref": "#/$defs/a"},
        {"$id": "https://x.org/s", "items": {"$ref": "https://x.org/s"}},
        {"type": "object", "properties": {"next": {"$ref": "#"}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {}}, "$ref": "#/definitions/a"},
        {"enum": [{"$ref": "nowhere"}], "properties": {"$ref": {"type": "string"}, "pattern": {"const": "(("}}},
        {},
    ],
)
def test_a_schema_that_is_one(tmp_path: Path, schema: Any) -> None:
    """References within it, an older draft; what is data or a property's name is no keyword."""
    assert loaded(tmp_path, inline(schema)).expect.json_schema == schema


@pytest.mark.parametrize(
    ("schema", "wrong"),
    [
        ({"propertis": {}}, "propertis` is no keyword of JSON Schema. Did you mean `properties`?"),
        ({"properties": {"a": {"maxlength": 5}}}, "properties.a.maxlength` is no keyword of JSON Schema. Did you mean"),
        (
            {"properties": {"a": {}}, "required": ["a", "b"], "additionalProperties": False},
            "required` can't be met: `properties` has no `b`, and `additionalProperties` is false.",
        ),
    ],
)
def test_a_schema_that_is_not_meant_so(tmp_path: Path, schema: Any, wrong: str) -> None:
    """Of a keyword's misspelling a validator says nothing; what no reply can fit would be paid for each row."""
    (fault,) = faults(tmp_path, inline(schema))
    assert fault.startswith(f"job.yaml:6: `expect.json_schema.{wrong}")


@pytest.mark.parametrize(
    "schema",
    [
        {"example": {"a": 1}, "x-item": 1, "properties": {"propertis": {"nullable": True}}},
        {"anyOf": [{"required": ["b"], "additionalProperties": False}, {"type": "string"}]},
        {"required": ["b"], "additionalProperties": False, "patternProperties": {"^b": {}}},
    ],
)
def test_a_schema_that_may_be_meant_so(tmp_path: Path, schema: Any) -> None:
    """Names of the user's own, and what another part of the schema lets fit."""
    assert loaded(tmp_path, inline(schema)).expect.json_schema == schema


def test_the_line_of_a_keyword(tmp_path: Path) -> None:
    """Where the schema is written over lines."""
    expect = "expect:\n  json_schema:\n    type: object\n    properties:\n      a: {type: text}\n"
    assert faults(tmp_path, expect)[0].startswith("job.yaml:9: `expect.json_schema.properties.a.type` is no valid")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("{", "job.yaml:5: `expect.json_schema` is s.json, which is not JSON: Expecting property name"),
        ('{"a": 1, "a": 2}', "job.yaml:5: `expect.json_schema` is s.json, which has the key 'a' twice in one object."),
        ("[]", "job.yaml:5: `expect.json_schema` is s.json, which holds no mapping. A JSON Schema is an object."),
        ('{"minimum": NaN}', "job.yaml:5: `expect.json_schema` is s.json, which is not JSON: NaN is no number."),
        ("[" * 100_000, "job.yaml:5: `expect.json_schema` is s.json, which is nested too deeply."),
        ('{"type": 5}', "job.yaml:5: `expect.json_schema.type` (s.json) is no valid JSON Schema: 5 is not one of"),
        (" " * (1 << 20) + "{}", "job.yaml:5: `expect.json_schema` is s.json, which is over 1 MiB."),
    ],
)
def test_a_file_that_holds_no_schema(tmp_path: Path, text: str, wrong: str) -> None:
    """The file is named, and the line of the job that names it."""
    (fault,) = faults(tmp_path, "expect: {json_schema: s.json}\n", s__json=text)
    assert fault.startswith(wrong)


def test_files(tmp_path: Path) -> None:
    """JSON with tabs, YAML; a path is relative to the job's folder."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert (
        loaded(tmp_path, "expect: {json_schema: s.json}\n", s__json=json.dumps(schema, indent="\t")).expect
        == (
            loaded(
                tmp_path, "expect: {json_schema: ./s.yaml}\n", s__yaml="type: object\nproperties: {a: {type: string}}"
            )
        ).expect
    )
    as_path = loaded(tmp_path, "expect: {json_schema: {path: s.json}}\n", s__json=json.dumps(schema))
    assert as_path.expect.json_schema == schema
    missing = faults(tmp_path, "expect: {json_schema: none.json}\n")
    assert missing == ["job.yaml:5: `expect.json_schema` is none.json, and there is no such file."]
    (broken,) = faults(tmp_path, "expect: {json_schema: b.yaml}\n", b__yaml="type: object\nproperties:\n  a: [1\n")
    assert broken.startswith("b.yaml:3: this is not YAML:")


@pytest.mark.parametrize(
    ("expect", "wrong"),
    [
        ('{matches: "(a"}', "`expect.matches` is no regular expression: missing ) at position 2."),
        ("{columns: true}", "`expect.columns` needs `expect.json_schema`. Set that, or leave it out."),
        ("{response_format: none}", "`expect.response_format` needs `expect.json_schema`. Set that, or leave it out."),
        ("{re_ask: 1}", "`expect.re_ask` needs `expect.json_schema` or `expect.matches`. Set one, or leave it out."),
        ("{re_ask: 11, matches: a}", "`expect.re_ask` is 11. It takes a whole number from 0 to 10."),
        (
            "{json_schema: {type: string}, columns: true}",
            "`expect.columns` needs a schema with `properties` at its top, and this one has none.",
        ),
        (
            "{json_schema: {}}\nparams: {response_format: {type: json_object}}",
            "`params` has `response_format`, and so has each request with `expect.json_schema`. Leave it out, or set"
            " `expect.response_format: none` to send yours.",
        ),
    ],
)
def test_what_means_nothing(tmp_path: Path, expect: str, wrong: str) -> None:
    """Each is refused with the way out."""
    (fault,) = faults(tmp_path, f"expect: {expect}\n")
    assert fault.partition(": ")[2] == wrong


def test_a_format_of_the_user_s_own(tmp_path: Path) -> None:
    """It is sent where the job asks for none."""
    params = "params: {response_format: {type: json_object}}\n"
    job = loaded(tmp_path, f"expect: {{json_schema: {{}}, response_format: none}}\n{params}")
    assert job.params["response_format"] == {"type": "json_object"}
