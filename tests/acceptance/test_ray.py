"""`--engine ray`: real actors of a Ray that runs here, one output, one limit and one budget for all."""

from __future__ import annotations

import ipaddress
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
import pytest

from tests.acceptance.job import Ended, Job, rows, until
from tests.acceptance.servers import Mock, mock_process, mock_thread

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")

CONCURRENCY = 12
PATIENCE_S = 300.0
"""Ray takes ten seconds to start, and a busy machine has many other processes."""
KEY = "sk-the-key-of-the-run"
OF_ONE_ATTEMPT = {"latency_s", "started_at", "finished_at", "wait_s", "response_id"}
"""Columns that differ between two runs of one process, too."""


def family(pid: int) -> list[psutil.Process]:
    """All processes that `pid` has started, and theirs."""
    try:
        return [*psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def of_kind(roots: list[int], kind: str) -> list[int]:
    """The processes below `roots` whose command has `kind`; shells that wait for them not counted."""
    return [
        process.pid
        for root in roots
        for process in family(root)
        if kind in (line := words(process)) and not line.startswith("/bin/sh")
    ]


@dataclass(frozen=True, slots=True)
class RayHead:
    """A Ray cluster of one node that runs here: its `address`, and the environment of who joins it."""

    pid: int
    address: str
    environ: dict[str, str]


@pytest.fixture(scope="module")
def head() -> Iterator[RayHead]:
    """A Ray that outlives the runs of this file, closed to the network."""
    environ = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
    }
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    try:
        for _ in range(8):  # a busy machine does not start it in the 30 seconds that Ray gives itself
            process = started_ray(folder, {**os.environ, **environ})
            if process.poll() is None:
                break
        assert process.poll() is None, (folder / "log").read_text()
        named = folder / "ray" / "ray_current_cluster"
        address = until(lambda: named.exists() and named.read_text().strip(), "its address")
        yield RayHead(process.pid, address, environ)
        processes = family(process.pid)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        for left in processes:
            with suppress(psutil.NoSuchProcess):
                left.kill()
        process.kill()
        process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]


def started_ray(folder: Path, environ: dict[str, str]) -> subprocess.Popen[bytes]:
    """The process that keeps a Ray with its files in `folder`, once that is up, or has failed."""
    options = ["--port=0", "--include-dashboard=false", "--num-cpus=4", f"--object-store-memory={80 << 20}", "--block"]
    # Ray gives up where it has to wait for its agents to say which ports they took.
    agents = ("dashboard-agent-grpc", "dashboard-agent-listen", "metrics-export", "runtime-env-agent")
    options += [f"--{agent}-port={port}" for agent, port in zip(agents, free_ports(len(agents)), strict=True)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", f"--temp-dir={folder}/ray", *options],
            env=environ,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    up = lambda: "runtime started" in (folder / "log").read_text() or process.poll() is not None  # noqa: E731
    until(up, "Ray", PATIENCE_S)
    return process


def listening(processes: list[psutil.Process]) -> dict[str, str]:
    """The addresses on which `processes` listen, and who does."""
    addresses = {}
    for process in processes:
        try:
            for connection in process.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN:
                    addresses[connection.laddr.ip] = words(process)
        except psutil.NoSuchProcess:
            continue
    return addresses


def is_loopback(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    mapped = getattr(ip, "ipv4_mapped", None)
    return bool((mapped or ip).is_loopback)


def holds_key(folder: Path) -> list[str]:
    """The files below `folder` that have the key."""
    return [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and KEY.encode() in read(path)
    ]


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def whole(job: Job, ended: Ended, count: int) -> None:
    """The run ended well, and each row is there once, in the order of the input."""
    assert ended.code == 0, ended.err
    assert [row["id"] for row in job.table()] == [f"r{n:04}" for n in range(count)]
    assert {row["status"] for row in job.table()} == {"answered"}


def answers(job: Job) -> Counter[str]:
    """How many answers of each row the journal has."""
    return Counter(record["id"] for record in job.journal() if record["kind"] == "row")


def without_timings(job: Job) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in OF_ONE_ATTEMPT} for row in job.table()]


