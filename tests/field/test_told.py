"""What people were told of runs that had not done everything: on the terminal, in the report, in files for others."""

from __future__ import annotations

import json
import re
import shlex
import time
from datetime import datetime, timedelta
from typing import Any

import pytest

from batchchat.text.run_sentence import Standing, run_sentence
from tests.acceptance.job import Job, rows
from tests.field.endpoint import endpoint, error, ok
from tests.reporting.html.test_page import data_of

ROWS = ["total", "answered", "failed", "invalid", "left", "cut_off", "undecided"]


def adds_up(counts: dict[str, Any]) -> bool:
    return bool(counts["answered"] + counts["failed"] + counts["invalid"] + counts["left"] == counts["total"])


def until_next_second() -> None:
    """So that what follows has another time, in seconds, than what was before."""
    time.sleep(1 - time.time() % 1)


def report_of(job: Job) -> dict[str, Any]:
    output: dict[str, Any] = json.loads(job.run("report", "out.parquet", "--json").out)["outputs"][0]
    return output


def test_a_part_of_the_input_is_never_told_as_all_of_it(job: Job) -> None:
    """215 of 5,000 rows under `--limit` were "answered 100 %, every row" on the page."""
    job.write(rows(40))
    ended = job.run("--limit", "7")
    assert ended.code == 0
    assert ended.headline.startswith("job stopped at --limit 7: 7 of 40 rows answered")
    assert ended.headline.endswith(", 33 left")
    output = report_of(job)
    assert (list(output["rows"]), adds_up(output["rows"])) == (ROWS, True)
    assert (output["rows"]["total"], output["rows"]["left"], output["state"]) == (40, 33, "finished")
    assert job.run("report", "out.parquet", "--html", "r.html").code == 0
    page = data_of((job.folder / "r.html").read_bytes())
    assert page["headline"].startswith("Stopped at --limit 7: 7 of 40 rows answered")
    assert page["outputs"][0]["unanswered"] == "No row so far; 33 left, the run stopped at --limit 7"
    figure = page["outputs"][0]["figures"][-1]
    assert (figure["value"], figure["note"]) == ("17.5 %", "33 left")


def test_the_page_says_why_a_budget_stopped_it(job: Job) -> None:
    """What is left and why it stopped are the first things on the page, and in JSON."""
    with endpoint(lambda _: ok(usage={"prompt_tokens": 10, "completion_tokens": 5, "estimated_cost": 1.0})) as server:
        job.write(
            rows(30), endpoint__base_url=server.url, concurrency=1, budget__max_cost=4,
            params={"max_tokens": 5}, price={"input": 100000, "output": 10},
        )  # fmt: skip
        ended = job.run()
    assert ended.code == 4, ended.err
    assert ended.headline.startswith("job stopped at budget.max_cost ($4.0000): ")
    output = report_of(job)
    assert (output["state"], adds_up(output["rows"])) == ("stopped", True)
    assert output["rows"]["left"] > 0
    assert output["reason"].startswith("the budget of $4.0000 does not cover the next row")
    job.run("report", "out.parquet", "--html", "r.html")
    page = data_of((job.folder / "r.html").read_bytes())
    assert page["headline"].startswith("Stopped at budget.max_cost ($4.0000): ")
    assert page["outputs"][0]["notes"][0][0] == "stopped"


def test_an_output_without_its_run_folder_still_says_that_it_was_stopped(job: Job) -> None:
    """Whoever gets the Parquet alone is not told that it is the whole."""
    job.write(rows(20))
    job.run("--limit", "5")
    for path in job.run_folder.iterdir():
        path.unlink()
    job.run_folder.rmdir()
    output = report_of(job)
    assert (output["rows"]["total"], output["rows"]["left"]) == (20, 15)
    assert job.run("report", "out.parquet").out.startswith("out.parquet stopped at --limit 5: 5 of 20 rows answered")


