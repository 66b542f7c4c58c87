"""`workers: N`: real processes on this machine, one output, one limit and one budget for all."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from batchchat.cluster import local
from tests.acceptance.job import PATIENCE_S, Ended, Job, Running, rows, until
from tests.acceptance.servers import mock_thread
from tests.field.endpoint import Asked, endpoint, error, ok
from tests.sources.web import web_server

CONCURRENCY = 12


def children(pid: int) -> list[int]:
    """The processes that `pid` has started and that live."""
    with suppress(FileNotFoundError):  # it has ended
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def lives(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def workers_of(running: Running, count: int) -> list[int]:
    """The workers of a run, once all have been started."""
    until(lambda: len(children(running.process.pid)) == count or running.process.poll() is not None, "its workers")
    return children(running.process.pid)


def replaced(running: Running, gone: set[int]) -> int:
    """A worker that is none of `gone`, once there is one; 0 where the run has ended before."""
    until(lambda: {*children(running.process.pid)} - gone or running.process.poll() is not None, "a replacement")
    return next(iter({*children(running.process.pid)} - gone), 0)


def segments_with_answers(job: Job) -> int:
    """How many segments of the journal have a row that was answered: the run itself records those that are not sent."""
    return sum(b'"status":"answered"' in path.read_bytes() for path in job.run_folder.glob("journal-*.jsonl"))


def sent_more_than_once(job: Job, count: int) -> list[str]:
    """The ids of rows with more than one answer in the journal; all `count` have one."""
    answers = Counter(record["id"] for record in job.journal() if record["kind"] == "row")
    assert len(answers) == count
    return [id_ for id_, times in answers.items() if times > 1]


def whole(job: Job, ended: Ended, count: int) -> None:
    """The run ended well, and each row is there once, in the order of the input."""
    assert ended.code == 0, ended.err
    assert [row["id"] for row in job.table()] == [f"r{n:04}" for n in range(count)]
    assert {row["status"] for row in job.table()} == {"answered"}


@pytest.mark.field
@pytest.mark.parametrize("workers", [2, 3])
def test_each_row_once(job: Job, workers: int) -> None:
    """All rows are answered once, never more in flight than the job says, by the server's count."""
    with mock_thread(latency_s=0.03, max_concurrent=CONCURRENCY) as mock:
        job.write(rows(400), endpoint__base_url=mock.url, concurrency=CONCURRENCY, workers=workers)
        ended = job.run()
        whole(job, ended, 400)
        stats = mock.stats()
    assert stats["requests"] == stats["billed_rows"] == 400
    assert stats["statuses"] == {"200": 400}
    assert CONCURRENCY // 2 < stats["max_in_flight"] <= CONCURRENCY
    assert segments_with_answers(job) == workers
    assert ended.headline.startswith("job: 400 of 400 rows answered for $")


@pytest.mark.field
def test_the_figures_are_those_of_one_process(job: Job) -> None:
    """Rows, tokens and costs of the summary and of the report are the same to the last digit."""
    with mock_thread(latency_s=0.0, seed=3) as mock:
        job.write([*rows(120), "{broken", {"id": "r0003", "messages": []}], endpoint__base_url=mock.url)
        figures = []
        for workers in (1, 3):
            ended = job.run("--fresh", "--set", f"workers={workers}", "--json")
            assert ended.code == 3, ended.err
            summary = json.loads(ended.out)
            report = json.loads(job.run("report", "out.parquet", "--json").out)["outputs"][0]
            table = [
                {name: row[name] for name in ("id", "status", "response", "error", "cost_usd")} for row in job.table()
            ]
            figures.append(
                (
                    {name: summary[name] for name in ("rows", "cost_usd", "tokens", "failures", "exit_code")},
                    {name: report[name] for name in ("rows", "cost_usd", "attempts", "prompt_tokens", "failures")},
                    table,
                )
            )
    assert figures[0] == figures[1]


