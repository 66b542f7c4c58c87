"""Several jobs in one run: generate, then judge what was generated."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.acceptance.job import Job, conversation, rows, until
from tests.acceptance.servers import Asked, Raw, completion, http, raw_server

BOTH = ("run", "job.yaml", "judge.yaml")
AGAIN = "batchchat run job.yaml judge.yaml"


@pytest.fixture
def server() -> Iterator[Raw]:
    with raw_server(good) as server:
        yield server


def good(asked: Asked) -> bytes:
    return http(200, completion(f"{asked.model} of ({asked.said})"))


def write_both(job: Job, server: Raw, input_rows: list[Any], **judge: Any) -> None:
    """A job, and one that judges its responses: keys of the second are those of `judge`."""
    job.write(input_rows, endpoint__base_url=server.url, model="gen", resume__changed="resend", retry__max_wait=0.01)
    write_judge(job, server, **judge)


def write_judge(job: Job, server: Raw, **keys: Any) -> None:
    tree = {
        "input": {"path": "out.parquet", "format": "prompt", "column": "response"},
        "model": "judge",
        "endpoint": {"base_url": server.url},
        "resume": {"changed": "resend"},
        "retry": {"max_wait": 0.01},
        "output": {"path": "verdicts.parquet"},
        **keys,
    }
    (job.folder / "judge.yaml").write_text(json.dumps(tree))


def verdicts(job: Job) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = pq.read_table(job.folder / "verdicts.parquet").to_pylist()
    return table


def sent(server: Raw) -> Counter[str]:
    """How many requests came for each model."""
    return Counter(asked.model for asked in server.asked)


def test_a_job_reads_what_the_one_before_it_wrote(job: Job, server: Raw) -> None:
    """One summary at the end has both, and the sum of their costs; ids join the two outputs."""
    write_both(job, server, rows(30))
    ended = job.run(*BOTH)
    assert (ended.code, sent(server)) == (0, {"gen": 30, "judge": 30})
    assert [row["response"] for row in verdicts(job)] == [f"judge of (gen of (Question {n}))" for n in range(30)]
    assert [row["id"] for row in verdicts(job)] == [row["id"] for row in job.table()]
    lines = ended.out.splitlines()
    assert lines[0].startswith("job: 30 of 30 rows answered in ")
    assert lines[1].startswith("judge: 30 of 30 rows answered in ")
    assert lines[3] == "  cost      $0.0001: job <$0.0001, judge <$0.0001"
    assert [line.split(" · ")[0] for line in lines[4:6]] == ["  output    out.parquet", "            verdicts.parquet"]
    assert lines[7:] == ["next  batchchat report out.parquet verdicts.parquet"]


def test_a_second_run_says_in_two_lines_that_nothing_is_sent(job: Job, server: Raw) -> None:
    """And neither output is written."""
    write_both(job, server, rows(3))
    job.run(*BOTH)
    written = [path.stat().st_mtime_ns for path in job.folder.glob("*.parquet")]
    ended = job.run(*BOTH)
    assert (ended.code, sum(sent(server).values())) == (0, 6)
    first, second = ended.out.splitlines()
    for line, name in ((first, "job"), (second, "judge")):
        assert line.startswith(f"{name}: 3 of 3 rows answered in ")
        assert line.endswith(": nothing to send")
    assert [path.stat().st_mtime_ns for path in job.folder.glob("*.parquet")] == written


def test_three_changed_prompts_are_three_answers_and_three_judgements(job: Job, server: Raw) -> None:
    """Rows of the second job are sent again only where what they were made of has changed."""
    input_rows = rows(20)
    write_both(job, server, input_rows)
    job.run(*BOTH)
    before = verdicts(job)
    server.asked.clear()
    for n in (3, 11, 17):
        input_rows[n] = {**input_rows[n], "messages": conversation(f"Mended {n}")}
    job.write(input_rows)
    ended = job.run(*BOTH)
    assert (ended.code, sent(server)) == (0, {"gen": 3, "judge": 3})
    for n, (row, earlier) in enumerate(zip(verdicts(job), before, strict=True)):
        text = f"Mended {n}" if n in {3, 11, 17} else f"Question {n}"
        assert row["response"] == f"judge of (gen of ({text}))"
        assert (row["finished_at"] == earlier["finished_at"]) == (n not in {3, 11, 17})


def test_changed_rows_that_nobody_was_asked_about_are_undecided_in_both(job: Job, server: Raw) -> None:
    """Off a terminal the old answers stay, and the suggested command sends both anew."""
    write_both(job, server, rows(4), resume={"changed": "ask"})
    job.write(resume__changed="ask")
    job.run(*BOTH)
    server.asked.clear()
    job.write([*rows(3), {"id": "r0003", "messages": conversation("Mended")}])
    ended = job.run(*BOTH)
    assert (ended.code, sent(server)) == (3, {})
    assert f"next  {AGAIN} --resend changed\n      {AGAIN} --keep-changed\n" in ended.out
    assert job.run(*BOTH, "--resend", "changed").code == 0
    assert sent(server) == {"gen": 1, "judge": 1}
    assert verdicts(job)[3]["response"] == "judge of (gen of (Mended))"


def test_a_kill_in_the_second_job_costs_the_first_nothing(job: Job, server: Raw) -> None:
    """The same command finds the first job finished, and sends of the second what was not answered."""
    write_both(job, server, rows(40), concurrency=4)
    judged: list[str] = []

    def stalls(asked: Asked) -> bytes | None:
        if asked.model == "judge":
            judged.append(asked.said)
        return None if len(judged) > 20 else good(asked)

    server.answer = stalls
    running = job.start(*BOTH)
    journal = job.folder / "verdicts.run" / "journal-000001.jsonl"
    until(lambda: len(judged) > 20 and journal.read_bytes().count(b'{"kind":"row"') == 20)
    running.process.kill()
    running.end()
    server.answer = good
    server.asked.clear()
    ended = job.run(*BOTH)
    assert (ended.code, sent(server)) == (0, {"judge": 20})
    assert len(verdicts(job)) == 40
    assert "resume 40 finished before are kept · nothing to send" in ended.err


def test_a_signal_in_the_first_job_ends_all(job: Job, server: Raw) -> None:
    """It drains, and nothing of the second is sent."""
    write_both(job, server, rows(40))
    job.write(concurrency=2, drain=0.2)
    server.answer = lambda asked: None if asked.said == "Question 20" else good(asked)
    running = job.start(*BOTH)
    until(lambda: any(asked.said == "Question 20" for asked in server.asked))
    running.signal(signal.SIGTERM)
    ended = running.end()
    assert ended.code == 143
    assert set(sent(server)) == {"gen"}
    first, second, *_ = ended.out.splitlines()
    assert first.startswith("job stopped by SIGTERM: ")
    assert second == "judge.yaml did not start"
    assert f"\nnext  {AGAIN}\n" in ended.out
    assert job.state()["next_command"] == AGAIN
    assert not (job.folder / "verdicts.run").exists()


def test_an_endpoint_that_stops_the_first_job_stops_the_second(job: Job, server: Raw) -> None:
    """Exit 5, and the command that continues with both; a file with the rows there are is no reason to go on."""
    write_both(job, server, rows(8))
    refused = http(401, {"error": {"message": "Bad key"}})
    server.answer = lambda asked: good(asked) if asked.said == "Question 0" else refused
    job.write(concurrency=1)
    ended = job.run(*BOTH)
    assert ended.code == 5
    assert set(sent(server)) == {"gen"}
    first, second, *_ = ended.out.splitlines()
    assert first.startswith("job stopped by the endpoint: 1 of 8 rows answered")
    assert second == "judge.yaml did not start"
    assert f"\nnext  {AGAIN}\n" in ended.out
    server.answer = good
    assert job.run(*BOTH).code == 0
    assert len(verdicts(job)) == 8


def test_failed_rows_do_not_stop_the_second_job(job: Job, server: Raw) -> None:
    """Exit 3 is the worst of both, and failures are told with the job they are of."""
    write_both(job, server, rows(4))
    odd = http(400, {"error": {"message": "odd"}})
    server.answer = lambda asked: odd if asked.said == "Question 1" else good(asked)
    ended = job.run(*BOTH)
    assert ended.code == 3
    assert sent(server)["judge"] == 3
    assert "  failed    job: 1 bad_request  r0001: odd" in ended.out
    assert "  invalid   judge: 1  out.parquet:2: `response` is null. It takes text." in ended.out
    assert ended.out.endswith(f"      {AGAIN} --retry-failed\n")


def test_json_is_one_object_with_the_summary_of_each(job: Job, server: Raw) -> None:
    """The sums, and each job's own object as a run of it alone prints it."""
    write_both(job, server, rows(5))
    ended = job.run(*BOTH, "--json")
    summary = json.loads(ended.out)
    assert [of_job["name"] for of_job in summary["jobs"]] == ["job", "judge"]
    assert [of_job["rows"]["answered"] for of_job in summary["jobs"]] == [5, 5]
    assert (summary["exit_code"], summary["state"], summary["not_started"]) == (0, "finished", [])
    assert summary["this_run"]["rows"] == 10
    assert summary["cost_usd"]["known"] == 0.00002
    assert summary["next_command"] is None
    assert summary["text"] == " · ".join(of_job["text"] for of_job in summary["jobs"])
    server.answer = lambda _: http(401, {"error": "no"})
    stopped = json.loads(job.run(*BOTH, "--json", "--fresh").out)
    assert (stopped["exit_code"], stopped["not_started"]) == (5, ["judge.yaml"])
    assert stopped["next_command"] == f"{AGAIN} --fresh".removesuffix(" --fresh")
    assert len(stopped["jobs"]) == 1


