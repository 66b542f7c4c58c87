"""The user's own command at the end of a run: once, with the summary, and never in the run's way."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from batchchat.execution import on_finish
from batchchat.execution.on_finish import run_command
from batchchat.secret import Redactor, Secret
from tests.acceptance.job import Job, rows, until
from tests.acceptance.servers import completion, http, raw_server

SUMMARY = {"exit_code": 0, "rows": {"answered": 3}}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def same(data: bytes) -> bytes:
    return data


@pytest.mark.parametrize("command", [Secret("cat > got"), (Secret("tee"), Secret("got"))])
def test_the_summary_is_on_its_stdin(tmp_path: Path, command: Any) -> None:
    """A text goes to the shell, a list of words to the program; both in the job's folder, with one JSON line."""
    assert run_command(command, SUMMARY, tmp_path, same) is None
    assert json.loads((tmp_path / "got").read_text()) == SUMMARY


def test_no_secret_reaches_it(tmp_path: Path) -> None:
    """A key that stands in the summary is blanked before it leaves."""
    blanker = Redactor([Secret("sk-0123456789")])
    run_command(Secret("cat > got"), {"next_command": "run --set x=sk-0123456789"}, tmp_path, blanker.redact_bytes)
    assert (tmp_path / "got").read_text() == '{"next_command":"run --set x=***"}\n'


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (Secret("exit 7"), "its exit code is 7"),
        (Secret("no-such-program-of-mine 2> /dev/null"), "its exit code is 127"),
        ((Secret("no-such-program-of-mine"),), "it can't be started: No such file or directory"),
        ((Secret("."),), "it can't be started: Permission denied"),
        (Secret("kill -KILL $$"), "it ended by SIGKILL"),
    ],
)
def test_its_failure_is_told(tmp_path: Path, command: Any, why: str) -> None:
    """Exit code, signal or what the system says; never the command itself, which may hold an address."""
    assert run_command(command, SUMMARY, tmp_path, same) == why


def test_one_that_reads_nothing_has_not_failed(tmp_path: Path) -> None:
    """A summary longer than a pipe takes does no harm to a command that does not want it."""
    assert run_command(Secret("exec true"), {"x": "y" * 500_000}, tmp_path, same) is None


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_one_that_hangs_is_killed_with_all_it_started(tmp_path: Path) -> None:
    """After the time limit its whole process group is gone."""
    why = run_command(Secret("sleep 60 & echo $! > pid; wait"), SUMMARY, tmp_path, same, limit_s=0.3)
    assert why == "it was killed after 0.3s"
    until(lambda: not alive(int((tmp_path / "pid").read_text())), "the end of what it started", 30)


