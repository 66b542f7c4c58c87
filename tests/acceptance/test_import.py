"""`batchchat import`: a provider's batch output is taken in as the answers of a job, and none is lost or paid twice."""

from __future__ import annotations

import gzip
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.job import Job, conversation, rows, until
from tests.acceptance.servers import http
from tests.field.endpoint import Asked, endpoint, error, ok

NOT_IN_A_BATCH = {"latency_s", "wait_s", "started_at", "finished_at", "attempts", "possibly_billed_attempts"}
"""Columns about how a row was sent, which a batch's file does not say."""


def reply(text: str, **fields: Any) -> dict[str, Any]:
    """A chat completion, as OpenAI's batches have it: without a cost."""
    return {
        "id": f"chatcmpl-{text}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "m-0001",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30},
        **fields,
    }


def line(custom_id: Any, body: Any, status: int = 200) -> dict[str, Any]:
    response = {"status_code": status, "request_id": "r", "body": body}
    return {"id": "batch_req_1", "custom_id": custom_id, "response": response, "error": None}


def write(path: Path, lines: list[Any]) -> None:
    text = "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def take_in(job: Job, name: str = "results.jsonl", *options: str) -> Any:
    return job.run("import", name, "--job", "job.yaml", *options)


PRICE = {"price__input": 1.0, "price__output": 2.0}


def test_what_was_run_is_exported_and_imported(job: Job) -> None:
    """openai-batch in, run, export, import: the same table, but for what a batch's file does not say."""
    inputs = [
        {"custom_id": f"r{n}", "method": "POST", "url": "/v1/chat/completions",
         "body": {"model": "m", "messages": conversation(f"Question {n}"), "temperature": n / 4}}
        for n in range(6)
    ]  # fmt: skip
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    messages = {
        "Question 1": {"role": "assistant", "content": None, "tool_calls": calls},
        "Question 2": {"role": "assistant", "content": None, "refusal": "I won't."},
        "Question 3": {"role": "assistant", "content": "Half", "reasoning_content": "Hm."},
    }

    def answer(asked: Asked) -> bytes:
        if asked.text == "Question 4":
            return error(400, "no such field")
        if asked.text == "Question 5" and asked.attempt == 1:
            return error(500, "once more")
        body = reply(f"To {asked.text}", service_tier="default")
        body["usage"] |= {"estimated_cost": 0.1 + asked.number / 7, "prompt_tokens_details": {"cached_tokens": 2}}
        if message := messages.get(asked.text):
            body["choices"][0] |= {"message": message, "finish_reason": "length"}
        return http(200, body)

    with endpoint(answer) as server:
        job.write(inputs, endpoint__base_url=server.url, input__id=None, retry__max_wait=0.01)
        assert job.run().code == 3
        before = job.table()
        assert job.run("export", "job.yaml", "--to", "openai-batch", "-o", "results.jsonl").code == 0
        job.write(output__path="again.parquet")
        ended = take_in(job)
        assert ended.code == 3, ended.err
        asked = len(server.asked)
        after = job.table(job.folder / "again.parquet")
        for old, new in zip(before, after, strict=True):
            compared = old.keys() - NOT_IN_A_BATCH
            assert {name: new[name] for name in compared} == {name: old[name] for name in compared}
        # The next run keeps them all: their requests are those that it would send.
        assert job.run().code == 3
        assert len(server.asked) == asked