def test_a_limit_is_of_each_job(job: Job, server: Raw) -> None:
    """A small first run goes through both; what continues has no limit."""
    write_both(job, server, rows(9))
    ended = job.run(*BOTH, "--limit", "2")
    assert (ended.code, sent(server)) == (0, {"gen": 2, "judge": 2})
    assert f"\nnext  {AGAIN}\n" in ended.out
    assert "r0000  Question 0\n" in ended.out
    assert "r0000  gen of (Question 0)\n" in ended.out
    assert job.run(*BOTH).code == 0
    assert sent(server) == {"gen": 9, "judge": 9}


def test_what_continues_a_limited_run_is_of_one_job(job: Job, server: Raw) -> None:
    """The rest of the limit belongs to the job that stopped; those after it have the whole limit again."""
    write_both(job, server, rows(9))
    refused = http(401, {"error": "no"})
    server.answer = lambda asked: good(asked) if asked.said in {"Question 0", "Question 1"} else refused
    job.write(concurrency=1)
    ended = job.run(*BOTH, "--limit", "5")
    assert ended.code == 5
    assert "next  batchchat run job.yaml --limit 3\n      batchchat run judge.yaml --limit 5\n" in ended.out


def test_each_job_calls_its_own_command(job: Job, server: Raw) -> None:
    """`on_finish` gets the summary of its job alone."""
    write_both(job, server, rows(2), on_finish="cat > judge.json")
    job.write(on_finish="cat > job.json")
    job.run(*BOTH)
    for name in ("job", "judge"):
        assert json.loads((job.folder / f"{name}.json").read_text())["name"] == name


