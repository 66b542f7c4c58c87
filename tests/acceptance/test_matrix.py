"""Samples, a matrix and equal requests: one run, one output, each request paid once whatever kills the process."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pandas as pd
import pytest

from tests.acceptance.job import Job, Running, conversation, rows, until
from tests.acceptance.servers import Mock, mock_thread
from tests.field.endpoint import Asked, End, endpoint, error, ok

MATRIX: dict[str, list[Any]] = {"model": ["m1", "m2"], "params.temperature": [0.2, 0.6, 1]}
CONCURRENCY = 32
PRICE = {"input": 1, "output": 1}
KEY = ("id", "variant", "sample")


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in KEY)


def finished(job: Job) -> dict[tuple[Any, ...], str]:
    """The response's id of each row in the journal."""
    return {key(record): record["reply"]["response_id"] for record in job.journal() if record["kind"] == "row"}


def wait_for(job: Job, running: Running, goal: int) -> None:
    """Wait until the journal holds `goal` rows, or the run is over."""
    until(lambda: job.acknowledged() >= goal or running.process.poll() is not None)


def run_with_kills(job: Job, mock: Mock, count: int) -> None:
    """2 models x 3 temperatures x 3 samples over `count` rows, killed twice, and resumed."""
    total = count * 18
    job.write(
        rows(count), endpoint__base_url=mock.url, concurrency=CONCURRENCY, matrix=MATRIX, samples=3, params__seed=7
    )
    kept: dict[tuple[Any, ...], str] = {}
    for part in (1, 2):
        running = job.start()
        wait_for(job, running, total * part // 3)
        running.process.kill()
        assert running.end().code == -9
        now = finished(job)
        assert kept.items() <= now.items(), "an acknowledged answer changed or went"
        kept = now
        variants = Counter((variant, sample) for _, variant, sample in kept)
        assert max(variants.values()) - min(variants.values()) <= 2 * CONCURRENCY, "a stopped run is balanced"
        assert len(variants) == 18
    assert len(kept) < total
    ended = job.run()
    assert ended.code == 0, ended.err
    table = job.table()
    expected = [
        (f"r{n:04}", f"model={model},temperature={temperature}", sample)
        for n in range(count)
        for model in MATRIX["model"]
        for temperature in MATRIX["params.temperature"]
        for sample in range(3)
    ]
    assert [key(row) for row in table] == expected
    assert {row["status"] for row in table} == {"answered"}
    assert kept.items() <= {key(row): row["response_id"] for row in table}.items()
    assert all(row["variant_model"] == row["model_requested"] for row in table)
    stats = mock.stats()
    assert stats["billed_rows"] == total, "each request differs: its model, its temperature or its seed"
    assert stats["billed_twice"] <= 2 * 2 * CONCURRENCY
    assert job.run().code == 0
    assert mock.stats()["requests"] == stats["requests"], "a finished run sends nothing"


def test_a_matrix_with_samples_is_killed_twice(job: Job) -> None:
    """Each combination of each row is there once, and paid once but for what was in flight."""
    with mock_thread(latency_s=0.05, latency_jitter_s=0.05) as mock:
        run_with_kills(job, mock, count=12)


@pytest.mark.field
def test_1800_rows_are_killed_twice_and_compared(job: Job) -> None:
    """2 models x 3 temperatures x 3 samples over 100 rows."""
    with mock_thread(latency_s=0.02, latency_jitter_s=0.05) as mock:
        run_with_kills(job, mock, count=100)
    frame = pd.read_parquet(job.output)
    assert len(frame) == 1800
    compared = frame.groupby(["variant_model", "variant_temperature"]).cost_usd.agg(["count", "sum"])
    assert compared["count"].tolist() == [300] * 6
    report = job.run("report", "out.parquet", "--by", "variant_model,variant_temperature")
    lines = [line.split() for line in report.out.splitlines()]
    groups = [line[:3] for line in lines if line[:1] in (["m1"], ["m2"])]
    assert sorted(groups) == [[model, t, "300"] for model in ("m1", "m2") for t in ("0.2", "0.6", "1.0")]


def texts(asked: list[Asked]) -> Counter[tuple[Any, ...]]:
    return Counter((each.body["model"], each.body.get("temperature"), each.body.get("seed")) for each in asked)


@pytest.mark.parametrize(
    ("wider", "sent"),
    [
        ({"samples": 3}, Counter({("m1", 0.5, 9): 2, ("m2", 0.5, 9): 2})),
        ({"matrix": {"model": ["m0", "m1", "m2"]}}, Counter({("m0", 0.5, 7): 2, ("m0", 0.5, 8): 2})),
        (
            {"matrix": {"model": ["m1", "m2"], "params.temperature": [0.5, 1]}},
            Counter({(model, 1, seed): 2 for model in ("m1", "m2") for seed in (7, 8)}),
        ),
    ],
)
def test_widening_sends_only_what_is_new(job: Job, wider: dict[str, Any], sent: Counter[tuple[Any, ...]]) -> None:
    """More samples, one more model, a new axis with the job's own value: the answers there are stay."""
    narrow: dict[str, Any] = {"samples": 2, "matrix": {"model": ["m1", "m2"]}}
    with endpoint(lambda asked: ok(f"answer {asked.number}")) as server:
        job.write(rows(2), endpoint__base_url=server.url, params={"temperature": 0.5, "seed": 7}, price=PRICE, **narrow)
        assert job.run().code == 0
        before = Counter(row["response"] for row in job.table())
        assert len(server.asked) == 8
        job.write(**wider)
        assert job.run().code == 0
        assert texts(server.asked[8:]) == sent
        after = Counter(row["response"] for row in job.table())
        assert before <= after, "no answer went"
        job.write(**narrow)
        assert job.run().code == 0
        assert len(job.table()) == 8
        job.write(**{**narrow, **wider})
        assert job.run().code == 0
        assert Counter(row["response"] for row in job.table()) == after
        assert len(server.asked) == 8 + sent.total(), "narrowed and widened again nothing is paid"


def test_a_variant_wins_over_a_row_and_a_row_over_the_job(job: Job) -> None:
    """The columns of a variant say what was sent; bad rows have its columns as well."""
    own = {**rows(1)[0], "p": {"temperature": 0.9, "top_p": 0.3}}
    with endpoint(lambda _: ok("yes")) as server:
        job.write(
            [own, "{"],
            endpoint__base_url=server.url,
            input__params="p",
            params={"temperature": 0.1, "top_p": 0.1},
            matrix={"params.temperature": [0, 1], "system": {"long": "Be long.", "short": "Be short."}},
        )
        ended = job.run()
        assert ended.code == 3, ended.err
        sent = [(each.body["temperature"], each.body["top_p"]) for each in server.asked]
        assert sorted(sent) == [(0, 0.3), (0, 0.3), (1, 0.3), (1, 0.3)]
    table = job.table()
    assert [row["status"] for row in table] == ["answered"] * 4 + ["invalid"] * 4
    assert [row["variant_system"] for row in table] == ["long", "short"] * 4
    assert [row["variant_temperature"] for row in table] == [0, 0, 1, 1] * 2
    assert len({key(row) for row in table}) == 8


def equal_rows(count: int, distinct: int) -> list[dict[str, Any]]:
    return [{"id": f"r{n:04}", "messages": conversation(f"Question {n % distinct}")} for n in range(count)]


def shared(job: Job) -> int:
    return sum(row["cost_source"] == "shared" for row in job.table())


def test_equal_requests_at_temperature_0_are_sent_once(job: Job) -> None:
    """500 rows with 20 distinct prompts are 20 requests; the others cost nothing and have no latency of their own."""
    with mock_thread() as mock:
        job.write(equal_rows(500, 20), endpoint__base_url=mock.url, params__temperature=0)
        ended = job.run()
        assert ended.code == 0
        assert mock.stats()["requests"] == 20
        assert "nothing for 480 rows that share the answer of an equal request" in ended.out
        frame = pd.read_parquet(job.output)
        assert frame.status.eq("answered").all()
        assert frame.groupby(frame.id.str[1:].astype(int) % 20).response.nunique().eq(1).all()
        later = frame[frame.cost_source == "shared"]
        assert len(later) == 480
        assert later.cost_usd.sum() == 0
        assert later.latency_s.isna().all()
        assert later.prompt_tokens.isna().all()
        for command in ("report", "status"):
            assert job.run(command, "out.parquet").code == 0
        report = job.run("report", "out.parquet")
        assert "unknown for" not in report.out
        again = job.run()
        assert again.code == 0
        assert mock.stats()["requests"] == 20


def test_a_new_row_in_front_of_an_equal_one_is_not_paid(job: Job) -> None:
    """What was answered in an earlier run is shared wherever the new row stands."""
    old = [{"id": "old", "prompt": "Same"}, {"id": "else", "prompt": "Another"}]
    job.write(old, params={"temperature": 0})
    assert job.run().code == 0
    job.write([{"id": "new", "prompt": "Same"}, *old], params={"temperature": 0})
    ended = job.run()
    assert ended.code == 0, ended.err
    sources = {row["id"]: (row["response"], row["cost_source"]) for row in job.table()}
    assert sources["new"] == (sources["old"][0], "shared")
    assert sources["old"][1] != "shared"


def test_samples_of_a_row_are_never_one(job: Job) -> None:
    """Equal rows share sample by sample; without a temperature nothing is shared, `dedupe: true` shares always."""
    with mock_thread() as mock:
        job.write(equal_rows(4, 1), endpoint__base_url=mock.url, params__temperature=0, samples=3)
        assert job.run().code == 0
        assert mock.stats()["requests"] == 3
        job.write(params__temperature=None, samples=None)
        assert job.run("--fresh").code == 0
        assert mock.stats()["requests"] == 7
        job.write(dedupe=True)
        assert job.run("--fresh").code == 0
        assert mock.stats()["requests"] == 8
        job.write(params__temperature=0, dedupe=False)
        assert job.run("--fresh").code == 0
        assert mock.stats()["requests"] == 12


def test_a_failure_is_shared_and_sent_again_once(job: Job) -> None:
    """What the first row came to is what all equal rows come to, whichever of them is sent again."""
    good = False

    def answer(asked: Asked) -> bytes:
        return ok(f"answer {asked.number}") if good else error(400, "no")

    with endpoint(answer) as server:
        job.write(equal_rows(6, 2), endpoint__base_url=server.url, params__temperature=0, retry__stop_after_failures=99)
        assert job.run().code == 3
        assert len(server.asked) == 2
        assert {row["status"] for row in job.table()} == {"failed"}
        good = True
        assert job.run("--retry-failed").code == 0
        assert len(server.asked) == 4
        assert [row["response"] for row in job.table()[:2]] == [row["response"] for row in job.table()[2:4]]
        (job.folder / "ids").write_text("r0002\n")
        assert job.run("--resend", "@ids").code == 0  # a follower alone: it is asked for, so it is sent
        assert len(server.asked) == 5
        table = job.table()
        assert table[2]["response"] == "answer 5"
        assert table[0]["response"] == table[4]["response"] != "answer 5"
        (job.folder / "ids").write_text("r0001\n")
        assert job.run("--resend", "@ids").code == 0  # the first alone: the others keep what they have
        assert len(server.asked) == 6
        table = job.table()
        assert table[1]["response"] == "answer 6"
        assert table[3]["response"] == table[5]["response"] != "answer 6"


def test_killed_before_answers_were_shared(job: Job) -> None:
    """The next run shares what was answered, and sends the others once."""
    with mock_thread(latency_s=0.1) as mock:
        job.write(equal_rows(200, 40), endpoint__base_url=mock.url, params__temperature=0, concurrency=4)
        running = job.start()
        until(lambda: job.acknowledged() >= 8)
        running.process.kill()
        running.end()
        job.write(concurrency=16)
        ended = job.run()
        assert ended.code == 0, ended.err
        assert re.search(r"\d+ share the answer of an equal request", ended.err)
        assert mock.stats()["billed_rows"] == 40
        assert mock.stats()["billed_twice"] <= 8
    assert len(job.table()) == 200
    assert shared(job) == 160


def test_a_stopped_run_leaves_rows_to_be_shared(job: Job) -> None:
    """`--limit` bounds what is sent; the rows that share are for nothing, now or in the next run."""
    with mock_thread() as mock:
        job.write(equal_rows(30, 10), endpoint__base_url=mock.url, params__temperature=0)
        assert job.run("--limit", "4").code == 0
        assert mock.stats()["requests"] == 4
        assert job.run("--limit", "6").code == 0
        assert mock.stats()["requests"] == 10
        assert job.run().code == 0
        assert mock.stats()["requests"] == 10
    assert len(job.table()) == 30
    assert shared(job) == 20


def test_a_cap_holds_with_shared_rows(job: Job) -> None:
    """Shared rows need no money: a cap that covers the distinct requests alone is enough."""
    with mock_thread() as mock:
        job.write(
            equal_rows(300, 3),
            endpoint__base_url=mock.url,
            params={"temperature": 0, "max_tokens": 10},
            price=PRICE,
            budget__max_cost=0.0005,
        )
        ended = job.run()
        assert ended.code == 0, ended.err
        assert mock.stats()["requests"] == 3
    assert shared(job) == 297


def test_an_answer_that_is_taken_over_is_shared(job: Job) -> None:
    """New ids for the same requests: the answers are taken over, and none is sent or lost."""
    with mock_thread() as mock:
        job.write(equal_rows(6, 3), endpoint__base_url=mock.url, params__temperature=0)
        assert job.run().code == 0
        before = [row["response"] for row in job.table()]
        renamed = [{**row, "id": f"new{row['id']}"} for row in equal_rows(12, 3)]
        job.write(renamed)
        assert job.run().code == 0
        assert [row["response"] for row in job.table()] == before * 2
        assert mock.stats()["requests"] == 3


def test_rows_that_share_and_have_other_columns_at_once(job: Job) -> None:
    """A request and a column are changed in one edit: the rows that share get the new answer in the same run."""
    with endpoint(lambda asked: ok(f"answer to {asked.text}")) as server:
        texts = ("x", "x", "z")
        edited = [{"id": f"r{n}", "messages": conversation(text), "c": "p"} for n, text in enumerate(texts)]
        keys: dict[str, Any] = {"endpoint__base_url": server.url, "params__temperature": 0}
        job.write(edited, resume__changed="resend", **keys)
        assert job.run().code == 0
        job.write([{**row, "messages": conversation("y"), "c": "q"} for row in edited[:2]] + edited[2:])
        assert job.run().code == 0
        assert [row["response"] for row in job.table()] == ["answer to y", "answer to y", "answer to z"]
        assert [row["c"] for row in job.table()] == ["q", "q", "p"]
        assert len(server.asked) == 3


def test_failures_with_other_columns_are_shared_once_they_are_sent_again(job: Job) -> None:
    """A failure of an earlier run is not shared while its row waits to be sent, though its columns were amended."""
    good = False
    with endpoint(lambda asked: ok("answer") if good else error(400, "no")) as server:
        rows_of_one = [{"id": f"r{n}", "messages": conversation("x"), "c": "p"} for n in range(3)]
        job.write(rows_of_one, endpoint__base_url=server.url, params__temperature=0)
        assert job.run().code == 3
        good = True
        job.write([{**row, "c": "q"} for row in rows_of_one])
        assert job.run("--retry-failed").code == 0
        assert [(row["response"], row["c"]) for row in job.table()] == [("answer", "q")] * 3
        assert len(server.asked) == 2


def test_what_a_row_cost_before_it_shared_stays_its_cost(job: Job) -> None:
    """It was sent for itself and failed; the failure's money is in no other row."""
    good = False

    def answer(_: Asked) -> bytes:
        usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10, "estimated_cost": 0.25}
        return ok("answer", usage=usage) if good else ok("", finish_reason="content_filter", usage=usage)

    with endpoint(answer) as server:
        job.write(equal_rows(2, 1), endpoint__base_url=server.url, params__temperature=0, dedupe=False)
        assert job.run().code == 3
        good = True
        job.write(dedupe=True)
        assert job.run("--retry-failed").code == 0
        assert len(server.asked) == 3
    assert [row["cost_usd"] for row in job.table()] == [0.5, 0.25]
    report = json.loads(job.run("report", "job.yaml", "--json").out)["outputs"][0]
    assert report["cost_usd"]["known"] == 0.75


