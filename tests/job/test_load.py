from __future__ import annotations

import json
import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.core.price import Price
from batchchat.errors import JobError
from batchchat.job import InputSpec, Override, RetrySpec, TimeoutSpec, load_job
from batchchat.job.stop_at import StopAt
from tests.job.given import KEYED, MOCK, TOKEN, TOP, faults, load

EVERYTHING = """\
name: chef-questions
input:
  path: [../q-*.jsonl, /data/more.parquet]
  format: prompt
  id: key
  column: text
  params: own
  first: 10
  columns: [a, b]
system: Be brief.
model: microsoft/WizardLM-2-8x22B
endpoint:
  base_url: http://localhost:8000/v1/
  api_key_env: LOCAL_KEY
  headers: {X-Team: red}
params: {temperature: 0.7, max_tokens: 512}
concurrency: 64
timeout: {total: 60, connect: 2.5}
retry: {max_attempts: 3, max_wait: 1, max_elapsed: 2, max_outage: 0, stop_after_failures: 5, max_possibly_billed: 2}
drain: 0
budget: {max_cost: 12.50, stop_at: 6h}
on_finish: [./tell.sh, "${WHOM:-me}"]
price: {input: 0.10, output: 4.8e-1, cached_input: 0}
output: {path: out/x.parquet}
"""


def test_everything() -> None:
    """Every accepted key arrives in the spec."""
    job = load(EVERYTHING, environ={"LOCAL_KEY": " local-key-1234\n"})
    assert job.name == "chef-questions"
    assert job.path is not None
    assert (job.path.name, job.system, job.model) == ("job.yaml", "Be brief.", "microsoft/WizardLM-2-8x22B")
    folder = job.path.parent
    assert job.input == InputSpec(
        paths=(f"{folder}/../q-*.jsonl", "/data/more.parquet"),
        as_given=("../q-*.jsonl", "/data/more.parquet"),
        format="prompt",
        id="key",
        column="text",
        params="own",
        first=10,
        columns=("a", "b"),
    )
    assert (job.endpoint.base_url, job.endpoint.api_key_env) == ("http://localhost:8000/v1", "LOCAL_KEY")
    assert job.endpoint.api_key is not None
    assert job.endpoint.api_key.reveal() == "local-key-1234"
    assert job.endpoint.headers["X-Team"].reveal() == "red"
    assert job.params == {"temperature": 0.7, "max_tokens": 512}
    assert (job.concurrency, job.timeout, job.drain) == (64, TimeoutSpec(60.0, 2.5), 0.0)
    assert job.retry == RetrySpec(
        max_attempts=3, max_wait=1.0, max_elapsed=2.0, max_outage=0.0, stop_after_failures=5, max_possibly_billed=2
    )
    assert str(job.budget.max_cost) == "12.50"
    assert job.budget.stop_at == StopAt("6h", after_s=21_600.0)
    assert isinstance(job.on_finish, tuple)
    assert [word.reveal() for word in job.on_finish] == ["./tell.sh", "me"]
    assert job.price == Price(Decimal("0.10"), Decimal("0.48"), Decimal(0))
    assert (job.output.path, job.output.as_given) == (folder / "out/x.parquet", "out/x.parquet")


def test_prices_keep_their_digits() -> None:
    """A price is the decimal number that is written, never a float."""
    job = load(MOCK + "price: {input: 0.1000000000000000000001, output: .5}\n")
    assert job.price is not None
    assert str(job.price.input) == "0.1000000000000000000001"


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("budget: {max_cost: 5}\n", []),
        ("budget: {max_cost: 0}\n", ["job.yaml:5: `budget.max_cost` is 0. It takes a number above 0."]),
        (
            "budget: {max_cost: $5}\n",
            ['job.yaml:5: `budget.max_cost` is "$5", text. It takes a number above 0.'],
        ),
        (
            "budget: {max_cost: 5}\nprice: {input: 1}\n",
            ["job.yaml:6: `price.output` is missing. A price takes `input` and `output`, USD per million tokens."],
        ),
        ("budget: {max_cost: 5}\nprice: {input: 1, output: x}\n", None),
        ("budget: {stop_at: 6h}\n", []),
        ("budget: {max_cost: 5}\nprice: {input: 0, output: 0}\n", []),
    ],
)
def test_a_cap_and_its_price(tail: str, expected: list[str] | None) -> None:
    """A cap needs no price in the job; what is wrong with either is reported once, with the way out."""
    actual = faults(MOCK + tail)
    if expected is None:
        assert len(actual) == 1
        assert "`price.output`" in actual[0]
    else:
        assert actual == expected


