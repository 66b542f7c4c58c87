"""One job, several endpoints: the fastest serves most, one that fails is told and left out, no row is lost."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.job import Job, conversation, rows, until
from tests.acceptance.servers import Mock, mock_thread


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
    return port


class Process:
    """A mock server's process that can be killed, and started again at the same port."""

    def __init__(self, *options: str) -> None:
        self.port, self._options = free_port(), options
        self.mock = Mock(f"http://127.0.0.1:{self.port}")
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "batchchat", "mock-server", "--port", str(self.port), *self._options]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        assert self._process.stderr.readline()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    started: list[Process] = []
    yield started
    for process in started:
        process.kill()


def entry(mock: Mock, **keys: Any) -> dict[str, Any]:
    return {"base_url": mock.url, **keys}


def write(job: Job, input_rows: list[Any] | None, *entries: dict[str, Any], **keys: Any) -> None:
    job.write(input_rows, endpoint__base_url=None, endpoints=list(entries), **keys)


def by_endpoint(job: Job) -> Counter[str]:
    return Counter(row["endpoint"] for row in job.table())


def test_what_each_answers_is_by_what_it_can(job: Job) -> None:
    """Rows go to whichever has room; each server is filled to its limit, and the output says which answered."""
    slots = {"small": 2, "middle": 4, "big": 8}
    with ExitStack() as stack:
        mocks = {name: stack.enter_context(mock_thread(max_concurrent=n, latency_s=0.05)) for name, n in slots.items()}
        entries = [entry(mocks[name], name=name, concurrency=number) for name, number in slots.items()]
        write(job, rows(140), *entries, concurrency=200)
        ended = job.run("--progress", "none")
        stats = {name: mock.stats() for name, mock in mocks.items()}
    assert ended.code == 0, ended.err
    assert [row["id"] for row in job.table()] == [row["id"] for row in rows(140)]
    assert by_endpoint(job) == {name: server["answered"] for name, server in stats.items()}
    assert {name: server["max_in_flight"] for name, server in stats.items()} == slots
    assert sum(server["requests"] for server in stats.values()) == 140
    assert stats["small"]["answered"] < stats["middle"]["answered"] < stats["big"]["answered"]


def test_concurrency_bounds_all_together(job: Job) -> None:
    """The job's `concurrency` is for the sum, and with room everywhere `weight` decides."""
    with mock_thread(latency_s=0.02) as first, mock_thread(latency_s=0.02) as second:
        entries = [entry(first, name="one"), entry(second, name="two", weight=3)]
        write(job, rows(120), *entries, concurrency=8)
        ended = job.run("--progress", "none")
        assert ended.code == 0, ended.err
        assert (first.stats()["max_in_flight"], second.stats()["max_in_flight"]) == (2, 6)


def test_one_that_does_not_know_the_model_is_told_and_not_used(job: Job) -> None:
    """A 404 for the model stops that endpoint, not the run, and its rows are answered by the other."""
    with mock_thread() as good, mock_thread() as other:
        write(job, rows(60), entry(good, name="good"), entry(other, name="other", model="no-such-model"))
        ended = job.run("--progress", "log")
        asked = other.stats()
    assert ended.code == 0, ended.err
    assert by_endpoint(job) == {"good": 60}
    assert (asked["answered"], asked["requests"] <= 16) == (0, True)
    (line,) = [line for line in ended.err.splitlines() if "not used any more" in line]
    assert line.endswith(
        "other: not used any more: other does not know `no-such-model` or the address (HTTP 404): The model"
        " `no-such-model` does not exist. Check `model` and `base_url`. 1 other endpoint left"
    )
    retries = Counter(kind for record in job.journal() for kind in record.get("retries", ()))
    assert retries == {"not_found": asked["requests"]}
    steps = [record for record in job.journal() if record["kind"] == "step"]
    assert len(steps) == asked["requests"]
    assert {(step["endpoint"], step["why"], step["error"]) for step in steps} == {
        ("other", "not_found", "The model `no-such-model` does not exist")
    }


def test_one_that_was_down_to_the_end_is_in_the_summary_and_in_status(job: Job) -> None:
    """In the morning they say why it took so long: what each answered, and that one never did."""
    port = free_port()
    with mock_thread(latency_s=0.01) as up:
        down = {"base_url": f"http://127.0.0.1:{port}/v1", "name": "down"}
        write(job, rows(60), entry(up, name="up"), down, concurrency=4)
        ended = job.run("--progress", "none", "--json", env={"COLUMNS": "200"})
        told = {entry["name"]: entry for entry in json.loads(ended.out)["endpoints"]}
        again = job.run("status", "job.yaml", env={"COLUMNS": "200"})
        job.write(rows(80))
        summary = job.run("--progress", "none", env={"COLUMNS": "200"}).out
    assert ended.code == 0, ended.err
    assert {name: (figures["state"], figures["rows"]) for name, figures in told.items()} == {
        "up": ("working", 60),
        "down": ("down", 0),
    }
    assert set(told["down"]) == {"name", "state", "rows", "cost_usd", "down_since"}  # none of its words
    assert told["down"]["down_since"] is not None
    assert "  endpoints up: 60 answered in the last run · $" in again.out
    assert "            down: 0 answered in the last run · was down since " in again.out
    assert f"waited for it to answer again (nothing listens at 127.0.0.1:{port})" in again.out
    assert "  endpoints up: 20 answered in this run · $" in summary
    assert "            down: 0 answered in this run · was down since " in summary