FAULTS: dict[str, tuple[dict[str, Any], tuple[str, ...], list[str]]] = {
    "a typo in either file": (
        {"modell": "x"},
        ("job.yaml", "judge.yaml", "--set", "drain=soon"),
        ["judge.yaml:1: `modell` is not a key of a job. Did you mean `model`?", "--set drain=soon: "],
    ),
    "no such input": (
        {"input": {"path": "gone.jsonl"}},
        BOTH[1:],
        ["judge.yaml: gone.jsonl is not there. Relative paths are relative to the job's folder."],
    ),
    "another input that is not there": (
        {"input": {"path": ["out.parquet", "gone.jsonl"]}},
        BOTH[1:],
        ["judge.yaml: gone.jsonl is not there."],
    ),
    "one output for both": (
        {"output": {"path": "out.parquet"}, "input": {"path": "in.jsonl"}},
        BOTH[1:],
        ["judge.yaml: `output.path` is that of job.yaml, too. Give each job an output of its own."],
    ),
    "the wrong order": (
        {},
        ("judge.yaml", "job.yaml"),
        ["judge.yaml: out.parquet is what job.yaml writes, which runs later. Name that job first."],
    ),
    "an output that is something else": (
        {"output": {"path": "other.parquet"}},
        BOTH[1:],
        ["judge.yaml: other.parquet already exists and was not written by batchchat."],
    ),
    "a folder that is a file": (
        {"output": {"path": "in.jsonl/verdicts.parquet"}},
        BOTH[1:],
        ["judge.yaml: in.jsonl/verdicts.parquet can't be written: "],
    ),
    "a cap that can't hold": (
        {"budget": {"max_cost": 1}, "params": {"temperature": 0}},
        BOTH[1:],
        ["judge.yaml: `budget.max_cost` can't hold: a reply has no upper bound of cost. Set `params.max_tokens`"],
    ),
    "no such table of prices": ({"prices": "gone.csv"}, BOTH[1:], ["judge.yaml", "gone.csv"]),
    "an option of one job": ({}, (*BOTH[1:], "--max-cost", "3"), ["--max-cost can't be used with several jobs. It is"]),
    "an input for both": ({}, (*BOTH[1:], "--input", "x"), ["--input can't be used with several jobs. Set `input"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_would_stop_the_second_job_is_refused_before_the_first(job: Job, server: Raw, fault: str) -> None:
    """Exit 2, every fault at once, and nothing is sent or made."""
    keys, arguments, sentences = FAULTS[fault]
    write_both(job, server, rows(3), **keys)
    (job.folder / "other.parquet").write_bytes(b"PAR1 mine PAR1")
    ended = job.run("run", *arguments)
    assert (ended.code, ended.out) == (2, "")
    for sentence in sentences:
        assert sentence in ended.err
    assert not server.asked
    assert not job.run_folder.exists()


def test_a_refusal_in_the_second_job_keeps_the_first(job: Job, server: Raw) -> None:
    """Its error is printed, the summary has the first job, and `--json` has both."""
    write_both(job, server, rows(30), input={"path": "out.parquet", "format": "prompt", "column": "answer"})
    ended = job.run(*BOTH)
    assert ended.code == 2
    assert ended.errors == [
        "error: out.parquet has no column `answer` (`input.column`): it has " + ended.errors[0].partition("it has ")[2]
    ]
    first, second, *_ = ended.out.splitlines()
    assert first.startswith("job: 30 of 30 rows answered in ")
    assert second.startswith("judge stopped before it began: out.parquet has no column `answer`")
    assert ended.out.endswith(f"next  {AGAIN}\n")
    assert sent(server) == {"gen": 30}
    summary = json.loads(job.run(*BOTH, "--json").out)
    assert [of_job["exit_code"] for of_job in summary["jobs"]] == [0, 2]
    assert summary["exit_code"] == 2


@pytest.mark.parametrize("output", ["out.parquet", "out"])
def test_an_output_whose_run_was_stopped_is_told(job: Job, server: Raw, output: str) -> None:
    """The judge alone, over a file that lacks what its run has answered since: a note, before anything is sent."""
    write_both(job, server, rows(2), input={"path": output, "format": "prompt", "column": "response"})
    job.write(output__path=output)
    assert job.run(*BOTH).code == 0
    assert "note" not in job.run("run", "judge.yaml").err
    with job.journal_file.open("a") as journal:
        journal.write('{"kind":"row"')
    note = f"{output} does not have all that its run has by now, which goes on or was stopped. Run its job first for"
    assert f"note   {note}" in job.run("run", "judge.yaml").err
    assert note in " ".join(job.run("validate", "judge.yaml").out.split())


JUDGES: dict[str, Any] = {
    "input": {"path": "out.parquet", "where": "status == 'answered'"},
    "template": "Q: {{ messages[0].content }}\nA: {{ response }}",
}


def test_a_row_that_was_not_answered_is_not_judged(job: Job, server: Raw) -> None:
    """`where` leaves it out; a judgement that it had stays in the journal, with its cost, and serves again."""
    input_rows = rows(4)
    write_both(job, server, input_rows, **JUDGES)
    assert job.run(*BOTH).code == 0
    assert len(verdicts(job)) == 4
    odd = http(400, {"error": {"message": "odd"}})
    server.answer = lambda asked: odd if asked.said == "Mended" else good(asked)
    job.write([*input_rows[:3], {"id": "r0003", "messages": conversation("Mended")}])
    server.asked.clear()
    ended = job.run(*BOTH)
    assert (ended.code, sent(server)) == (3, {"gen": 1})
    assert "note   1 row left out by `input.where`." in ended.err
    assert [row["id"] for row in verdicts(job)] == ["r0000", "r0001", "r0002"]
    summary = json.loads(job.run("run", "judge.yaml", "--json").out)
    assert (summary["rows"]["total"], summary["cost_usd"]["known"]) == (3, 0.000008)
    assert summary["cost_usd"]["superseded"] == 0.000002
    job.write(input_rows)
    server.answer = good
    server.asked.clear()
    assert job.run(*BOTH).code == 0
    assert sent(server) == {"gen": 1}
    assert len(verdicts(job)) == 4


def test_what_only_took_another_time_is_not_judged_again(job: Job, server: Raw) -> None:
    """An answer that is given once more in the same words is the same to the judge; its cost and time are new."""
    write_both(job, server, rows(6), **JUDGES)
    job.run(*BOTH)
    server.asked.clear()
    ended = job.run("run", "job.yaml", "--fresh")
    assert ended.code == 0
    ended = job.run(*BOTH)
    assert (ended.code, sent(server)) == (0, {"gen": 6})


def test_a_template_that_reads_no_such_column_is_told_when_it_can_be(job: Job, server: Raw) -> None:
    """A template that is none, before the first job; a column that the first job's output lacks, once it is there."""
    write_both(job, server, rows(30), **{**JUDGES, "template": "{{ response"})
    ended = job.run(*BOTH)
    assert (ended.code, sent(server)) == (2, {})
    assert ended.errors[0].startswith("error: judge.yaml: `template`")
    write_judge(job, server, **{**JUDGES, "template": "{{ answer }}"})
    ended = job.run(*BOTH)
    assert (ended.code, sent(server)) == (2, {"gen": 30})
    assert "`answer`" in ended.errors[0]
    write_judge(job, server, **JUDGES)
    assert job.run(*BOTH).code == 0
    assert sent(server) == {"gen": 30, "judge": 30}


def test_each_sample_is_judged_and_raising_them_judges_the_new_ones(job: Job, server: Raw) -> None:
    """The ids of the second job stay what they were."""
    write_both(job, server, rows(3), **JUDGES)
    job.write(samples=2)
    assert job.run(*BOTH).code == 0
    ids = {"r0000", "r0000##1", "r0001", "r0001##1", "r0002", "r0002##1"}
    assert {row["id"] for row in verdicts(job)} == ids
    assert {(row["input_id"], row["input_sample"]) for row in verdicts(job)} == {
        (f"r000{n}", sample) for n in range(3) for sample in range(2)
    }
    server.asked.clear()
    job.write(samples=3)
    assert job.run(*BOTH).code == 0
    assert sent(server) == {"gen": 3, "judge": 3}
    assert {row["id"] for row in verdicts(job)} == ids | {f"r000{n}##2" for n in range(3)}


def test_each_variant_is_judged_under_its_name(job: Job, server: Raw) -> None:
    """And its values are columns by which the verdicts can be grouped."""
    write_both(job, server, rows(2), **JUDGES)
    job.write(matrix={"params.temperature": [0, 1]})
    assert job.run(*BOTH).code == 0
    generated = {(row["id"], row["variant"]) for row in job.table()}
    assert {(row["input_id"], row["input_variant"]) for row in verdicts(job)} == generated
    assert len({row["id"] for row in verdicts(job)}) == 4
    assert {row["variant_temperature"] for row in verdicts(job)} == {0, 1}
