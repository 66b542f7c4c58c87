"""Jobs that expect JSON of a schema: what is asked, what is read, what is asked for again, and what it costs."""

from __future__ import annotations

import json
import shutil
import signal
from collections import Counter
from decimal import Decimal
from typing import Any

import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator

from batchchat.mock import Fault
from tests.acceptance.job import Job, rows, until
from tests.acceptance.servers import mock_thread
from tests.field.endpoint import Asked, End, Endpoint, Step, endpoint, error, ok

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"label": {"enum": ["good", "bad"]}, "score": {"type": "integer", "minimum": 0, "maximum": 10}},
    "required": ["label", "score"],
    "additionalProperties": False,
}
GOOD = {"label": "good", "score": 7}
COST_USD = 0.000123


def reply(text: str, finish_reason: str = "stop") -> bytes:
    """A reply that reports what it cost."""
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "estimated_cost": COST_USD}
    return ok(text, finish_reason=finish_reason, usage=usage)


def expecting(job: Job, server: Endpoint, count: int = 4, **keys: Any) -> None:
    """Write a job of `count` rows at `server` that expects `SCHEMA`."""
    job.write(rows(count), **{"endpoint__base_url": server.url, "expect__json_schema": SCHEMA, **keys})


def question(asked: Asked) -> str:
    """What the user asked, whatever was added."""
    (first, *_) = (message for message in asked.body["messages"] if message["role"] == "user")
    return str(first["content"]).split("\n\n")[0]


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        (json.dumps(GOOD), False),
        (f"```json\n{json.dumps(GOOD)}\n```", True),
        (f"Sure, as [1] has it: {json.dumps(GOOD)} Anything else?", True),
        ('{"label": "good", "score": 7,}', True),
    ],
)
def test_a_reply_that_fits_is_parsed(job: Job, text: str, repaired: bool) -> None:
    """Exact, fenced, within prose: the row is answered, its reply kept as it came."""
    with endpoint(lambda _: reply(text)) as server:
        expecting(job, server)
        ended = job.run()
        formats = [asked.body["response_format"] for asked in server.asked]
    assert ended.code == 0, ended.err
    assert formats == [{"type": "json_schema", "json_schema": {"name": "reply", "schema": SCHEMA, "strict": True}}] * 4
    for row in job.table():
        assert row["status"] == "answered"
        assert (json.loads(row["parsed"]), row["parse_repaired"], row["re_asks"]) == (GOOD, repaired, 0)
        assert row["response"] == text
        assert row["messages"][-1] == {"role": "assistant", "content": text}


def test_a_reply_that_does_not_fit_is_asked_for_again(job: Job) -> None:
    """With the validator's words; both requests are paid, and the output has the question and the last reply."""
    bad = '{"label": "good", "score": 11}'

    def answer(asked: Asked) -> bytes:
        return reply(bad if len(asked.body["messages"]) == 1 else json.dumps(GOOD))

    with endpoint(answer) as server:
        expecting(job, server, expect__re_ask=2)
        ended = job.run()
        again = [asked.body["messages"] for asked in server.asked if len(asked.body["messages"]) > 1]
    assert ended.code == 0, ended.err
    assert len(again) == 4
    assert again[0][1] == {"role": "assistant", "content": bad}
    assert "- $.score: 11 is greater than the maximum of 10" in again[0][2]["content"]
    for row in job.table():
        assert (row["re_asks"], row["attempts"], row["cost_usd"]) == (1, 2, 2 * COST_USD)
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
    steps = [record for record in job.journal() if record["kind"] == "step"]
    assert [(step["why"], step["reply"]["text"], step["step"]) for step in steps] == [("accepted", bad, 0)] * 4