def test_answers_that_were_cut_off_are_counted_wherever_answers_are(job: Job) -> None:
    """190 of 200 replies ended at `max_tokens`, and nothing said so; a model was trained with them."""
    replies = ("length", "stop", "length", "length", "stop")
    with endpoint(lambda asked: ok(finish_reason=replies[int(asked.text.split()[-1])])) as server:
        job.write(rows(5), endpoint__base_url=server.url, on_finish="cat > told")
        ended = job.run()
    told_so = "cut off 3 answers ended at the token limit; raise `max_tokens`, then --resend cut-off --keep-changed"
    assert told_so in " ".join(ended.out.split())
    told = json.loads((job.folder / "told").read_text())
    assert told["rows"]["cut_off"] == 3
    assert told["text"].endswith(", 3 cut off")
    assert report_of(job)["rows"]["cut_off"] == 3
    assert "  cut off   3 answers" in job.run("report", "out.parquet").out
    assert json.loads(job.run("status", "out.parquet", "--json").out)["rows"]["cut_off"] == 3
    assert "  cut off   3 answers" in job.run("status", "out.parquet").out
    assert "3 cut off" in (job.run_folder / "run.log").read_text()
    for form in ("sharegpt", "chat"):
        left_out = job.run("export", "out.parquet", "--to", form, "-o", f"{form}.jsonl")
        assert (left_out.code, left_out.out) == (0, f"{form}.jsonl: 2 rows\n")
        assert left_out.err.startswith("left out: 3 rows whose answer is cut off at its token limit; --with-cut-off")
        asked_for = job.run("export", "out.parquet", "--to", form, "-o", f"{form}.jsonl", "--with-cut-off")
        assert (asked_for.out, asked_for.err) == (f"{form}.jsonl: 5 rows\n", "")
    lines = (job.folder / "chat.jsonl").read_text().splitlines()
    assert [message["role"] for message in json.loads(lines[0])["messages"]] == ["user", "assistant"]


def test_one_answer_that_was_cut_off_is_told_in_the_singular(job: Job) -> None:
    """And counted by groups, too."""
    with endpoint(lambda asked: ok(finish_reason="length" if asked.text.endswith("3") else "stop")) as server:
        job.write(rows(5), endpoint__base_url=server.url)
        assert "  cut off   1 answer ended at the token limit" in job.run().out
    by = json.loads(job.run("report", "out.parquet", "--by", "finish_reason", "--json").out)["outputs"][0]["by"]
    assert {group["finish_reason"]: group["rows"]["cut_off"] for group in by} == {"length": 1, "stop": 0}


@pytest.mark.parametrize(("suffix", "first"), [(".jsonl", b"{"), (".csv", b"id,"), (".parquet", b"PAR1")])
def test_an_export_has_the_form_that_its_name_says(job: Job, suffix: str, first: bytes) -> None:
    """`-o so-far.csv` is enough."""
    job.write(rows(2))
    job.run()
    assert job.run("export", "out.parquet", "-o", f"x{suffix}").code == 0
    assert (job.folder / f"x{suffix}").read_bytes().startswith(first)


def test_an_export_whose_name_says_nothing_is_asked_about(job: Job) -> None:
    """With the option that says it; stdout has no suffix either."""
    job.write(rows(2))
    job.run()
    for target in ("x.txt", "-"):
        ended = job.run("export", "out.parquet", "-o", target)
        assert (ended.code, "--to parquet|jsonl|csv" in ended.err) == (2, True)


def test_figures_as_csv_go_down_a_pipe(job: Job) -> None:
    """`--csv -` wrote a file of that name."""
    job.write(rows(2))
    job.run()
    ended = job.run("report", "out.parquet", "--csv", "-")
    assert ended.out.startswith("path,rows_total,")
    assert ended.out.count("\n") == 2
    assert not (job.folder / "-").exists()


def test_the_command_that_goes_on_sends_what_is_left_of_a_limit(job: Job) -> None:
    """After `--limit 20` stopped at 6, the suggestion sends 14 more, not 20."""
    refused = error(401, "no such key", code="invalid_api_key")
    with endpoint(lambda asked: ok() if asked.number <= 6 else refused) as server:
        job.write(rows(40), endpoint__base_url=server.url, concurrency=1)
        ended = job.run("--limit", "20")
    assert ended.code == 5, ended.err
    rest = 20 - report_of(job)["rows"]["answered"]
    assert f"next  batchchat run job.yaml --limit {rest}\n" in ended.out
    assert json.loads(job.run("status", "job.yaml", "--json").out)["next_command"].endswith(f"--limit {rest}")


def test_pauses_between_runs_are_not_running_time(job: Job) -> None:
    """Two runs of 1.6 s, 45 s apart, were "in 52s, 3.1 in flight"."""
    job.write(rows(12))
    assert job.run("--limit", "6").code == 0
    journal = job.journal_file
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:  # the first run was an hour ago
        for name in ("at", "started_at", "finished_at"):
            if name in line:
                line[name] -= 3600
    from batchchat.store.records import encode

    journal.write_bytes(b"".join(encode({k: v for k, v in line.items() if k != "crc"}) for line in lines))
    assert job.run().code == 0
    output = report_of(job)
    assert 0 < output["running_s"] < 60
    job.run("report", "out.parquet", "--html", "r.html")
    page = data_of((job.folder / "r.html").read_bytes())["outputs"][0]
    assert page["time"]["unit"] == "seconds"
    assert [
        pause["text"].startswith(("stopped for 59m", "stopped for 1h 00m")) for pause in page["time"]["breaks"]
    ] == [True]


