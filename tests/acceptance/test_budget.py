"""The cap on what a job may cost: the server's own books never pass it, whatever fails, breaks off or is killed."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson
import pytest

from batchchat.mock.replies import reply_to
from batchchat.mock.request import parse_request
from tests.acceptance.job import Ended, Job, Running, conversation, rows, until
from tests.acceptance.servers import Mock, completion, http, mock_process, mock_thread, raw_server

PRICE = {"input": 0.761, "output": 0.839}  # what the mock bills, at the most
MAX_TOKENS = 60  # the mock's replies are about 85 tokens: most are cut here, as a tight cap has it
IN_FLIGHT = 16
FAULTS = ("429=0.02", "500=0.02", "503=0.01", "drop=0.01", "drop-after=0.01", "truncate=0.01", "garbage=0.01")


def whole_usd(count: int, shares: tuple[float, float]) -> Decimal:
    """What `count` rows cost in the mean, by the mock's own reckoning."""
    nano = 0
    for row in rows(count):
        body = {"model": "m", "messages": row["messages"], "max_tokens": MAX_TOKENS}
        nano += reply_to(parse_request(orjson.dumps(body), 65536), 0, 85).usage.cost_nano_usd
    return Decimal(nano).scaleb(-9) * Decimal(sum(shares) / 2)


def wait_for(job: Job, running: Running, goal: int) -> None:
    until(lambda: job.acknowledged() >= goal or running.process.poll() is not None)


def billed(mock: Mock) -> Decimal:
    return Decimal(mock.stats()["cost_usd"])


@dataclass(frozen=True, slots=True)
class Capped:
    """A run under a cap, its kills, and what the server had billed at its end."""

    ended: Ended
    killed: int
    cap: Decimal
    billed: Decimal

    @property
    def used(self) -> float:
        return float(self.billed / self.cap)