def test_a_killed_worker_is_replaced(job: Job) -> None:
    """Its rows go on in another process: no row is lost, and none that it had answered is sent again."""
    with mock_thread(latency_s=0.05, max_concurrent=CONCURRENCY) as mock:
        job.write(rows(600), endpoint__base_url=mock.url, concurrency=CONCURRENCY, workers=2)
        running = job.start()
        victim = workers_of(running, 2)[1]
        until(lambda: job.acknowledged() > 100 and segments_with_answers(job) == 2, "rows of both workers")
        os.kill(victim, signal.SIGKILL)
        ended = running.end(PATIENCE_S)
        whole(job, ended, 600)
        stats = mock.stats()
    assert segments_with_answers(job) == 3
    assert sent_more_than_once(job, 600) == []
    assert stats["requests"] <= 600 + CONCURRENCY
    assert stats["max_in_flight"] <= CONCURRENCY
    assert "requests that were in flight" in ended.out  # those of the killed one may have been billed


@pytest.mark.field
def test_a_worker_that_dies_at_once_ends_the_run(job: Job) -> None:
    """Three deaths without a row are no accident: the run says which worker, and how it died."""

    def answer(asked: Asked) -> Any:
        return [20.0, ok("late")]

    with endpoint(answer) as server:
        job.write(rows(40), endpoint__base_url=server.url, concurrency=4, workers=2)
        running = job.start()
        before = workers_of(running, 2)
        until(lambda: len(server.asked) >= 4, "requests of both")
        victim, other = before
        for _ in range(3):
            os.kill(victim, signal.SIGKILL)
            victim = replaced(running, {victim, other})
        ended = running.end(90)
    assert ended.code == 6
    assert ended.errors == [
        "stopped: worker 1 of 2 died 3 times without finishing a row: it was killed by signal 9. Every row reported as"
        " done is kept. Set fewer `workers`, or free memory, then run the same command again."
    ]


@pytest.mark.field
def test_a_replacement_that_can_not_be_started(job: Job) -> None:
    """The others keep what they have in flight, and what the killed one had may have been billed."""
    spawn, started = local._spawn, list[Any]()

    def spawn_two(*given: Any) -> Any:
        if len(started) == 2:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        started.append(spawn(*given))
        return started[-1]

    def kill() -> None:
        until(lambda: len(server.asked) == 4, "requests of both")
        started[1].kill()

    with endpoint(lambda _: [4.0, ok("slow")]) as server, patch.object(local, "_spawn", spawn_two):
        job.write(rows(40), endpoint__base_url=server.url, concurrency=4, workers=2)
        killing = threading.Thread(target=kill)
        killing.start()
        ended = job.run("--json")
        killing.join()
    assert ended.code == 6
    assert "a worker can't be started: Resource temporarily unavailable." in ended.err
    summary = json.loads(ended.out)
    assert (summary["rows"]["answered"], summary["rows"]["left"], summary["this_run"]["rows"]) == (2, 38, 2)
    assert summary["possibly_billed_attempts"] >= 2
    assert len(server.asked) == 4


DEFECT = """
import pickle, socket, sys
from batchchat.cluster.assignment import WorkerDefect
end = socket.socket(fileno=int(sys.argv[1]))
end.recv(8)
while not open(sys.argv[2]).read():
    pass
data = pickle.dumps(WorkerDefect("Traceback: what went wrong"))
end.sendall(len(data).to_bytes(8, "little") + data)
"""


@pytest.mark.field
def test_a_defect_of_a_worker_leaves_true_figures(job: Job) -> None:
    """What the others have in flight breaks off, and is told with all that they have finished."""
    spawn, count, now = local._spawn, 0, job.folder / "now"
    now.touch()

    def spawn_one_of_ours(channel: int, output: Any, descriptors: tuple[int, ...]) -> Any:
        nonlocal count
        count += 1
        if count == 1:
            return spawn(channel, output, descriptors)
        command = [sys.executable, "-c", DEFECT, str(channel), str(now)]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.Popen(command, pass_fds=(channel, *descriptors), env=environ)

    def answer(asked: Asked) -> Any:
        if asked.number == 4:
            now.write_text("now")
        return ok("yes") if asked.number <= 2 else [30.0, ok("late")]

    with endpoint(answer) as server, patch.object(local, "_spawn", spawn_one_of_ours):
        job.write(rows(40), endpoint__base_url=server.url, concurrency=4, workers=2, on_finish="cat > told.json")
        ended = job.run()
    assert ended.code == 1
    assert "what went wrong" in (job.run_folder / "run.log").read_text()
    told = json.loads((job.folder / "told.json").read_text())
    assert (told["rows"]["answered"], told["possibly_billed_attempts"]) == (2, 2)


