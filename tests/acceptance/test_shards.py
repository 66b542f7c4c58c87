"""`--shard I/N` and `merge`: one job as several runs, and one run made of them."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchchat.mock import parse_fault
from tests.acceptance.job import PATIENCE_S, Ended, Job, conversation, rows, until
from tests.acceptance.servers import mock_thread

TIMINGS = ["latency_s", "first_token_s", "wait_s", "started_at", "finished_at"]
CHOSEN_BY_THE_SERVER = ["response_id"]
FIGURES = ("rows", "prompt_tokens", "completion_tokens", "cached_tokens", "attempts", "failures")


def shard_run(job: Job, number: int, of: int, *arguments: str) -> Ended:
    return job.run("--shard", f"{number}/{of}", "--progress", "log", *arguments)


def merge(job: Job, of: int, *arguments: str, target: str = "merged.parquet") -> Ended:
    """Merge the shards' outputs, as a shell that knows the pattern would name them."""
    outputs = sorted(path.name for path in job.folder.glob(f"out-*-of-{of}.parquet"))
    return job.run("merge", *outputs, "-o", target, *arguments)


def compared(path: Path) -> pa.Table:
    """The output, but for what differs between any two runs."""
    return pq.read_table(path).drop_columns([*TIMINGS, *CHOSEN_BY_THE_SERVER]).replace_schema_metadata(None)


