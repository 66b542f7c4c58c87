"""`batchchat export` as people use it: training sets in and out again, parts of a split, rows by a condition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.acceptance.job import Job, conversation, rows
from tests.acceptance.readers import load_splits
from tests.acceptance.servers import http
from tests.field.endpoint import Asked, endpoint, ok

CALL = '{"name":"weather","arguments":{"city":"Bonn"}}'
TOOLS = '[{"name":"weather","parameters":{}}]'


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_sharegpt_comes_back(job: Job) -> None:
    """Run, exported and read again, conversations are what was sent with its replies: system, tools, calls, results."""
    question = {"from": "human", "value": "Weather?"}
    sharegpt = [
        {"id": "a", "conversations": [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "old"}],
         "system": "You are a pirate."},
        {"id": "b", "tools": TOOLS, "conversations": [{"from": "system", "value": "Be brief."}, question]},
        {"id": "c", "tools": TOOLS, "conversations": [
            question, {"from": "function_call", "value": f"[{CALL},{CALL}]"},
            {"from": "observation", "value": '["7","8"]'}]},
    ]  # fmt: skip
    calls = [{"id": "srv_9", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bonn"}'}}]

    def answer(asked: Asked) -> bytes:
        if asked.text == "Weather?":
            return ok(message={"role": "assistant", "content": None, "tool_calls": calls}, finish_reason="tool_calls")
        return ok(f"To {asked.text}")

    with endpoint(answer) as server:
        job.write(sharegpt, endpoint__base_url=server.url, concurrency=1, input__trailing_assistant="drop")
        assert job.run().code == 0
        assert job.run("export", "job.yaml", "--to", "sharegpt", "-o", "train.jsonl").code == 0
        first = [asked.body for asked in server.asked]
        # The same conversations are sent, now with the replies behind them.
        job.write(input__path="train.jsonl", input__trailing_assistant="prefill", output__path="again.parquet")
        assert job.run().code == 0
        second = [asked.body for asked in server.asked[3:]]
    replies = [{"role": "assistant", "content": "To Who?"}, None, {"role": "assistant", "content": "To 8"}]
    for before, after, reply in zip(first, second, replies, strict=True):
        assert after.get("tools") == before.get("tools")
        *messages, last = after["messages"]
        assert messages == before["messages"]
        if reply is not None:
            assert last == reply
        else:
            (call,) = last["tool_calls"]
            assert (call["id"], call["function"]["arguments"]) == ("call_1", '{"city":"Bonn"}')
    assert read(job.folder / "train.jsonl")[0]["system"] == "You are a pirate."


@pytest.mark.field
def test_a_split_for_training(job: Job) -> None:
    """Parts are files beside each other that `datasets` loads, with one schema; a row stays where it is."""
    job.write([{**row, "topic": None if n else "x"} for n, row in enumerate(rows(60))])
    assert job.run().code == 0
    for form, loader in (("chat", "json"), ("sharegpt", "json"), ("jsonl", "json"), ("parquet", "parquet")):
        suffix = "parquet" if form == "parquet" else "jsonl"
        target = f"{form}.{suffix}"
        ended = job.run("export", "job.yaml", "--to", form, "-o", target, "--split", "train=0.7,test=0.3")
        assert ended.code == 0, ended.err
        files = {name: str(job.folder / f"{form}-{name}.{suffix}") for name in ("train", "test")}
        found = load_splits(loader, files, job.folder / "tmp" / form)
        assert found["train"].num_rows + found["test"].num_rows == 60
        assert 5 < found["test"].num_rows < 30
        assert found["train"].features == found["test"].features
        assert ended.out.splitlines() == [f"{form}-train.{suffix}: {found['train'].num_rows} rows",
                                          f"{form}-test.{suffix}: {found['test'].num_rows} rows"]  # fmt: skip
        assert not (job.folder / target).exists()
    schemas = [pq.read_schema(job.folder / f"parquet-{name}.parquet").remove_metadata() for name in ("train", "test")]
    assert schemas[0] == schemas[1] == pq.read_schema(job.output).remove_metadata()
    before = {row["id"] for row in read(job.folder / "jsonl-test.jsonl")}
    job.write([*rows(20, start=100), *rows(60)])
    assert job.run().code == 0
    job.run("export", "job.yaml", "-o", "more.jsonl", "--split", "train=0.7,test=0.3")
    assert before == {row["id"] for row in read(job.folder / "more-test.jsonl")} & {f"r{n:04}" for n in range(60)}


def test_rows_by_a_condition(job: Job) -> None:
    """What it does not hold for is counted; so it is in a part of a split."""

    def answer(asked: Asked) -> bytes:
        return ok("A long answer") if asked.text.endswith(("1", "2")) else http(400, {"error": {"message": "no"}})

    with endpoint(answer) as server:
        job.write(rows(6), endpoint__base_url=server.url)
        assert job.run().code == 3
    ended = job.run("export", "job.yaml", "-o", "x.jsonl", "--where", "status == 'answered' and 'long' in response")
    assert (ended.code, ended.out) == (0, "x.jsonl: 2 rows\n")
    assert ended.err == "left out: 4 rows for which --where does not hold\n"
    assert [row["id"] for row in read(job.folder / "x.jsonl")] == ["r0001", "r0002"]
    ended = job.run("export", "job.yaml", "-o", "y.parquet", "--where", "status == 'failed'", "--split", "a=0.5,b=0.5")
    assert ended.err == "left out: 2 rows for which --where does not hold\n"
    assert sum(len(job.table(job.folder / f"y-{part}.parquet")) for part in "ab") == 4
    wrong = job.run("export", "job.yaml", "-o", "z.jsonl", "--where", "statsu == 'answered'")
    assert (wrong.code, wrong.errors) == (
        2, ["error: `--where`: the output has no column `statsu`. Did you mean `status`?"])  # fmt: skip
    failing = job.run("export", "job.yaml", "-o", "z.jsonl", "--where", "response|length > 3")
    assert failing.code == 2
    assert failing.errors[0].startswith('error: row "r0000": `--where`: ')
    assert not (job.folder / "z.jsonl").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-o", "-", "--to", "jsonl", "--split", "a=1"], "--split writes a file for each part, and stdout is one."),
        (["-o", "x.jsonl", "--split", "a=0.9"], "`--split`: the fractions sum to 0.9, not to 1."),
        (["-o", "out.parquet", "--split", "a=1", "--to", "parquet", "--where", "1"], "`--where` gives 1, a number."),
    ],
)
def test_what_is_refused(job: Job, options: list[str], words: str) -> None:
    """Before anything is written."""
    job.write([{"id": "a", "messages": conversation("x")}])
    assert job.run().code == 0
    before = set(job.folder.iterdir())
    refused = job.run("export", "job.yaml", *options)
    assert refused.code == 2
    assert words in refused.err
    assert set(job.folder.iterdir()) == before