def test_what_the_mock_answered_cost_nothing(job: Job) -> None:
    """Its prices are told as its own, on the terminal, in the report and in JSON."""
    job.write(rows(3))
    ended = job.run()
    assert ended.headline.endswith(" (mock)")
    assert "at the price of the embedded mock: nothing was paid" in ended.out
    assert "at the price of the embedded mock: nothing was paid" in job.run("report", "out.parquet").out
    assert report_of(job)["mock"] is True


def test_money_below_the_last_place_is_told_for_a_thousand_rows(job: Job) -> None:
    """`<$0.0001 an answered row` tells two models apart by nothing."""
    with endpoint(lambda _: ok()) as server:
        job.write(rows(3), endpoint__base_url=server.url)
        job.run()
    assert "$0.00200 per 1,000 answered rows" in job.run("report", "out.parquet").out


def test_the_summary_as_one_object(job: Job) -> None:
    """`run --json` prints what `on_finish` reads, and nothing else on stdout."""
    job.write(rows(3), on_finish="cat > told")
    ended = job.run("--json")
    summary = json.loads(ended.out)
    told = json.loads((job.folder / "told").read_text())
    assert summary == told
    assert (summary["rows"]["total"], adds_up(summary["rows"])) == (3, True)


def test_figures_by_two_columns_together(job: Job) -> None:
    """`--by a --by b` gave the figures of `b` alone; now each combination has its own, once for each way to ask."""
    job.write([{**row, "lang": "de" if n % 2 else "en", "level": n % 3} for n, row in enumerate(rows(12))])
    job.run()
    for options in (["--by", "lang,level"], ["--by", "lang", "--by", "level"]):
        by = json.loads(job.run("report", "out.parquet", *options, "--json").out)["outputs"][0]["by"]
        assert sorted((group["lang"], group["level"], group["rows"]["answered"]) for group in by) == [
            (lang, level, 2) for lang in ("de", "en") for level in (0, 1, 2)
        ]
    text = job.run("report", "out.parquet", "--by", "lang,level").out
    assert re.search(r"^  by lang +level +rows ", text, re.MULTILINE)
    assert re.search(r"^  de +2 +2 ", text, re.MULTILINE)
    lines = job.run("report", "out.parquet", "--by", "lang,level", "--csv", "-").out.splitlines()
    assert (lines[0].split(",")[:2], len(lines)) == (["lang", "level"], 7)
    job.run("report", "out.parquet", "--by", "lang,level", "--html", "r.html")
    page = data_of((job.folder / "r.html").read_bytes())["outputs"][0]
    assert page["spent"][0]["by"] == "lang · level"
    assert "en · 0" in [bar["name"] for bar in page["spent"][0]["bars"]]


def test_groups_of_a_column_that_has_the_name_of_a_figure(job: Job) -> None:
    """The groups are told apart."""
    job.write(rows(3))
    job.run()
    by = json.loads(job.run("report", "out.parquet", "--by", "attempts", "--json").out)["outputs"][0]["by"]
    assert [group["attempts"] for group in by] == [1]
    assert by[0]["rows"]["answered"] == 3


def test_what_the_last_run_did(job: Job) -> None:
    """Of a job over several nights, `--since last-run` is the last one."""
    job.write([*rows(12), {"id": "bad"}])
    job.run("--limit", "8")
    until_next_second()
    job.run()
    ended = job.run("report", "job.yaml", "--since", "last-run")
    assert re.match(r"out\.parquet since 20\S+Z: 4 rows answered in ", ended.out), ended.out
    output = json.loads(job.run("report", "out.parquet", "--since", "last-run", "--json", "--by", "status").out)
    last = output["outputs"][0]
    assert (last["rows"]["answered"], last["rows"]["total"], last["cost_usd"]["superseded"]) == (4, None, None)
    assert [(group["status"], group["rows"]["answered"]) for group in last["by"]] == [("answered", 4)]
    job.run("report", "out.parquet", "--since", "last-run", "--html", "r.html")
    page = data_of((job.folder / "r.html").read_bytes())
    assert sorted(row["id"] for row in page["rows"][0]) == [f"r{n:04}" for n in range(8, 12)]
    assert (page["outputs"][0]["total"], page["outputs"][0]["figures"][-1]["value"]) == (4, "100 %")
    assert page["outputs"][0]["figures"][-1]["note"] == "every row that ended since then"
    assert page["outputs"][0]["unanswered"] == "Nothing since then"  # of 13 rows, one of them invalid


