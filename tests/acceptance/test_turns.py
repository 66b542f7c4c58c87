"""Conversations of several turns: each turn is paid once, whatever ends the run, and a resume goes on at its turn."""

from __future__ import annotations

import json
import random
import re
import signal
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.acceptance.job import Ended, Job, Running, conversation, until
from tests.acceptance.servers import Mock, mock_thread
from tests.field.endpoint import Asked, End, Endpoint, Step, endpoint, error, ok

MT_BENCH = Path(__file__).parents[2] / "sample_data" / "mt_bench_questions.jsonl"
QUESTIONS = [json.loads(line) for line in MT_BENCH.read_text().splitlines()]
WIZARD = "microsoft/WizardLM-2-8x22B"
CONCURRENCY = 8


def said(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def replied(*texts: str) -> list[dict[str, Any]]:
    """A conversation of user and assistant in turns."""
    return [said("assistant" if n % 2 else "user", text) for n, text in enumerate(texts)]


def acknowledged(job: Job) -> dict[tuple[str, int], str]:
    """The response's id of each turn that the journal has by now: of the first one where there are several."""
    replies: dict[tuple[str, int], str] = {}
    for record in job.journal():
        if record["kind"] == "step" and record["why"] == "accepted":
            replies.setdefault((record["id"], record["step"]), record["reply"]["response_id"])
        elif record["kind"] == "row" and record["status"] == "answered":
            replies.setdefault((record["id"], 1), record["reply"]["response_id"])
    return replies


def outcome(row: dict[str, Any]) -> list[Any]:
    """What is the same however often a run was killed."""
    tokens = [row[f"{name}_tokens"] for name in ("prompt", "completion", "total")]
    return [row["id"], row["messages"], tokens, row["cost_usd"], row["attempts"]]


def paid_turns(job: Job) -> int:
    return sum(
        len(re.findall(rb'"kind":"row"|"why":"accepted"', path.read_bytes()))
        for path in job.run_folder.glob("journal-*.jsonl")
    )


def wait_for(job: Job, running: Running, goal: int) -> None:
    """Wait until the journal has `goal` turns, or the run is over."""
    until(lambda: paid_turns(job) >= goal or running.process.poll() is not None)


def held(job: Job) -> int:
    """How many requests the journal's last hold says may be billed and are not in it."""
    return next((int(record["requests"]) for record in reversed(job.journal()) if record["kind"] == "hold"), 0)


def run_with_kills(job: Job, mock: Mock, kills: int, seed: int, max_cost: float) -> tuple[Ended, dict[str, Any]]:
    """Play MT-Bench with so many SIGKILLs; the last run's end and the server's stats. Checks on the way."""
    moments = random.Random(seed)
    job.write(
        input__path=str(MT_BENCH),
        input__id=None,
        model=WIZARD,
        endpoint__base_url=mock.url,
        concurrency=CONCURRENCY,
        params={"max_tokens": 512, "temperature": 0},
        budget__max_cost=max_cost,
    )
    before: dict[tuple[str, int], str] = {}
    at_risk = 0
    for left in range(kills, 0, -1):
        goal = len(before) + moments.randint(0, (2 * len(QUESTIONS) - len(before)) // (left + 1))
        running = job.start()
        wait_for(job, running, goal)
        time.sleep(moments.random() * 0.05)
        running.process.kill()
        ended = running.end()
        now = acknowledged(job)
        assert before.items() <= now.items(), "an acknowledged reply changed or went"
        before = now
        if ended.code == -9:
            at_risk += held(job)
    ended = job.run()
    stats = mock.stats()
    assert stats["billed_twice"] <= at_risk
    assert Decimal(stats["cost_usd"]) <= Decimal(str(max_cost))
    return ended, stats


def check_whole(job: Job, stats: dict[str, Any]) -> None:
    """Every row is answered in full, and each of its turns is that of the first acknowledged reply."""
    table = {row["question_id"]: row for row in job.table()}
    assert list(table) == [question["question_id"] for question in QUESTIONS]
    assert stats["billed_rows"] == 2 * len(QUESTIONS)
    gone = stats["statuses"].get("client_gone", 0)  # with the process that was killed
    assert stats["requests"] - gone <= 2 * len(QUESTIONS) + stats["billed_twice"] <= stats["requests"]
    kept = acknowledged(job)
    rows = [record for record in job.journal() if record["kind"] == "row"]
    for question in QUESTIONS:
        row = table[question["question_id"]]
        assert row["status"] == "answered"
        assert [m["content"] for m in row["messages"] if m["role"] == "user"] == question["turns"]
        assert [m["role"] for m in row["messages"]] == ["user", "assistant"] * 2
        assert row["response_id"] == kept[row["id"], 1]
        assert row["attempts"] == 2
    steps = [record for record in job.journal() if record["kind"] == "step" and record["why"] == "accepted"]
    paid = sum(Decimal(repr(record["cost_usd"])) for record in rows)
    twice = {(step["id"], step["step"]) for step in steps}
    assert len(steps) == len(twice) == len(rows) == len(QUESTIONS), "a turn that was acknowledged was sent again"
    # All that the server charged is in the rows, but for what a kill kept us from hearing of.
    assert paid <= Decimal(stats["cost_usd"])


def test_mt_bench_killed_once(job: Job) -> None:
    """Killed at a random moment, no acknowledged turn is sent again, and the cap holds by the server's own sum."""
    with mock_thread(latency_s=0.02, latency_jitter_s=0.04) as mock:
        ended, stats = run_with_kills(job, mock, kills=1, seed=3, max_cost=0.5)
    assert ended.code == 0, ended.err
    check_whole(job, stats)


@pytest.mark.field
@pytest.mark.parametrize("seed", [1, 2])
def test_mt_bench_killed_ten_times(job: Job, seed: int) -> None:
    """The same with ten kills, at whatever turn the rows are; the rows are those of a run without one."""
    with mock_thread(latency_s=0.05, latency_jitter_s=0.1) as mock:
        ended, stats = run_with_kills(job, mock, kills=10, seed=seed, max_cost=0.5)
    assert ended.code == 0, ended.err
    check_whole(job, stats)
    killed = job.table()
    job.write(endpoint__base_url="mock", concurrency=100, budget__max_cost=None, output__path="unkilled.parquet")
    assert job.run().code == 0
    unkilled = job.table(job.folder / "unkilled.parquet")
    assert [outcome(row) for row in killed] == [outcome(row) for row in unkilled]


@pytest.mark.field
def test_a_cap_holds_over_turns_and_kills(job: Job) -> None:
    """A cap that the whole job does not fit in ends it, and is not exceeded, counted by the server.

    A higher one goes on where the rows were.
    """
    with mock_thread(latency_s=0.05, latency_jitter_s=0.1) as mock:
        ended, stats = run_with_kills(job, mock, kills=10, seed=7, max_cost=0.025)
        assert ended.code == 4, ended.err
        assert stats["billed_rows"] < 2 * len(QUESTIONS)
        ended = job.run("--max-cost", "0.5")
        assert ended.code == 0, ended.err
        check_whole(job, mock.stats())


def play(job: Job, server: Endpoint, rows: list[Any], *arguments: str, **keys: Any) -> Ended:
    """Write and run a job of `rows` at `server`."""
    given = {"retry__max_attempts": 1, "params": {"temperature": 0}, **keys}
    job.write(rows, endpoint__base_url=server.url, **given)
    return job.run(*arguments)


def numbered(asked: Asked) -> Step | list[Step]:
    """A reply that no other request gets, with a usage of its own."""
    turn = (len(asked.body["messages"]) + 1) // 2
    usage = {"prompt_tokens": 10 * turn, "completion_tokens": turn, "total_tokens": 11 * turn, "estimated_cost": 0.001}
    return ok(f"Reply {asked.number}.", usage=usage)


def test_each_request_is_the_one_before_with_its_reply_and_the_next_question(job: Job) -> None:
    """The body of the second is that of the first, plus reply, plus question; whatever else is in it is the same."""
    with endpoint(numbered) as server:
        ended = play(
            job, server, [], system="Be brief.", params={"temperature": 0.5, "stop": ["###"]},
            input__path=str(MT_BENCH), input__id=None,
        )  # fmt: skip
    assert ended.code == 0, ended.err
    replies = {json.dumps(asked.body): f"Reply {asked.number}." for asked in server.asked}
    bodies = {(asked.body["messages"][1]["content"], len(asked.body["messages"])): asked.body for asked in server.asked}
    assert len(bodies) == len(server.asked) == 160
    for question in QUESTIONS:
        first, last = question["turns"]
        body, next_body = bodies[first, 2], bodies[first, 4]
        assert body["messages"] == [said("system", "Be brief."), said("user", first)]
        behind = [said("assistant", replies[json.dumps(body)]), said("user", last)]
        assert next_body == {**body, "messages": [*body["messages"], *behind]}


def test_a_row_has_the_whole_conversation_and_the_sum_of_its_requests(job: Job) -> None:
    """Usage, cost and attempts are those of all turns; the reply's own columns are the last turn's."""
    with endpoint(numbered) as server:
        ended = play(job, server, [{"id": "a", "turns": ["One?", "Two?", "Three?"], "topic": "x"}])
    assert ended.code == 0, ended.err
    (row,) = job.table()
    assert row["messages"] == replied("One?", "Reply 1.", "Two?", "Reply 2.", "Three?", "Reply 3.")
    assert (row["response"], row["topic"], row["attempts"]) == ("Reply 3.", "x", 3)
    assert (row["prompt_tokens"], row["completion_tokens"], row["total_tokens"]) == (60, 6, 66)
    assert row["cost_usd"] == 0.003


def test_a_failure_says_at_which_turn_and_a_resend_goes_on_there(job: Job) -> None:
    """What was answered before is kept and not paid again; the inner reason is in the words."""
    broken = True

    def answer(asked: Asked) -> Step | list[Step]:
        if asked.text == "Two?" and broken:
            return error(400, "No such thing.")
        return numbered(asked)

    rows = [{"id": "a", "turns": ["One?", "Two?", "Three?"]}, {"id": "b", "turns": ["Four?", "Five?"]}]
    with endpoint(answer) as server:
        ended = play(job, server, rows)
        assert ended.code == 3
        failed, answered = job.table()
        assert answered["status"] == "answered"
        assert (failed["status"], failed["error_kind"], failed["http_status"]) == ("failed", "turn_failed", 400)
        assert failed["error"] == "turn 2 of 3: bad_request: No such thing."
        reply = next(message["content"] for message in failed["messages"] if message["role"] == "assistant")
        assert failed["messages"] == replied("One?", reply, "Two?")
        assert (failed["prompt_tokens"], failed["cost_usd"], failed["attempts"]) == (10, 0.001, 2)
        sent_before, broken = len(server.asked), False
        assert job.run("--resend", "turn_failed").code == 0
    assert [asked.text for asked in server.asked[sent_before:]] == ["Two?", "Three?"]
    row = job.table()[0]
    assert [m["content"] for m in row["messages"]][:3] == ["One?", reply, "Two?"]
    assert (row["prompt_tokens"], row["cost_usd"], row["attempts"], row["status"]) == (60, 0.003, 4, "answered")


def test_a_resend_that_is_killed_goes_on_at_its_turn(job: Job) -> None:
    """What the resend has paid for stands behind what the failed row had."""
    fails = {"Two?"}

    def answer(asked: Asked) -> Step | list[Step]:
        if asked.text in fails:
            return error(400, "No.")
        return End.HANG if asked.text in hangs else numbered(asked)

    hangs: set[str] = set()
    with endpoint(answer) as server:
        assert play(job, server, [{"id": "a", "turns": ["One?", "Two?", "Three?"]}]).code == 3
        fails, hangs = set(), {"Three?"}
        running = job.start("--resend", "failed")
        until(lambda: len(server.asked) == 4)
        until(lambda: paid_turns(job) == 3)
        running.process.kill()
        running.end()
        hangs = set()
        assert job.run("--resend", "failed").code == 0
    assert [asked.text for asked in server.asked] == ["One?", "Two?", "Two?", "Three?", "Three?"]
    (row,) = job.table()
    assert row["messages"] == replied("One?", "Reply 1.", "Two?", "Reply 3.", "Three?", "Reply 5.")
    assert (row["prompt_tokens"], row["completion_tokens"], row["cost_usd"]) == (60, 6, 0.003)


def test_a_journal_that_ends_anywhere_is_gone_on_from(job: Job) -> None:
    """Cut behind any of its records, it has some turns, and a resume sends the others; the rows come out the same."""
    rows = [{"id": "a", "turns": ["A1", "A2", "A3"]}, {"id": "b", "turns": ["B1", "B2"]}]

    def answer(asked: Asked) -> Step | list[Step]:
        return ok(f"To {asked.text}.", usage={"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10})

    with endpoint(answer) as server:
        assert play(job, server, rows, concurrency=2, price={"input": 1, "output": 1}).code == 0
        whole = job.table()
        lines = job.journal_file.read_bytes().splitlines(keepends=True)
        turns = {text: f'"To {text}."' for row in rows for text in row["turns"]}
        for end in range(1, len(lines)):
            job.output.unlink()
            job.journal_file.write_bytes(b"".join(lines[:end]))
            journal, sent_before = b"".join(lines[:end]).decode(), len(server.asked)
            left = sorted(text for text, reply in turns.items() if reply not in journal)
            assert job.run().code == 0
            assert sorted(asked.text for asked in server.asked[sent_before:]) == left
            assert [outcome(row) for row in job.table()] == [outcome(row) for row in whole]


def test_a_signal_lets_the_turn_in_flight_end(job: Job) -> None:
    """The next turn is not sent; the next run sends it."""
    asked_first = threading.Event()

    def answer(asked: Asked) -> Step | list[Step]:
        asked_first.set()
        return [0.3, ok("Fine.")] if asked.text == "One?" else ok("Fine.")

    with endpoint(answer) as server:
        job.write([{"id": "a", "turns": ["One?", "Two?"]}], endpoint__base_url=server.url)
        running = job.start()
        assert asked_first.wait(60)
        running.signal(signal.SIGTERM)
        assert running.end().code == 143
        assert [asked.text for asked in server.asked] == ["One?"]
        assert job.run().code == 0
    assert [asked.text for asked in server.asked] == ["One?", "Two?"]


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (
            {"content": None, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"}}]},
            "the reply has tool calls, which need their results before the next turn can be sent",
        ),
        (
            {"content": [{"type": "image_url", "image_url": {"url": "data:"}}]},
            "the reply has parts that are not text, which can't be sent back with the next turn",
        ),
    ],
)
def test_a_reply_that_cannot_be_sent_back_ends_the_row(job: Job, message: dict[str, Any], why: str) -> None:
    """It is kept as the reply of a failed row, and asked for again by a resend."""
    with endpoint(lambda _: ok(message={"role": "assistant", **message})) as server:
        assert play(job, server, [{"id": "a", "turns": ["One?", "Two?"]}]).code == 3
        (row,) = job.table()
        assert (row["error_kind"], row["error"]) == ("turn_failed", f"turn 1 of 2: {why}")
        assert job.run("--resend", "failed").code == 3
    assert [asked.text for asked in server.asked] == ["One?", "One?"]


def test_rows_that_all_fail_at_a_turn_stop_the_run(job: Job) -> None:
    """In the words of the rows, whether an endpoint refused the turn or its reply can't be sent back."""
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {}}]}
    rows = [{"id": str(n), "turns": [f"One {n}?", "Two?"]} for n in range(9)]
    keys = {"retry__stop_after_failures": 3, "concurrency": 1}
    with endpoint(lambda asked: error(422, "No.") if asked.text == "Two?" else ok()) as server:
        ended = play(job, server, rows, **keys)
        assert ended.code == 5
        assert "the first 3 rows failed with the same error, turn_failed: turn 2 of 2: bad_request: No." in ended.err
        server.answer = lambda _: ok(message=call)
        ended = play(job, server, rows, output__path="calls.parquet", **keys)
        assert ended.code == 5
        assert "the first 3 rows failed with the same error, turn_failed: turn 1 of 2: the reply has tool" in ended.err


