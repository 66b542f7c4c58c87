"""Signals, and terminals and pipes that go away: drained, the same exit code, resumable, nothing paid twice."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.job import Job, rows, until
from tests.acceptance.servers import completion, http, mock_thread, raw_server

SIGNALS = [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
CONTINUE = "next  batchchat run job.yaml\n      batchchat export out.parquet --to parquet -o so-far.parquet\n"


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_first_signal_drains(job: Job, number: signal.Signals, code: int) -> None:
    """The first signal lets what is in flight finish, says how to go on, and that costs nothing twice."""
    with mock_thread(latency_s=0.2) as mock:
        job.write(rows(160), endpoint__base_url=mock.url)
        running = job.start()
        until(lambda: mock.stats()["answered"] >= 20)
        running.signal(number)
        ended = running.end()
        assert ended.code == code
        assert re.search(rf"(?m)^{number.name}: no new requests; waiting up to 30s for \d+ ", ended.err)
        assert ended.errors[0].startswith(f"stopped: {number.name}, after ")
        assert ended.out.endswith(f"\n\n{CONTINUE}")
        assert not job.output.exists()
        stats = mock.stats()
        assert stats["requests"] == stats["answered"] == job.acknowledged() < 160
        assert re.search(rf"^job stopped by SIG\w+: {job.acknowledged()} of (about )?160 rows answered in ", ended.out)
        assert re.search(rf"\n  rows      {job.acknowledged()} answered", ended.out)
        state = job.state()
        assert (state["state"], state["exit_code"], state["next_command"]) == (
            "stopped",
            code,
            "batchchat run job.yaml",
        )

        ended = job.run()
        assert ended.code == 0
        assert ended.headline.startswith("job: 160 of 160 rows answered for $")
        assert mock.stats()["requests"] == 160
        assert mock.stats()["billed_twice"] == 0


@pytest.mark.parametrize(("number", "code"), SIGNALS[:2])
def test_second_signal_stops_now(job: Job, number: signal.Signals, code: int) -> None:
    """The second signal ends the run at once, with the journal intact and what was cut off counted."""
    with raw_server(lambda asked: None if asked.said == "Question 0" else http(200, completion())) as server:
        job.write(rows(10), endpoint__base_url=server.url, concurrency=4)
        running = job.start()
        until(lambda: job.acknowledged() == 9)
        running.signal(number)
        running.says(f"{number.name}: no new requests; waiting up to 30s for 1 in flight.")
        running.signal(number)
        ended = running.end(25)  # before `drain` is over
        assert ended.code == code
        assert "not in it: 1 attempt that broke off " in ended.out
        server.answer = lambda _: http(200, completion())
        assert job.run().code == 0
        assert server.requests == 11
    assert [row["possibly_billed_attempts"] for row in job.table()] == [1] + [0] * 9
    assert [row["attempts"] for row in job.table()] == [2] + [1] * 9


def test_another_second_signal(job: Job) -> None:
    """The exit code is the first signal's, whichever comes second."""
    with raw_server(lambda _: None) as server:
        job.write(rows(4), endpoint__base_url=server.url)
        running = job.start()
        until(lambda: server.requests == 4)
        running.signal(signal.SIGHUP)
        running.says("SIGHUP: no new requests")
        running.signal(signal.SIGINT)
        assert running.end(25).code == 129


def test_drain_is_bounded(job: Job) -> None:
    """Requests in flight get `drain` seconds after a signal, not more."""
    with raw_server(lambda _: None) as server:
        job.write(rows(4), endpoint__base_url=server.url, drain=1)
        running = job.start()
        until(lambda: server.requests == 4)
        running.signal(signal.SIGTERM)
        ended = running.end()
    assert ended.code == 143
    assert "SIGTERM: no new requests; waiting up to 1.0s for 4 in flight." in ended.err
    assert "  rows      0 answered · 4 left\n" in ended.out
    assert ended.errors[0].startswith("stopped: SIGTERM, after `drain` ran out")
    assert "not in it: 4 attempts that broke off " in ended.out


def test_signal_while_all_wait(job: Job) -> None:
    """Rows in backoff do not hold up the end."""
    with raw_server(lambda _: http(503, {"error": "down"}, retry_after="60")) as server:
        job.write(rows(4), endpoint__base_url=server.url)
        running = job.start()
        until(lambda: server.requests == 4)
        time.sleep(0.2)  # the answers are on their way
        running.signal(signal.SIGTERM)
        ended = running.end(25)  # before `drain` is over
    assert ended.code == 143
    assert "  rows      0 answered · 4 left\n" in ended.out


def reads(pid: int, path: Path) -> bool:
    """Whether the process has the file open."""
    with suppress(FileNotFoundError):  # one that was closed in the meantime
        return any(entry.resolve() == path for entry in Path(f"/proc/{pid}/fd").iterdir())
    return False


def test_signal_before_anything_is_sent(job: Job) -> None:
    """A signal that comes while a resume looks at its input ends it before anything is sent."""
    with raw_server(lambda _: http(200, completion())) as server:
        job.write(rows(30_000), endpoint__base_url=server.url)
        assert job.run("--limit", "1").code == 0
        with (job.run_folder / "journal-000001.jsonl").open("ab") as journal:
            journal.write(b"torn")  # of which is told when the journal is read and the input hashed
        running = job.start()
        running.says("torn when the run was killed")
        until(lambda: reads(running.process.pid, job.input))
        running.signal(signal.SIGTERM)
        ended = running.end()
        assert ended.code == 143
        assert ended.out.endswith(CONTINUE)
        assert server.requests == 1