def test_a_resend_that_was_killed_shares_what_it_had_answered(job: Job) -> None:
    """A row was sent again and answered; those with equal requests share that in the next run, and are not sent."""
    reason, hangs = "length", False

    def answer(asked: Asked) -> bytes | End:
        if hangs and asked.text == "z":
            return End.HANG
        return ok(f"answer {asked.number}", finish_reason=reason)

    with endpoint(answer) as server:
        texts = ("x", "x", "x", "z")
        job.write(
            [{"id": f"r{n}", "messages": conversation(text)} for n, text in enumerate(texts)],
            endpoint__base_url=server.url,
            params__temperature=0,
        )
        assert job.run().code == 0
        reason, hangs, before = "stop", True, job.acknowledged()
        running = job.start("--resend", "cut-off")
        until(lambda: job.acknowledged() > before and len(server.asked) == 4)
        running.process.kill()
        running.end()
        hangs = False
        assert job.run("--resend", "cut-off").code == 0
        assert [asked.text for asked in server.asked[4:]] == ["z"]
        assert {row["finish_reason"] for row in job.table()} == {"stop"}
        assert len({row["response"] for row in job.table()[:3]}) == 1


def test_columns_that_change_while_a_resend_is_stopped(job: Job) -> None:
    """A row whose columns were amended since is still one that the resend has not sent."""
    reason, hangs = "length", False

    def answer(asked: Asked) -> bytes | End:
        return End.HANG if hangs and asked.text != "0" else ok("answer", finish_reason=reason)

    with endpoint(answer) as server:
        data = [{"id": f"r{n}", "messages": conversation(str(n)), "c": 1} for n in range(3)]
        job.write(data, endpoint__base_url=server.url)
        assert job.run().code == 0
        reason, hangs, before = "stop", True, job.acknowledged()
        running = job.start("--resend", "cut-off")
        until(lambda: job.acknowledged() > before and len(server.asked) == 6)
        running.process.kill()
        running.end()
        hangs = False
        job.write([data[0], {**data[1], "c": 2}, data[2]])
        assert job.run("--resend", "cut-off").code == 0
        assert sorted(asked.text for asked in server.asked[6:]) == ["1", "2"]