def test_the_run_stops_when_none_is_left(job: Job) -> None:
    """Each endpoint's reason is told, with exit 5."""
    with mock_thread(api_key="right") as locked, mock_thread() as other:
        write(job, rows(8), entry(locked, name="locked"), entry(other, name="other", model="no-such-model"))
        ended = job.run("--progress", "none")
    assert ended.code == 5, ended.err
    assert "no endpoint is left:" in ended.err
    assert "  locked: locked refused a request without a key (HTTP 401)" in ended.err
    assert "  other: other does not know `no-such-model`" in ended.err


def test_a_row_that_one_cannot_serve_goes_to_another(job: Job) -> None:
    """Too long for one server's context, not for the other's; the reason is kept, and each is asked once."""
    long = [{"id": f"long{n}", "messages": conversation("word " * 200)} for n in range(6)]
    with mock_thread(context_length=100) as short, mock_thread() as wide:
        write(job, [*rows(20), *long], entry(short, name="short", weight=100), entry(wide, name="wide"))
        ended = job.run("--progress", "none")
        stats = short.stats(), wide.stats()
    assert ended.code == 0, ended.err
    table = {row["id"]: row for row in job.table()}
    assert {table[row["id"]]["endpoint"] for row in long} == {"wide"}
    refused = [record for record in job.journal() if record["kind"] == "step"]
    assert {(step["endpoint"], step["why"]) for step in refused} <= {("short", "context_length")}
    assert len(refused) == stats[0]["statuses"].get("400", 0) <= len(long)
    assert sum(server["answered"] for server in stats) == 26


def test_a_row_that_none_can_serve_has_all_reasons(job: Job) -> None:
    """Each endpoint is asked once; `retry.max_attempts` bounds that, too."""
    long = [{"id": "long", "messages": conversation("word " * 200)}]
    with mock_thread(context_length=100) as one, mock_thread(context_length=110) as two:
        write(job, [*rows(4), *long], entry(one, name="one"), entry(two, name="two"))
        ended = job.run("--progress", "none")
        (failed,) = [row for row in job.table() if row["status"] == "failed"]
        assert (ended.code, failed["error_kind"], failed["attempts"]) == (3, "context_length", 2)
        assert all(f"{name}: " in failed["error"] for name in ("one", "two")), failed["error"]
        job.write(retry__max_attempts=1)
        job.run("--retry-failed", "--progress", "none")
        (failed,) = [row for row in job.table() if row["status"] == "failed"]
    assert failed["attempts"] == 3  # one more


def test_other_endpoints_send_nothing_again(job: Job) -> None:
    """A resume goes by the request: not by which endpoint answered, nor by how many there are now."""
    with mock_thread() as first, mock_thread() as second, mock_thread() as third:
        write(job, rows(12), entry(first, name="one"), entry(second, name="two"))
        assert job.run("--progress", "none").code == 0
        was = by_endpoint(job)
        write(job, None, entry(third))
        assert job.run("--progress", "none").code == 0
        assert by_endpoint(job) == was
        assert third.stats()["requests"] == 0
        job.write(rows(13), endpoint__base_url=third.url, endpoints=None)
        assert job.run("--progress", "none").code == 0
        assert (third.stats()["requests"], len(job.table())) == (1, 13)
        assert "endpoint" not in job.table()[0]


def test_one_budget_for_all(job: Job) -> None:
    """What all endpoints together were paid is at most the cap, and they are told as one cost."""
    with mock_thread() as first, mock_thread() as second:
        price = {"input": 0.5, "output": 0.5}
        entries = [entry(first, name="one", price=price), entry(second, name="two", price={"input": 1, "output": 1})]
        write(job, rows(200), *entries, budget__max_cost=0.01, params__max_tokens=200)
        ended = job.run("--progress", "none")
        paid = Decimal(first.stats()["cost_usd"]) + Decimal(second.stats()["cost_usd"])
    assert ended.code == 4, ended.err
    assert 0 < paid <= Decimal("0.01")
    assert sum(Decimal(str(row["cost_usd"])) for row in job.table() if row["cost_usd"]) == paid