def test_a_run_by_ray(job: Job) -> None:
    """Its table is that of one process, nobody else can reach its Ray, which has no key, and nothing is left of it."""
    with mock_thread(latency_s=0.5, seed=5, api_key=KEY) as mock:
        job.write(
            rows(150), endpoint__base_url=mock.url, endpoint__api_key_env="KEY", concurrency=CONCURRENCY, workers=2
        )
        running = job.start("--engine", "ray", env={"KEY": KEY})
        until(lambda: job.acknowledged() > 20 or running.process.poll() is not None, "rows", PATIENCE_S)
        processes = family(running.process.pid)
        assert running.process.poll() is None, running.err
        addresses = listening(processes)
        gateway = next(process for process in processes if "ray_gateway" in words(process))
        folder = Path(gateway.cwd())
        leaks = holds_key(folder), holds_key(job.run_folder)
        mode = folder.stat().st_mode & 0o777
        ended = running.end(PATIENCE_S)
        whole(job, ended, 150)
        by_ray = without_timings(job)
        stats = mock.stats()
        whole(job, job.run("--fresh", "--set", "workers=1", env={"KEY": KEY}), 150)
    assert stats["requests"] == stats["billed_rows"] == 150
    assert stats["max_in_flight"] <= CONCURRENCY
    assert by_ray == without_timings(job)
    assert addresses, "Ray listens somewhere"
    assert [address for address in addresses if not is_loopback(address)] == [], addresses
    assert leaks == ([], [])
    assert mode == 0o700
    assert not folder.exists()
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)
    assert "ray" not in ended.err.lower().replace("question", "")
    assert list(job.run_folder.glob("worker-*")) == []


@pytest.mark.field
def test_partitions_by_ray(job: Job, head: RayHead) -> None:
    """One actor after the other has a partition; where that one's worker is killed another has the rest of it."""
    with mock_thread(latency_s=0.3, max_concurrent=4) as mock:
        job.write(rows(60), endpoint__base_url=mock.url, concurrency=4, workers=1)
        job.write(cluster={"address": head.address, "partitions": 3})
        running = job.start("--engine", "ray", env=head.environ)
        until(lambda: job.acknowledged() > 24 or running.process.poll() is not None, "rows", PATIENCE_S)
        (victim,) = of_kind([head.pid], "batchchat.cluster.worker")
        os.kill(victim, signal.SIGKILL)
        ended = running.end(PATIENCE_S)
        whole(job, ended, 60)
        each_row_once(job, mock, count=60, at_risk=4)
    assert sum(b'{"kind":"row"' in path.read_bytes() for path in job.run_folder.glob("journal-*.jsonl")) == 4
    assert list(job.run_folder.glob("worker-*")) == []