def test_a_row_in_front_of_its_equal_shares_each_of_its_samples(job: Job) -> None:
    """A pilot, or an earlier input, has answered a later row: the first one is not paid for once more."""
    with mock_thread() as mock:
        keys: dict[str, Any] = {
            "endpoint__base_url": mock.url,
            "dedupe": True,
            "samples": 2,
            "matrix": {"model": ["a", "b"]},
        }
        job.write(equal_rows(3, 3), **keys)
        assert job.run().code == 0
        before = {key(row)[1:]: row["response"] for row in job.table() if row["id"] == "r0002"}
        job.write([{"id": "front", "messages": conversation("Question 2")}, *equal_rows(3, 3)])
        assert job.run().code == 0
        assert mock.stats()["requests"] == 12
        assert {key(row)[1:]: row["response"] for row in job.table() if row["id"] == "front"} == before


def figures(job: Job, *arguments: str) -> dict[str, Any]:
    ended = job.run("estimate", "job.yaml", "--json", *arguments)
    assert ended.code == 0, ended.err
    estimate: dict[str, Any] = json.loads(ended.out)
    return estimate


def test_each_model_is_estimated_at_its_own_price(job: Job) -> None:
    """The sum is of all models, each at its price; rows that share are free and left."""
    (job.folder / "prices.csv").write_text(
        "model,host,input,output,cached_input,context_length,source,as_of\n"
        "m1,api.deepinfra.com,1,1,,,a,2026-11-01\nm2,api.deepinfra.com,10,10,,,a,2026-11-01\n"
    )
    job.write(
        equal_rows(10, 5),
        prices="prices.csv",
        params={"temperature": 0, "max_tokens": 10},
        matrix={"model": ["m1", "m2"]},
        samples=2,
    )
    whole = figures(job)
    assert [model["model"] for model in whole["models"]] == ["m1, m2", "m1", "m2"]
    assert (whole["rows"]["total"], whole["rows"]["left"], whole["rows_left"], whole["shared_rows"]) == (40, 40, 20, 20)
    first, second = (model["cost_usd"]["worst"] for model in whole["models"][1:])
    assert second == pytest.approx(10 * first)
    assert whole["cost_usd"]["worst"] == pytest.approx(first + second)
    assert not any("model of their own" in note for note in whole["notes"])