@pytest.mark.parametrize("tail", ["", "retry: {}\nname: null\nprice: {}\ntimeout: ~\nparams:\n"])
def test_defaults(tail: str) -> None:
    """Keys and sections that are absent, null or empty have their defaults."""
    job = load(TOP + tail, environ=KEYED)
    assert (job.name, job.concurrency, job.drain, job.price, job.params) == ("job", 200, 30.0, None, {})
    assert (job.timeout, job.retry) == (TimeoutSpec(600.0, 10.0), RetrySpec())
    assert (job.retry.max_attempts, job.retry.max_wait, job.retry.max_elapsed) == (6, 120.0, 3600.0)
    assert (job.retry.max_outage, job.retry.stop_after_failures, job.retry.max_possibly_billed) == (3600.0, 50, 3)
    assert job.endpoint.base_url == "https://api.deepinfra.com/v1/openai"
    assert (job.endpoint.api_key_env, job.host, job.is_mock) == (
        "DEEPINFRA_TOKEN",
        "api.deepinfra.com",
        False,
    )
    assert (job.input.format, job.input.columns, job.system) == ("auto", None, None)


@pytest.mark.parametrize("tail", ["endpoint: {base_url: mock}", "endpoint: {base_url: mock, api_key_env: NO_SUCH}"])
def test_mock_reads_no_key(tail: str) -> None:
    """The mock needs no key, and the variable in `api_key_env` is not read."""
    job = load(TOP + tail)
    assert (job.is_mock, job.host, job.endpoint.api_key) == (True, "the embedded mock", None)


def test_nothing_secret_in_repr() -> None:
    """The spec's repr has neither the key nor header values, and the spec can be pickled."""
    job = load(EVERYTHING.replace("red", "header-secret"), environ={"LOCAL_KEY": TOKEN})
    assert TOKEN not in repr(job)
    assert "header-secret" not in repr(job)
    assert pickle.loads(pickle.dumps(job)) == job