def test_reasoning_is_not_sent_back_and_a_refusal_is_as_text(job: Job) -> None:
    """The assistant's message is what an endpoint takes: role and content."""
    refusal = {"role": "assistant", "content": None, "refusal": "I won't."}
    messages = {"One?": {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}, "Two?": refusal}
    with endpoint(lambda asked: ok(message=messages.get(asked.text, said("assistant", "Fine.")))) as server:
        assert play(job, server, [{"id": "a", "turns": ["One?", "Two?", "Three?"]}]).code == 0
    assert server.asked[-1].body["messages"] == replied("One?", "Yes.", "Two?", "I won't.", "Three?")


def test_a_conversation_goes_on_behind_a_refusal_without_text(job: Job) -> None:
    """By a resend of the row that failed at the next turn, and by the run after a kill: it is not paid again."""
    broken = True

    def answer(asked: Asked) -> Step | list[Step]:
        if asked.text == "Two?":
            return error(400, "No.") if broken else ok("Fine.")
        return ok(message={"role": "assistant", "content": None, "refusal": "I won't."})

    with endpoint(answer) as server:
        assert play(job, server, [{"id": "a", "turns": ["One?", "Two?"]}]).code == 3
        records = job.journal_file.read_bytes().splitlines(keepends=True)
        broken = False
        assert job.run("--resend", "failed").code == 0
        whole = job.table()
        until_refusal = next(n for n, line in enumerate(records, 1) if b'"why":"accepted"' in line)
        job.output.unlink()
        job.journal_file.write_bytes(b"".join(records[:until_refusal]))
        assert job.run().code == 0
    assert [asked.text for asked in server.asked] == ["One?", "Two?", "Two?", "Two?"]
    assert [row["messages"] for row in [*whole, *job.table()]] == [replied("One?", "I won't.", "Two?", "Fine.")] * 2