def test_a_pilot_takes_all_variants_and_samples_of_its_rows(job: Job) -> None:
    """And the finished job is estimated at what it cost, the rows that share an answer among it."""
    job.write(rows(6), matrix={"model": ["m1", "m2"]}, samples=3, params__max_tokens=10)
    refused = job.run("estimate", "job.yaml", "--pilot", "2")
    assert "a pilot of 12 rows (all variants and samples of 2 input rows)" in " ".join(refused.err.split())
    assert job.run("estimate", "job.yaml", "--pilot", "2", "--yes").code == 0
    answered = [key(record) for record in job.journal() if record["kind"] == "row"]
    assert len(answered) == 12
    assert len({id_ for id_, *_ in answered}) == 2
    assert figures(job)["answered_rows"] == 12
    assert job.run().code == 0
    job.write(rows(6) + [{**row, "id": f"again-{row['id']}"} for row in rows(6)], dedupe=True)
    assert job.run().code == 0
    assert figures(job)["shared_rows"] == 36
    assert not any("did not report" in note for note in figures(job)["notes"])


def test_a_cap_needs_the_price_of_each_model(job: Job) -> None:
    """It is refused before anything is sent, naming the model that has none."""
    with endpoint(lambda _: ok("yes")) as server:
        job.write(
            rows(2),
            endpoint__base_url=server.url,
            price=PRICE,
            params__max_tokens=5,
            matrix={"model": ["m", "m2"]},
            budget__max_cost=1,
        )
        ended = job.run()
        assert ended.code == 2
        assert "needs a known price" in ended.err
        assert "for m2 at" in ended.err
        assert not server.asked