def test_all_faults_in_file_order() -> None:
    """Everything that is wrong is reported together, in file order, once for each root cause."""
    text = """\
modle: x
concurency: 3
max_tokens: 3
concurrency: ${N:-0}
retry: 5
input: {path: ftp://host/x, frist: 0, format: chat}
params: {max_tokens: "512", n: 4, stream: true}
output: {path: out/x.csv}
endpoint: {api_key: zzzz}
system: ${NOPE}
foo: bar
price: {input: 1}
deadline: 2
timeout: {connect: yes, total: true}
"""
    assert faults(text) == [
        "job.yaml:1: `modle` is not a key of a job. Did you mean `model`?",
        "job.yaml:2: `concurency` is not a key of a job. Did you mean `concurrency`?",
        "job.yaml:3: `max_tokens` is not a key of a job. Did you mean `params.max_tokens`?",
        (
            "job.yaml:4: `concurrency` is ${N:-0}, whose value does not fit."
            " It takes a whole number from 1 to 10,000, or auto."
        ),
        "job.yaml:5: `retry` is 5, a whole number. It takes a mapping.",
        "job.yaml:6: `input.path` is a URL (ftp://...) of a kind that is not read. It takes s3, gs, az and https.",
        "job.yaml:6: `frist` is not a key of `input`. Did you mean `first`?",
        (
            "job.yaml:6: `input.format` is chat. "
            "It takes auto, messages, prompt, turns, request, openai-batch or sharegpt."
        ),
        'job.yaml:7: `params.max_tokens` is "512", text. It takes a whole number above 0.',
        "job.yaml:7: `params.n` is 4. batchchat keeps one reply a request; leave it out.",
        "job.yaml:7: `params.stream` is true. Set `endpoint.stream: true` instead.",
        (
            "job.yaml:8: `output.path` is out/x.csv. It takes a path that ends in .parquet, "
            "or one without a dot for a folder of part files."
        ),
        "job.yaml:9: `api_key` is not a key of `endpoint`. Did you mean `api_key_env`?",
        ("job.yaml:10: `system` takes its value from NOPE, which is not set. Set it, or write ${NAME:-default}."),
        (
            "job.yaml:11: `foo` is not a key of a job. A job takes name, input, template, system, model, "
            "endpoint, endpoints, affinity, params, samples, matrix, dedupe, expect, concurrency, workers, cluster, "
            "adaptive, limits, timeout, retry, resume, drain, budget, confirm_above, price, prices, estimate, "
            "on_finish, output and store."
        ),
        "job.yaml:12: `price.output` is missing. A price takes `input` and `output`, USD per million tokens.",
        "job.yaml:13: `deadline` is not in this version of batchchat yet. Set `budget.stop_at`, and choose the tier in "
        "`params.service_tier`.",
        'job.yaml:14: `timeout.connect` is "yes", text. It takes a number above 0.',
        "job.yaml:14: `timeout.total` is true, a boolean. It takes a number above 0.",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "model: m\noutput: {path: o.parquet}\n",
            "job.yaml:1: `input.path` is missing. It takes a path, a glob, a URL, or a list of them.",
        ),
        (
            "model: m\ninput: {first: 1}\noutput: {path: o.parquet}",
            "job.yaml:2: `input.path` is missing. It takes a path, a glob, a URL, or a list of them.",
        ),
        (
            "input: {path: a}\noutput: {path: o.parquet}\nmodel:\n",
            "job.yaml:3: `model` is missing. It takes the name of a model.",
        ),
        (
            "input: {path: a}\nmodel: m\noutput:\n",
            "job.yaml:3: `output.path` is missing. It takes a path that ends in .parquet, or one without a dot for a "
            "folder of part files.",
        ),
    ],
)
def test_missing(text: str, fault: str) -> None:
    """A required key that is missing is reported at its section, or else at the job's first key."""
    assert faults(f"{text}\nendpoint: {{base_url: mock}}\n") == [fault]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "job.yaml: is empty. A job has at least `input.path`, `model` and `output.path`."),
        (b"# nothing\n", "job.yaml: is empty. A job has at least `input.path`, `model` and `output.path`."),
        (b"- a\n", "job.yaml:1: a job is a mapping of keys such as `model: ...`, and this is a list."),
        (b"hello\n", "job.yaml:1: a job is a mapping of keys such as `model: ...`, and this is text."),
        (b"a: 1\nb: \xff\n", "job.yaml:2: this is not UTF-8 (byte 0xff). Save the file as UTF-8."),
        (b"a: 1\nb: \x01\n", "job.yaml:2: this is not YAML: a control character is not allowed here."),
        (
            b"#" * (1 << 20) + b"#",
            (
                "job.yaml: is over 1 MiB, which is no job file. "
                "The job comes here; the rows are named in its `input.path`."
            ),
        ),
    ],
)
def test_no_job(data: bytes, fault: str) -> None:
    """A file that can't be a job is reported in one sentence."""
    assert faults(data) == [fault]


def test_no_file(tmp_path: Path) -> None:
    """A path that is missing, a folder or no path at all is reported in one sentence."""
    for path, sentence in [
        (tmp_path / "no.yaml", "there is no such file."),
        (tmp_path, "is a folder. Name the job file in it."),
        (tmp_path / "a\0b", "can't be read: not a path."),
        (tmp_path / ("x" * 300), "can't be read: File name too long."),
    ]:
        with pytest.raises(JobError) as caught:
            load_job(path, environ={})
        assert caught.value.faults == [f"{path}: {sentence}"]


