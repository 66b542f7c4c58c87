"""How a run looks: on terminals of 80 and 120 columns, in pipes, and in the files beside its output."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.acceptance.job import Job, conversation, rows, until
from tests.acceptance.servers import completion, http, mock_thread, raw_server

SECONDS = r"[\d.]+(?:ms|s| s)"


@pytest.mark.parametrize("columns", [80, 120])
def test_bar(job: Job, columns: int) -> None:
    """On a terminal a bar changes in place, never wider than the terminal, and the rest scrolls above it."""
    with mock_thread(latency_s=0.2) as mock:
        job.write(rows(100), endpoint__base_url=mock.url)
        code, screen = job.terminal(columns=columns).end()
    assert code == 0
    drawn = [part for line in screen.split("\n") for part in line.split("\r") if "%|" in part]
    assert len(drawn) > 3
    assert max(len(part) for part in drawn) <= columns
    assert re.match(r" *\d+%\|.+\| \d+/(about )?\d+ \[[\d:]+<[\d:?]+, [\d.]+ rows/s\]  ", drawn[-1]), drawn[-1]
    assert f"job · m at {mock.host} · up to 16 in flight\n" in screen
    assert "\x1b[32mjob: 100 of 100 rows answered in " in screen


def test_bar_is_true(job: Job) -> None:
    """A fresh run's estimate of its total is near the truth from early on: a bar at 100 % says it is done."""
    with mock_thread(latency_s=0.3) as mock:
        job.write(rows(160), endpoint__base_url=mock.url)
        code, screen = job.terminal(columns=120).end()
    assert code == 0
    totals = [int(total.replace(",", "")) for total in re.findall(r"/(?:about )?([\d,]+) \[00:0[1-9]", screen)]
    assert totals
    assert all(140 <= total <= 180 for total in totals), totals


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_without_colour(job: Job, env: dict[str, str]) -> None:
    """NO_COLOR and a dumb terminal get no colour, on either stream, whatever happens; a dumb one gets no bar."""
    with raw_server(lambda _: http(401, {"detail": "no"})) as server:
        job.write(rows(2), endpoint__base_url=server.url)
        code, screen = job.terminal(env=env).end()
        assert code == 5
        job.write(input__path="none.jsonl")
        refused, more = job.terminal(env=env).end()
    assert refused == 2
    assert "\x1b" not in screen + more
    assert "stopped: " in screen
    assert "error: none.jsonl is not there." in more
    if "TERM" in env:
        assert "%|" not in screen
        assert "\r" not in screen


def test_pipes(job: Job) -> None:
    """In pipes there is no bar and no colour, and what is for reading stands apart from what is told on the way."""
    with mock_thread(latency_s=0.05) as mock:
        job.write(rows(60), endpoint__base_url=mock.url)
        ended = job.start().end()
    assert ended.code == 0
    assert not re.search(r"\x1b|\r|%\|", ended.out + ended.err)
    first, second, last = ended.err.splitlines()
    assert first == f"job · m at {mock.host} · up to 16 in flight"
    assert second.startswith("input  messages from in.jsonl (recognised: messages")
    assert re.fullmatch(r"\d\d:\d\d 60/60 rows · [\d.]+/s · \$0\.\d{4} of about .+ · 0 in flight · .+ tok/s", last)


def test_summary(job: Job) -> None:
    """The morning's summary, to the letter but for times."""
    with mock_thread() as mock:
        bad = [{"id": "bad", "messages": []}, {"id": "r0003", "messages": conversation("again")}]
        job.write([*rows(40), *bad], endpoint__base_url=mock.url)
        ended = job.run("--progress", "none")
        cost = mock.stats()["cost_usd"]
    assert (ended.code, ended.err) == (3, "")
    tokens = sum(row["completion_tokens"] for row in job.table() if row["completion_tokens"])
    shown = f"{float(cost):.4f}"
    pattern = f"""job: 40 of 42 rows answered in {SECONDS} for ${shown}

  rows      40 answered · 2 invalid
  tokens    400 in · {tokens:,} out
  cost      ${shown} reported by the endpoint
  latency   p50 SECONDS · p95 SECONDS · p99 SECONDS
  invalid   2  in.jsonl:41: `messages` is empty

  output    out.parquet · SIZE kB

next  batchchat report out.parquet
"""
    wanted = re.escape(pattern).replace(re.escape(SECONDS), SECONDS).replace("SECONDS", SECONDS).replace("SIZE", r"\d+")
    assert re.fullmatch(wanted, ended.out), ended.out