def test_what_never_fits_is_failed_with_its_reply(job: Job) -> None:
    """As `schema`, after so many requests as the job allows; the last reply is kept, and nothing was parsed."""
    with endpoint(lambda _: reply('{"label": "good"}')) as server:
        expecting(job, server, 2, expect__re_ask=2)
        ended = job.run()
        assert len(server.asked) == 6
    assert ended.code == 3
    for row in job.table():
        assert (row["status"], row["error_kind"], row["re_asks"], row["parsed"]) == ("failed", "schema", 2, None)
        assert row["error"] == "the reply does not fit the schema: $: 'score' is a required property"
        assert row["response"] == '{"label": "good"}'
        assert row["cost_usd"] == pytest.approx(3 * COST_USD, rel=1e-12)


def test_a_reply_that_is_cut_off_is_told_as_that(job: Job) -> None:
    """Not as bad JSON, and it is not asked for again: the same would come."""
    with endpoint(lambda _: reply('{"label": "good", "sc', finish_reason="length")) as server:
        expecting(job, server, 2, expect__re_ask=3, params__max_tokens=512)
        ended = job.run()
        assert len(server.asked) == 2
    assert ended.code == 3
    assert {row["error"] for row in job.table()} == {
        "the reply was cut off at its token limit (512): raise `max_tokens`"
    }
    assert {(row["error_kind"], row["finish_reason"]) for row in job.table()} == {("schema", "length")}
    with endpoint(lambda _: reply(json.dumps(GOOD))) as server:
        expecting(job, server, 2, expect__re_ask=3, params__max_tokens=512)
        assert job.run("--resend", "schema").code == 0


def test_an_endpoint_that_refuses_the_format_is_asked_by_the_next(job: Job) -> None:
    """Told once; no row fails for it, nothing is paid for it, and later rows begin with what is accepted."""

    def answer(asked: Asked) -> bytes:
        form = asked.body.get("response_format", {}).get("type")
        if form is not None:
            return error(400, f"response_format type {form} is not supported")
        assert json.dumps(SCHEMA, separators=(",", ":")) in asked.body["messages"][0]["content"]
        return reply(json.dumps(GOOD))

    with endpoint(answer) as server:
        expecting(job, server, 40, concurrency=4)
        ended = job.run()
        forms = Counter(asked.body.get("response_format", {}).get("type") for asked in server.asked)
    assert ended.code == 0, ended.err
    assert forms[None] == 40
    assert 1 <= forms["json_schema"] <= 4
    assert 1 <= forms["json_object"] <= 8
    told = [line for line in ended.err.splitlines() if "is refused response_format" in line]
    assert len(told) == 2
    assert "m is refused response_format json_schema (response_format type json_schema is not supported)" in told[0]
    for row in job.table():
        assert row["messages"][0]["content"].startswith("Question ")
        assert (row["prompt_tokens"], row["total_tokens"]) == (10, 15)
        assert "JSON" not in row["messages"][0]["content"]
        assert row["cost_usd"] == COST_USD
    again = job.run()
    assert (again.code, "nothing to send" in again.out + again.err) == (0, True)


def test_a_format_that_is_set_is_not_replaced(job: Job) -> None:
    """Not for later rows either: they fail with the endpoint's words, and nothing is told of another format."""
    with endpoint(lambda _: error(400, "response_format json_schema is not supported")) as server:
        expecting(job, server, 3, expect__response_format="json_schema", concurrency=1)
        ended = job.run()
        assert [asked.body["response_format"]["type"] for asked in server.asked] == ["json_schema"] * 3
    assert (ended.code, "is refused response_format" in ended.err) == (3, False)
    assert {row["error"] for row in job.table()} == {"response_format json_schema is not supported"}


def asked_formats(server: Endpoint) -> Counter[str | None]:
    """How often each `response_format` was asked for."""
    return Counter(asked.body.get("response_format", {}).get("type") for asked in server.asked)