def test_output_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--output` replaces the file's output.path and is relative to the working directory."""
    monkeypatch.chdir(tmp_path)
    job = load(MOCK.replace("o.parquet", "broken"), output=Path("mine/x.parquet"))
    assert (job.output.path, job.output.as_given) == (tmp_path / "mine/x.parquet", "mine/x.parquet")
    assert job.text.endswith("\n# --output mine/x.parquet\n")


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        (
            "mine.csv",
            (
                "--output mine.csv: `output.path` is mine.csv. It takes a path that ends in .parquet, "
                "or one without a dot for a folder of part files."
            ),
        ),
        (
            "s3://bucket/x.parquet?X-Amz-Signature=a1b2c3",
            (
                "--output URL: `output.path` is a URL (s3://...) with a query; credentials come from the environment. "
                "It takes s3://BUCKET/NAME.parquet for a file, s3://BUCKET/NAME for part files."
            ),
        ),
    ],
)
def test_output_option_is_checked(output: str, fault: str) -> None:
    """A bad `--output` is reported under its own name."""
    with pytest.raises(JobError) as caught:
        load(MOCK, output=output)
    assert caught.value.faults == [fault]


def test_text_is_the_job_as_written() -> None:
    """The kept text has variables unexpanded and the overrides as comment lines."""
    text = MOCK + "concurrency: ${N:-3}  # few\n"
    assert load(text).text == text
    assert load(text, "retry.max_wait=5", "name=${N:-x}").text == (
        text + "# --set retry.max_wait=5\n# --set name=${N:-x}\n"
    )


def test_key_in_a_comment_is_redacted() -> None:
    """The key's value is redacted wherever the kept text has it."""
    assert TOKEN not in load(f"{TOP}# was {TOKEN}\n", environ=KEYED).text


def test_named_option() -> None:
    """With a named option too, a missing file is what is reported."""
    with pytest.raises(JobError) as caught:
        load_job(
            Path(__file__).parent / "no.yaml",
            overrides=[Override("--concurrency", "concurrency", "0")],
            environ={},
        )
    assert "there is no such file" in str(caught.value)


words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20).filter(
    lambda word: "${" not in word and "://" not in word and not word.startswith("~") and word != "-"
)
scalars: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words
)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3)
)
seconds = st.floats(0.001, 1e9)
jobs = st.fixed_dictionaries(
    {
        "input": st.fixed_dictionaries(
            {"path": words | st.lists(words, min_size=1, max_size=3)},
            optional={"id": words, "first": st.integers(1, 10**9), "columns": st.lists(words, max_size=3)},
        ),
        "model": words,
        "endpoint": st.just({"base_url": "mock"}),
        "output": st.fixed_dictionaries({"path": words.map(lambda word: f"{word}x.parquet")}),
    },
    optional={
        "name": words,
        "system": words,
        "concurrency": st.integers(1, 10_000),
        "drain": seconds,
        "params": st.dictionaries(words.map(lambda word: f"x-{word}"), json_values, max_size=4),
        "timeout": st.fixed_dictionaries({}, optional={"total": seconds, "connect": seconds}),
        "retry": st.fixed_dictionaries({}, optional={"max_attempts": st.integers(1, 99), "max_wait": seconds}),
    },
)


@given(jobs)
def test_any_job_round_trips(job: dict[str, Any]) -> None:
    """Any mapping of known keys arrives with its values; JSON is YAML."""
    spec = load(json.dumps(job, ensure_ascii=False))
    path = job["input"]["path"]
    assert spec.input.as_given == tuple([path] if isinstance(path, str) else path)
    assert (spec.input.id, spec.input.first) == (job["input"].get("id", "auto"), job["input"].get("first"))
    assert (spec.name, spec.model, spec.system) == (job.get("name", "job"), job["model"], job.get("system"))
    assert (spec.concurrency, spec.drain) == (job.get("concurrency", 200), job.get("drain", 30.0))
    assert spec.params == job.get("params", {})
    assert spec.timeout == TimeoutSpec(**job.get("timeout", {}))
    assert spec.retry == RetrySpec(**job.get("retry", {}))


secrets = st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=8, max_size=40).map(
    lambda text: f"Zq{text}qZ"
)
places = st.sampled_from(
    [
        ("{}", "apikey"),
        ("retry: {}", "key"),
        ("endpoint: {}", "api_key"),
        ("endpoint: {}", "api_key_env"),
        ("endpoint: {}", "headers"),
        ("endpoint: {headers: {}}", "X-Key"),
        ("endpoint: {headers: {}}", "Bad Name"),
        ("endpoint: {headers: {}}", "Host"),
    ]
)


@given(secrets, places, st.sampled_from(["text", "list", "mapping", "option", "option list"]))
def test_no_fault_repeats_a_secret(secret: str, location: tuple[str, str], how: str) -> None:
    """No message shows the value of an unknown key, a header or api_key_env, whatever it is."""
    frame, key = location
    value: Any = {"list": [secret], "mapping": {"a": secret}}.get(how, secret)
    entry = f"{json.dumps(key)}: {json.dumps(value)}"
    body = entry if frame == "{}" else frame.replace("{}", f"{{{entry}}}")
    top = TOP + "concurrency: no\n"
    if how.startswith("option"):
        above = {"{}": "", "retry: {}": "retry.", "endpoint: {}": "endpoint."}.get(frame, "endpoint.headers.")
        sentences = faults(top, f"{above}{key}={f'[{json.dumps(secret)}]' if 'list' in how else secret}")
    else:
        sentences = faults(f"{top}{body}\n")
    assert sentences
    assert secret not in "\n".join(sentences)
    assert json.dumps(secret)[1:-1] not in "\n".join(sentences)