def test_a_cut_off_turn_marks_the_row(job: Job) -> None:
    """The conversation goes on, and the row counts as cut off wherever that matters: it has an answer that is."""

    def answer(asked: Asked) -> Step | list[Step]:
        return ok("Half", finish_reason="length") if asked.attempt == 1 and asked.text == "One?" else ok("Whole.")

    with endpoint(answer) as server:
        ended = play(job, server, [{"id": "a", "turns": ["One?", "Two?"]}, {"id": "b", "turns": ["Three?", "Four?"]}])
        assert ended.code == 0
        assert [row["finish_reason"] for row in job.table()] == ["length", "stop"]
        assert "--resend cut-off" in ended.out
        assert job.run("--resend", "cut-off").code == 0
    assert [row["finish_reason"] for row in job.table()] == ["stop", "stop"]
    assert sum(asked.text in {"One?", "Two?"} for asked in server.asked) == 4


def test_one_turn_is_a_prompt(job: Job) -> None:
    """It has the same request, so an answer to the one is an answer to the other."""
    with endpoint(lambda _: ok()) as server:
        assert play(job, server, [{"id": "a", "turns": ["One?"]}]).code == 0
        assert play(job, server, [{"id": "a", "prompt": "One?"}]).code == 0
    assert len(server.asked) == 1