def test_keys_and_headers_are_in_no_file(job: Job) -> None:
    """Each endpoint has a key of its own, which is sent to it alone and shown nowhere."""
    with mock_thread(api_key="secret-of-one") as first, mock_thread(api_key="secret-of-two") as second:
        entries = [
            entry(first, name="one", api_key_env="KEY_ONE"),
            entry(second, name="two", headers={"Authorization": "Bearer ${KEY_TWO}"}),
        ]
        write(job, rows(20), *entries)
        ended = job.run("--progress", "log", env={"KEY_ONE": "secret-of-one", "KEY_TWO": "secret-of-two"})
    assert ended.code == 0, ended.err
    assert set(by_endpoint(job)) == {"one", "two"}
    kept = b"".join(path.read_bytes() for path in job.folder.rglob("*") if path.is_file())
    assert b"secret-of-" not in kept
    assert "secret-of-" not in ended.out + ended.err


def test_a_shared_answer_is_of_the_endpoint_that_gave_it(job: Job) -> None:
    """The output says whose it is; what each was asked is told by `status` without it."""
    with mock_thread() as first, mock_thread() as second:
        same = [{"id": f"r{number}", "messages": conversation(f"Question {number % 20}?")} for number in range(60)]
        write(job, same, entry(first, name="one"), entry(second, name="two"), dedupe=True)
        assert job.run("--progress", "none").code == 0
        asked = {"one": first.stats()["requests"], "two": second.stats()["requests"]}
    assert sum(asked.values()) == 20
    table = job.table()
    assert by_endpoint(job) == {name: 3 * count for name, count in asked.items() if count}
    assert [row["endpoint"] for row in table[:20]] * 3 == [row["endpoint"] for row in table]
    state = json.loads((job.run_folder / "run.json").read_text())
    assert {endpoint["name"]: endpoint["rows"] for endpoint in state["endpoints"]} == asked


@pytest.mark.field
def test_one_killed_and_back_is_used_again(job: Job, processes: list[Process]) -> None:
    """SIGKILL in mid-run: its rows are answered by the others; once it is back it answers again; nothing twice."""
    processes += [Process("--max-concurrent", str(slots), "--latency", "0.2") for slots in (10, 20, 40)]
    entries = [entry(process.mock, name=f"m{number}") for number, process in enumerate(processes)]
    write(job, rows(1200), *entries, concurrency=200)
    running, killed = job.start("--progress", "log"), processes[1]
    until(lambda: killed.mock.stats()["answered"] > 60, "the first answers")
    killed.kill()
    finished_by_then = job.acknowledged()
    until(lambda: job.acknowledged() > finished_by_then + 200, "rows that others answer")
    back_at = time.time()
    killed.start()
    ended = running.end(200)
    assert ended.code == 0, ended.err
    table = job.table()
    assert [row["id"] for row in table] == [row["id"] for row in rows(1200)]
    answers = Counter(row["endpoint"] for row in table)
    for number in (0, 2):
        stats = processes[number].mock.stats()
        assert (stats["answered"], stats["billed_twice"]) == (answers[f"m{number}"], 0)
    later = sum(row["endpoint"] == "m1" and row["started_at"].timestamp() >= back_at for row in table)
    stats = killed.mock.stats()
    assert later > 0, "it was used again"
    assert (stats["answered"], stats["billed_twice"]) == (later, 0)
    # What was in flight at the kill may have been billed there, and is sent once more.
    broken = [record for record in job.journal() if record.get("why") == "connection"]
    assert {record["endpoint"] for record in broken} <= {"m1"}


def test_one_that_is_loading_is_waited_for(job: Job, processes: list[Process]) -> None:
    """Nothing listens at one address: the others work, it is told once, and the run does not wait for it at its end."""
    port = free_port()
    with mock_thread() as up:
        loading = {"base_url": f"http://127.0.0.1:{port}/v1", "name": "loading"}
        write(job, rows(40), entry(up, name="up"), loading)
        ended = job.run("--progress", "log")
    assert ended.code == 0, ended.err
    assert by_endpoint(job) == {"up": 40}
    (line,) = [line for line in ended.err.splitlines() if "loading" in line and "waiting" in line]
    assert f"loading: nothing listens at 127.0.0.1:{port}; waiting up to 1h 00m" in line


def test_mistakes_are_told_by_their_key(job: Job) -> None:
    """Each wrong key of an entry by its number; what can't be combined with `endpoints` by the way out."""
    job.write(rows(1), endpoints=[{"base_url": "mock", "wieght": 2}, {"name": "x"}], workers=2)
    ended = job.run()
    assert ended.code == 2
    job.file.write_text(json.dumps(json.loads(job.file.read_text()), indent=1))
    assert [line.partition(": ")[2].partition(": ")[2] for line in ended.errors] == [
        "`wieght` is not a key of `endpoints[0]`. Did you mean `weight`?",
        "`endpoints[1].base_url` is missing. It takes a URL such as http://localhost:8000/v1.",
    ]
    write(job, None, {"base_url": "mock"}, {"base_url": "mock", "name": "two"}, workers=2)
    ended = job.run()
    assert "`workers` can't be combined with `endpoints` in this version." in ended.err
    assert (ended.code, Path(job.output).exists()) == (2, False)
