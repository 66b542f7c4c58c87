from __future__ import annotations

import json

import pytest

from batchchat.job import KEYS, PLANNED
from batchchat.job.keys import FREE_FORM, SECRET, SECTIONS, not_a_key
from tests.job.given import MOCK, faults


def test_every_key_is_declared_completely() -> None:
    """Each key has its help, what it takes, and a schema that is JSON."""
    assert len({key.name for key in KEYS}) == len(KEYS)
    for key in KEYS:
        assert key.help, key.name
        assert key.type.takes, key.name
        assert json.loads(json.dumps(dict(key.type.schema))), key.name
        assert key.name not in PLANNED
        assert key.default is None or not key.required
    assert SECRET == ("endpoint.headers", "on_finish")
    assert FREE_FORM == ("endpoint.headers", "params", "matrix", "cluster.resources")
    assert tuple(SECTIONS) == (
        "input",
        "endpoint",
        "expect",
        "cluster",
        "limits",
        "timeout",
        "retry",
        "resume",
        "budget",
        "price",
        "estimate",
        "output",
        "store",
    )


@pytest.mark.parametrize(
    ("section", "leaf", "sentence"),
    [
        ("", "concurency", "`concurency` is not a key of a job. Did you mean `concurrency`?"),
        ("", "Model", "`Model` is not a key of a job. Did you mean `model`?"),
        ("", "max_wait", "`max_wait` is not a key of a job. Did you mean `retry.max_wait`?"),
        ("", "temperature", "`temperature` is not a key of a job. Did you mean `params.temperature`?"),
        (
            "",
            "sample",
            "`sample` is not a key of a job. Did you mean `samples`?",
        ),
        ("endpoint", "api_key", "`api_key` is not a key of `endpoint`. Did you mean `api_key_env`?"),
        (
            "endpoint",
            "x",
            "`x` is not a key of `endpoint`. It takes base_url, api_key_env, context_length, headers and stream.",
        ),
        (
            "endpoint",
            "model",
            "`model` is not a key of `endpoint`. Did you mean `model`, at the top of the job?",
        ),
        ("", "max_cost", "`max_cost` is not a key of a job. Did you mean `budget.max_cost`?"),
        ("output", "x", "`x` is not a key of `output`. It takes path, order, part_rows and raw."),
        (
            "",
            "deadline",
            (
                "`deadline` is not in this version of batchchat yet. Set `budget.stop_at`, and choose the tier in "
                "`params.service_tier`."
            ),
        ),
        (
            "",
            "deadlin",
            (
                "`deadlin` is not a key of a job. `deadline` is near, and not in this version of batchchat yet. "
                "Set `budget.stop_at`, and choose the tier in `params.service_tier`."
            ),
        ),
        (
            "",
            "a\nb",
            (
                "`a\\nb` is not a key of a job. A job takes name, input, template, system, model, endpoint, endpoints, "
                "affinity, params, samples, matrix, dedupe, expect, concurrency, workers, cluster, adaptive, limits, "
                "timeout, retry, resume, drain, budget, confirm_above, price, prices, estimate, on_finish, output and "
                "store."
            ),
        ),
    ],
)
def test_not_a_key(section: str, leaf: str, sentence: str) -> None:
    """An unknown key is reported with the nearest key, the section that has it, or the keys there are."""
    assert not_a_key(section, leaf) == sentence


@pytest.mark.parametrize("name", sorted(PLANNED))
def test_planned_keys_are_refused(name: str) -> None:
    """Keys of later versions are refused by name, null or not, never accepted and ignored."""
    section, _, leaf = name.rpartition(".")
    line = {"input": 1, "output": 3}.get(section, 5)
    sentence = f"job.yaml:{line}: `{name}` is not in this version of batchchat yet. {PLANNED[name]}"
    for value in ("null", "{max_cost: 3}", "7"):
        if section and f"{section}: {{" not in MOCK:
            text = f"{MOCK}{section}: {{{leaf}: {value}}}\n"
        elif section:
            text = MOCK.replace(f"{section}: {{", f"{section}: {{{leaf}: {value}, ")
        else:
            text = f"{MOCK}{leaf}: {value}\n"
        assert faults(text) == [sentence]