def test_a_later_question_that_changed_is_another_row(job: Job) -> None:
    """It is said which part of the request changed, and nothing is sent without a word."""
    with endpoint(lambda _: ok()) as server:
        assert play(job, server, [{"id": "a", "turns": ["One?", "Two?"]}]).code == 0
        ended = play(job, server, [{"id": "a", "turns": ["One?", "Another?"]}])
        assert ended.code == 3
        assert "conversation" in ended.err
        assert "params" not in ended.err
        ended = play(job, server, [{"id": "a", "turns": ["One?", "Two?"]}], params={"temperature": 1})
        assert (ended.code, "conversation" in ended.err) == (3, False)
    assert len(server.asked) == 2


def test_replay_plays_the_users_turns_again(job: Job) -> None:
    """The system message stays, the answers are replaced, and go to `reference`; one row needs no reply to be cut."""
    long = [said("system", "Be kind."), *replied("One?", "Old 1.", "Two?", "Old 2.")]
    rows = [
        {"id": "a", "messages": long, "reference": "mine"},
        {"id": "b", "messages": replied("Three?", "Old 3.", "Four?")},
        {"id": "c", "messages": conversation("Five?")},
    ]
    with endpoint(lambda asked: ok(f"New to {asked.text}")) as server:
        ended = play(job, server, rows, input__replay=True)
    assert ended.code == 0, ended.err
    a, b, c = job.table()
    assert a["messages"] == [long[0], *replied("One?", "New to One?", "Two?", "New to Two?")]
    assert (json.loads(a["reference"]), a["input_reference"]) == (["Old 1.", "Old 2."], "mine")
    assert b["messages"] == replied("Three?", "New to Three?", "Four?", "New to Four?")
    assert (b["reference"], c["reference"]) == ("Old 3.", None)


