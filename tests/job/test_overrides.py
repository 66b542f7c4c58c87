from __future__ import annotations

from pathlib import Path

import pytest

from batchchat.errors import JobError
from batchchat.job import Override, load_job
from tests.job.given import MOCK, TOP, faults, load


def test_values() -> None:
    """An override's value is one YAML value: parsed if it begins with a bracket, brace or quote, else plain."""
    job = load(
        MOCK + "params: {a: 1}\nretry:\n",
        "params.max_tokens=64",
        "params.a={b: [1, no]}",
        "params.a.c.d=${N:-5}",
        "input.path=[a.jsonl,b.jsonl]",
        "name='64'",
        "system=Note: #1 is - [this]",
        "retry.max_wait=5",
        "concurrency=7",
        "concurrency=8",
        "endpoint.headers.X.Y=z",
    )
    assert job.params == {"a": {"b": [1, "no"], "c": {"d": 5}}, "max_tokens": 64}
    assert job.input.as_given == ("a.jsonl", "b.jsonl")
    assert (job.name, job.system, job.retry.max_wait, job.concurrency) == (
        "64",
        "Note: #1 is - [this]",
        5.0,
        8,
    )
    assert job.endpoint.headers["X.Y"].reveal() == "z"


def test_replaces_the_fault_too() -> None:
    """An override replaces the file's value with whatever is wrong with it."""
    text = TOP + "concurrency: lots\nsystem: ${NOPE}\nretry: {foo: 1}\nendpoint: {headers: 3}\n"
    sets = ("concurrency=3", "system=x", "retry={}", "endpoint={base_url: mock}")
    assert load(text, *sets).concurrency == 3


def test_null_is_the_default() -> None:
    """An empty value takes a key back to its default."""
    assert load(MOCK + "concurrency: 3\n", "concurrency=").concurrency == 200


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (
            "retry.max_wait=abc",
            '--set retry.max_wait=abc: `retry.max_wait` is "abc", text. It takes a number, 0 or more.',
        ),
        (
            "concurrency=0",
            "--set concurrency=0: `concurrency` is 0. It takes a whole number from 1 to 10,000, or auto.",
        ),
        (
            "concurrency=${N}",
            (
                "--set concurrency=${N}: `concurrency` takes its value from N, which is not set. "
                "Set it, or write ${NAME:-default}."
            ),
        ),
        (
            "retry.max_wiat=5",
            "--set retry.max_wiat: `max_wiat` is not a key of `retry`. Did you mean `max_wait`?",
        ),
        ("retry=5", "--set retry=5: `retry` is 5, a whole number. It takes a mapping."),
        ("retry={max_wiat: x}", "--set retry: `max_wiat` is not a key of `retry`. Did you mean `max_wait`?"),
        (
            "retry.max_wait.x=5",
            ("--set retry.max_wait.x: `retry.max_wait.x` is not a key of a job. Did you mean `retry.max_wait`?"),
        ),
        (
            "deadline=2",
            "--set deadline: `deadline` is not in this version of batchchat yet. Set `budget.stop_at`, and choose the "
            "tier in `params.service_tier`.",
        ),
        (
            "limits.requests_per_minute=0",
            ("--set limits.requests_per_minute=0: `limits.requests_per_minute` is 0. It takes a number above 0."),
        ),
        (
            "metrics.port=1",
            "--set metrics.port: `metrics` is not in this version of batchchat yet. Read `batchchat status JOB "
            "--json`, or the lines of `batchchat run JOB --progress log`.",
        ),
        ("modle=x", "--set modle: `modle` is not a key of a job. Did you mean `model`?"),
        (
            "params.n=2",
            "--set params.n=2: `params.n` is 2. batchchat keeps one reply a request; leave it out.",
        ),
        (
            "params={max_tokens: 0}",
            "--set params: `params.max_tokens` is 0. It takes a whole number above 0.",
        ),
        (
            "params.t.x=5",
            "--set params.t.x=5: `params.t` is text, with no keys below it. Set `params.t` itself.",
        ),
        ("params.=5", "--set params.: `params.` is not a key of a job. Did you mean `params`?"),
        (
            "name=[a",
            (
                "--set name: this is not YAML: a `[` opens here, and after one of its values neither "
                "`,` nor `]` "
                "follows."
            ),
        ),
        ("params={a: 1, a: 2}", "--set params: `a` is repeated; line 1 already sets it."),
        (
            "endpoint.headers.X=[s]",
            "--set endpoint.headers.X: `endpoint.headers.X` is a list. It takes text.",
        ),
        (
            "endpoint.base_url=http://a:b@c",
            (
                "--set endpoint.base_url: `endpoint.base_url` holds a user name or a "
                "password (the value is not shown). Give the key by `endpoint.api_key_env`."
            ),
        ),
        (
            "output.path=x.csv",
            (
                "--set output.path=x.csv: `output.path` is x.csv. It takes a path that ends in .parquet, "
                "or one without a dot for a folder of part files."
            ),
        ),
    ],
)
def test_faults(typed: str, sentence: str) -> None:
    """A message about an override begins with the option as typed, without a value that may be secret."""
    assert faults(MOCK + "params: {t: x}\n", typed) == [sentence]