def test_a_provider_s_file(job: Job) -> None:
    """Answers, failures and gaps are counted; what a batch was billed at is the job's price."""
    job.write(rows(6), endpoint__base_url="http://127.0.0.1:9/v1", **PRICE)
    write(
        job.folder / "results.jsonl.gz",
        [
            line("r0003", reply("three")),
            line("r0000", reply("zero")),
            line("r0000", reply("zero again")),
            line("r0001", {"error": {"message": "too long", "type": "invalid_request_error",
                                     "code": "context_length_exceeded"}}, 400),
            {"id": "b", "custom_id": "r0002", "response": None,
             "error": {"code": "batch_expired", "message": "This request could not be executed."}},
            line("nobody", reply("who?")),
            '{"custom_id": "r0004", "respon',
            line("r0004", reply("", choices=[])),
        ],
    )  # fmt: skip
    ended = take_in(job, "results.jsonl.gz")
    assert ended.code == 3
    notes = [text for text in ended.err.splitlines() if text.startswith("note ")]
    assert notes == [
        "note   results.jsonl.gz: 5 of 8 lines taken in (2 answered, 3 failed); 3 lines not taken in; 1 row of the job"
        " without a line there: `batchchat run` sends them",
        "note   1 line can't be read: results.jsonl.gz:7: the line is not JSON: unterminated string starting at column"
        " 24",
        'note   1 line not of a good row of the job: results.jsonl.gz:6: "nobody"',
        'note   1 line with a `custom_id` that stands before: results.jsonl.gz:3: "r0000", first at line 2',
    ]
    table = {row["id"]: row for row in job.table()}
    assert set(table) == {"r0000", "r0001", "r0002", "r0003", "r0004"}
    first = table["r0000"]
    assert (first["response"], first["cost_usd"], first["cost_source"]) == ("zero", 5e-05, "job")
    assert (first["latency_s"], first["wait_s"], first["started_at"]) == (None, None, None)
    assert first["finished_at"].timestamp() == 1_700_000_000
    kinds = {id_: (row["error_kind"], row["http_status"]) for id_, row in table.items() if row["status"] == "failed"}
    assert kinds == {"r0001": ("context_length", 400), "r0002": ("timeout", None), "r0004": ("bad_response", 200)}
    assert job.run("report", "job.yaml").code == 0
    assert job.run("report", "job.yaml", "--html", "page.html").code == 0


def test_what_is_left_is_sent_by_the_next_run(job: Job) -> None:
    """The rows that the file has not are sent, and those only; so are, where that is asked for, those it has failed."""
    write(
        job.folder / "results.jsonl", [line("r0000", reply("zero")), line("r0002", {"error": {"message": "no"}}, 500)]
    )
    with endpoint(lambda _: ok()) as server:
        job.write(rows(4), endpoint__base_url=server.url, **PRICE)
        ended = take_in(job)
        assert ended.code == 3
        assert "batchchat run job.yaml\n" in ended.out
        assert job.run().code == 3
        assert sorted(asked.text for asked in server.asked) == ["Question 1", "Question 3"]
        assert job.run("--retry-failed").code == 0
        assert [asked.text for asked in server.asked][2:] == ["Question 2"]
    assert [row["response"] for row in job.table()] == ["zero", "Fine.", "Fine.", "Fine."]


def test_once_more_changes_nothing(job: Job) -> None:
    """The same file again, or after a run: what there is stays, and no cost is counted twice."""
    write(job.folder / "results.jsonl", [line("r0000", reply("zero")), line("r0001", reply("", choices=[]))])
    with endpoint(lambda _: ok()) as server:
        job.write(rows(3), endpoint__base_url=server.url, **PRICE)
        assert take_in(job).code == 3
        first = job.table()
        again = take_in(job)
        assert again.code == 3
        assert "0 of 2 lines taken in; 2 rows kept as recorded before; 1 row of the job without" in again.err
        assert job.table() == first
        # A later file has an answer to the row that failed.
        write(job.folder / "results.jsonl", [line("r0000", reply("other")), line("r0001", reply("one"))])
        assert take_in(job).code == 0
        assert [row["response"] for row in job.table()] == ["zero", "one"]
        assert [row["attempts"] for row in job.table()] == [1, 2]
        assert job.run().code == 0
        assert [asked.text for asked in server.asked] == ["Question 2"]
        write(job.folder / "results.jsonl", [line("r0002", reply("late"))])
        assert take_in(job).code == 0
    assert [row["response"] for row in job.table()] == ["zero", "one", "Fine."]


def test_answers_without_a_known_cost_are_refused_first(job: Job) -> None:
    """The price that is known is of live requests, so it is asked for before anything is recorded."""
    job.write(rows(1), endpoint__base_url="https://api.openai.com/v1", model="gpt-4o-mini", endpoint__api_key_env="KEY")
    write(job.folder / "results.jsonl", [line("r0000", reply("zero"))])
    env = {"KEY": "sk-0123456789"}
    refused = job.run("import", "results.jsonl", "--job", "job.yaml", env=env)
    assert refused.code == 2
    assert refused.errors == [
        "error: results.jsonl: 1 response of 1 report no cost, and the known price of gpt-4o-mini is that of live"
        " requests; a batch costs less at many providers. Set `price: {input: ..., output: ...}` to what the batch was"
        " billed at, USD per million tokens, or take them in at an unknown cost with --yes."
    ]
    assert not job.run_folder.exists()
    assert job.run("import", "results.jsonl", "--job", "job.yaml", "--yes", env=env).code == 0
    assert (job.table()[0]["cost_usd"], job.table()[0]["cost_source"]) == (None, None)