def test_turns_of_tables(job: Job) -> None:
    """In CSV a JSON list in a cell, in Parquet a list of texts; a list of messages there is replayed."""
    messages = [said("system", "Be kind."), *replied("One?", "Old.", "Two?")]
    csv = 'id,turns,topic\na,"[""One?"", ""Two?""]",x\nb,How are you?,y\n'
    (job.folder / "in.csv").write_text(csv)
    columns: dict[str, list[Any]] = {"id": ["a"], "turns": [["One?", "Two?"]], "messages": [messages]}
    pq.write_table(pa.table(columns), job.folder / "in.parquet")
    with endpoint(lambda asked: ok(f"To {asked.text}")) as server:
        assert play(job, server, [], input__path="in.csv", output__path="csv.parquet").code == 3
        played, bad = job.table(job.folder / "csv.parquet")
        conversation = replied("One?", "To One?", "Two?", "To Two?")
        assert (played["messages"], played["topic"]) == (conversation, "x")
        assert (bad["status"], bad["topic"]) == ("invalid", "y")
        assert bad["error"].startswith("`turns` is not JSON: expecting value at column 1. `input.format: prompt` with")
        keys: dict[str, Any] = {"input__path": "in.parquet", "input__format": "turns"}
        assert play(job, server, [], output__path="turns.parquet", **keys).code == 0
        (played,) = job.table(job.folder / "turns.parquet")
        assert played["input_messages"] == messages
        assert played["messages"] == conversation
        keys = {"input__path": "in.parquet", "input__format": "messages", "input__replay": True}
        assert play(job, server, [], output__path="replay.parquet", **keys).code == 0
        (played,) = job.table(job.folder / "replay.parquet")
        assert (played["messages"], played["reference"]) == ([messages[0], *conversation], "Old.")