def test_prompts_of_a_matrix_are_templates_in_a_folder(job: Job) -> None:
    """Each label's own system message is sent, of its row's columns; the folder has a row for each, with its name."""
    table = [{"id": f"r{n}", "topic": topic, "lang": "de"} for n, topic in enumerate(["soup", "bread", "tea"])]
    systems = {"long": "Explain {{ topic }} in {{ lang }}.", "short": "{{ topic }}: brief.", "none": None}

    def answer(asked: Asked) -> bytes:
        return error(400, "no") if "tea" in json.dumps(asked.body) and asked.body["seed"] == 8 else ok("fine")

    with endpoint(answer) as server:
        job.write(
            table,
            endpoint__base_url=server.url,
            template="What is {{ topic }}?",
            matrix={"system": systems},
            samples=2,
            params={"seed": 7},
            output__path="out",
            output__part_rows=4,
        )
        ended = job.run("--limit", "6")
        assert ended.code == 0, ended.err
        assert "· each row as 3 variants × 2 samples\n" in ended.err
        ended = job.run()
        assert ended.code == 3, ended.err
        assert "resume 18 rows (3 × 3 variants × 2 samples): 6 finished before are kept" in ended.err
        assert "15 answered of 18 rows (3 × 3 variants × 2 samples) · 3 failed" in ended.out
        assert re.search(r"failed +3 bad_request  r2#system=(long|short|none)#1: no\n", ended.out)
        sent = Counter(
            (asked.body["seed"], *(message["content"] for message in asked.body["messages"])) for asked in server.asked
        )
        assert sent == Counter(
            (seed, *system, f"What is {topic}?")
            for topic in ("soup", "bread", "tea")
            for seed in (7, 8)
            for system in ([f"Explain {topic} in de."], [f"{topic}: brief."], [])
        )
    output = job.folder / "out"
    assert len(list(output.glob("*.parquet"))) == 5
    assert [(*key(row), row["variant_system"]) for row in job.table(output)] == [
        (f"r{n}", f"system={label}", sample, label) for n in range(3) for label in systems for sample in range(2)
    ]
    report = job.run("report", "out", "--by", "variant_system", "--html", "page.html")
    assert [line.split()[:3] for line in report.out.splitlines()[-3:]] == [
        [label, "6", "1"] for label in ("long", "short", "none")
    ]
    assert b'"title":"Which prompt?"' in (job.folder / "page.html").read_bytes()