@pytest.mark.field
def test_a_killed_run_takes_its_workers_along(job: Job) -> None:
    """They send nothing more and end; a resume waits for that, and sends what was in flight at most once more."""
    with mock_thread(latency_s=0.2, max_concurrent=CONCURRENCY) as mock:
        job.write(rows(200), endpoint__base_url=mock.url, concurrency=CONCURRENCY, workers=3)
        running = job.start()
        workers = workers_of(running, 3)
        until(lambda: job.acknowledged() > 40, "rows")
        running.process.kill()
        assert running.end(PATIENCE_S).code == -9
        until(lambda: not any(lives(pid) for pid in workers), "the end of its workers")
        requests = mock.stats()["requests"]
        time.sleep(0.4)
        assert mock.stats()["requests"] == requests
        assert mock.stats()["in_flight"] == 0
        whole(job, until(lambda: ended if (ended := job.run("--set", "workers=1")).code != 2 else None), 200)
        stats = mock.stats()
    assert sent_more_than_once(job, 200) == []
    assert stats["requests"] <= 200 + CONCURRENCY


@pytest.mark.field
def test_a_run_is_refused_while_workers_of_a_killed_one_end(job: Job) -> None:
    """The lock is theirs, too: nobody else writes while they keep what is in flight."""

    def answer(asked: Asked) -> Any:
        return [8.0, ok("slow")]

    with endpoint(answer) as server:
        job.write(rows(8), endpoint__base_url=server.url, concurrency=4, workers=2)
        running = job.start()
        workers = workers_of(running, 2)
        until(lambda: len(server.asked) == 4, "requests")
        running.process.kill()
        running.end(PATIENCE_S)
        refused = job.run()
        assert refused.code == 2
        assert refused.errors == [
            "error: out.parquet is in use by workers of a run that was killed: they keep what is in flight, and end."
        ]
        status = json.loads(job.run("status", "job.yaml", "--json").out)
        assert (status["state"], status["next_command"]) == ("killed", None)
        assert "its workers keep what is in flight, and end" in job.run("status", "job.yaml").out
        until(lambda: not any(lives(pid) for pid in workers), "the end of its workers")
        server.answer = lambda _: ok("now")
        whole(job, until(lambda: ended if (ended := job.run()).code != 2 else None), 8)
    assert len(server.asked) == 8  # what was in flight was kept


@pytest.mark.field
@pytest.mark.parametrize(("before", "after"), [(3, 1), (1, 3), (2, 3)])
def test_any_number_of_workers_resumes(job: Job, before: int, after: int) -> None:
    """A run that was stopped goes on with another number of workers; finished rows are kept."""
    with mock_thread(latency_s=0.02) as mock:
        job.write(rows(300), endpoint__base_url=mock.url, concurrency=CONCURRENCY)
        running = job.start("--set", f"workers={before}")
        until(lambda: job.acknowledged() > 60, "rows")
        running.signal(signal.SIGTERM)
        assert running.end(PATIENCE_S).code == 143
        done = job.acknowledged()
        assert done < 300
        ended = job.run("--set", f"workers={after}")
        whole(job, ended, 300)
        assert mock.stats()["requests"] == 300
        assert f"are kept · {300 - done} new" in ended.err


