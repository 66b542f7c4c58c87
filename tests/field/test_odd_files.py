"""Files as programs other than ours write them: what can't be read says how to write it."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.acceptance.job import Job, conversation
from tests.field.endpoint import Asked, endpoint, ok
from tests.field.test_input_formats import notes

pytestmark = pytest.mark.usefixtures("wide_terminal")

ORIENT = "`to_json(..., orient='records', lines=True)`"
TURNS = [{"from": "human", "value": "Hi"}, {"from": "bing", "value": "Hello"}, {"from": "human", "value": "Who?"}]


def answer(_: Asked) -> bytes:
    return ok()


@pytest.mark.parametrize(
    ("name", "content", "way_out"),
    [
        ("in.json", '{"id":{"0":"a"},"prompt":{"0":"Hi"}}', ORIENT),
        ("in.json", '{"0":{"id":"a","prompt":"Hi"},"1":{"id":"b","prompt":"Ho"}}', ORIENT),
        ("in.json", '{"columns":["id","prompt"],"index":[0],"data":[["a","Hi"]]}', ORIENT),
        ("in.json", '{"schema":{},"data":[{"id":"a","prompt":"Hi"}]}', "`jq -c '.data[]'`"),
        ("in.jsonl", "{'id': 'a', 'prompt': 'Hi'}\n", "write it with json.dumps"),
        ("in.jsonl", '{"prompt":"Hi"}\r{"prompt":"Ho"}\r', "end them with LF"),
        ("in.csv", "sep=;\nid;prompt\na;Hi\n", "this line is for Excel. Remove it"),
        ("in.csv", "sep=,\nid,prompt\na,Hi\n", "this line is for Excel. Remove it"),
    ],
)
def test_a_file_of_another_dialect(job: Job, name: str, content: str, way_out: str) -> None:
    """Nothing is sent, and the message has the way out."""
    (job.folder / name).write_bytes(content.encode())
    job.write(input__path=name, input__id=None)
    ended = job.run()
    assert ended.code == 2
    assert way_out in ended.err


def test_a_row_of_many_that_looks_like_a_table(job: Job) -> None:
    """One of several rows is no table of pandas, whatever is in it."""
    job.write([{"prompt": {"0": "Hi"}}, {"prompt": {"0": "Ho"}}], input__id=None)
    assert ORIENT not in job.run().err


def test_rows_from_a_pipe(job: Job) -> None:
    """`-` is no file of that name."""
    job.write(input__path="-")
    ended = job.run()
    assert (ended.code, ended.errors) == (
        2,
        ["error: job.yaml:3: `input.path` is -, which is not in this version yet. Write the rows to a file, and name"
         " that."],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "keys", "note"),
    [
        ({"instruction": "Translate", "input": "dog", "output": "Hund"}, {"input__column": "instruction"},
         "rows have `input`, not sent. To send what is there, write it into `instruction`."),
        ({"question": "Who?", "context": "Ann came."}, {"input__column": "question"},
         "rows have `context`, not sent. To send what is there, write it into `question`."),
        ({"prompt": "Hi", "system_prompt": "Be kind."}, {},
         "rows have `system_prompt`, not sent. To send it, call the column `system`, and put `system` under"
         " `input.params`."),
        ({"conversations": TURNS, "system_prompt": "Be kind."}, {},
         "rows have `system_prompt`, not sent. To send it, call the column `system`."),
    ],
)  # fmt: skip
def test_texts_that_belong_to_the_prompt(job: Job, row: dict[str, Any], keys: dict[str, Any], note: str) -> None:
    """A half of a prompt is paid for nothing: it is said before; where there is no text, nothing is."""
    empty = {name: None if isinstance(value, str) and name not in {"prompt", keys.get("input__column")} else value
             for name, value in row.items()}  # fmt: skip
    job.write([empty], input__id=None, **keys)
    assert notes(job.run("validate", "job.yaml").out) == []
    job.write([empty, row])
    assert notes(job.run("validate", "job.yaml").out) == [note]


def test_answers_of_other_assistants(job: Job) -> None:
    """ShareGPT has conversations with Bing and Bard, too."""
    with endpoint(answer) as server:
        job.write([json.dumps({"id": "a", "conversations": TURNS})], endpoint__base_url=server.url)
        assert job.run().code == 0
        (asked,) = server.asked
    hello = {"role": "assistant", "content": "Hello"}
    assert asked.body["messages"] == [*conversation("Hi"), hello, *conversation("Who?")]


@pytest.mark.parametrize("listed", [False, True])
def test_parameters_that_parquet_widened(job: Job, listed: bool) -> None:
    """The same rows as JSON lines and as Parquet are the same requests: a column of 0, 0.5 and 1 is one of floats."""
    rows = [
        {"prompt": "Hi", **({"temperature": value} if listed else {"p": {"temperature": value}})}
        for value in (0, 0.5, 1)
    ]
    keys = {"input__id": None, "input__params": ["temperature"] if listed else "p"}
    with endpoint(answer) as server:
        job.write(rows, endpoint__base_url=server.url, **keys)
        assert job.run().code == 0
        pq.write_table(pa.Table.from_pylist(rows), job.folder / "in.parquet")
        job.write(input__path="in.parquet")
        assert job.run().code == 0
        assert sorted(json.dumps(asked.body["temperature"]) for asked in server.asked) == ["0", "0.5", "1"]
    if listed:
        assert pq.read_schema(job.output).field("temperature").type == pa.float64()