def test_meant_key_is_not_missing_too() -> None:
    """An override of a misspelt key gives one message, though the right key is then absent."""
    assert faults(MOCK.replace("model: m\n", ""), "modle=x") == [
        "--set modle: `modle` is not a key of a job. Did you mean `model`?"
    ]


def test_below_a_value_of_the_file() -> None:
    """A section that is no mapping is reported once, at the file's line."""
    assert faults(MOCK + "retry: 5\nparams: 6\n", "retry.max_wait=5", "params.n=1") == [
        "job.yaml:5: `retry` is 5, a whole number. It takes a mapping.",
        ("job.yaml:6: `params` is 6, a whole number. It takes a mapping of parameters, such as {temperature: 0.7}."),
    ]


def test_header_in_other_capitals_is_replaced() -> None:
    """An override of a header replaces it whatever its capitals."""
    job = load(TOP + "endpoint: {base_url: mock, headers: {Api-Key: old}}\n", "endpoint.headers.api-key=new")
    assert {name: value.reveal() for name, value in job.endpoint.headers.items()} == {"api-key": "new"}


def test_named_options(tmp_path: Path) -> None:
    """A named option is reported and kept as typed, in the order of the command line."""
    path = tmp_path / "job.yaml"
    path.write_text(MOCK)
    job = load_job(path, overrides=[Override("--concurrency", "concurrency", "64")], environ={})
    assert (job.concurrency, job.text) == (64, MOCK + "# --concurrency 64\n")
    with pytest.raises(JobError) as caught:
        load_job(
            path,
            overrides=[Override("--set", "drain", "-1"), Override("--concurrency", "concurrency", "many")],
            environ={},
        )
    assert caught.value.faults == [
        "--set drain=-1: `drain` is -1. It takes a number, 0 or more.",
        '--concurrency many: `concurrency` is "many", text. It takes a whole number from 1 to 10,000, or auto.',
    ]


def test_kept_comment_lines() -> None:
    """The kept text lists the overrides in force: header values are redacted, replaced overrides left out."""
    text = load(
        MOCK,
        "endpoint.headers.X=one-secret",
        "drain=1",
        "drain=2",
        "endpoint.api_key_env=aPastedKeyOfSorts1234567890",
        "endpoint={base_url: mock, headers: {Y: two-secret}}",
        "endpoint.headers.Z=three-secret",
    ).text
    assert text.splitlines()[-3:] == [
        "# --set drain=2",
        "# --set endpoint=***",
        "# --set endpoint.headers.Z=***",
    ]
    assert "secret" not in text
    assert "Pasted" not in text