def run_to_the_cap(job: Job, mock: Mock, count: int, cap: Decimal, *, kills: int, seed: int) -> Capped:
    """Run with `kills` SIGKILLs at random until the cap stops it. The server's books are looked at after each."""
    moments = random.Random(seed)
    job.write(
        rows(count),
        endpoint__base_url=mock.url,
        concurrency=IN_FLIGHT,
        params__max_tokens=MAX_TOKENS,
        price=PRICE,
        retry__max_wait=0.05,
        budget__max_cost=float(cap),
    )
    killed = 0
    while True:
        running = job.start()
        if killed < kills:
            goal = job.acknowledged() + moments.randint(0, count // 3 // (kills + 1))
            wait_for(job, running, goal)
            time.sleep(moments.random() * 0.03)
            running.process.kill()
        ended = running.end()
        until(lambda: mock.stats()["in_flight"] == 0)
        assert billed(mock) <= cap, "more was billed than the cap allows"
        if ended.code != -9:
            return Capped(ended, killed, cap, billed(mock))
        killed += 1


def go_on(job: Job, mock: Mock, count: int, capped: Capped) -> None:
    """The command that the run named, again and again, finishes what is left; each answered row was paid once."""
    ended = capped.ended
    for _ in range(4):
        command = re.search(r"next  batchchat run (job.yaml --max-cost [0-9.]+)\n", ended.out)
        assert command, ended.out
        ended = job.run("run", *command[1].split())
        if ended.code != 4:
            break
    assert ended.code in {0, 3}, ended.err
    table = job.table()
    assert [row["id"] for row in table] == [f"r{n:04}" for n in range(count)]
    assert {row["error_kind"] for row in table} <= {None, "connection", "bad_response", "server_error"}
    records = [record for record in job.journal() if record["kind"] == "row" and record["status"] == "answered"]
    assert len({record["id"] for record in records}) == len(records)
    # What was paid twice is what broke off or was in flight when it was killed.
    twice = sum(row["possibly_billed_attempts"] for row in table) + 2 * IN_FLIGHT * capped.killed
    assert mock.stats()["billed_twice"] <= twice


def check(job: Job, count: int, *, kills: int, seed: int) -> Capped:
    """One seed of the whole promise."""
    faults = [f"--fault={fault}" for fault in FAULTS]
    options = ["--latency", "0.01", "--latency-jitter", "0.03", "--price-share", "0.6:1", "--seed", str(seed)]
    with mock_process(*options, *faults) as mock:
        cap = (whole_usd(count, (0.6, 1.0)) / 3).quantize(Decimal("0.000001"))
        capped = run_to_the_cap(job, mock, count, cap, kills=kills, seed=seed)
        assert capped.ended.code == 4, capped.ended.err
        assert len(job.table()) == job.state()["rows"]["answered"] + job.state()["rows"]["failed"]
        assert job.state()["max_cost"] == float(cap)
        go_on(job, mock, count, capped)
    return capped


def test_the_cap_holds_over_faults_and_kills(job: Job) -> None:
    """Never a cent more on the server's books, most of the cap used, and the command it names finishes the rest."""
    capped = check(job, 1000, kills=1, seed=5)
    assert capped.used >= 0.8


IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
CAPPED: dict[str, Any] = {"price": PRICE, "params__max_tokens": MAX_TOKENS, "budget__max_cost": 0.5}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no max_tokens": (
        {"params__max_tokens": None},
        "in.jsonl:1: row r0000 has no max_tokens",
    ),
    "an image": (
        {},
        "in.jsonl:4: row i has parts that are not text",
    ),
    "an hour that has passed": (
        {"budget__stop_at": "2026-01-01T07:30"},
        "`budget.stop_at` is 2026-01-01T07:30, which has passed",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_cap_that_could_not_hold_is_refused(job: Job, name: str) -> None:
    """Exit 2 before the first request, though the row stands behind good ones, with its place and the way out."""
    change, phrase = REFUSED[name]
    with raw_server(lambda _: http(200, completion())) as server:
        job.write([*rows(3), {"id": "i", "messages": [{"role": "user", "content": [IMAGE]}]}], **CAPPED)
        job.write(endpoint__base_url=server.url, **change)
        ended = job.run("--progress", "none")
        assert server.requests == 0
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith(f"error: {phrase}")


def test_a_cap_that_is_enough_is_no_hindrance(job: Job) -> None:
    """All rows go; the summary says what is left; run.json has the cap. With it lowered there is nothing to send."""
    with mock_thread() as mock:
        job.write(rows(40), endpoint__base_url=mock.url, **CAPPED)
        ended = job.run()
        cost = billed(mock)
    assert ended.code == 0, ended.err
    assert "budget $0.5000 · worst case of the 40 rows to send: $0.0028 · " in ended.err
    assert f"  budget    ${cost:.4f} of $0.5000 · ${Decimal('0.5') - cost:.4f} left\n" in ended.out
    assert (job.state()["max_cost"], job.state()["possibly_billed"]) == (0.5, {"attempts": 0, "at_most_usd": 0.0})
    assert job.run("--max-cost", "0.000001").code == 0


def test_a_cap_that_is_used_up_sends_nothing(job: Job) -> None:
    """Exit 4, what was paid before counts, and the command that goes on does go on."""
    with mock_thread() as mock:
        job.write(rows(100), endpoint__base_url=mock.url, **CAPPED)
        job.run("--limit", "50")
        before = mock.stats()["requests"]
        ended = job.run("--max-cost", f"{billed(mock)}")
        assert mock.stats()["requests"] == before
        assert ended.code == 4
        (stopped,) = ended.errors
        assert "does not cover the next row" in stopped
        command = re.search(r"next  batchchat run (job.yaml --max-cost [0-9.]+)\n", ended.out)
        assert command, ended.out
        assert job.state()["next_command"] == f"batchchat run {command[1]}"
        assert len(job.table()) == 50
        assert job.run("run", *command[1].split()).code == 0
        assert mock.stats()["requests"] == 100


def test_twice_the_stated_price_is_met_and_told(job: Job) -> None:
    """The first answers are reserved double, so that it is seen before it does harm: not a cent over the cap."""
    with mock_thread(price_share=(2.0, 2.0), latency_s=0.01) as mock:
        cap = whole_usd(600, (2.0, 2.0)) / 3
        job.write(rows(600), endpoint__base_url=mock.url, **{**CAPPED, "budget__max_cost": float(cap)})
        ended = job.run()
        assert ended.code == 4
        assert Decimal("0.95") * cap <= billed(mock) <= cap
    assert "the endpoint charges up to 2.00x the listed price" in ended.err


def test_more_than_the_start_allows_for_is_an_overrun_and_told(job: Job) -> None:
    """At five times the price what is over the cap is at most what eight in flight cost beyond twice the price."""
    with mock_thread(price_share=(5.0, 5.0), latency_s=0.05) as mock:
        worst = Decimal(26 * 761 + MAX_TOKENS * 839).scaleb(-9)
        cap = 16 * worst
        job.write(rows(100), endpoint__base_url=mock.url, **{**CAPPED, "budget__max_cost": float(cap)})
        ended = job.run("--progress", "log")
        assert ended.code == 4
        assert cap < billed(mock) <= cap + 8 * 3 * worst
        assert mock.stats()["requests"] == 8
    assert re.search(r"charges up to 5.00x the listed price.* \$0.00\d\d over the reserved", ended.err)
    assert re.search(r"  budget    \$0.00\d\d of \$0.00\d\d · \$0.00\d\d over\n", ended.out)


@pytest.mark.usefixtures("wide_terminal")
@pytest.mark.parametrize(("priced", "at_risk"), [(True, range(IN_FLIGHT, 21)), (False, [2 * IN_FLIGHT])])
def test_a_cap_that_is_set_after_a_kill_counts_what_was_in_flight(
    job: Job, *, priced: bool, at_risk: Sequence[int]
) -> None:
    """With a price, about as many requests as there were; without one, all there may have been, at the dearest row."""
    with mock_thread(latency_s=20) as mock:
        job.write(rows(60), endpoint__base_url=mock.url, concurrency=IN_FLIGHT, params__max_tokens=MAX_TOKENS)
        if priced:
            job.write(price=PRICE)
        running = job.start()
        until(lambda: mock.stats()["in_flight"] == IN_FLIGHT)
        running.process.kill()
        running.end()
        job.write(price=PRICE)
        ended = job.run("--max-cost", "0.0001")
        assert ended.code == 4
        assert mock.stats()["requests"] == IN_FLIGHT
    told = re.search(r"not in it: up to (\d+) requests .*, at most \$(0\.\d+)\n", ended.out)
    assert told, ended.out
    assert int(told[1]) in at_risk
    assert float(told[2]) >= int(told[1]) * MAX_TOKENS * PRICE["output"] / 1e6


def test_it_ends_by_its_hour(job: Job) -> None:
    """Sending stops in time for what is in flight to end; `drain`, a signal's, cuts off nothing; it can go on."""
    with mock_thread(latency_s=0.2) as mock:
        job.write(rows(400), endpoint__base_url=mock.url, concurrency=8, drain=0)
        ended = job.run("--set", "budget.stop_at=1.5s")
        stats = mock.stats()
    assert ended.code == 4, ended.err
    assert "`budget.stop_at`: no new requests; " in ended.err
    (stopped,) = ended.errors
    assert "`budget.stop_at` is 1.5s" in stopped
    assert "\nnext  batchchat run job.yaml --set budget.stop_at=1.5s\n" in ended.out
    assert 0 < stats["answered"] == stats["requests"] == len(job.table()) < 80


@pytest.mark.parametrize("options", [[], ["--limit", "4"], ["--concurrency", "9"]], ids=["all", "a limit", "room"])
def test_an_hour_that_comes_when_all_is_on_its_way_stops_nothing(job: Job, options: list[str]) -> None:
    """Exit 0 when what was in flight was the last of it, the input's end seen or not, and bad rows behind it noted."""
    bad = [{"id": "bad", "messages": []}]
    with mock_thread(latency_s=1.5) as mock:
        job.write([*rows(4), *(rows(9)[5:] if options[:1] == ["--limit"] else bad)], endpoint__base_url=mock.url)
        ended = job.run("--set", "budget.stop_at=1.2s", "--concurrency", "4", *options)
        assert mock.stats()["requests"] == 4
    assert ended.code == (0 if options[:1] == ["--limit"] else 3), ended.err
    assert "for 4 in flight" in ended.err
    assert [row["status"] for row in job.table()][:4] == ["answered"] * 4
    assert job.state()["reason"] is None


def test_an_hour_when_one_row_could_not_be_sent_at_all(job: Job) -> None:
    """A row that is failed without being sent is no row that is left: the run is finished, not stopped."""
    pytest.importorskip("mistral_common")
    long = {"id": "long", "messages": conversation("word " * 400)}
    model = "microsoft/WizardLM-2-8x22B"
    with mock_thread(latency_s=1.5) as mock:
        job.write([long, *rows(4)], endpoint__base_url=mock.url, endpoint__context_length=300, model=model)
        ended = job.run("--set", "budget.stop_at=1.2s", "--concurrency", "4")
        assert mock.stats()["requests"] == 4
    assert ended.code == 3, ended.err
    assert [row["error_kind"] for row in job.table()] == ["context_length", *[None] * 4]


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_the_cap_holds_over_twenty_seeds(job: Job, seed: int) -> None:
    """5,000 rows, one to three kills each: the cap holds to the digit, and at least 85 % of it is used."""
    start = time.monotonic()
    capped = check(job, 5000, kills=1 + seed % 3, seed=seed)
    print(f"\nseed {seed}: {capped.killed} kills, {capped.used:.1%} of {capped.cap}, {time.monotonic() - start:.0f} s")
    assert capped.used >= 0.85