def test_the_cap_holds_over_all_workers(job: Job) -> None:
    """`budget.max_cost` is one for all, and is used: the run ends with exit 4 just under it."""
    with mock_thread(latency_s=0.01, seed=1) as mock:
        job.write(
            rows(300),
            endpoint__base_url=mock.url,
            concurrency=CONCURRENCY,
            workers=3,
            params={"max_tokens": 100},
            price={"input": 1, "output": 1},
            budget__max_cost=0.01,
        )
        ended = job.run("--json")
        assert ended.code == 4, ended.err
        cost = Decimal(mock.stats()["cost_usd"])
    assert Decimal("0.008") < cost <= Decimal("0.01")
    summary = json.loads(ended.out)
    assert Decimal(str(summary["cost_usd"]["known"])) == cost
    assert 0 < summary["rows"]["left"] < 300
    assert len(job.table()) == summary["rows"]["answered"]


@pytest.mark.field
def test_what_an_ended_worker_had_reserved_is_free(job: Job) -> None:
    """A cap that covers one row at its worst case at a time is enough for all, whichever worker ends first."""
    with endpoint(lambda _: [0.05, ok("yes")]) as server:
        job.write(
            rows(4),
            endpoint__base_url=server.url,
            concurrency=2,
            workers=2,
            params={"max_tokens": 1000},
            price={"input": 1, "output": 1},
            budget__max_cost=0.0039,  # a row may cost 0.0021
        )
        whole(job, job.run(), 4)


@pytest.mark.field
def test_a_limit_on_rows_is_one_for_all(job: Job) -> None:
    """`--limit` counts over all workers, exactly, and what is left is sent by the next run."""
    with mock_thread(latency_s=0.0) as mock:
        job.write(rows(100), endpoint__base_url=mock.url, workers=3)
        ended = job.run("--limit", "41")
        assert ended.code == 0, ended.err
        assert mock.stats()["requests"] == 41
        assert len(job.table()) == 41
        whole(job, job.run(), 100)
        assert mock.stats()["requests"] == 100


@pytest.mark.field
def test_a_limit_above_what_one_worker_sends(job: Job) -> None:
    """Bad rows use up nothing of it: the run records them, and hands over none."""
    with mock_thread(latency_s=0.0) as mock:
        job.write(rows(60), endpoint__base_url=mock.url)
        job.write([row if n % 2 else {**row, "messages": []} for n, row in enumerate(rows(60))], workers=2)
        assert job.run("--limit", "29").code == 3
        assert mock.stats()["requests"] == 29


@pytest.mark.field
def test_a_limit_on_rows_outlives_a_killed_worker(job: Job) -> None:
    """Its replacement sends the rows that it was sending, and no more."""
    with endpoint(lambda _: [60.0, ok("late")]) as server:
        job.write(rows(40), endpoint__base_url=server.url, concurrency=4, workers=2)
        running = job.start("--limit", "3")
        workers = workers_of(running, 2)
        until(lambda: len(server.asked) == 3, "requests")
        sent = {asked.text for asked in server.asked}
        server.answer = lambda _: ok("now")
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        ended = running.end(PATIENCE_S)
        assert ended.code == 0, ended.err
        assert {row["messages"][0]["content"] for row in job.table()} == {asked.text for asked in server.asked} == sent
        assert len(server.asked) == 6


@pytest.mark.field
def test_a_rate_is_one_for_all(job: Job) -> None:
    """`limits.requests_per_minute` counts over all workers."""
    with mock_thread(latency_s=0.0) as mock:
        job.write(rows(40), endpoint__base_url=mock.url, workers=3, limits__requests_per_minute=600)
        began = time.monotonic()
        whole(job, job.run(), 40)
        assert time.monotonic() - began > 2.5  # 10 at once, then 10 a second
        assert mock.stats()["requests"] == 40