def test_it_says_all_as_json(job: Job) -> None:
    """`--json` is the summary of a run, with the counts."""
    job.write(rows(2), endpoint__base_url="http://127.0.0.1:9/v1", **PRICE)
    write(job.folder / "results.jsonl", [line("r0000", reply("zero")), line("x", reply("x"))])
    ended = take_in(job, "results.jsonl", "--json")
    summary = json.loads(ended.out)
    assert (ended.code, summary["exit_code"]) == (3, 3)
    assert summary["rows"] == {"total": 2, "answered": 1, "failed": 0, "invalid": 0, "left": 1, "cut_off": 0,
                               "undecided": 0}  # fmt: skip
    assert summary["imported"] == {
        "file": "results.jsonl", "lines": 2, "answered": 1, "failed": 0, "kept": 0, "unfinished": 0, "unknown": 1,
        "repeated": 0, "malformed": 0, "missing": 1,
    }  # fmt: skip


def test_a_cap_that_is_reached_refuses_no_answer_that_was_paid(job: Job) -> None:
    """What is imported counts against `budget.max_cost`, whatever it comes to; the next run sends nothing more."""
    job.write(
        rows(3), endpoint__base_url="http://127.0.0.1:9/v1", budget__max_cost=1e-05, params={"max_tokens": 9}, **PRICE
    )
    write(job.folder / "results.jsonl", [line("r0000", reply("zero")), line("r0001", reply("one"))])
    assert take_in(job).code == 0
    assert [row["response"] for row in job.table()] == ["zero", "one"]
    assert job.run().code == 4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([{"custom_id": "r0000", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": []}}],
         "results.jsonl is a batch's input file: its lines have a `body` and no `response`."),
        ([], "no response can be read: results.jsonl has no lines."),
        (["{"], "no response can be read: results.jsonl:1: the line is not JSON"),
        ([{"id": "a", "messages": []}], "results.jsonl:1: neither `response` nor `error`."),
        ([{"response": {"body": {}}}], "results.jsonl:1: `custom_id` is missing."),
        ([line(1.5, {})], "results.jsonl:1: `custom_id` is 1.5, a number. It takes text or a whole number."),
        ([line("a", {}, 99)], "results.jsonl:1: `response.status_code` is 99, a number. It takes an HTTP status."),
        ([line("a", None)], "results.jsonl:1: `response.body` is missing."),
        ([{"custom_id": "a", "response": "x"}], 'results.jsonl:1: `response` is "x", text.'),
        ([{"custom_id": "a", "response": None, "error": None}], "results.jsonl:1: `response` and `error` are both"),
    ],
)  # fmt: skip
def test_a_file_without_a_response_is_refused(job: Job, content: list[Any], words: str) -> None:
    """With its line and what is wrong there; nothing is written."""
    job.write(rows(1), endpoint__base_url="http://127.0.0.1:9/v1", **PRICE)
    write(job.folder / "results.jsonl", content)
    refused = take_in(job)
    assert refused.code == 2
    assert words in refused.err
    assert not job.run_folder.exists()


@pytest.mark.field
def test_killed_in_the_middle(job: Job) -> None:
    """What was recorded stays, and the same command takes in the others."""
    count = 3_000
    job.write(rows(count), endpoint__base_url="http://127.0.0.1:9/v1", **PRICE)
    write(job.folder / "results.jsonl", [line(f"r{n:04}", reply(f"{n}")) for n in reversed(range(count))])
    running = job.start("import", "results.jsonl", "--job", "job.yaml")
    until(lambda: job.acknowledged() > 100)
    running.signal(signal.SIGKILL)
    running.end()
    recorded = len([record for record in job.journal() if record["kind"] == "row"])
    assert recorded
    ended = take_in(job)
    assert ended.code == 0
    assert [row["response"] for row in job.table()] == [str(n) for n in range(count)]
    ids = [record["id"] for record in job.journal() if record["kind"] == "row"]
    assert len(ids) == len(set(ids)) == count