def test_rows_since_a_time(job: Job) -> None:
    """A time of day, a date, a date with a time and how long ago; the journal of a run that goes on, too."""
    job.write(rows(5))
    job.run()
    today = datetime.now().astimezone()
    for since in ("1h", today.date().isoformat(), f"{today - timedelta(hours=1):%Y-%m-%dT%H:%M}"):
        told = json.loads(job.run("report", "out.parquet", "--since", since, "--json").out)["outputs"][0]
        assert told["rows"]["answered"] == 5, since
    job.output.unlink()
    for since, count in (("1h", 5), ((today + timedelta(hours=-2)).isoformat(), 5)):
        told = json.loads(job.run("report", "job.yaml", "--since", since, "--json").out)["outputs"][0]
        assert told["rows"]["answered"] == count
    for since in ("2999-01-01", "yesterday"):
        ended = job.run("report", "job.yaml", "--since", since)
        assert (ended.code, f"--since {since} is " in ended.err) == (2, True)


def test_the_first_rows_are_all_there_are(job: Job) -> None:
    """`input.first: 1000` of 20,000 rows was told as "of about 20,000", with their cost and their time."""
    job.write(rows(3000), input__first=50)
    with endpoint(lambda asked: ok() if asked.number <= 20 else error(401, "no")) as server:
        job.write(endpoint__base_url=server.url, concurrency=1)
        ended = job.run()
    assert ended.headline.endswith(" answered for $0.00004, 30 left") or ", 30 left" in ended.headline, ended.headline
    assert "20/50 rows" in ended.err
    assert "about 50" not in ended.err


def test_a_small_input_is_counted_before_it_is_sent(job: Job) -> None:
    """A file of 300 rows began with "20/about 309 rows"."""
    with endpoint(lambda asked: ok() if asked.number <= 20 else error(401, "no")) as server:
        job.write([{**row, "note": "x" * (n % 50)} for n, row in enumerate(rows(300))], endpoint__base_url=server.url)
        ended = job.run("--concurrency", "1")
    assert "20/300 rows" in ended.err, ended.err


def test_rows_that_no_limit_counts_are_not_done_beyond_it(job: Job) -> None:
    """`--limit 3` of 800 rows, most of them invalid, was at "800/3 rows"."""
    job.write([*({"id": f"x{n}"} for n in range(30)), *rows(5)])
    ended = job.run("--limit", "3")
    assert ended.headline.startswith("job stopped at --limit 3: 3 of 35 rows answered")
    assert re.findall(r"(\S+) rows ·", ended.err) == ["33/33"]
    again = job.run("--limit", "1")
    assert re.findall(r"(\S+) rows ·", again.err) == ["34/34"]


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"input__path": "gone.jsonl"}, "gone.jsonl is not there"),
        ({"params": {"max_tokens": "many"}, "concurrency": "lots"}, "`concurrency` is"),
        (
            {"confirm_above": 0.00001, "price": {"input": 9, "output": 9}, "endpoint__base_url": "http://127.0.0.1:9"},
            "--yes",
        ),
    ],
)
def test_a_refused_run_is_one_object_too(job: Job, keys: dict[str, Any], reason: str) -> None:
    """`run --json` of a run that was refused printed nothing on stdout, which no script can read."""
    job.write(rows(3), **keys)
    ended = job.run("--json")
    summary = json.loads(ended.out)
    assert (ended.code, summary["exit_code"], summary["job"].endswith("job.yaml")) == (2, 2, True)
    assert reason in summary["reason"]
    assert "\n" not in summary["text"]


def test_groups_whose_rows_cost_little_can_be_compared(job: Job) -> None:
    """`<$0.0001` a row stood beside `<$0.0001` a row."""
    with endpoint(
        lambda asked: ok(usage={"estimated_cost": 0.000002 if asked.text.endswith("0") else 0.000004})
    ) as server:
        job.write([{**row, "topic": "ab"[n % 2]} for n, row in enumerate(rows(2))], endpoint__base_url=server.url)
        job.run()
    text = job.run("report", "out.parquet", "--by", "topic").out
    assert re.search(r"cost +per 1,000 +p50", text)
    assert ("$0.00400" in text, "$0.00200" in text) == (True, True)


def test_the_page_of_a_run_that_goes_on_begins_with_a_sentence() -> None:
    """It began with "Is running"."""
    assert run_sentence("", Standing("running")).startswith("still running: ")
    assert run_sentence("", Standing("killed")).startswith("killed: ")


def test_commands_that_are_suggested_can_be_pasted(job: Job) -> None:
    """Whatever the names of files are."""
    job.write(rows(4), output__path="it's all/the out $put.parquet")
    (job.folder / "it's all").mkdir()
    by_output = ("status", "it's all/the out $put.parquet")
    for ended in (job.run("--limit", "2"), job.run("status", "job.yaml"), job.run(*by_output)):
        commands = re.findall(r"^(?:next)? +(batchchat .*)$", ended.out, re.MULTILINE)
        assert any("report" in command for command in commands), ended.out
        for command in commands:
            assert job.run(*shlex.split(command)[1:]).code == 0, command
