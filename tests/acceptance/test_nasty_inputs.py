"""What people's files hold: each fault is told exactly, with file and line, and every other row is answered."""

from __future__ import annotations

import gc
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from click.testing import CliRunner, Result

from batchchat.cli import main
from tests.acceptance.job import Job, conversation
from tests.acceptance.servers import Mock, mock_thread

CALLING = [{"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "Hi"}]


def row(name: str, **more: Any) -> bytes:
    """A line with a good conversation."""
    return json.dumps({"id": name, "messages": conversation(f"Question {name}"), **more}).encode()


def among(*lines: bytes) -> bytes:
    """`lines` from line 2 on, with a good one before and after."""
    return b"\n".join([row("first"), *lines, row("last"), b""])


@dataclass(frozen=True)
class Nasty:
    """An input with what is wrong in it, and what is told: errors by id, or the `refused` lines of stderr."""

    files: dict[str, bytes]
    answered: set[str] = field(default_factory=lambda: {"first", "last"})
    bad: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    keys: dict[str, Any] = field(default_factory=dict)
    carried: dict[str, dict[str, Any]] = field(default_factory=dict)


def line(content: bytes, error: str, name: str = "in.jsonl:2", **more: Any) -> Nasty:
    """One bad line among good ones."""
    return Nasty({"in.jsonl": among(content)}, bad={name: error}, **more)


def file(name: str, content: bytes, bad: dict[str, str], **more: Any) -> Nasty:
    """A file of another name."""
    return Nasty({name: content}, bad=bad, keys={"input.path": name, **more.pop("keys", {})}, **more)


def refusal(files: dict[str, bytes], *refused: str, **keys: Any) -> Nasty:
    """Nothing is sent."""
    return Nasty(files, answered=set(), refused=list(refused), keys=keys)


LISTED = [json.loads(row("first")), 7, [], json.loads(row("last"))]
ENDS = (
    "ends with an assistant message: nothing to answer. `input.trailing_assistant: drop` cuts it off and keeps it in"
    " the column `reference`; `prefill` sends it as it stands."
)
ROLES = "It takes system, developer, user, assistant or tool."
BROKEN = "the file breaks off here: "
GOOD = {"in.jsonl": among()}

CASES: dict[str, Nasty] = {
    "broken JSON": line(
        b'{"id": "x", "messages": [', "the line is not JSON: expecting value at column 26"
    ),
    "no object": line(b"[1, 2]", "the line is [1,2], a list. It takes an object."),
    "empty file": refusal({"in.jsonl": b""}, "in.jsonl has no rows. Name a file that has at least one."),
    "byte order mark": Nasty({"in.jsonl": b"\xef\xbb\xbf" + among()}),
    "CRLF and blank lines": Nasty({"in.jsonl": among(b"", b"   ").replace(b"\n", b"\r\n")}),
    "NUL bytes": line(b'{"id": "x\0"}', "the line is not JSON: invalid control character at column 10"),
    "NUL bytes alone": line(b"\0\0\0", "the line is not JSON: expecting value at column 1"),
    "bad UTF-8": line(b'{"id": "x", "messages": "\xe9"}', "the line is not UTF-8: byte 26 is 0xe9"),
    "UTF-16": refusal({"in.jsonl": "{}".encode("utf-16")}, "in.jsonl is UTF-16, not JSON lines. Save it as UTF-8."),
    "half a surrogate pair in a text": Nasty(
        {"in.jsonl": among(b'{"id": "x", "messages": [{"role": "user", "content": "a\\ud800b"}]}')},
        failed={"x": "The body is not JSON: no low surrogate in string: line 1 column 53 (char 52)"},
    ),
    "half a surrogate pair in an id": line(
        row("x").replace(b'"x"', b'"\\udc00"'),
        '`id` is "\ufffd", which holds half of a surrogate pair.',
    ),
    "an id twice": line(row("first"), 'duplicate id "first", first used at in.jsonl:1', "first#in.jsonl:2"),
    "an id of a wrong type": line(
        row("x").replace(b'"x"', b"1.5", 1), "`id` is 1.5, a number. It takes text or a whole number."
    ),
    "no id": line(b'{"messages": []}', "`id` is missing. There is `messages`."),
    "messages twice": line(
        row("x")[:-1] + b', "messages": []}', "the line has the key `messages` twice in one object. Leave one out."
    ),
    "content twice": line(
        b'{"id": "x", "messages": [{"role": "user", "content": "a", "content": "b"}]}',
        "the line has the key `messages[0].content` twice in one object. Leave one out.",
    ),
    "prompts twice in a list": file(
        "in.json",
        b'[{"id": "first", "prompt": "a", "about": "prompt"},\n {"id": "x", "prompt": "a", "prompt": "b"}]',
        {"in.json:2": "the element on line 2 has the key `prompt` twice in one object. Leave one out."},
        answered={"first"},
    ),
    "another key twice": Nasty(
        {"in.jsonl": among(row("x", n=1)[:-1] + b', "n": 2, "more": {"content": 3}}')},
        bad={"in.jsonl:2": "the line has the key `n` twice in one object. Leave one out."},
    ),
    "deep nesting": line(row("x", deep=0).replace(b"0}", b"[" * 300 + b"]" * 300 + b"}"),
                         "the line is nested more than 200 deep"),
    "very deep nesting": line(b"[" * 100_000, "the line can't be read: nested too deeply"),
    "a line of 5 MB": Nasty(
        {"in.jsonl": among(row("x", more="y" * 5_000_000))}, answered={"first", "x", "last"}, keys={"input.columns": []}
    ),
    "messages of a wrong type": line(
        b'{"id": "x", "messages": 7}',
        '`messages` is 7, a number. It takes a list of messages: [{"role": "user", "content": "..."}].',
        "x",
    ),
    "content of a wrong type": line(
        b'{"id": "x", "messages": [{"role": "user", "content": 7}]}',
        "`messages[0].content` is 7, a number. It takes text or a list of parts.",
        "x",
    ),
    "assistant first": Nasty(
        {"in.jsonl": among(json.dumps({"id": "x", "messages": CALLING}).encode())}, answered={"first", "x", "last"}
    ),
    "assistant alone": line(
        json.dumps({"id": "x", "messages": CALLING[:1]}).encode(),
        f"`messages` {ENDS}",
        "x",
    ),
    "unknown role": line(
        b'{"id": "x", "messages": [{"role": "robot", "content": "a"}]}',
        f'`messages[0].role` is "robot", text. {ROLES}',
        "x",
    ),
    "empty conversation": line(b'{"id": "x", "messages": []}', "`messages` is empty", "x"),
    "huge numbers, carried": Nasty(
        {"in.jsonl": among(row("x", n=2**70), row("y", n=10**400))},
        answered={"first", "x", "y", "last"},
        carried={"x": {"n": str(2**70)}, "y": {"n": str(10**400)}, "first": {"n": None}},
    ),
    "a number of 5,000 digits": line(
        row("x", n=1).replace(b"1}", b"1" * 5000 + b"}"), "the line can't be read: exceeds the limit (4300 digits)"
    ),
    "huge numbers in params": Nasty(
        {
            "in.jsonl": among(
                row("x", p={"seed": 2**70}), row("y", p=[1]), row("z", p={"top_p": 0}).replace(b": 0", b": 1e400")
            )
        },
        answered={"first", "x", "last"},
        bad={
            "y": "`p` is [1], a list. It takes an object of parameters.",
            "z": "`p.top_p` is infinite, which JSON has no number for.",
        },
        keys={"input.params": "p"},
    ),
    "gzip cut off": file(
        "in.jsonl.gz",
        gzip.compress(among() + b"x" * 50)[:-9],
        {"in.jsonl.gz:3": BROKEN + "the gzip stream ends too early"},
    ),
    "zstd cut off": file(
        "in.jsonl.zst",
        zstandard.compress(among()) + zstandard.compress(row("x"))[:-1],
        {"in.jsonl.zst:3": BROKEN + "the zstd stream ends too early"},
    ),
    "garbage after zstd": file(
        "in.jsonl.zst",
        zstandard.compress(among()) + b"garbage",
        {"in.jsonl.zst:3": BROKEN + "what follows is not zstd or is damaged"},
    ),
    "CSV with newlines in quotes": file(
        "in.csv",
        b'id,prompt,n\r\nfirst,"a\r\nb",1\r\n,"no id",2\r\nlast,"say ""hi""",3\r\n',
        {"in.csv:4": "`id` is empty. It takes text or a whole number."},
        carried={"first": {"n": "1"}, "last": {"n": "3"}},
    ),
    "CSV with a wrong number of cells": file(
        "in.csv",
        b"id,prompt\nfirst,a\nx,b,c\ny\nlast,d\n",
        {
            "in.csv:3": "the row has 3 cells, and the header 2. Quote a cell that holds a comma.",
            "in.csv:4": "the row has 1 cell, and the header 2",
        },
    ),
    "CSV with a quote never closed": file(
        "in.csv", b'id,prompt\nfirst,a\nx,"b\nlast,c\n', {"in.csv:3": "the quote that opens here is never closed"}
    ),
    "CSV with semicolons": refusal(
        {"in.csv": b"id;prompt\n1;a\n"},
        "in.csv:1: the columns are separated by `;`. Save the file with commas.",
        **{"input.path": "in.csv"},
    ),
    "CSV without the id's column": refusal(
        {"in.csv": b"ID,prompt\n1,a\n"},
        "in.csv has no column `id` (`input.id`): it has `ID`, `prompt`.",
        **{"input.path": "in.csv"},
    ),
    "a list on one line": file(
        "in.json",
        json.dumps(LISTED).encode(),
        {
            "in.json:2": "the element on line 1 is 7, a number. It takes an object.",
            "in.json:3": "the element on line 1 is [], a list. It takes an object.",
        },
    ),
    "a list cut off": file(
        "in.json", b"[" + row("first") + b",\n" + row("last") + b",\n", {"in.json:3": BROKEN + "its list is not closed"}
    ),
    "one object": refusal(
        {"in.json": b'{\n"rows": []\n}'},
        "in.json is one object, not a list of rows. It takes [{...}, {...}], or one object a line.",
        **{"input.path": "in.json"},
    ),
    "ShareGPT that is answered already": file(
        "in.json",
        json.dumps(
            [
                {"id": "first", "conversations": [{"from": "human", "value": "a", "weight": 1}]},
                {"id": "x", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
                {"id": "y", "conversations": [{"from": "judge", "value": "a"}]},
            ]
        ).encode(),
        {
            "x": f"`conversations` {ENDS}",
            "y": '`conversations[0].from` is "judge", text. It takes system, human, gpt, function_call or observation'
            " (or user, assistant, chatgpt, model, tool, function).",
        },
        answered={"first"},
    ),
    "columns that differ between files": Nasty(
        {
            "in/a.jsonl": row("first", n=1, t="x"),
            "in/b.csv": b"id,prompt,n\nx,a,one\n",
            "in/c.json": b"[" + row("last", t=[1]) + b"]",
            "in/notes.txt": b"",
        },
        answered={"first", "last"},
        bad={"x": "`messages` is missing. There is `id`, `prompt`, `n`."},
        carried={"first": {"n": "1", "t": "x"}, "x": {"n": "one", "t": None}, "last": {"n": None, "t": "[1]"}},
        keys={"input.path": "in"},
    ),
    "an empty folder": refusal(
        {"in/.hidden.jsonl": b""},
        "in is an empty folder. It reads .jsonl, .ndjson, .json and .csv, each also as .gz or .zst, and .parquet.",
        **{"input.path": "in"},
    ),
    "another kind of file": refusal(
        {"in.xlsx": b"PK"},
        "in.xlsx: its suffix says no format that is read. It reads .jsonl, .ndjson, .json and .csv, each also as .gz"
        " or .zst, and .parquet.",
        **{"input.path": "in.xlsx"},
    ),
    "a URL": refusal(
        GOOD,
        "job.yaml:3: `input.path` is a URL (ftp://...) of a kind that is not read. It takes s3, gs, az and https.",
        **{"input.path": "ftp://host/in.jsonl?signature=1"},
    ),
    "unknown keys": refusal(
        GOOD,
        "job.yaml:5: `frist` is not a key of `input`. Did you mean `first`?",
        "job.yaml:15: `modle` is not a key of a job. Did you mean `model`?",
        modle="m",
        **{"input.frist": 3},
    ),
    "a missing variable": refusal(
        GOOD,
        "job.yaml:6: `model` takes its value from NO_SUCH_MODEL, which is not set. Set it, or write"
        " ${NAME:-default}.",
        model="${NO_SUCH_MODEL}",
    ),
    "missing input": refusal({}, "in.jsonl is not there. Relative paths are relative to the job's folder."),
    "unwritable output": refusal(
        {**GOOD, "file": b""},
        "file/out.parquet can't be written: Not a directory (FOLDER/file/out.run). Name another `output.path`, or fix"
        " that.",
        **{"output.path": "file/out.parquet"},
    ),
    "an output in its own input": refusal(
        {"in/a.jsonl": row("first")},
        "in/out.parquet would be read as input: `input.path` has in. Give `output.path` a place outside of that.",
        **{"input.path": "in", "output.path": "in/out.parquet"},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with mock_thread(latency_s=0, latency_jitter_s=0) as mock:
        yield mock


@pytest.fixture(autouse=True)
def usual_collector() -> Iterator[None]:
    """A run sets the collector to its needs; the other tests have theirs."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def run(job: Job, monkeypatch: pytest.MonkeyPatch) -> Result:
    """`cd folder; batchchat run job.yaml`, in this process."""
    monkeypatch.chdir(job.folder)
    return CliRunner().invoke(main, ["run", "job.yaml", "--progress", "none"], catch_exceptions=False)


@pytest.mark.parametrize("name", CASES)
def test_a_nasty_input(job: Job, mock: Mock, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The message is exact, the other rows are answered, and there is no traceback."""
    case = CASES[name]
    for path, content in case.files.items():
        Path(job.folder, path).parent.mkdir(exist_ok=True)
        Path(job.folder, path).write_bytes(content)
    job.keys |= {"endpoint.base_url": mock.url, **case.keys}
    job.write()
    before = mock.stats()["requests"]
    ended = run(job, monkeypatch)
    assert "Traceback" not in ended.output
    assert mock.stats()["requests"] == before + len(case.answered) + len(case.failed)
    errors = [
        said.replace(str(job.folder), "FOLDER") for said in ended.stderr.splitlines() if said.startswith("error: ")
    ]
    assert errors == [f"error: {said}" for said in case.refused]
    assert ended.exit_code == (2 if case.refused else 3 if case.bad or case.failed else 0)
    if case.refused:
        return
    table = {row["id"]: row for row in job.table()}
    assert {name: row["error"] for name, row in table.items() if row["status"] == "invalid"} == case.bad
    assert {name: row["error"] for name, row in table.items() if row["status"] == "failed"} == case.failed
    assert {name for name, row in table.items() if row["status"] == "answered"} == case.answered
    for row_id, columns in case.carried.items():
        assert {column: table[row_id][column] for column in columns} == columns


def test_a_column_that_loses_its_type(job: Job, mock: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another kind that joins later makes no bare integers of the times that are kept."""
    noon = pa.array([1_709_208_000_000], pa.timestamp("ms"))
    pq.write_table(pa.table({"id": ["a"], "prompt": ["Hi"], "t": noon}), job.folder / "a.parquet")
    (job.folder / "b.jsonl").write_bytes(b'{"id": "b", "prompt": "Hi", "t": "noon"}')
    job.keys |= {"endpoint.base_url": mock.url}
    job.write(input__path="a.parquet")
    assert run(job, monkeypatch).exit_code == 0
    assert pq.read_schema(job.output).field("t").type == pa.timestamp("ms")
    job.write(input__path=["a.parquet", "b.jsonl"])
    assert run(job, monkeypatch).exit_code == 0
    assert [row["t"] for row in job.table()] == ["2024-02-29T12:00:00", "noon"]