def test_each_of_several_endpoints_is_asked_by_what_it_takes(job: Job) -> None:
    """One refuses `json_schema`: it is asked by `json_object` from there on, and the other as before."""

    def refusing(asked: Asked) -> bytes:
        if (form := asked.body["response_format"]["type"]) == "json_schema":
            return error(400, f"response_format type {form} is not supported")
        assert json.dumps(SCHEMA, separators=(",", ":")) in asked.body["messages"][0]["content"]
        return reply(json.dumps(GOOD))

    with endpoint(refusing) as old, endpoint(lambda _: [0.005, reply(json.dumps(GOOD))]) as new:
        entries = [{"base_url": old.url, "name": "old"}, {"base_url": new.url, "name": "new"}]
        keys = {
            "expect__json_schema": SCHEMA,
            "concurrency": 4,
            "budget__max_cost": 1,
            "price": {"input": 1, "output": 1},
        }
        job.write(rows(80), endpoint__base_url=None, endpoints=entries, params__max_tokens=50, **keys)
        ended = job.run("--progress", "log")
        of_old, of_new = asked_formats(old), asked_formats(new)
    assert ended.code == 0, ended.err
    assert set(of_new) == {"json_schema"}
    assert 1 <= of_old.pop("json_schema") <= 4
    assert of_old == {"json_object": 80 - of_new["json_schema"]}
    assert min(of_old["json_object"], of_new["json_schema"]) > 10
    (line,) = [line for line in ended.err.splitlines() if "is refused response_format" in line]
    assert "old: m is refused response_format json_schema (" in line
    for row in job.table():
        assert row["messages"][0]["content"].startswith("Question ")
        assert "JSON" not in row["messages"][0]["content"]


def test_a_format_that_is_set_and_one_endpoint_refuses_is_asked_of_another(job: Job) -> None:
    """It can't be left out, so that the row goes where it is taken; the reason is kept."""
    refusal = error(400, "response_format json_schema is not supported")
    with endpoint(lambda _: refusal) as old, endpoint(lambda _: reply(json.dumps(GOOD))) as new:
        entries = [{"base_url": old.url, "name": "old"}, {"base_url": new.url, "name": "new"}]
        keys = {"expect__json_schema": SCHEMA, "expect__response_format": "json_schema", "concurrency": 4}
        job.write(rows(12), endpoint__base_url=None, endpoints=entries, **keys)
        ended = job.run("--progress", "log")
        refused = len(old.asked)
        assert set(asked_formats(old) + asked_formats(new)) == {"json_schema"}
    assert ended.code == 0, ended.err
    assert {row["endpoint"] for row in job.table()} == {"new"}
    steps = [record for record in job.journal() if record["kind"] == "step"]
    assert 0 < refused == len(steps)
    assert {(step["endpoint"], step["error"]) for step in steps} == {
        ("old", "response_format json_schema is not supported")
    }


def test_a_pattern_that_never_ends_fails_its_row(job: Job) -> None:
    """Within a fraction of a second, by name."""
    with endpoint(lambda _: reply("x" * 60 + "!")) as server:
        expecting(job, server, 2, expect__json_schema=None, expect__matches="(x|xx)+$")
        ended = job.run()
    assert ended.code == 3
    assert {(row["error_kind"], row["error"]) for row in job.table()} == {
        ("schema", "`expect.matches` took too long to search the reply: it may try the same text in ways without end")
    }


def test_text_that_does_not_match_is_asked_for_again(job: Job) -> None:
    """`matches` is searched for; without a schema nothing is parsed, and requests are as without `expect`."""

    def answer(asked: Asked) -> bytes:
        assert "response_format" not in asked.body
        return reply("Answer: 42" if len(asked.body["messages"]) > 1 else "Well...")

    with endpoint(answer) as server:
        expecting(job, server, 2, expect__json_schema=None, expect__matches=r"^Answer: \d+$", expect__re_ask=1)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert {(row["response"], row["parsed"], row["re_asks"]) for row in job.table()} == {("Answer: 42", None, 1)}


