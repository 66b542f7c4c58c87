"""The look before a first run: it counts what the plan counts, and makes no request where none is needed for that."""

from __future__ import annotations

import asyncio
import json
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from batchchat.core.attempt import Script
from batchchat.core.conversation import Row
from batchchat.execution.disposition import Disposition
from batchchat.execution.first_look import first_look
from batchchat.execution.plan import PlanCounts, plan
from batchchat.execution.scripts import scripts_for
from batchchat.execution.tasks import ResumeRules, Scripts, tasks
from batchchat.job import JobSpec, load_job
from batchchat.pricing.for_job import rates_for
from batchchat.script.variants import NO_VARIANT, Variant
from batchchat.sources import Source, open_source
from batchchat.store.ledger import Ledger

JOB: dict[str, Any] = {
    "input": {"path": "in.jsonl", "id": "id"},
    "model": "m",
    "endpoint": {"base_url": "http://127.0.0.1:1/v1"},
    "params": {"temperature": 0.7, "max_tokens": 512},
    "output": {"path": "out.parquet"},
    "budget": {"max_cost": 100},
    "price": {"input": 0.3, "output": 0.7},
}
USER = {"role": "user", "content": "Où est la gare?"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}
PARTS = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
SYSTEM = {"role": "system", "content": "Be brief."}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}