@pytest.mark.field
def test_a_signal_drains_all(job: Job) -> None:
    """The first signal lets what is in flight finish, in every worker; the exit code is its."""
    with mock_thread(latency_s=1.0, max_concurrent=CONCURRENCY) as mock:
        job.write(rows(400), endpoint__base_url=mock.url, concurrency=CONCURRENCY, workers=2)
        running = job.start()
        until(lambda: job.acknowledged() > 10 and mock.stats()["in_flight"] == CONCURRENCY, "rows")
        os.killpg(os.getpgid(running.process.pid), 0)
        running.signal(signal.SIGINT)
        running.says("SIGINT: no new requests; waiting up to 30s for 12 in flight.")
        ended = running.end(PATIENCE_S)
        stats = mock.stats()
    assert ended.code == 130
    assert stats["billed_rows"] == stats["requests"] == job.acknowledged()
    assert "SIGINT, after what was in flight had ended." in ended.err + ended.out
    whole_state = job.state()
    assert (whole_state["state"], whole_state["exit_code"]) == ("stopped", 130)


@pytest.mark.field
def test_a_second_signal_stops_at_once(job: Job) -> None:
    """What is in flight is cancelled, and counted as possibly billed."""

    def answer(asked: Asked) -> Any:
        return [30.0, ok("late")]

    with endpoint(answer) as server:
        job.write(rows(20), endpoint__base_url=server.url, concurrency=4, workers=2)
        running = job.start()
        until(lambda: len(server.asked) == 4, "requests")
        running.signal(signal.SIGTERM)
        running.says("SIGTERM: no new requests")
        running.signal(signal.SIGTERM)
        ended = running.end(20)
    assert ended.code == 143
    assert "not in it: 4 attempts that broke off " in ended.out


@pytest.mark.field
def test_rows_that_fail_alike_stop_all(job: Job) -> None:
    """`retry.stop_after_failures` counts the rows of all workers together."""
    with endpoint(lambda _: error(422, "no such field")) as server:
        job.write(rows(400), endpoint__base_url=server.url, concurrency=4, workers=2, retry__stop_after_failures=30)
        ended = job.run()
        assert ended.code == 5
        assert "the first 30 rows failed with the same error, bad_request: no such field" in ended.err
    assert 30 <= len(server.asked) < 60
    assert len(job.table()) == len(server.asked)


@pytest.mark.field
def test_failures_of_one_worker_alone_stop_nothing(job: Job) -> None:
    """The endpoint refuses all that one of two asks: over all rows no twelve in succession fail."""
    peers = Counter[int]()

    def answer(asked: Asked) -> Any:
        refused, *_ = *peers, asked.peer
        peers[asked.peer] += 1
        ahead = 2 * peers[asked.peer] - peers.total()  # of the other worker, by so many rows
        wait_s = max(0.06, 0.2 * (ahead - 1))  # the run hears of answers four times a second, of failures at once
        return [wait_s, error(422, "bad row") if asked.peer == refused else ok("yes")]

    with endpoint(answer) as server:
        job.write(rows(120), endpoint__base_url=server.url, concurrency=2, workers=2, retry__stop_after_failures=12)
        ended = job.run()
    assert ended.code == 3, ended.err
    assert len(peers) == 2
    statuses = Counter(row["status"] for row in job.table())
    assert min(statuses["answered"], statuses["failed"]) > 40


@pytest.mark.field
def test_a_wrong_key_stops_all(job: Job) -> None:
    """What concerns all rows is said once, and ends all workers."""
    with endpoint(lambda _: error(401, "no such key")) as server:
        job.write(rows(100), endpoint__base_url=server.url, concurrency=4, workers=2)
        ended = job.run()
    assert ended.code == 5
    assert len(ended.errors) == 1
    assert len(server.asked) <= 8


@pytest.mark.field
def test_an_outage_is_told_once(job: Job) -> None:
    """All workers wait for the same endpoint: it goes down once, and comes up once."""
    down = True

    def answer(asked: Asked) -> Any:
        return error(503, "down") if down else ok("up")

    with endpoint(answer) as server:
        job.write(rows(60), endpoint__base_url=server.url, concurrency=8, workers=2, retry__max_wait=1)
        running = job.start("--progress", "log")
        running.says("down")
        time.sleep(1.0)
        down = False
        ended = running.end(PATIENCE_S)
        whole(job, ended, 60)
    log = (job.run_folder / "run.log").read_text()
    assert log.count("endpoint is back") == 1, log