def test_a_signal_ends_it_and_not_us(tmp_path: Path) -> None:
    """Ctrl-C while it runs kills it; the run's exit code is still told by us, and handlers are as they were."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert run_command(Secret("kill -TERM $PPID; sleep 60"), SUMMARY, tmp_path, same) == "it was killed at a SIGTERM"
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def got(job: Job) -> dict[str, Any]:
    """What the command was given, which it appends to `got`; it ran once."""
    (line,) = (job.folder / "got").read_text().splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_at_the_end_of_a_finished_run(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """It hears of rows, cost, tokens, failures and times, and finds the output published and the lock free."""
    monkeypatch.setenv("WHERE", "from-outside")
    answers = {"Question 1": http(400, {"error": {"message": "the prompt says: Ada"}})}
    with raw_server(lambda asked: answers.get(asked.said) or http(200, completion())) as server:
        job.write(
            rows(4),
            endpoint__base_url=server.url,
            on_finish='test -f out.parquet && flock -n out.run/lock true && echo "$WHERE" > where && cat >> got',
        )
        ended = job.run()
    assert (ended.code, ended.err.count("on_finish")) == (3, 0)
    told = got(job)
    assert (told["exit_code"], told["state"], told["reason"], told["next_command"]) == (3, "finished", None, None)
    assert told["rows"] == {
        "total": 4, "answered": 3, "failed": 1, "invalid": 0, "left": 0, "cut_off": 0, "undecided": 0,
    }  # fmt: skip
    assert (told["cost_usd"]["known"], told["failures"]) == (0.000006, {"bad_request": 1})
    assert told["tokens"] == {"prompt_tokens": 30, "completion_tokens": 15, "cached_tokens": None}
    assert (told["job"], told["output"], told["output_path"]) == ("job.yaml", "out.parquet", str(job.output))
    assert told["started_at"] < told["finished_at"]
    assert "Ada" not in json.dumps(told)
    assert (job.folder / "where").read_text() == "from-outside\n"
    assert "out.parquet" in ended.out


def test_at_the_end_of_a_stopped_run(job: Job) -> None:
    """It hears why in our words alone, and the command that goes on."""
    with raw_server(lambda _: http(401, {"detail": "who is Ada?"})) as server:
        job.write(rows(4), endpoint__base_url=server.url, on_finish=["tee", "-a", "got"])
        assert job.run().code == 5
    told = got(job)
    assert (told["exit_code"], told["state"]) == (5, "stopped")
    assert told["reason"] == "endpoint refuses: unauthorized, HTTP 401"
    assert told["next_command"] == "batchchat run job.yaml"
    assert "Ada" not in json.dumps(told)


def test_what_is_refused_runs_it_too(job: Job) -> None:
    """A job that a timer started is refused at night, and nobody reads its stderr."""
    job.write([{"id": 1, "messages": []}], input__format="messages", endpoint__base_url="mock", on_finish="cat >> got")
    assert job.run().code == 2
    told = got(job)
    assert (told["exit_code"], told["state"], told["rows"]["invalid"]) == (2, "stopped", 1)
    assert told["reason"].startswith("in.jsonl has no row that can be sent.")
    assert "\n" not in told["text"]


def test_its_failure_is_none_of_the_runs(job: Job) -> None:
    """The exit code stays; stderr and run.log say what became of the command, without repeating it."""
    with raw_server(lambda _: http(200, completion())) as server:
        job.write(rows(4), endpoint__base_url=server.url, on_finish="exit 9 # hooks.example/T0-secret")
        ended = job.run()
    assert ended.code == 0
    assert ended.err.endswith("on_finish: its exit code is 9. The run's own exit code stays 0.\n")
    log = (job.run_folder / "run.log").read_text()
    assert " on_finish: its exit code is 9\n" in log
    for path in (job.output, *job.run_folder.iterdir()):
        assert b"T0-secret" not in path.read_bytes(), path


def test_a_defect_of_ours_runs_it_too(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for the morning's message gets one whatever went wrong."""

    def defect(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("batchchat.execution.publish.publish", defect)
    with raw_server(lambda _: http(200, completion())) as server:
        job.write(rows(4), endpoint__base_url=server.url, on_finish="cat >> got")
        assert job.run().code == 1
    assert (got(job)["exit_code"], got(job)["state"]) == (1, "stopped")
    assert got(job)["reason"] == "a defect of batchchat; see run.log"


def test_a_journal_that_cannot_be_opened_runs_it_too(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that fails before the first request is exit 6, and the reason is told."""

    def broken(*_: object) -> int:
        raise OSError(30, "Read-only file system")

    with raw_server(lambda _: http(200, completion())) as server:
        job.write(rows(4), endpoint__base_url=server.url, on_finish="cat >> got")
        monkeypatch.setattr("batchchat.store.segment_file.sync_folder", broken)
        assert job.run().code == 6
        assert server.requests == 0
    assert (got(job)["exit_code"], got(job)["this_run"]["rows"]) == (6, 0)
    assert "can't be written: Read-only file system" in got(job)["reason"]


def test_a_signal_runs_it_and_a_second_one_does_not(job: Job) -> None:
    """After a drain it is run; who says `stop now` means that too."""
    with raw_server(lambda _: None) as server:
        job.write(rows(4), endpoint__base_url=server.url, drain=0.1, on_finish="cat >> got")
        running = job.start()
        until(lambda: server.requests == 4)
        running.signal(signal.SIGTERM)
        assert running.end().code == 143
        assert (got(job)["exit_code"], got(job)["next_command"]) == (143, "batchchat run job.yaml")

        job.write(drain=30)
        running = job.start()
        until(lambda: server.requests == 8)
        running.signal(signal.SIGTERM)
        running.says("no new requests")
        running.signal(signal.SIGTERM)
        assert running.end().code == 143
    assert got(job)["exit_code"] == 143


def test_the_limit_is_a_minute() -> None:
    """Long enough for a mail, short enough for a cron job."""
    assert on_finish.LIMIT_S == 60


def test_it_has_the_variables_of_the_jobs_env_file(job: Job) -> None:
    """A webhook's URL stands in `.env`, where a job in a crontab finds it."""
    (job.folder / ".env").write_text("HOOK=from-the-file\n")
    job.write(rows(1), on_finish="printenv HOOK HOME > got")
    assert job.run(env={"HOME": "/home/of-the-environment"}).code == 0
    assert (job.folder / "got").read_text() == "from-the-file\n/home/of-the-environment\n"
