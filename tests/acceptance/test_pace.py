"""A run follows what its endpoint takes and waits out its outages: real processes against loopback servers."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from batchchat.mock import MockOptions, MockServer
from tests.acceptance.job import Job, rows, until
from tests.acceptance.servers import Asked, Loop, Raw, completion, http, raw_server


class Slots:
    """A server that takes so many at once, each for a while, and refuses the others. Both can be moved."""

    def __init__(self, allowance: int, latency_s: float) -> None:
        self.mock = MockServer(
            MockOptions(latency_s=latency_s / 2, latency_jitter_s=latency_s, max_concurrent=allowance)
        )
        self.loop = Loop()
        self.root = self.loop.call(self.mock.start())

    @property
    def url(self) -> str:
        return f"{self.root}/v1/openai"

    def allow(self, allowance: int) -> None:
        self.mock._gate._max_concurrent = allowance

    def answers(self) -> bool:
        return self.counts()[0] > 10

    def counts(self) -> tuple[int, int]:
        """Answered and refused so far."""
        statuses = self.mock.stats["statuses"]
        return statuses.get("200", 0), statuses.get("429", 0)

    def few_refused(self, requests: int = 100) -> Callable[[], bool]:
        """Asks again and again whether fewer than one in ten were refused of so many `requests` in succession."""
        since = self.counts()

        def is_so() -> bool:
            nonlocal since
            now = self.counts()
            if sum(now) - sum(since) < requests:
                return False
            refused, since = now[1] - since[1], now
            return refused < 0.1 * requests

        return is_so

    def end(self) -> None:
        self.loop.call(self.mock.stop())
        self.loop.end()


@contextmanager
def slots(allowance: int, latency_s: float) -> Iterator[Slots]:
    server = Slots(allowance, latency_s)
    try:
        yield server
    finally:
        server.end()


def answered_in(server: Slots, seconds: float) -> int:
    """How many are answered in the next so many seconds."""
    before = server.counts()[0]
    time.sleep(seconds)
    return server.counts()[0] - before


def log(job: Job) -> str:
    return (job.run_folder / "run.log").read_text()


def test_an_allowance_is_followed(job: Job) -> None:
    """20 -> 5 -> 40 under a ceiling of 200: the ceiling follows, few are refused once it has, and the log tells it.

    How much of an allowance is used, and within how many seconds, is simulated in `tests/policy/test_simulation.py`.
    """
    with slots(20, 1.0) as server:
        job.write(rows(10_000), endpoint__base_url=server.url, concurrency=200)
        running = job.start("--progress", "log")
        until(lambda: server.counts()[0] > 100, "an answer")
        until(lambda: job.state()["ceiling"] <= 24, "a ceiling that is found", 180)
        server.allow(5)
        until(lambda: job.state()["ceiling"] <= 8, "a ceiling that follows", 180)
        server.allow(40)
        until(lambda: job.state()["ceiling"] >= 36, "a ceiling that grows back", 180)
        until(server.few_refused(), "answers with few refusals", 180)
        running.signal(15)
        ended = running.end()
    assert ended.code == 143
    assert re.search(r"^rate limited: [0-9]+ -> [0-9]+ in flight ", ended.err, re.MULTILINE)
    assert re.search(r"Z grown back: [0-9]+ -> [0-9]+ in flight$", log(job), re.MULTILINE)
    assert "grown back" not in ended.err


@pytest.mark.soak
def test_an_allowance_is_followed_at_length(job: Job) -> None:
    """40 of 200: after 30 s at least 90 % of a run fixed at 40, fewer than 3 % refused; then 40 -> 10 -> 80."""
    rates = {}
    for concurrency in (40, 200):
        with slots(40, 0.4) as server:
            job.write(rows(60_000), endpoint__base_url=server.url, concurrency=concurrency)
            running = job.start("--progress", "log", "--fresh")
            until(server.answers, "an answer")
            time.sleep(30)
            rates[concurrency] = answered_in(server, 30) / 30
            if concurrency == 200:
                answered, refused = server.counts()
                server.allow(10)
                time.sleep(5)
                low = answered_in(server, 20) / 20
                server.allow(80)
                time.sleep(15)
                high = answered_in(server, 20) / 20
            running.signal(15)
            running.end()
    print(f"{rates}, refused {refused} of {answered + refused}; at 10: {low}/s, at 80: {high}/s")
    assert rates[200] > 0.9 * rates[40]
    assert refused < 0.03 * (answered + refused)
    assert low > 0.9 * rates[40] / 4
    assert high > 0.9 * rates[40] * 2


def outage(job: Job, phases: list[tuple[float, str]], count: int, concurrency: int) -> tuple[int, str]:
    """A run through an outage of `phases`: how many requests came or tried to come in it, and what was told.

    `killed`: every connection is reset and the port closed; a status: that is the answer.
    """
    answer: Callable[[Asked], bytes | None] = lambda _: http(200, completion())  # noqa: E731

    def slowly(asked: Asked) -> bytes | None:
        return answer(asked)

    with raw_server(slowly) as server:
        job.write(rows(count), endpoint__base_url=server.url, concurrency=concurrency, retry__max_wait=2)
        job.write(limits__requests_per_minute=6000)
        running = job.start("--progress", "log")
        until(lambda: server.requests > count // 5, "a fifth of the run")
        sent = 0
        for seconds, what in phases:
            if what == "killed":
                knocks = closed_port(server)
                time.sleep(seconds)
                sent += knocks()
            else:
                before = server.requests
                server.answer = lambda _, what=what: http(int(what), b"")  # type: ignore[misc]
                time.sleep(seconds)
                sent += server.requests - before
        server.answer = answer
        ended = running.end()
        assert ended.code == 0, ended.err
    found = job.table()
    assert len(found) == count
    assert {row["status"] for row in found} == {"answered"}
    return sent, ended.err


def closed_port(server: Raw) -> Callable[[], int]:
    """Reset all connections and every new one for as long as until the result is called, which counts those."""
    host, port = server.host.split(":")
    knocks = 0
    over = threading.Event()
    server.suspend()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, int(port)))
    listener.listen(512)
    listener.settimeout(0.02)

    def refuse() -> None:
        nonlocal knocks
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            knocks += 1
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()
        listener.close()

    thread = threading.Thread(target=refuse)
    thread.start()

    def back() -> int:
        over.set()
        thread.join()
        server.resume()
        return knocks

    return back


def test_an_outage_fails_no_row(job: Job) -> None:
    """Killed, resetting each connection, then 500 and 503 for a while, then back: every row is answered."""
    sent, told = outage(job, [(1, "killed"), (1, "500"), (1, "503")], 600, 64)
    assert sent < 30
    assert re.search(r"^endpoint down since [0-9:]{8} ", told, re.MULTILINE)
    assert re.search(r"^endpoint is back after [0-9.]+s \([0-9:]{8} to ", told, re.MULTILINE)
    assert re.search(r"Z endpoint is back after [0-9.]+s \([0-9:]{8}Z to ", log(job))


@pytest.mark.soak
def test_an_outage_of_minutes(job: Job) -> None:
    """A minute killed, a minute of 502, a minute of 503: fewer than 30 requests in the three."""
    sent, told = outage(job, [(60, "killed"), (60, "502"), (60, "503")], 3000, 200)
    print(f"{sent} requests\n{told}")
    assert sent < 30


def test_one_row_that_always_fails_fails(job: Job) -> None:
    """A row that gives 500 among answered ones is failed after its attempts, and is no outage."""

    def answer(asked: Asked) -> bytes:
        return http(500, b"") if asked.said == "Question 7" else http(200, completion())

    with raw_server(answer) as server:
        job.write(rows(40), endpoint__base_url=server.url, retry__max_wait=0.05)
        ended = job.run("--progress", "log")
        assert ended.code == 3
        assert "endpoint down" not in ended.err
        assert server.requests == 39 + 6
    assert [(row["id"], row["attempts"]) for row in job.table() if row["status"] == "failed"] == [("r0007", 6)]


@pytest.mark.parametrize(
    ("said", "told", "ceiling"),
    [
        (
            http(200, {"rate_limit": 7, "tpm_rate_limit": 6_000_000}),
            "limits the endpoint allows 7 in flight",
            7,
        ),
        (http(404, b""), "limits unknown (HTTP 404)", 200),
        (
            http(200, b"<html>"),
            "limits unknown (an unexpected response)",
            200,
        ),
    ],
)
def test_the_endpoint_is_asked_for_its_limit(job: Job, said: bytes, told: str, ceiling: int) -> None:
    """`concurrency: auto` asks once, says what it found, and keeps to it."""

    def answer(asked: Asked) -> bytes:
        return said if asked.path == "/v1/me/rate_limit" else http(200, completion())

    with raw_server(answer) as server:
        job.write(rows(30), endpoint__base_url=server.url, concurrency="auto")
        ended = job.run("--progress", "log")
        assert ended.code == 0
        assert ended.err.splitlines()[0] == f"job · m at {server.host} · as many in flight as the endpoint allows"
        assert f"\n{told}" in ended.err
        assert [asked.path for asked in server.asked].count("/v1/me/rate_limit") == 1
    assert ceiling == 200 or job.state()["ceiling"] == ceiling


def test_rates_are_kept(job: Job) -> None:
    """600 requests a minute are ten a second; the headers of a server that has nothing left are waited for."""
    with raw_server(lambda _: http(200, completion())) as server:
        job.write(rows(25), endpoint__base_url=server.url, limits__requests_per_minute=600)
        start = time.monotonic()
        assert job.run().code == 0
        assert time.monotonic() - start > 1.5

    def says(_: Asked) -> bytes:
        told = {"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "700ms"}
        return http(200, completion(), **told)

    with raw_server(says) as server:
        job.write(rows(4), endpoint__base_url=server.url, concurrency=1, limits__requests_per_minute=None)
        start = time.monotonic()
        assert job.run("--fresh").code == 0
        assert time.monotonic() - start > 2 * 0.7


def test_limits_stand_in_the_job(job: Job) -> None:
    """All four keys are read, and refused where they make no sense, each in a line."""
    job.write(rows(1), concurrency="all", adaptive="yes", limits__requests_per_minute=0, limits__tokens_per_minute=True)
    ended = job.run()
    assert ended.code == 2
    keys = ["concurrency", "adaptive", "limits.requests_per_minute", "limits.tokens_per_minute"]
    assert [re.findall("`(.+?)` is ", line) for line in ended.errors] == [[key] for key in keys]
    assert json.loads(job.file.read_text())["concurrency"] == "all"