MESSAGES: list[Any] = [
    {"id": "a", "messages": [USER]},
    {"id": "b", "messages": [SYSTEM, USER, {"role": "assistant", "content": "Là."}, {**USER, "content": "𝄞"}]},
    {"id": "a", "messages": [USER]},
    {"id": "c", "messages": [PARTS]},
    {"id": "d", "messages": [{**USER, "name": "Ann"}]},
    {"id": "e", "messages": [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}, USER]},
    {"id": "f", "messages": []},
    "{",
    {"id": "g", "messages": [{**USER, "content": "\ud800"}]},
]
IMAGES: list[Any] = [{"id": "a", "messages": [USER]}, {"id": "b", "messages": [{**USER, "content": [IMAGE]}]}]
OWN: list[Any] = [
    {"id": "a", "prompt": "Hi", "params": {"max_tokens": 7}},
    {"id": "b", "prompt": "Hi", "params": {"model": "other"}},
    {"id": "c", "prompt": "Hi", "params": {"tools": [CALL]}},
    {"id": "d", "prompt": "Hi", "params": {"service_tier": "priority"}},
    {"id": "e", "prompt": "Hi"},
]
COLD: list[Any] = [{"id": "a", "prompt": "Hi"}, {"id": "b", "prompt": "Hi", "params": {"temperature": 0}}]
TURNS: list[Any] = [{"id": "a", "turns": ["Hi", "And now?"]}, {"id": "b", "turns": ["Hi"]}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def opened(folder: Path, rows: list[Any], **keys: Any) -> tuple[JobSpec, Source]:
    """The job with these keys and its input."""
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    (folder / "in.jsonl").write_text("".join(f"{line}\n" for line in lines))
    (folder / "job.yaml").write_text(json.dumps({**JOB, **keys}))
    job = load_job(folder / "job.yaml", environ={})
    return job, open_source(job.input, job.template, job.systems)


def planned(folder: Path, source: Source, scripts: Scripts) -> PlanCounts:
    """What the plan counts, which makes the requests of every row."""
    ledger = Ledger(folder)
    return asyncio.run(plan(tasks(source, scripts, ledger.index, ResumeRules()), ledger))


@pytest.mark.parametrize(
    ("rows", "keys"),
    [
        (MESSAGES, {}),
        (MESSAGES, {"system": "Speak French."}),
        (MESSAGES, {"params": {"temperature": 0.7}}),
        (MESSAGES, {"params": {"max_tokens": 9, "stop": ["\n"]}}),
        (MESSAGES, {"params": {"max_tokens": 9, "temperature": 0}, "dedupe": False}),
        (MESSAGES, {"samples": 3, "params": {"max_tokens": 9, "temperature": 1, "seed": 5}}),
        (MESSAGES, {"matrix": {"model": ["m", "n"], "params.max_tokens": [5, 9]}}),
        (MESSAGES, {"matrix": {"system": {"long": "Be long.", "short": "Be brief."}}}),
        (MESSAGES, {"budget": {}, "price": None}),
        (IMAGES, {}),
        (OWN, {"input": {**JOB["input"], "params": "params"}}),
        (TURNS, {}),
        (OWN, {"expect": {"json_schema": SCHEMA, "re_ask": 2}}),
        (OWN, {"template": "{{ prompt }}, {{ id }}"}),
    ],
)
def test_the_look_counts_what_the_plan_counts(tmp_path: Path, rows: list[Any], keys: dict[str, Any]) -> None:
    """Good and bad rows, the sum of all bounds, the highest of one row, and the first row without any."""
    job, source = opened(tmp_path, rows, **keys)
    scripts = scripts_for(job, rates_for(job))
    looked, plan_counts = asyncio.run(first_look(source, scripts)), planned(tmp_path, source, scripts)
    assert looked is not None
    assert looked.total == len(rows) * job.variants * job.samples
    for field in fields(PlanCounts):
        if field.name != "wanted":
            assert getattr(looked, field.name) == getattr(plan_counts, field.name), field.name


@pytest.mark.parametrize(
    ("rows", "keys"),
    [
        (MESSAGES, {"dedupe": True}),
        (MESSAGES, {"params": {"max_tokens": 9, "temperature": 0}}),
        (MESSAGES, {"matrix": {"params.temperature": [1, 0]}}),
        (COLD, {"input": {**JOB["input"], "params": "params"}}),
    ],
)
def test_there_is_no_look_where_rows_may_share_an_answer(tmp_path: Path, rows: list[Any], keys: dict[str, Any]) -> None:
    """Which of them do is known by their requests alone."""
    job, source = opened(tmp_path, rows, **keys)
    assert asyncio.run(first_look(source, scripts_for(job, rates_for(job)))) is None


def test_the_request_of_a_text_is_not_made(tmp_path: Path) -> None:
    """It is made when the row is sent, and to make it twice takes as long as to read the row."""
    job, source = opened(tmp_path, [{"id": "a", "messages": [USER]}, {"id": "b", "messages": [PARTS]}])
    scripts, asked = scripts_for(job, rates_for(job)), list[str]()

    def script_for(row: Row, variant: Variant) -> Script:
        asked.append(row.key.id)
        return scripts.script_for(row, variant)

    looked = asyncio.run(first_look(source, replace(scripts, script_for=script_for)))
    assert looked is not None
    assert looked.rows[Disposition.SEND_NEW] == 2
    assert asked == ["b"]


def test_a_look_ends_where_it_is_stopped(tmp_path: Path) -> None:
    """A signal need not wait for the end of a long input."""
    job, source = opened(tmp_path, [{"id": str(number), "messages": [USER]} for number in range(1000)])
    looked = asyncio.run(first_look(source, scripts_for(job, rates_for(job)), lambda: True))
    assert looked is not None
    assert 0 < looked.total < 1000


def test_without_more_than_a_row_its_bound_is_the_requests_own(tmp_path: Path) -> None:
    """To a digit: what is announced is what is reserved."""
    job, source = opened(tmp_path, [{"id": "a", "messages": [USER]}])
    scripts = scripts_for(job, rates_for(job))
    (row,) = source.read()
    assert isinstance(row, Row)
    bound = scripts.bound_of_text(row, NO_VARIANT)
    assert bound == scripts.script_for(row, NO_VARIANT).bound
    assert bound.cost_usd == (Decimal("0.3") * (16 + 16) + Decimal("0.7") * 512) / 1_000_000