def test_the_sums_of_a_mixed_run_are_exact(job: Job) -> None:
    """Fenced, chatty, cut and wrong replies: every answered row is valid, and what was paid is what was charged."""
    texts = [
        json.dumps(GOOD),
        f"```json\n{json.dumps(GOOD)}\n```",
        f"Here: {json.dumps(GOOD)}",
        '{"label": "good", "sco',
        '{"label": "fine", "score": 7}',
    ]
    charged = Counter[str]()

    def answer(asked: Asked) -> bytes:
        charged["rows"] += 1
        return reply(texts[(int(question(asked).split()[-1]) + 2 * (len(asked.body["messages"]) // 2)) % len(texts)])

    with endpoint(answer) as server:
        expecting(job, server, 60, expect__re_ask=1)
        ended = job.run("--json")
    summary = json.loads(ended.out)
    table = job.table()
    check = Draft202012Validator(SCHEMA)
    for row in table:
        if row["status"] == "answered":
            assert check.is_valid(json.loads(row["parsed"]))
    assert Decimal(repr(summary["cost_usd"]["known"])) == charged["rows"] * Decimal(repr(COST_USD))
    assert sum(Decimal(repr(row["cost_usd"])) for row in table) == charged["rows"] * Decimal(repr(COST_USD))
    assert sum(row["re_asks"] for row in table) == charged["rows"] - 60
    assert summary["replies"] == {
        "repaired": sum(row["parse_repaired"] for row in table if row["status"] == "answered"),
        "re_asks": sum(row["re_asks"] for row in table),
    }


def test_properties_become_columns(job: Job) -> None:
    """Typed, before the carried ones, which give way; null for a row without an answer. Nothing is sent for them."""
    schema = {
        "type": "object",
        "properties": {
            "label": {"type": "string"},
            "score": {"type": ["integer", "null"]},
            "share": {"type": "number"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "any": {},
            "status": {"type": "boolean"},
        },
        "required": ["label"],
    }
    value = {"label": "good", "score": 1 << 70, "share": 1, "tags": ["a", "b"], "any": {"x": [1]}, "status": True}
    texts = [json.dumps(value), '{"label": "bad", "score": 3.0, "any": "text"}', '{"score": 3}']
    given = [{**row, "label": "theirs", "n": n} for n, row in enumerate(rows(3))]
    with endpoint(lambda asked: reply(texts[int(question(asked).split()[-1])])) as server:
        expecting(job, server, expect__json_schema=schema)
        job.write(given)
        assert job.run().code == 3
        assert "score" not in job.table()[0]
        job.write(expect__columns=True)
        assert job.run().code == 3
        assert len(server.asked) == 3
    names = ["label", "score", "share", "tags", "any", "parsed_status", "input_label", "n"]
    table = pq.read_table(job.output)
    assert table.schema.names[-len(names) :] == names
    types = ["string", "int64", "double", "list<element: string>", "string", "bool", "string", "int64"]
    assert [str(table.schema.field(name).type) for name in names] == types
    assert [[row[name] for name in names] for row in table.to_pylist()] == [
        ["good", None, 1.0, ["a", "b"], '{"x":[1]}', True, "theirs", 0],
        ["bad", 3, None, None, '"text"', None, "theirs", 1],
        [None, None, None, None, None, None, "theirs", 2],
    ]
    exported = job.run("export", "out.parquet", "-o", "from-output.jsonl")
    assert exported.code == 0, exported.err
    lines = [json.loads(line) for line in (job.folder / "from-output.jsonl").read_text().splitlines()]
    assert [line["label"] for line in lines] == ["good", "bad", None]
    report = job.run("report", "out.parquet", "--by", "label", "--json")
    assert {group["label"] for group in json.loads(report.out)["outputs"][0]["by"]} == {"good", "bad", None}
    shutil.rmtree(job.run_folder)
    report = job.run("report", "out.parquet", "--by", "parsed_status", "--json")
    assert {group["parsed_status"] for group in json.loads(report.out)["outputs"][0]["by"]} == {True, None}


def test_columns_are_read_from_the_journal_too(job: Job) -> None:
    """Where the output is gone, or older than the journal."""
    with endpoint(lambda _: reply(json.dumps(GOOD))) as server:
        expecting(job, server, expect__columns=True)
        assert job.run().code == 0
    job.output.unlink()
    assert job.run("export", "job.yaml", "-o", "rows.jsonl").code == 0
    lines = [json.loads(line) for line in (job.folder / "rows.jsonl").read_text().splitlines()]
    assert [(line["label"], line["score"]) for line in lines] == [("good", 7)] * 4


def test_a_kill_between_re_asks(job: Job) -> None:
    """What was replied before is in the journal: the resume begins with the re-ask, and nothing is paid twice."""
    killed = False

    def answer(asked: Asked) -> Step | list[Step]:
        if len(asked.body["messages"]) == 1:
            return reply("No.")
        return reply(json.dumps(GOOD)) if killed else End.HANG

    with endpoint(answer) as server:
        expecting(job, server, 3, expect__re_ask=1)
        running = job.start()
        until(lambda: sum(record.get("why") == "accepted" for record in job.journal()) == 3, "three replies on disk")
        until(lambda: len(server.asked) == 6, "three re-asks")
        running.signal(signal.SIGKILL)
        running.end()
        killed = True
        assert job.run().code == 0
    assert [len(asked.body["messages"]) for asked in server.asked[6:]] == [3, 3, 3]
    for row in job.table():
        assert (json.loads(row["parsed"]), row["re_asks"]) == (GOOD, 1)
        assert row["cost_usd"] == 2 * COST_USD
        assert row["prompt_tokens"] == 20


def test_of_several_turns_the_last_is_checked(job: Job) -> None:
    """The others are asked and answered as they are."""
    seen: list[bool] = []

    def answer(asked: Asked) -> bytes:
        is_last = any(message["content"] == "Two?" for message in asked.body["messages"])
        seen.append(("response_format" in asked.body) is is_last)
        if not is_last:
            return reply("In words.")
        return reply(json.dumps(GOOD) if asked.text != "Two?" else "No.")

    with endpoint(answer) as server:
        expecting(job, server, expect__re_ask=1)
        job.write([{"id": "a", "turns": ["One?", "Two?"]}], input__format="turns")
        ended = job.run()
    assert ended.code == 0, ended.err
    assert seen == [True] * 3
    (row,) = job.table()
    texts = [message["content"] for message in row["messages"]]
    assert texts == ["One?", "In words.", "Two?", json.dumps(GOOD)]
    assert (row["re_asks"], row["attempts"], row["cost_usd"]) == (1, 3, pytest.approx(3 * COST_USD, rel=1e-12))


def test_a_cap_counts_re_asks(job: Job) -> None:
    """The run stops at its cap in the midst of a row, and goes on there."""
    with endpoint(lambda asked: reply("No." if len(asked.body["messages"]) == 1 else json.dumps(GOOD))) as server:
        money = {"price": {"input": 1, "output": 1}, "params__max_tokens": 20}
        expecting(job, server, 40, expect__re_ask=1, budget__max_cost=0.004, concurrency=4, **money)
        ended = job.run()
        assert ended.code == 4
        assert len(server.asked) * Decimal(repr(COST_USD)) <= Decimal("0.004")
        sent = len(server.asked)
        job.write(budget__max_cost=1)
        assert job.run().code == 0
        assert len(server.asked) == 80 > sent
    assert sum(Decimal(repr(row["cost_usd"])) for row in job.table()) == 80 * Decimal(repr(COST_USD))


def test_an_estimate_counts_re_asks_in_its_worst_case(job: Job) -> None:
    """Where no reply ever fits, a run takes more than its rows times `max_tokens`, and no more than was said."""
    usage = {"prompt_tokens": 40, "completion_tokens": 20, "total_tokens": 60}
    with endpoint(lambda _: ok("No", usage=usage)) as server:
        money = {"price": {"input": 1, "output": 1}, "params__max_tokens": 20}
        job.write(rows(4), endpoint__base_url=server.url, expect__matches="Yes", expect__re_ask=2, **money)
        estimate = json.loads(job.run("estimate", "job.yaml", "--json").out)
        assert job.run().code == 3
    table = job.table()
    assert sum(row["completion_tokens"] for row in table) == estimate["completion_tokens"]["worst"] == 4 * 3 * 20
    assert sum(row["cost_usd"] for row in table) <= estimate["cost_usd"]["worst"]


def test_a_schema_that_no_reply_fits_stops_the_run(job: Job) -> None:
    """After as many rows as `retry.stop_after_failures` says: a night of failures is of no use."""
    with endpoint(lambda _: reply("No.")) as server:
        expecting(job, server, 60, concurrency=1, retry__stop_after_failures=5)
        ended = job.run()
        assert len(server.asked) == 5
    assert ended.code == 5
    alike = "the first 5 rows failed with the same error, schema: the reply has no JSON object or list in it."
    assert f"stopped: {alike} Fix the cause and continue with --retry-failed." in ended.err
    assert {row["error"] for row in job.table()} == {"the reply has no JSON object or list in it"}


def test_another_schema_is_another_request(job: Job) -> None:
    """Answers are kept until the user decides; the format and the number of re-asks change nothing."""
    with endpoint(lambda _: reply(json.dumps(GOOD))) as server:
        expecting(job, server, 2)
        assert job.run().code == 0
        job.write(expect__response_format="json_object", expect__re_ask=3)
        assert job.run().code == 0
        assert len(server.asked) == 2
        job.write(expect__json_schema={"type": "object"})
        ended = job.run()
        assert (ended.code, len(server.asked)) == (3, 2)
        assert "before their params or expect changed" in ended.err
        assert job.run("--resend", "changed").code == 0
        assert len(server.asked) == 4


@pytest.mark.parametrize("re_ask", [0, 2])
def test_bad_json_of_the_mock(job: Job, re_ask: int) -> None:
    """Fenced, chatty, cut and wrong JSON: every answered row is valid, and the cost is the server's own sum."""
    schema = {**SCHEMA, "properties": {**SCHEMA["properties"], "why": {"type": "string"}}, "required": ["label", "why"]}
    with mock_thread(seed=5, faults=(Fault("bad-json", 0.3),)) as mock:
        keys = {"endpoint__base_url": mock.url, "expect__json_schema": schema, "expect__re_ask": re_ask}
        job.write(rows(200), expect__columns=True, **keys)
        ended = job.run("--json")
        stats = mock.stats()
    table, summary = job.table(), json.loads(ended.out)
    check = Draft202012Validator(schema)
    answered = [row for row in table if row["status"] == "answered"]
    for row in answered:
        value = json.loads(row["parsed"])
        assert check.is_valid(value)
        assert (row["label"], row["score"], row["why"]) == (value["label"], value.get("score"), value["why"])
    failed = [row for row in table if row["status"] != "answered"]
    assert {row["error_kind"] for row in failed} <= {"schema"}
    assert all(row["response"] and row["parsed"] is None for row in failed)
    assert ended.code == (3 if failed else 0)
    repaired, re_asks = sum(row["parse_repaired"] for row in answered), sum(row["re_asks"] for row in table)
    assert summary["replies"] == {"repaired": repaired, "re_asks": re_asks}
    assert re_asks == stats["requests"] - 200
    cost_usd = sum((Decimal(repr(row["cost_usd"])) for row in table), Decimal(0))
    assert cost_usd == Decimal(stats["cost_usd"])
    assert Decimal(repr(summary["cost_usd"]["known"])) == cost_usd
    assert repaired
    assert len(failed) < (40 if re_ask == 0 else 10)
    assert bool(re_asks) is bool(re_ask)
    report = json.loads(job.run("report", "out.parquet", "--json").out)["outputs"][0]
    assert report["replies"] == summary["replies"]