def test_replay_of_sharegpt_and_its_export(job: Job) -> None:
    """A file of conversations is answered by another model, and comes out as the same kind of file."""
    turns = [("system", "Be kind."), ("human", "One?"), ("gpt", "Old."), ("human", "Two?"), ("gpt", "Old.")]
    rows = [{"id": "x", "conversations": [{"from": name, "value": text} for name, text in turns]}]
    with endpoint(lambda asked: ok(f"New to {asked.text}")) as server:
        assert play(job, server, rows, input__replay=True).code == 0
    assert job.run("export", "job.yaml", "--to", "sharegpt", "-o", "new.jsonl").code == 0
    (line,) = (job.folder / "new.jsonl").read_text().splitlines()
    values = [turn["value"] for turn in json.loads(line)["conversations"]]
    assert values == ["Be kind.", "One?", "New to One?", "Two?", "New to Two?"]


def test_a_later_turn_that_does_not_fit_is_not_sent(job: Job) -> None:
    """By an exact count; the turns before it are kept, and a larger context goes on after them."""
    pytest.importorskip("sentencepiece")
    row = {"id": "a", "turns": ["word " * 300, "Two?"]}
    keys = {"model": WIZARD, "params": {"max_tokens": 100}}
    with endpoint(lambda _: ok("word " * 300)) as server:
        ended = play(job, server, [row], endpoint__context_length=600, **keys)
        assert ended.code == 3
        (failed,) = job.table()
        assert failed["error_kind"] == "turn_failed"
        assert re.fullmatch(
            r"turn 2 of 2: context_length: 6\d\d prompt tokens do not fit the context of 600 tokens"
            r" \(counted exactly: .+\); it was not sent",
            failed["error"],
        )
        assert (failed["attempts"], failed["response"], len(server.asked)) == (1, None, 1)
        assert play(job, server, [row], "--resend", "failed", endpoint__context_length=6000, **keys).code == 0
    assert len(server.asked) == 2