def waits_in_read(pid: int) -> bool:
    """Whether process `pid` sleeps in read(2)."""
    words = Path(f"/proc/{pid}/syscall").read_text().split()
    return words[0] == "0" and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_while_starting(job: Job, number: signal.Signals, code: int) -> None:
    """A signal that comes before the job is even read has the same exit code, to a shell, and no traceback."""
    job.write(rows(1))
    reader, writer = os.pipe()  # reading it waits, as on a slow network file system
    running = job.start("run", f"/dev/fd/{reader}", pass_fds=(reader,))
    until(lambda: waits_in_read(running.process.pid), "reading the job file")
    running.signal(number)
    ended = running.end()
    for descriptor in (reader, writer):
        os.close(descriptor)
    assert "Traceback" not in ended.err
    assert ended.code in {code, -number}


def test_nohup_is_respected(job: Job) -> None:
    """Under nohup the run outlives the shell: a SIGHUP that is ignored when we start stays ignored."""
    with mock_thread(latency_s=0.2) as mock:
        job.write(rows(100), endpoint__base_url=mock.url)
        running = job.start(preexec_fn=partial(signal.signal, signal.SIGHUP, signal.SIG_IGN))
        until(lambda: mock.stats()["answered"] >= 10)
        running.signal(signal.SIGHUP)
        assert running.end().code == 0


def test_stderr_goes_away(job: Job) -> None:
    """A reader of stderr that goes away, `2>&1 | head -1`, does not end the run."""
    with mock_thread(latency_s=0.2) as mock:
        job.write(rows(60), endpoint__base_url=mock.url)
        reader, writer = os.pipe()
        running = job.start(stdout=subprocess.PIPE, stderr=writer)
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)
        ended = running.end()
        assert ended.code == 0
        assert mock.stats()["requests"] == 60
    assert len(job.table()) == 60


def test_terminal_goes_away(job: Job) -> None:
    """When the terminal hangs up in mid-run, the run drains as for any SIGHUP, though nobody sees it."""
    with mock_thread(latency_s=0.2) as mock:
        job.write(rows(160), endpoint__base_url=mock.url)
        terminal = job.terminal()
        until(lambda: mock.stats()["answered"] >= 20)
        terminal.hang_up()
        assert terminal.process.wait(60) == 129
        stats = mock.stats()
        assert stats["requests"] == stats["answered"] == job.acknowledged()
        assert "exit 129: SIGHUP" in (job.run_folder / "run.log").read_text()


def test_continuing_a_retry(job: Job) -> None:
    """The command told after a signal continues what was being done: --retry-failed belongs to it."""
    with raw_server(lambda _: http(400, {"error": "no"})) as server:
        job.write(rows(8), endpoint__base_url=server.url, concurrency=2, drain=0)
        assert job.run().code == 3
        server.answer = lambda asked: http(200, completion()) if asked.said < "Question 4" else None
        running = job.start("--retry-failed")
        until(lambda: server.requests == 8 + 6)
        running.signal(signal.SIGTERM)
        ended = running.end()
        assert ended.code == 143
        server.answer = lambda _: http(200, completion())
        told = next(line for line in ended.out.splitlines() if line.startswith("next"))
        assert job.run(*told.split()[2:]).code == 0


def test_continuing_a_resend(job: Job) -> None:
    """The command told after a signal goes on with --resend changed, which a run without it would refuse."""
    with raw_server(lambda _: http(200, completion())) as server:
        job.write(rows(8), endpoint__base_url=server.url, concurrency=2, drain=0)
        assert job.run().code == 0
        job.write(params__temperature=0.5)
        server.answer = lambda asked: http(200, completion()) if asked.said < "Question 4" else None
        running = job.start("--resend", "changed")
        until(lambda: server.requests == 8 + 6)
        running.signal(signal.SIGTERM)
        ended = running.end()
        assert ended.code == 143
        assert "  rows      8 answered · 4 left to be sent again\n" in ended.out  # old answers are no progress
        server.answer = lambda _: http(200, completion())
        told = next(line for line in ended.out.splitlines() if line.startswith("next"))
        ended = job.run(*told.split()[2:])
        assert ended.code == 0, ended.err


def test_continuing_a_trial(job: Job) -> None:
    """The command told after a signal does not go beyond what was asked for: --limit belongs to it."""
    with raw_server(lambda _: None) as server:
        job.write(rows(8), endpoint__base_url=server.url, concurrency=2, drain=0)
        running = job.start("--limit", "2")
        until(lambda: server.requests == 2)
        running.signal(signal.SIGTERM)
        ended = running.end()
    assert ended.code == 143
    assert "next  batchchat run job.yaml --limit 2\n" in ended.out


def test_signal_while_the_output_is_written(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, with its exit code and the command that goes on; that one publishes, and sends nothing."""

    def interrupted(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    with mock_thread() as mock:
        job.write(rows(3), endpoint__base_url=mock.url)
        with monkeypatch.context() as patch:
            patch.setattr("batchchat.execution.publish.publish", interrupted)
            ended = job.run()
        assert ended.code == 130
        assert ended.err.endswith(
            "stopped: SIGINT, at once. Every finished row is in the journal; the output is as it was.\n"
            "next  batchchat run job.yaml\n"
        )
        assert job.run().code == 0
        assert mock.stats()["requests"] == len(job.table()) == 3