def bytes_of(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sink.getvalue().to_pybytes()


def report(job: Job, output: str) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(job.run("report", output, "--json").out)["outputs"][0]
    return figures


def same_as_one_run(job: Job, merged: str, whole: str) -> None:
    """The tables are the same, byte for byte but timings, and so are the figures."""
    one, other = compared(job.folder / merged), compared(job.folder / whole)
    assert one.schema == other.schema
    assert one.to_pylist() == other.to_pylist()
    assert bytes_of(one) == bytes_of(other)
    figures, expected = report(job, merged), report(job, whole)
    assert {name: figures[name] for name in FIGURES} == {name: expected[name] for name in FIGURES}
    assert figures["cost_usd"]["known"] == expected["cost_usd"]["known"]
    assert figures["state"] == expected["state"]


def mixed_rows(count: int) -> list[Any]:
    """Good rows whose columns widen over the whole input, and bad ones of each kind."""
    good: list[Any] = [
        row | {"n": n if n != 17 else 0.5, "tag": {"a": n} if n % 3 else None, "mix": "x" if n == 5 else [n]}
        for n, row in enumerate(rows(count))
    ]
    return [*good, "{broken", {"id": "r0003", "messages": conversation("again")}, {"id": 8}, {"messages": []}]


@pytest.mark.field
def test_four_processes_one_killed_and_rerun_make_the_table_of_one_run(job: Job) -> None:
    """Each row is in one shard; what was in flight at the kill is sent again, and nothing else.

    A run with two workers has the same table.
    """
    with mock_thread(latency_s=0.05, seed=5) as mock:
        job.write(mixed_rows(160), endpoint__base_url=mock.url, concurrency=16, samples=2)
        running = [job.start("--shard", f"{number}/4", "--progress", "log") for number in range(1, 5)]
        folder = job.folder / "out-2-of-4.run"
        until(
            lambda: any(b'{"kind":"row"' in path.read_bytes() for path in folder.glob("journal-*")),
            "answers of shard 2",
            PATIENCE_S,
        )
        os.kill(running[1].process.pid, signal.SIGKILL)
        assert [process.end(PATIENCE_S).code for process in running] == [3, -signal.SIGKILL, 3, 3]
        refused = merge(job, 4)
        assert refused.code == 2
        assert "shard 2 of 4 is missing. Begun, and not named: out-2-of-4.parquet." in refused.err
        assert shard_run(job, 2, 4).code == 3
        assert merge(job, 4).code == 0
        requests = mock.stats()["requests"]
        assert 320 <= requests <= 320 + 2 * 4  # in flight at the kill, or answered and not synced yet
        ended = job.run("--output", "whole.parquet")
        assert ended.code == 3, ended.err
        assert ended.out.splitlines()[0].startswith("job: 320 of 328 rows answered"), ended.out
        assert job.run("--output", "workers.parquet", "--set", "workers=2").code == 3
    same_as_one_run(job, "merged.parquet", "whole.parquet")
    same_as_one_run(job, "merged.parquet", "workers.parquet")


@pytest.mark.field
def test_a_shard_may_have_workers(job: Job) -> None:
    """Each has a part of the shard's rows and of its limits; their journals are merged as any."""
    with mock_thread(latency_s=0.01) as mock:
        job.write(mixed_rows(40), endpoint__base_url=mock.url, concurrency=8, workers=2)
        assert {shard_run(job, number, 2).code for number in (1, 2)} <= {0, 3}
        assert len([*(job.folder / "out-1-of-2.run").glob("journal-*")]) >= 3
        assert merge(job, 2).code == 0
        assert mock.stats()["requests"] == 40
        assert job.run("--output", "whole.parquet", "--set", "workers=1").code == 3
    same_as_one_run(job, "merged.parquet", "whole.parquet")


def test_rows_without_ids_share_answers_as_in_one_run(job: Job) -> None:
    """Equal requests are in one shard, where ids are hashes of them: each is sent once, and counted as in one run."""
    questions = [{"messages": conversation(f"Question {n % 20}")} for n in range(60)]
    with mock_thread(latency_s=0.0) as mock:
        job.write(questions, endpoint__base_url=mock.url, input__id=None, params={"temperature": 0})
        assert [shard_run(job, number, 3).code for number in (1, 2, 3)] == [0, 0, 0]
        assert merge(job, 3).code == 0
        assert mock.stats()["requests"] == 20
        assert job.run("--output", "whole.parquet").code == 0
    same_as_one_run(job, "merged.parquet", "whole.parquet")


def test_an_empty_shard_is_one(job: Job) -> None:
    """More shards than rows: some have none, end well, and are merged."""
    job.write(rows(2), concurrency=8)
    ended = [shard_run(job, number, 5) for number in range(1, 6)]
    assert {run.code for run in ended} == {0}
    counts = Counter(len(job.table(job.folder / f"out-{number}-of-5.parquet")) for number in range(1, 6))
    assert counts[0] >= 3
    again = [shard_run(job, number, 5) for number in range(1, 6)]
    assert {run.code for run in again} == {0}
    assert merge(job, 5).out.startswith("merged.parquet: 5 shards, 2 of 2 rows answered")
    assert [row["id"] for row in job.table(job.folder / "merged.parquet")] == ["r0000", "r0001"]


def test_what_a_shard_says_at_first(job: Job) -> None:
    """Which it is, its part of each limit, that equal requests may be sent twice, and other runs of the job."""
    job.write(
        rows(8),
        concurrency=6,
        budget__max_cost=10,
        price={"input": 1, "output": 1},
        params={"max_tokens": 5, "temperature": 0},
    )
    assert shard_run(job, 1, 3).code == 0
    ended = shard_run(job, 2, 2)
    assert (
        "\nshard  2 of 2 · 3 of 6 in flight · $5.0000 of the budget of $10.0000 · output out-2-of-2.parquet\n"
        in ended.err
    )
    assert "\nnote   equal requests are sent once in each shard (`dedupe`)" in ended.err
    assert "\nnote   out-1-of-3.parquet: runs of this job with another number of shards." in ended.err
    assert "another number of shards" not in shard_run(job, 2, 2).err  # nothing is paid for again by a resume


def test_a_suggested_command_raises_the_budget_of_all_shards(job: Job) -> None:
    """`--max-cost` is of the whole job, so what is suggested is as well; the command does what it says."""
    job.write(
        rows(40), concurrency=4, budget__max_cost=0.002, price={"input": 10, "output": 10}, params={"max_tokens": 20}
    )
    ended = shard_run(job, 1, 2)
    assert ended.code == 4
    command = next(line.removeprefix("next  ") for line in ended.out.splitlines() if line.startswith("next  "))
    words = command.split()
    assert words[:2] == ["batchchat", "run"]
    assert Decimal(words[words.index("--max-cost") + 1]) > Decimal("0.002")
    assert job.run(*words[3:]).code == 0


def test_shards_of_another_job_or_input_are_told(job: Job) -> None:
    """The way out that is named leads on: to run a shard again is enough, though it sends nothing."""
    job.write(rows(12), concurrency=4)
    assert {shard_run(job, number, 2).code for number in (1, 2)} == {0}
    job.write(rows(12), params={"temperature": 0.5})
    assert shard_run(job, 2, 2, "--resend", "changed").code == 0
    refused = merge(job, 2)
    assert refused.code == 2
    assert refused.err == (
        "error: shard 2 (out-2-of-2.parquet) was last run by another job than shard 1 (out-1-of-2.parquet): with"
        " another model, other parameters or other rows. Run both with the same job file first.\n"
        "  batchchat run job.yaml --shard 2/2\n"
    )
    assert shard_run(job, 1, 2, "--resend", "changed").code == 0
    job.write([*rows(12), {"id": "r0001", "messages": []}])  # a row of one shard alone
    codes = [shard_run(job, number, 2).code for number in (1, 2)]
    assert sorted(codes) == [0, 3]
    assert merge(job, 2).code == 0


def test_a_longer_input_is_told_until_all_shards_have_read_it(job: Job) -> None:
    job.write(rows(12), concurrency=4)
    assert {shard_run(job, number, 2).code for number in (1, 2)} == {0}
    job.write([*rows(12), {"id": "r0001", "messages": conversation("twice")}])
    shard_run(job, 2, 2)
    refused = merge(job, 2)
    assert "was last run on another input (1 file, " in refused.err
    assert shard_run(job, 1, 2).code == 3
    assert merge(job, 2).code == 0


def test_what_is_missing_or_there_twice_is_told(job: Job) -> None:
    job.write(rows(12), concurrency=4)
    assert {shard_run(job, number, 3).code for number in (1, 2)} == {0}
    refused = merge(job, 3)
    assert refused.errors == ["error: shard 3 of 3 is missing. Name the rest, or merge what there is with --partial."]
    (job.folder / "copy").mkdir()
    for path in job.folder.glob("out-2-of-3.*"):
        target = job.folder / "copy" / path.name
        if path.is_dir():
            target.mkdir()
            for file in path.iterdir():
                (target / file.name).write_bytes(file.read_bytes())
        else:
            target.write_bytes(path.read_bytes())
    twice = job.run("merge", "out-1-of-3.parquet", "out-2-of-3.parquet", "copy/out-2-of-3.parquet", "-o", "m.parquet")
    assert twice.errors == [
        "error: shard 2 of 3 is there twice: out-2-of-3.parquet and copy/out-2-of-3.parquet. Name one of them."
    ]
    named = job.run(
        "merge", "out-1-of-3.parquet", "out-2-of-3.run", "out-2-of-3.parquet", "-o", "m.parquet", "--partial"
    )
    assert named.code == 0, named.err
    assert named.out.startswith("m.parquet: 2 of 3 shards, ")
    assert shard_run(job, 1, 2).code == 0
    other = job.run("merge", "out-1-of-3.parquet", "out-1-of-2.parquet", "-o", "m.parquet")
    assert "is one of 2 shards, and out-1-of-3.parquet one of 3" in other.err or "is one of 3 shards" in other.err
    assert job.run().code == 0
    assert (
        "out.parquet is no shard: its run was not started with --shard."
        in job.run("merge", "out.parquet", "out-1-of-3.parquet", "-o", "m.parquet").err
    )
    assert not (job.folder / "merged.run").exists()


def test_an_unfinished_shard_is_told_with_its_command(job: Job) -> None:
    job.write(rows(20), concurrency=4)
    assert shard_run(job, 1, 2).code == 0
    left = len(job.table(job.folder / "out-1-of-2.parquet"))
    assert shard_run(job, 2, 2, "--limit", "1").code == 0
    refused = merge(job, 2)
    assert refused.err == (
        f"error: shard 2 (out-2-of-2.parquet) is not finished: {19 - left} left. Run it to its end, or merge what there"
        " is with --partial.\n  batchchat run job.yaml --shard 2/2\n"
    )
    partial = merge(job, 2, "--partial")
    assert partial.out.startswith(f"merged.parquet: 2 shards, {left + 1} of 20 rows answered")
    status = json.loads(job.run("status", "merged.parquet", "--json").out)
    assert (status["state"], status["rows"]["left"]) == ("stopped", 19 - left)
    assert status["next_command"] == "batchchat run job.yaml --output merged.parquet"
    ended = job.run("--output", "merged.parquet")
    assert (ended.code, len(job.table(job.folder / "merged.parquet"))) == (0, 20)
    again = merge(job, 2, "--partial")
    assert again.code == 2
    assert (
        "has a run that is no merge of shards, or was continued since: merging over it would lose answers" in again.err
    )


def test_a_killed_shard_is_counted_by_its_journal(job: Job) -> None:
    """Its run.json is of up to a second before the kill; the rows that it had since are not counted as left, too."""
    job.write(rows(20), concurrency=4)
    assert shard_run(job, 1, 2).code == 0
    first = len(job.table(job.folder / "out-1-of-2.parquet"))
    assert shard_run(job, 2, 2, "--limit", "5").code == 0
    path = job.folder / "out-2-of-2.run" / "run.json"
    state = json.loads(path.read_text())
    state["rows"] |= {"answered": 1, "left": state["rows"]["left"] + 4}
    path.write_text(json.dumps(state | {"state": "running", "exit_code": None}))
    (job.folder / "out-2-of-2.parquet").unlink()
    merged = job.run("merge", "out-1-of-2.run", "out-2-of-2.run", "-o", "merged.parquet", "--partial")
    assert merged.out.startswith(f"merged.parquet: 2 shards, {first + 5} of 20 rows answered")
    status = json.loads(job.run("status", "merged.parquet", "--json").out)
    assert (status["state"], status["rows"]["total"], status["rows"]["left"]) == ("stopped", 20, 15 - first)


def test_a_pattern_that_matches_no_output_says_what_to_name(job: Job) -> None:
    """A shard that was killed has no output yet, so that a shell leaves the pattern as it is."""
    refused = job.run("merge", "out-*-of-2.parquet", "-o", "merged.parquet")
    assert refused.err == (
        "error: no output matches out-*-of-2.parquet: a shard that was stopped has none yet. Name the run folders:"
        " out-*-of-2.run\n"
    )


def test_a_merge_again_replaces_the_one_before(job: Job) -> None:
    """And the run that was merged is a run as any other: nothing is left to send."""
    job.write(rows(20), concurrency=4)
    shard_run(job, 1, 2)
    assert merge(job, 2, "--partial").code == 0
    shard_run(job, 2, 2)
    assert merge(job, 2).out.startswith("merged.parquet: 2 shards, 20 of 20 rows answered")
    ended = job.run("--output", "merged.parquet", "--progress", "log")
    assert ended.code == 0
    assert "20 finished before are kept · nothing to send" in ended.err
    assert "was not" not in job.run("status", "merged.parquet").out


def test_money_and_rows_that_are_gone_are_counted_once(job: Job) -> None:
    """What was replaced and what is no longer in the input is paid all the same; the rows are those of the input."""
    with mock_thread(latency_s=0.0) as mock:
        job.write(rows(24), endpoint__base_url=mock.url, concurrency=4)
        for number in (1, 2, 3):
            shard_run(job, number, 3)
        job.write(rows(20), params={"temperature": 0.3})  # four are gone
        for number in (1, 2, 3):
            assert shard_run(job, number, 3, "--resend", "changed").code == 0
        assert merge(job, 3).code == 0
        paid = Decimal(mock.stats()["cost_usd"])
    figures = report(job, "merged.parquet")
    assert figures["rows"]["answered"] == len(job.table(job.folder / "merged.parquet")) == 20
    cost = figures["cost_usd"]
    assert Decimal(repr(cost["known"])) + Decimal(repr(cost["superseded"])) == pytest.approx(paid)
    summary = json.loads(job.run("--output", "merged.parquet", "--json").out)
    assert summary["cost_usd"]["known"] == pytest.approx(float(paid))


def test_every_figure_of_the_merged_run_is_the_sum_of_the_shards(job: Job) -> None:
    """Failed, invalid and cut-off rows, what was tried and paid in vain, and what was replaced."""
    faults = tuple(map(parse_fault, ("500=0.3", "drop-after=0.2", "garbage=0.1")))
    with mock_thread(latency_s=0.0, seed=3, faults=faults) as mock:
        job.write([*rows(60), "{broken", {"id": "x", "messages": []}], endpoint__base_url=mock.url, samples=2)
        job.write(retry={"max_attempts": 2, "max_wait": 0.01, "max_possibly_billed": 2}, params={"max_tokens": 9})
        for number in (1, 2, 3):
            assert shard_run(job, number, 3).code == 3
        job.write(params={"max_tokens": 10})
        assert shard_run(job, 3, 3, "--resend", "changed").code == 3
        for number in (1, 2):
            assert shard_run(job, number, 3, "--keep-changed").code == 3
        assert merge(job, 3).code == 0
    merged = report(job, "merged.parquet")
    parts = [report(job, f"out-{number}-of-3.parquet") for number in (1, 2, 3)]
    assert merged["rows"]["failed"] > 0
    assert merged["cost_usd"]["superseded"] > 0
    assert counted(merged) == sum(map(counted, parts), Counter())


def counted(figures: dict[str, Any]) -> Counter[str]:
    """All figures that add up, by their names; money in billionths of a dollar."""
    counts: Counter[str] = Counter()
    for name, value in figures.items():
        if name == "failures":
            counts.update({f"failures.{kind['error_kind']}": kind["rows"] for kind in value})
        elif name in {"rows", "cost_usd", "by_source", "possibly_billed"} and value is not None:
            counts.update({f"{name}.{inner}": count for inner, count in counted(value).items()})
        elif name == "running_s":
            continue  # shards may run at the same time
        elif isinstance(value, float):
            counts[name] = round(value * 1e9)
        elif isinstance(value, int):
            counts[name] = value
    return counts


def test_amended_rows_are_merged(job: Job) -> None:
    """Carried columns follow the input, in a shard and in what is merged of it."""
    job.write([row | {"tag": "old"} for row in rows(30)], concurrency=4)
    for number in (1, 2, 3):
        shard_run(job, number, 3)
    job.write([row | {"tag": "new"} for row in rows(30)])
    for number in (1, 2, 3):
        shard_run(job, number, 3)
    assert merge(job, 3).code == 0
    assert {row["tag"] for row in job.table(job.folder / "merged.parquet")} == {"new"}
    (job.folder / "merged.parquet").unlink()  # the journal alone
    assert job.run("export", "merged.parquet", "-o", "rows.jsonl").code == 0
    exported = (job.folder / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["tag"] for line in exported] == ["new"] * 30


def test_a_job_of_which_only_shards_have_run(job: Job) -> None:
    """Status and report name them, and a run of the whole job says that it would pay for all once more."""
    job.write(rows(6), concurrency=4)
    for number in (1, 2):
        shard_run(job, number, 2)
    outputs = "out-1-of-2.parquet out-2-of-2.parquet"
    assert job.run("status", "job.yaml").err == (
        f"error: out.parquet has no run, and 2 shards of it: {outputs}. Give one of these.\n"
    )
    assert job.run("report", "job.yaml").err == (
        f"error: out.parquet has no run, and 2 shards of it. Give these: {outputs}\n"
    )
    assert len(json.loads(job.run("report", *outputs.split(), "--json").out)["outputs"]) == 2
    ended = job.run("--progress", "none", "--limit", "1")
    assert "Merged they are one run: batchchat merge out-*-of-2.parquet -o out.parquet" in ended.err
    assert "Merged they" not in job.run("--progress", "none", "--limit", "1").err


def test_an_estimate_of_a_shard(job: Job) -> None:
    """Of its rows alone; a pilot's answers are the shard's, and the suggested commands are its own."""
    job.write(rows(24), concurrency=4, price={"input": 1, "output": 1}, params={"max_tokens": 5})
    sizes = {}
    for number in (1, 2):
        ended = job.run("estimate", "job.yaml", "--shard", f"{number}/2", "--json")
        assert f"shard  {number} of 2 · 2 of 4 in flight · output out-{number}-of-2.parquet" in ended.err
        sizes[number] = json.loads(ended.out)["rows"]["total"]
    assert sum(sizes.values()) == 24
    pilot = job.run("estimate", "job.yaml", "--shard", "2/2", "--pilot", "3", "--yes")
    assert pilot.out.endswith("\nnext  batchchat run job.yaml --shard 2/2\n")
    assert not job.run_folder.exists()
    assert f"3 finished before are kept · {sizes[2] - 3} new" in shard_run(job, 2, 2).err
    assert merge(job, 2, "--partial").code == 0
    done = job.run("estimate", "job.yaml", "--shard", "2/2")
    assert done.out.endswith("\nnext  batchchat report out-2-of-2.parquet\n")
    assert "Merged they are one run" in job.run("estimate", "job.yaml").err


def test_shards_take_one_job(job: Job) -> None:
    job.write(rows(2))
    (job.folder / "other.yaml").write_text(job.file.read_text())
    assert "--shard can't be used with several jobs" in job.run("other.yaml", "--shard", "1/2").err


def test_a_target_that_is_something_else(job: Job) -> None:
    """Neither a shard, nor a file of the user's, nor another run is written over."""
    job.write(rows(6), concurrency=4)
    shard_run(job, 1, 1)
    assert "is one of the shards" in merge(job, 1, target="out-1-of-1.parquet").err
    (job.folder / "mine.parquet").write_text("mine")
    assert "exists, and is no output of a merge" in merge(job, 1, target="mine.parquet").err
    assert "is no name for an output" in merge(job, 1, target="m.csv").err
    assert job.run().code == 0
    assert "has a run that is no merge of shards" in merge(job, 1, target="out.parquet").err
    assert merge(job, 1, target="parts").code == 0
    assert len(pq.read_table(job.folder / "parts")) == 6