def test_conversations_of_turns_are_left_to_the_run(job: Job) -> None:
    """Which turn a response answers, the file does not say: it is named, and nothing is recorded."""
    with endpoint(lambda asked: ok(f"To {asked.text}")) as server:
        job.write([{"id": "a", "turns": ["One", "Two"]}], endpoint__base_url=server.url, input__format="turns", **PRICE)
        write(job.folder / "results.jsonl", [line("a", reply("zero"))])
        ended = take_in(job)
        assert ended.code == 3
        assert 'note   1 line of a row that takes more than one request: "a"\n' in ended.err
        assert job.run().code == 0
        assert job.run("export", "job.yaml", "--to", "openai-batch", "-o", "again.jsonl").code == 0
    (exported,) = [json.loads(text) for text in (job.folder / "again.jsonl").read_text().splitlines()]
    assert exported["response"]["body"]["choices"][0]["message"]["content"] == "To Two"
    assert [message["content"] for message in job.table()[0]["messages"]] == ["One", "To One", "Two", "To Two"]
    for form in ("chat", "sharegpt"):
        assert job.run("export", "job.yaml", "--to", form, "-o", f"{form}.jsonl").code == 0
        (text,) = (job.folder / f"{form}.jsonl").read_text().splitlines()
        assert [words in text for words in ("One", "To One", "Two", "To Two")] == [True] * 4


def test_samples_and_variants(job: Job) -> None:
    """Each is a line of its own, and comes back as itself; rows with equal requests each have their own answer."""
    with endpoint(lambda asked: ok(f"{asked.body['model']} {asked.number}")) as server:
        job.write(
            [*rows(2), {"id": "again", "messages": conversation("Question 0")}],
            endpoint__base_url=server.url, samples=2, matrix={"model": ["a", "b#[c"]}, dedupe=False,
        )  # fmt: skip
        assert job.run().code == 0
        before = job.table()
        assert job.run("export", "job.yaml", "--to", "openai-batch", "-o", "results.jsonl").code == 0
        job.write(output__path="again.parquet", dedupe=True)
        assert take_in(job).code == 0
        after = job.table(job.folder / "again.parquet")
        assert len(server.asked) == 12
        assert job.run().code == 0
        assert len(server.asked) == 12
    compared = before[0].keys() - NOT_IN_A_BATCH
    assert len({(row["id"], row["variant"], row["sample"]) for row in after}) == 12
    assert [{name: row[name] for name in compared} for row in after] == [
        {name: row[name] for name in compared} for row in before
    ]


def test_a_shared_answer_is_paid_once_in_an_export(job: Job) -> None:
    """What a row shared costs nothing there either."""
    with endpoint(lambda _: ok()) as server:
        job.write(
            [{"id": id_, "messages": conversation("Same")} for id_ in "ab"], endpoint__base_url=server.url, dedupe=True
        )
        assert job.run().code == 0
        assert job.run("export", "job.yaml", "--to", "openai-batch", "-o", "results.jsonl").code == 0
        job.write(output__path="again.parquet")
        assert take_in(job).code == 0
    costs = [[row["cost_usd"] for row in job.table(path)] for path in (job.output, job.folder / "again.parquet")]
    assert costs[0] == costs[1] == [costs[0][0], 0.0]


def test_an_answer_that_does_not_fit_is_asked_about_by_the_run(job: Job) -> None:
    """It was paid for and is kept; imported again it is not paid for twice, and the run asks once more."""
    schema = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}
    expect = {"json_schema": schema, "re_ask": 1, "response_format": "none"}
    with endpoint(lambda _: ok('{"score": 5}')) as server:
        job.write(rows(2), endpoint__base_url=server.url, expect=expect, **PRICE)
        write(
            job.folder / "results.jsonl", [line("r0000", reply('{"score": 4}')), line("r0001", reply('{"score": "x"}'))]
        )
        for _ in range(2):
            ended = take_in(job)
            assert ended.code == 3
            assert 'note   1 line of a row that takes more than one request: "r0001"\n' in ended.err
        steps = [record for record in job.journal() if record["kind"] == "step" and record["cost_usd"]]
        assert len(steps) == 1
        assert job.run().code == 0
        assert len(server.asked) == 1
    assert [json.loads(row["parsed"]) for row in job.table()] == [{"score": 4}, {"score": 5}]
    assert job.table()[1]["attempts"] == 2