@pytest.mark.parametrize("count", [20, 21])
def test_replies_of_a_small_run(job: Job, count: int) -> None:
    """A run of at most 20 rows shows its replies on stdout, in the order of the input; a larger one none."""
    with raw_server(lambda asked: http(200, completion(f"To {asked.said}\nand more"))) as server:
        job.write(rows(count), endpoint__base_url=server.url)
        ended = job.run("--progress", "none")
    shown = "".join(f"r{n:04}  Question {n}\n    To Question {n} and more\n" for n in range(count))
    assert ended.out.startswith(f"{shown}\njob: 20 of 20 rows" if count == 20 else "job: 21 of 21 rows")


def test_head(job: Job) -> None:
    """`| head -1` ends a run as if all had been read."""
    with mock_thread() as mock:
        job.write(rows(5), endpoint__base_url=mock.url)
        command = " ".join(job.command())
        script = f"set -o pipefail; {command} 2> err | head -1; echo ${{PIPESTATUS[0]}}"
        ended = subprocess.run(
            ["bash", "-c", script], cwd=job.folder, env=job.environ(), capture_output=True, text=True, check=False
        )
    assert ended.stdout.splitlines() == ["r0000  Question 0", "0"]
    assert "Traceback" not in (job.folder / "err").read_text() + ended.stderr
    assert len(job.table()) == 5


def test_files(job: Job) -> None:
    """`> file 2>/dev/null` puts the results and nothing else into the file."""
    with mock_thread() as mock:
        job.write(rows(25), endpoint__base_url=mock.url)
        with (job.folder / "file").open("wb") as file:
            ended = job.start(stdout=file, stderr=subprocess.DEVNULL).end()
    assert ended.code == 0
    assert re.match(
        r"job: 25 of 25 rows answered in .*\n\n  rows      25 answered\n", (job.folder / "file").read_text()
    )


def test_stdout_is_full(job: Job) -> None:
    """A stdout that takes nothing is not called a defect of ours."""
    with mock_thread() as mock:
        job.write(rows(25), endpoint__base_url=mock.url)
        with open("/dev/full", "wb") as full:  # noqa: PTH123 (a device)
            ended = job.start(stdout=full).end()
    assert "defect" not in ended.err
    assert "Traceback" not in ended.err
    assert len(job.table()) == 25


def test_state(job: Job) -> None:
    """run.json holds what `status` promises, while a run goes on and when it is over."""
    keys = [
        *("job", "output", "state", "pid", "host", "started_at", "updated_at", "rows", "in_flight", "ceiling"),
        *("reason", "waiting_for", "down_since"),
        *("rows_per_s", "cost_usd", "max_cost", "eta_s", "exit_code", "next_command"),
    ]
    with raw_server(lambda asked: None if asked.said == "Question 7" else http(200, completion())) as server:
        job.write(rows(8), endpoint__base_url=server.url)
        running = job.start()
        until(lambda: (job.run_folder / "run.json").exists() and job.state()["rows"]["answered"] == 7)
        going = job.state()
        server.release(lambda _: http(200, completion()))
        assert running.end().code == 0
    assert going.keys() >= set(keys)
    assert (going["job"], going["output"], going["state"]) == ("job.yaml", "out.parquet", "running")
    assert (going["pid"], going["in_flight"], going["ceiling"]) == (running.process.pid, 1, 16)
    assert going["rows"] == {
        "total": 8,
        "answered": 7,
        "failed": 0,
        "invalid": 0,
        "left": 1,
        "cut_off": 0,
        "undecided": 0,
    }
    assert (going["exit_code"], going["next_command"]) == (None, "batchchat run job.yaml")
    over = job.state()
    assert (over["state"], over["exit_code"], over["next_command"], over["in_flight"]) == ("finished", 0, None, 0)
    assert over["rows"] == {
        "total": 8,
        "answered": 8,
        "failed": 0,
        "invalid": 0,
        "left": 0,
        "cut_off": 0,
        "undecided": 0,
    }
    assert (over["cost_usd"], over["max_cost"], over["eta_s"]) == (0.000016, None, None)
    for name in ("started_at", "updated_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", over[name])


def test_log_holds_no_words(job: Job) -> None:
    """run.log holds neither prompt nor reply, in good rows, failed ones and bad ones."""
    secret = "the patient's name is Ada"

    def answer(asked: object) -> bytes:
        text = getattr(asked, "said", "")
        if "echo" in text:
            return http(400, {"error": {"message": f"can't take: {text}"}})
        if "odd" in text:
            return http(200, {"output": f"a reply: {text}"})
        return http(200, completion(f"a reply: {text}"))

    with raw_server(answer) as server:
        given = [{"id": word, "messages": conversation(f"{word}: {secret}")} for word in ("plain", "echo", "odd")]
        job.write(
            [*given, {"id": "bad", "messages": [{"role": secret, "content": secret}]}],
            endpoint__base_url=server.url,
            retry__max_attempts=1,
        )
        assert job.run().code == 3
    log = (job.run_folder / "run.log").read_text()
    assert "bad_request" in log
    assert secret not in log
