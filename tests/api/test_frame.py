"""`chat_frame`, as people call it: what is sent for a frame, and the frame that comes back."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pydantic
import pytest

from batchchat import BudgetError, EndpointError, InputError, JobError, OutputError, UsageError, chat_frame
from tests.acceptance.job import PATIENCE_S
from tests.acceptance.servers import mock_thread
from tests.api.test_run import process_state
from tests.field.endpoint import Asked, Endpoint, endpoint, error, ok

ADDED = [
    "response",
    "status",
    "error_kind",
    "error",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
]


class Verdict(pydantic.BaseModel):
    """What replies have to be."""

    label: str
    score: int
    sure: bool


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of these tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DEEPINFRA_TOKEN", "key-of-the-tests")
    return tmp_path / "cache" / "batchchat"


@contextmanager
def echo() -> Iterator[Endpoint]:
    """An endpoint that answers with the text of the request, and refuses one that says so."""

    def answer(asked: Asked) -> bytes:
        return error(400, "no") if "refuse" in asked.text else ok(f"re: {asked.text}")

    with endpoint(answer) as server:
        yield server


def call(frame: Any, server: Endpoint, **keys: Any) -> Any:
    """`chat_frame` of `frame` at `server`, in silence."""
    arguments: dict[str, Any] = {"model": "m", "endpoint": server.url, "progress": "none", "params": {"max_tokens": 9}}
    if not {"template", "messages"} & keys.keys():
        arguments["prompt"] = "text"
    return chat_frame(frame, **{**arguments, **keys})


def sent(server: Endpoint) -> list[str]:
    """The texts of the requests since the last look, sorted."""
    texts = sorted(asked.text for asked in server.asked)
    server.asked.clear()
    return texts


def test_the_answers_are_columns_of_the_frame() -> None:
    """Own columns, index and attributes stay; a row without a text says why; the process stays as it was."""
    index = pd.MultiIndex.from_tuples([("x", 1), ("x", 1), ("y", 2)], names=["a", "b"])
    frame = pd.DataFrame({"text": ["one", None, "two"], "n": pd.array([1, None, 3], "Int64")}, index=index)
    frame.attrs["source"] = "here"
    before, copy = process_state(), frame.copy()
    with echo() as server:
        result = call(frame, server)
    assert process_state() == before
    pd.testing.assert_frame_equal(frame, copy)
    pd.testing.assert_frame_equal(result[["text", "n"]], copy)
    assert result.columns.tolist() == ["text", "n", *ADDED]
    assert result["response"].tolist() == ["re: one", pd.NA, "re: two"]
    assert result["status"].tolist() == ["answered", "invalid", "answered"]
    assert "`text` is null" in result["error"].iloc[1]
    types = {name: str(result[name].dtype) for name in ADDED}
    assert (types["response"], types["prompt_tokens"], types["cost_usd"]) == ("string", "Int64", "float64")
    assert result.attrs["source"] == "here"
    assert Path(result.attrs["batchchat"]["output"]).is_file()


def test_the_cache(cache: Path) -> None:
    """The same call pays nothing, new rows are paid for, moved and removed ones are not; another question is apart."""
    frame = pd.DataFrame({"text": [f"t{number}" for number in range(6)]})
    with echo() as server:
        call(frame.iloc[:4], server)
        assert len(sent(server)) == 4
        call(frame.iloc[:4], server, concurrency=3, max_cost=5, price={"input": 1, "output": 1})
        assert sent(server) == []
        result = call(frame.iloc[[5, 3, 0, 2, 1, 4]], server)
        assert sent(server) == ["t4", "t5"]
        assert result["response"].tolist() == [f"re: t{number}" for number in (5, 3, 0, 2, 1, 4)]
        assert result.index.tolist() == [5, 3, 0, 2, 1, 4]
        call(pd.DataFrame({"text": ["all", "new"]}), server)
        assert sent(server) == ["all", "new"]
        call(frame, server)
        assert sent(server) == []
        call(frame.iloc[:1], server, params={"max_tokens": 10})
        assert sent(server) == ["t0"]
    folders = sorted(cache.iterdir())
    assert len(folders) == 2
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (cache, *folders)} == {0o700}
    assert all(sorted(path.name for path in folder.iterdir()) == ["out.parquet", "out.run"] for folder in folders)


@pytest.mark.parametrize("keys", [{"prompt": "text"}, {"template": "{{ text }}"}, {"prompt": "text", "id": "key"}])
@pytest.mark.parametrize("more", [{}, {"samples": 2}, {"limit": 9}])
def test_moved_rows_keep_their_answers(keys: dict[str, Any], more: dict[str, Any]) -> None:
    """Each its own, where nothing is sent: in another order, without some, with equal rows and ones without a text."""
    texts = ["a", "b", None, "a", "refuse", "c"]
    frame = pd.DataFrame({"text": texts, "key": range(6)})
    with echo() as server:
        call(frame, server, **keys, **more)
        sent(server)
        for order in ([5, 4, 3, 2, 1, 0], [3, 1, 4], [2, 5, 0, 1, 3, 4], [0, 1, 2, 3, 4, 5]):
            result = call(frame.iloc[order], server, **keys, **more)
            repeats = 2 if "samples" in more else 1
            assert result.index.tolist() == [row for row in order for _ in range(repeats)]
            for text, response, status in zip(result["text"], result["response"], result["status"], strict=True):
                assert status == {"refuse": "failed"}.get(text, "answered" if isinstance(text, str) else "invalid")
                assert response == f"re: {text}" if status == "answered" else pd.isna(response)
        assert sent(server) == []


def test_rows_of_a_template_may_move() -> None:
    """A row that failed stays failed where another is put before it, and an answered one keeps its answer."""
    frame = pd.DataFrame({"who": ["Ann", "refuse", "Bob"], "unused": [object(), object(), object()]})
    with echo() as server:
        first = call(frame, server, template="Greet {{ who }}.")
        assert first["status"].tolist() == ["answered", "failed", "answered"]
        sent(server)
        more = pd.concat([pd.DataFrame({"who": ["Eve"]}), frame])
        second = call(more, server, template="Greet {{ who }}.")
        assert sent(server) == ["Greet Eve."]
        assert second["status"].tolist() == ["answered", "answered", "failed", "answered"]
        call(more, server, template="Greet {{ who }}.", resend="failed")
        assert sent(server) == ["Greet refuse."]


def test_rows_with_ids() -> None:
    """A row that asks something else under its id is sent again, or keeps its answer where that is wanted."""
    frame = pd.DataFrame({"text": ["a", "b"], "key": [10, 20]})
    with echo() as server:
        call(frame, server, id="key")
        frame.loc[1, "text"] = "c"
        sent(server)
        kept = call(frame, server, id="key", keep_changed=True)
        assert (sent(server), kept["response"].tolist()) == ([], ["re: a", "re: b"])
        assert call(frame, server, id="key")["response"].tolist() == ["re: a", "re: c"]
        assert sent(server) == ["c"]


def test_messages_of_many_shapes() -> None:
    """Lists of messages, tuples, text of JSON, parts beside text, and none."""
    parts = [{"role": "user", "content": [{"type": "text", "text": "parts"}]}]
    conversation = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "deep"}]
    cells = [conversation, parts, json.dumps(conversation[1:]), float("nan"), tuple(conversation)]
    frame = pd.DataFrame({0: cells})
    with echo() as server:
        result = call(frame, server, messages=0)
        bodies = [asked.body["messages"] for asked in server.asked]
    assert result["status"].tolist() == ["answered", "answered", "answered", "invalid", "answered"]
    assert parts in bodies
    assert bodies.count(conversation) == 2


def test_a_schema_gives_typed_columns() -> None:
    """Of a Pydantic model, also without a row."""
    frame = pd.DataFrame({"text": ["a", "b"]})
    keys: dict[str, Any] = {"model": "m", "endpoint": "mock", "prompt": "text", "expect": Verdict, "progress": "none"}
    result = chat_frame(frame, **keys)
    empty = chat_frame(frame.iloc[:0], **keys)
    assert result.columns.tolist() == empty.columns.tolist() == ["text", *ADDED, "label", "score", "sure"]
    assert [str(result[name].dtype) for name in ("label", "score", "sure")] == ["string", "Int64", "boolean"]
    assert result.dtypes.equals(empty.dtypes)
    assert result["score"].notna().all()


def test_samples_repeat_the_rows() -> None:
    """A row of the frame for each sample, with its index."""
    frame = pd.DataFrame({"text": ["a", "b"]}, index=["x", "y"])
    with echo() as server:
        result = call(frame, server, samples=2)
    assert result.index.tolist() == ["x", "x", "y", "y"]
    assert result["sample"].tolist() == [0, 1, 0, 1]
    assert result["response"].tolist() == ["re: a", "re: a", "re: b", "re: b"]


def test_a_limit_leaves_rows_without_an_answer() -> None:
    """They are in the result all the same."""
    frame = pd.DataFrame({"text": ["a", "b", "c"]}, index=[3, 2, 1])
    with echo() as server:
        result = call(frame, server, limit=1)
    assert result["status"].tolist() == ["answered", pd.NA, pd.NA]
    assert result.index.tolist() == [3, 2, 1]


def test_polars() -> None:
    """A frame of Polars gives one."""
    frame = pl.DataFrame({"text": ["a", None], "kind": ["x", "y"]}, schema_overrides={"kind": pl.Categorical})
    with echo() as server:
        result = call(frame, server, template="{{ kind }}: {{ text or 'nothing' }}", samples=2)
    assert isinstance(result, pl.DataFrame)
    assert result["response"].to_list() == ["re: x: a", "re: x: a", "re: y: nothing", "re: y: nothing"]
    assert result.schema["prompt_tokens"] == pl.Int64


@pytest.mark.parametrize(
    ("keys", "kind", "words"),
    [
        ({"template": "{{ text }}", "prompt": "text"}, UsageError, "not template and prompt"),
        ({"prompt": None}, UsageError, "not none of them"),
        ({"prompt": "txt"}, UsageError, "no column `txt`.*Did you mean `text`"),
        ({"template": "{{ txet }}"}, UsageError, "no column `txet`.*Did you mean `text`"),
        ({"id": "nokey"}, UsageError, "id: the frame has no column `nokey`"),
        ({"template": "{{ mixed }}"}, UsageError, r"column `mixed` can't be sent.*frame\['mixed'\].astype\(str\)"),
        ({"template": "{{ twice }}"}, UsageError, "2 columns called `twice`"),
        ({"prefix": "x_"}, UsageError, "`x_status`.*prefix='llm_'"),
        ({"concurency": 3}, JobError, "concurrency"),
        ({"input": "rows.jsonl"}, UsageError, "the frame is the input"),
        ({"input": {"path": "rows.jsonl"}}, UsageError, "input.path"),
        ({"progress": "loud"}, UsageError, "takes auto, bar"),
        ({"prompt": "none"}, InputError, "frame.parquet:1"),
    ],
)
def test_what_is_refused(keys: dict[str, Any], kind: type[Exception], words: str, cache: Path) -> None:
    """Before anything is sent, with the way out, and without a rest in the cache."""
    frame = pd.DataFrame([["a", 1, 1, 2, "s", None], ["b", "z", 1, 2, "s", None]])
    frame.columns = pd.Index(["text", "mixed", "twice", "twice", "x_status", "none"])
    with echo() as server, pytest.raises(kind, match=words):
        call(frame, server, **keys)
    assert server.asked == []
    assert not list(cache.glob("*/.batchchat-frame-*"))


def test_a_result_is_not_asked_about_again() -> None:
    """`frame = chat_frame(frame, ...)` run twice is refused with the ways out; a prefix is one of them."""
    frame = pd.DataFrame({"text": ["a"]})
    with echo() as server:
        frame = call(frame, server)
        with pytest.raises(UsageError, match=r"`response`.*prefix='llm_'"):
            call(frame, server)
        assert call(frame, server, prefix="llm_")["llm_response"].tolist() == ["re: a"]
        assert len(server.asked) == 1


def test_what_is_no_frame() -> None:
    """It says what it takes."""
    with pytest.raises(TypeError, match=r"pandas.DataFrame or a polars.DataFrame, not builtins.list"):
        chat_frame([{"text": "a"}], model="m", prompt="text")


def test_a_run_that_is_stopped() -> None:
    """The error says where what is finished is, and the same call goes on."""
    frame = pd.DataFrame({"text": [f"t{number}" for number in range(30)]})
    is_valid = False

    def answer(asked: Asked) -> bytes:
        return ok("Fine.") if is_valid or asked.number <= 4 else error(401, "the key is wrong")

    with endpoint(answer) as server:
        kept = r"The same call .*picks up where it stopped\.\nThe finished rows are kept in .*out\.parquet"
        with pytest.raises(EndpointError, match=kept):
            call(frame, server, concurrency=1)
        is_valid = True
        before = len(server.asked)
        assert call(frame, server, concurrency=1)["status"].eq("answered").all()
        assert len(server.asked) - before == 26


def test_a_budget_that_is_used_up(tmp_path: Path) -> None:
    """`BudgetError`, with the output that was named."""
    frame = pd.DataFrame({"text": [f"t{number}" for number in range(30)]})
    with echo() as server, pytest.raises(BudgetError, match=r"mine\.parquet"):
        call(frame, server, max_cost=0.0001, price={"input": 5, "output": 5}, output=tmp_path / "new" / "mine.parquet")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["mine.parquet", "mine.run"]


def test_two_at_once() -> None:
    """In threads with settings of their own; the same call twice is refused, with the way out."""
    frames = [pd.DataFrame({"text": [f"{name}{number}" for number in range(5)]}) for name in "ab"]
    with endpoint(lambda asked: [0.3, ok(f"re: {asked.text}")]) as server, ThreadPoolExecutor() as pool:
        futures = [pool.submit(call, frame, server, concurrency=2, system=f"s{at}") for at, frame in enumerate(frames)]
        results = [future.result() for future in futures]
        for frame, result in zip(frames, results, strict=True):
            assert result["response"].tolist() == [f"re: {text}" for text in frame["text"]]
        first = pool.submit(call, pd.DataFrame({"text": [f"c{number}" for number in range(4)]}), server)
        while not any(asked.text == "c0" for asked in server.asked):
            time.sleep(0.01)
        with pytest.raises(OutputError, match=r"is in use by pid .*\n.*\nPass output='FILE.parquet'"):
            call(frames[0], server)
        assert first.result()["status"].eq("answered").all()


def test_in_a_running_loop() -> None:
    """As in a notebook."""

    async def cell() -> pd.DataFrame:
        result: pd.DataFrame = call(pd.DataFrame({"text": ["a"]}), server)
        return result

    with echo() as server:
        assert asyncio.run(cell())["response"].tolist() == ["re: a"]


def test_secrets_are_not_in_the_cache(cache: Path) -> None:
    """A header's value is in no file and in no name; another value is the same question."""
    frame = pd.DataFrame({"text": ["a"]})
    with echo() as server:
        for value in ("hidden-one", "hidden-two"):
            call(frame, server, endpoint={"base_url": server.url, "headers": {"X-Key": value}})
        assert len(server.asked) == 1
    files = [path for path in cache.rglob("*") if path.is_file()]
    assert files
    assert not any(b"hidden" in path.read_bytes() for path in files)


def test_a_cache_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way out is an output."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with echo() as server, pytest.raises(OutputError, match=r"output='FILE.parquet'"):
        call(pd.DataFrame({"text": ["a"]}), server)


SCRIPT = """
import sys, pandas as pd, batchchat
frame = pd.DataFrame({"text": [f"Say {number}." for number in range(int(sys.argv[2]))]})
result = batchchat.chat_frame(frame, model="m", prompt="text", endpoint=sys.argv[1], concurrency=4, progress="none")
print(result["status"].eq("answered").sum())
"""


@pytest.mark.field
def test_an_interrupted_call_pays_only_for_what_was_in_flight() -> None:
    """Ctrl-C lets what is in flight finish; the same call sends the others only."""
    with mock_thread(latency_s=0.1) as mock:
        command = [sys.executable, "-c", SCRIPT, mock.url, "24"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while mock.stats()["billed_rows"] < 8:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=PATIENCE_S)
        assert stderr.rstrip().endswith("KeyboardInterrupt")
        assert mock.stats()["billed_rows"] < 24
        again = subprocess.run(command, capture_output=True, text=True, check=True)
        stats = mock.stats()
    assert again.stdout.strip() == "24"
    assert (stats["billed_rows"], stats["billed_twice"]) == (24, 0)