def test_the_limits_of_a_row_bind_over_its_turns_and_runs(job: Job) -> None:
    """Attempts that may have been billed count for the row, at whichever turn; accepted ones do not."""
    hangs = True

    def answer(asked: Asked) -> Step | list[Step]:
        return End.CLOSE if asked.text != "One?" and hangs else numbered(asked)

    row = {"id": "a", "turns": ["One?", "Two?"]}
    keys = {"retry__max_attempts": 6, "retry__max_possibly_billed": 2, "retry__max_wait": 0.01}
    with endpoint(answer) as server:
        assert play(job, server, [row], **keys).code == 3
        (failed,) = job.table()
        assert [asked.text for asked in server.asked] == ["One?", "Two?", "Two?"]
        assert failed["error"].startswith("turn 2 of 2: connection: ")
        assert failed["error"].endswith("2 attempts may have been billed (`retry.max_possibly_billed`)")
        assert (failed["attempts"], failed["possibly_billed_attempts"]) == (3, 2)
        hangs = False
        assert job.run("--resend", "failed").code == 0
    assert [asked.text for asked in server.asked[3:]] == ["Two?"]


def test_an_estimate_has_all_turns(job: Job) -> None:
    """Replies and prompts of every request, replies in prompts included; a cap's worst case is that of all of them."""
    keys = {"params": {"max_tokens": 100}, "price": {"input": 1, "output": 1}}
    job.write([{"id": "a", "turns": ["One?", "Two?", "Three?"]}], input__id=None, **keys)
    before = json.loads(job.run("estimate", "job.yaml", "--json").out)
    assert before["completion_tokens"] == {"low": 30, "expected": 150, "worst": 300}
    text = before["prompt_tokens"] - 3 * 50
    assert before["cost_usd"]["worst"] == pytest.approx((text + 3 * 100 + 300) / 1e6)
    assert job.run().code == 0
    after = json.loads(job.run("estimate", "job.yaml", "--json").out)
    (row,) = job.table()
    assert after["prompt_tokens"] == row["prompt_tokens"] > text
    assert after["completion_tokens"]["expected"] == row["completion_tokens"]
    assert after["cost_usd"]["expected"] == row["cost_usd"]