def killed_at_random(
    job: Job, head: RayHead, kills: list[str], *, count: int, seed: int, code: int = 0
) -> tuple[Ended, int]:
    """Run the job by Ray, and kill what `kills` names on the way to `count` rows: worker, relay, gateway or driver.

    The same command is run again until it ends with `code`; how it did, and how many requests were in flight at most at
    all kills together.
    """
    chance = random.Random(seed)
    left, kept, ended = [*kills], Counter[str](), None
    began = time.monotonic()
    while ended is None or ended.code != code:
        running = job.start("--engine", "ray", "--progress", "none", env=head.environ)
        while left and running.process.poll() is None:
            part = (count - len(kept)) // (len(left) + 1)
            goal = len(kept) + chance.randint(part // 2, part)
            until(lambda: job.acknowledged() >= goal or running.process.poll() is not None, "rows", PATIENCE_S)  # noqa: B023
            roots = [running.process.pid, head.pid]
            kinds = {"worker": "batchchat.cluster.worker", "relay": "ray::Relay", "gateway": "ray_gateway"}
            pids = roots[:1] if left[0] == "driver" else of_kind(roots, kinds[left[0]])
            if not pids or running.process.poll() is not None:
                continue
            victim = chance.choice(pids)
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
            print(f"{time.monotonic() - began:6.0f} s  {left.pop(0)} {victim} killed at {job.acknowledged()} rows")
            now = answers(job)
            assert kept.keys() <= now.keys(), "an acknowledged answer went"
            kept = now
            time.sleep(chance.random())
        ended = running.end(PATIENCE_S * 10)
        kept = answers(job)
        assert ended.code in {code, -9} or "in use by workers of a run that was killed" in ended.err, ended.err
        print(f"{time.monotonic() - began:6.0f} s  a run ended with {ended.code} at {len(kept)} rows")
    assert left == [], "all kills took place"
    return ended, len(kills) * job.keys["concurrency"]


def each_row_once(job: Job, mock: Mock, *, count: int, at_risk: int) -> dict[str, Any]:
    """Every row is answered once, in the journal and in the table, and was sent again only where it was at risk.

    Returns the mock's figures, and the costs.
    """
    table = job.table()
    assert [row["id"] for row in table] == [f"r{n:04}" for n in range(count)]
    assert {row["status"] for row in table} == {"answered"}
    twice = [id_ for id_, times in answers(job).items() if times > 1]
    stats = mock.stats()
    summary = json.loads(job.run("status", "job.yaml", "--json").out)
    known = sum(Decimal(str(row["cost_usd"])) for row in table)
    figures = {
        **stats,
        "sent_again": stats["requests"] - count,
        "at_risk": at_risk,
        "twice_in_journal": len(twice),
        "known_usd": str(known),
        "status_usd": summary["cost_usd"],
    }
    print(figures)
    assert twice == []
    assert stats["max_in_flight"] <= job.keys["concurrency"]
    assert stats["requests"] - count <= at_risk
    assert stats["billed_rows"] == count
    assert Decimal(str(summary["cost_usd"])) == known
    assert Decimal(stats["cost_usd"]) >= known
    return figures


@pytest.mark.field
def test_killed_in_every_place(job: Job, head: RayHead) -> None:
    """A worker, its actor, what speaks with Ray, and the run itself: no row is lost, none that is kept sent again."""
    with mock_process("--latency", "0.2", "--max-concurrent", "24") as mock:
        job.write(rows(1500), endpoint__base_url=mock.url, concurrency=24, workers=2, cluster__address=head.address)
        _, at_risk = killed_at_random(job, head, ["worker", "relay", "gateway", "driver"], count=1500, seed=7)
        figures = each_row_once(job, mock, count=1500, at_risk=at_risk)
    assert "429" not in figures["statuses"], "no request was one too many"


@pytest.mark.field
def test_the_cap_holds_through_kills(job: Job, head: RayHead) -> None:
    """By the server's own count, whatever is killed. The run ends with exit 4, says what is left, and can go on."""
    cap = Decimal("0.05")
    with mock_process("--latency", "0.2", "--seed", "1") as mock:
        job.write(
            rows(1500),
            endpoint__base_url=mock.url,
            concurrency=24,
            workers=2,
            cluster__address=head.address,
            params={"max_tokens": 100},
            price={"input": 1, "output": 1},
            budget__max_cost=float(cap),
        )
        kills = ["worker", "gateway", "driver", "relay", "worker"]
        ended, at_risk = killed_at_random(job, head, kills, count=400, seed=11, code=4)
        billed = Decimal(mock.stats()["cost_usd"])
        status = json.loads(job.run("status", "job.yaml", "--json").out)
        of_report = json.loads(job.run("report", "job.yaml", "--json").out)["outputs"][0]["cost_usd"]
        known, possibly = (Decimal(str(of_report[name])) for name in ("known", "possibly_billed"))
        print({"cap": str(cap), "billed": str(billed), "known": str(known), "possibly_billed": str(possibly)})
        assert cap * Decimal("0.6") < billed <= cap
        assert known == sum(Decimal(str(row["cost_usd"])) for row in job.table())
        assert known <= billed <= known + possibly <= cap
        assert 0 < status["rows"]["left"] < 1500
        assert status["rows"]["answered"] == len(job.table()) == 1500 - status["rows"]["left"]
        assert f"{status['rows']['left']} left" in ended.out
        whole(job, job.run("--max-cost", "1", "--engine", "local"), 1500)
        each_row_once(job, mock, count=1500, at_risk=at_risk)


@pytest.mark.field
def test_workers_that_no_node_has_room_for(job: Job, head: RayHead) -> None:
    """The run says what they need, and a signal ends it at once."""
    job.write(rows(10), workers=2, cluster={"address": head.address, "resources": {"elsewhere": 1}})
    running = job.start("--engine", "ray", "--progress", "log", env=head.environ)
    wait = "2 of 2 workers have not started yet: each needs a node of Ray with {CPU: 1, elsewhere: 1} free"
    until(lambda: wait in running.err or running.process.poll() is not None, "the notice", PATIENCE_S)
    assert wait in running.err, running.err
    running.signal(signal.SIGTERM)
    ended = running.end(PATIENCE_S)
    assert ended.code == 143, ended.err
    assert job.acknowledged() == 0


@pytest.mark.field
def test_a_cluster_that_is_not_there(job: Job) -> None:
    """Nothing is sent, and the message names the key."""
    job.write(rows(10), workers=2, cluster__address="127.0.0.1:1024")
    ended = job.start("--engine", "ray").end(PATIENCE_S)
    assert ended.code == 2
    assert "the Ray cluster at 127.0.0.1:1024 can't be joined: " in ended.err
    assert "Correct `cluster.address`" in ended.err


@pytest.mark.field
def test_a_signal_lets_requests_in_flight_finish(job: Job, head: RayHead) -> None:
    """As in any run; the next one goes on with another number of workers, here."""
    with mock_thread(latency_s=0.5) as mock:
        job.write(
            rows(200), endpoint__base_url=mock.url, concurrency=CONCURRENCY, workers=2, cluster__address=head.address
        )
        running = job.start("--engine", "ray", env=head.environ)
        until(lambda: job.acknowledged() > 20 or running.process.poll() is not None, "rows", PATIENCE_S)
        running.signal(signal.SIGINT)
        ended = running.end(PATIENCE_S)
        assert ended.code == 130, ended.err
        assert "--engine ray" in ended.out
        whole(job, job.run("--set", "workers=1"), 200)
        assert mock.stats()["requests"] == 200


def test_ray_is_an_extra(job: Job) -> None:
    """Without it the run is refused before anything else, with what installs it."""
    job.write(rows(10))
    with patch("batchchat.cluster.session_type.find_spec", lambda _: None):
        ended = job.run("--engine", "ray")
    assert ended.code == 2
    assert ended.errors == [
        "error: the engine `ray` needs Ray, which is not installed. Install it with: pip install 'batchchat[ray]', or"
        " use `--engine local`."
    ]
    assert not job.run_folder.exists()


@pytest.mark.soak
def test_a_hundred_thousand_rows_killed_at_random(job: Job, head: RayHead) -> None:
    """Four workers, five of them and two drivers (which lease the limits) killed, and once what speaks with Ray."""
    count = int(os.environ.get("RAY_SOAK_ROWS", "100000"))
    kills = ["worker", "driver", "worker", "worker", "gateway", "worker", "driver", "worker"]
    with mock_process("--latency", "0.25", "--seed", "3") as mock:
        job.write(
            rows(count),
            endpoint__base_url=mock.url,
            concurrency=100,
            workers=4,
            cluster__address=head.address,
            params={"max_tokens": 100},
            price={"input": 1, "output": 1},
            budget__max_cost=1000,
        )
        _, at_risk = killed_at_random(job, head, kills, count=count, seed=2026)
        each_row_once(job, mock, count=count, at_risk=at_risk)