@pytest.mark.field
def test_equal_requests_are_sent_once(job: Job) -> None:
    """Rows with equal requests share an answer, whichever worker got it."""
    same = [{"id": f"r{n:04}", "messages": [{"role": "user", "content": f"Question {n % 10}"}]} for n in range(60)]
    with mock_thread(latency_s=0.0) as mock:
        job.write(same, endpoint__base_url=mock.url, workers=3, params={"temperature": 0})
        whole(job, job.run(), 60)
        assert mock.stats()["requests"] == 10
    assert len({row["response"] for row in job.table()}) == 10


@pytest.mark.field
def test_the_embedded_mock(job: Job) -> None:
    """Each worker has a mock of its own; the limit is one for all."""
    job.write(rows(50), workers=2)
    whole(job, job.run(), 50)


@pytest.mark.field
def test_status_while_it_goes_on(job: Job) -> None:
    """`status` has the figures of all workers, and knows the run by its own process."""
    with mock_thread(latency_s=0.3, max_concurrent=CONCURRENCY) as mock:
        job.write(rows(300), endpoint__base_url=mock.url, concurrency=CONCURRENCY, workers=2)
        running = job.start()
        until(lambda: job.acknowledged() > 30, "rows")
        looks = list[dict[str, Any]]()

        def is_busy() -> bool:
            looks.append(json.loads(job.run("status", "job.yaml", "--json").out))
            return bool(looks[-1]["in_flight"] > CONCURRENCY // 2)

        until(is_busy, "more in flight than one worker has")
        status = looks[-1]
        running.signal(signal.SIGTERM)
        running.end(PATIENCE_S)
    assert status["state"] == "running"
    assert status["pid"] == running.process.pid
    assert status["rows"]["total"] == 300
    assert 0 < status["rows"]["answered"] < 300
    assert status["ceiling"] <= CONCURRENCY
    assert status["cost_usd"] > 0


@pytest.mark.field
def test_a_killed_workers_turns_are_not_paid_again(job: Job) -> None:
    """The worker that replaces it goes on with the turn that was in flight."""
    is_killed = threading.Event()

    def answer(asked: Asked) -> Any:
        return [5.0 if asked.text.startswith("Two") and not is_killed.is_set() else 0.0, ok("yes")]

    with endpoint(answer) as server:
        conversations = [{"id": f"r{n:04}", "turns": [f"One {n}", f"Two {n}"]} for n in range(12)]
        job.write(conversations, endpoint__base_url=server.url, concurrency=4, workers=2, input__format="turns")
        running = job.start()
        victim = workers_of(running, 2)[0]
        until(lambda: sum(asked.text.startswith("Two") for asked in server.asked) == 4, "second turns")
        os.kill(victim, signal.SIGKILL)
        is_killed.set()
        whole(job, running.end(PATIENCE_S), 12)
    counts = Counter(asked.text for asked in server.asked)
    assert {counts[f"One {n}"] for n in range(12)} == {1}
    assert sorted(counts[f"Two {n}"] for n in range(12)) == [1] * 10 + [2] * 2


@pytest.mark.field
def test_a_row_that_a_kill_leaves_no_attempt(job: Job) -> None:
    """It fails, and costs in the journal what it costs in the run; a resend gives it all its attempts anew."""
    is_killed = threading.Event()

    def answer(asked: Asked) -> Any:
        if asked.text != "Question 0" or is_killed.is_set():
            return [0.05, ok("yes")]
        return error(504, "slow") if asked.attempt == 1 else [20.0, ok("late")]

    with endpoint(answer) as server:
        limits = {"max_possibly_billed": 2, "max_wait": 1}
        job.write(rows(40), endpoint__base_url=server.url, concurrency=4, workers=2, retry=limits)
        job.write(params={"max_tokens": 10}, price={"input": 1, "output": 1})
        running = job.start("--json")
        workers = workers_of(running, 2)
        until(lambda: server.attempts["Question 0"] == 2, "the second attempt")
        until(lambda: job.acknowledged() == 39, "all other rows")
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        is_killed.set()
        ended = running.end(PATIENCE_S)
        assert ended.code == 3, ended.err
        assert server.attempts["Question 0"] == 2
        (failed,) = [row for row in job.table() if row["status"] == "failed"]
        words = "2 attempts may have been billed (`retry.max_possibly_billed`), the last by a worker that died"
        assert words in failed["error"]
        status = json.loads(job.run("status", "job.yaml", "--json").out)
        summary = json.loads(ended.out)
        assert summary["cost_usd"]["known"] == status["cost_usd"]
        lines = [record["kind"] for record in job.journal() if record.get("id") == "r0000"]
        assert lines == ["step", "step", "row"]
        whole(job, job.run("--resend", "failed"), 40)


@pytest.mark.field
@pytest.mark.parametrize("workers", [1, 2])
def test_an_input_that_breaks_cuts_nothing_off(job: Job, workers: int) -> None:
    """What was read of it is sent, and has all its time."""
    with mock_thread(latency_s=1.0) as mock:
        for name in "ab":
            lines = [json.dumps(row) for row in rows(12, 0 if name == "a" else 12)]
            (job.folder / f"{name}.jsonl").write_text("\n".join(lines))
        job.write(
            input__path=["a.jsonl", "b.jsonl"],
            endpoint__base_url=mock.url,
            concurrency=4,
            workers=workers,
            drain=0.1,
            input__id="id",
        )
        running = job.start()
        until(lambda: mock.stats()["in_flight"] == 4, "requests")
        (job.folder / "b.jsonl").unlink()
        ended = running.end(PATIENCE_S)
        assert (ended.code, "b.jsonl is not there" in ended.errors[0]) == (2, True), ended.err
        stats = mock.stats()
    assert stats["requests"] == stats["billed_rows"] == job.acknowledged() == 12


@pytest.mark.field
def test_a_list_of_ids_is_sent_again(job: Job) -> None:
    """Each of them once, though the resend is stopped half-way; ids that the input does not have are told."""
    with mock_thread(latency_s=0.0) as mock:
        job.write(rows(30), endpoint__base_url=mock.url, workers=2)
        whole(job, job.run(), 30)
        (job.folder / "ids").write_text("".join(f"r{n:04}\n" for n in range(0, 40, 2)))
        for sent in (40, 45):
            ended = job.run("--resend", "@ids", "--limit", "10")
            assert ended.code == 0, ended.err
            assert "5 ids of ids are not in the input" in ended.err
            assert mock.stats()["requests"] == sent
    answers = Counter(record["id"] for record in job.journal() if record["kind"] == "row")
    assert answers == Counter({f"r{n:04}": 2 - n % 2 for n in range(30)})


@pytest.mark.field
def test_a_half_finished_run_goes_on_where_it_was(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run of one process knows of its input the workers' run knows: it looks at no answered row first."""
    monkeypatch.setattr("batchchat.execution.known_input._LONG_BYTES", 0)
    with mock_thread(latency_s=0.0) as mock:
        job.write(rows(300), endpoint__base_url=mock.url, workers=2)
        assert job.run("--limit", "200", "--set", "workers=1").code == 0
        with patch("batchchat.execution.planning.plan", side_effect=AssertionError("all rows were looked at")):
            whole(job, job.run(), 300)
        assert mock.stats()["requests"] == 300


def test_the_input_is_read_once(job: Job) -> None:
    """By the run: as many workers and partitions as there may be ask the web server for nothing."""
    pytest.importorskip("obstore", reason="obstore is not installed (extra `stores`)")
    with web_server() as web, mock_thread(latency_s=0.0) as mock:
        web.content = b"".join(json.dumps(row).encode() + b"\n" for row in rows(400))
        job.write(input__path=web.url("in.jsonl"), endpoint__base_url=mock.url, concurrency=CONCURRENCY)
        ranges = list[list[str]]()
        for settings in ((), ("--set", "workers=3", "--set", "cluster.partitions=5")):
            web.requests.clear()
            whole(job, job.run("--fresh", *settings), 400)
            ranges.append(sorted(web.ranges_asked))
    assert ranges[0] == ranges[1]
