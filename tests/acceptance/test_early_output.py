"""The output is written while its run goes on; however that ends, it is what the journal has and no more."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from batchchat.execution.early_output import EarlyLimits, EarlyOutput
from batchchat.job import JobSpec
from batchchat.mock.faults import Fault
from batchchat.store.ledger import Ledger
from tests.acceptance.job import Job, Running, rows, until
from tests.acceptance.servers import mock_thread

SOON = EarlyLimits(look_every_s=0.01, first_rows=20, min_rows=5, max_rows=20)
ADOPTED: list[int] = []


class EarlySoon(EarlyOutput):
    """Begins with few rows, and notes how many were there at the end."""

    def __init__(self, job: JobSpec, folder: Path, ledger: Ledger) -> None:
        super().__init__(job, folder, ledger, SOON)

    def adopted(self, *arguments: Any) -> Any:
        writer = super().adopted(*arguments)
        ADOPTED.append(0 if writer is None else writer.count)
        return writer


@pytest.fixture(autouse=True)
def _soon() -> Iterator[None]:
    ADOPTED.clear()
    with patch("batchchat.execution.session.EarlyOutput", EarlySoon):
        yield


def beside(job: Job) -> list[str]:
    """What is in the job's folder."""
    return sorted(path.name for path in job.folder.iterdir())


@pytest.mark.parametrize(
    "keys", [{}, {"output__order": "completion"}, {"output__path": "out", "output__part_rows": 30}]
)
def test_only_the_rest_is_written_at_the_end(job: Job, keys: dict[str, Any]) -> None:
    """In a first run and in a resume, with rows that fail and some that are invalid."""
    input_rows = [*rows(40), {"id": "bad"}, *rows(80, start=40)]
    job.write(input_rows, concurrency=8, **keys)
    with mock_thread(latency_s=0.004, faults=(Fault("garbage", 0.05),)) as mock:
        job.write(endpoint__base_url=mock.url, retry__max_attempts=1)
        assert job.run("--limit", "90").code in {0, 3}
        assert job.run().code == 3
    table = job.table(job.folder / keys.get("output__path", "out.parquet"))
    if "output__order" not in keys:
        assert [row["id"] for row in table] == [row["id"] for row in input_rows]
    assert len({row["id"] for row in table}) == 121
    assert len(ADOPTED) == 2
    assert all(20 <= adopted <= 121 for adopted in ADOPTED)


def test_a_run_with_several_endpoints_writes_too(job: Job) -> None:
    """The name of who answered stands in the lines beside what is carried, a column of that name included."""
    input_rows = [{**row, "endpoint": f"of {row['id']}"} for row in rows(120)]
    with mock_thread(latency_s=0.004) as one, mock_thread(latency_s=0.004, faults=(Fault("garbage", 0.05),)) as two:
        entries = [{"base_url": one.url, "name": "one"}, {"base_url": two.url, "name": "two"}]
        job.write(input_rows, endpoint__base_url=None, endpoints=entries, concurrency=8, retry__max_attempts=1)
        assert job.run().code in {0, 3}
    table = job.table()
    ended = {record["id"]: record for record in job.journal() if record["kind"] == "row"}
    assert [row["endpoint"] for row in table] == [ended[row["id"]]["endpoint"] for row in table]
    assert {row["endpoint"] for row in table} == {"one", "two"}
    assert [row["input_endpoint"] for row in table] == [row["endpoint"] for row in input_rows]
    (adopted,) = ADOPTED
    assert adopted >= 20


def test_one_endpoint_then_several_then_one(job: Job) -> None:
    """Each run writes early with the columns of its own job; rows of before have what their lines say, or null."""
    input_rows = [{**row, "endpoint": "x"} for row in rows(240)]
    with mock_thread(latency_s=0.004) as one, mock_thread(latency_s=0.004) as two:
        entries = [{"base_url": one.url, "name": "one"}, {"base_url": two.url, "name": "two"}]
        job.write(input_rows, endpoint__base_url=one.url, concurrency=8)
        assert job.run("--limit", "80").code == 0
        assert "input_endpoint" not in job.table()[0]
        job.write(endpoint__base_url=None, endpoints=entries)
        assert job.run("--limit", "80").code == 0
        table = job.table()
        ended = {record["id"]: record for record in job.journal() if record["kind"] == "row"}
        assert [row["endpoint"] for row in table] == [ended[row["id"]].get("endpoint") for row in table]
        assert {row["endpoint"] for row in table} == {None, "one", "two"}
        job.write(endpoint__base_url=two.url, endpoints=None)
        assert job.run().code == 0
    table = job.table()
    assert (len(table), {row["endpoint"] for row in table}, "input_endpoint" in table[0]) == (240, {"x"}, False)
    assert [adopted >= 20 for adopted in ADOPTED] == [True] * 3


@pytest.mark.field
def test_a_run_with_workers_writes_too(job: Job) -> None:
    """In the order of the input; its workers' rows are in segments of their own."""
    with mock_thread(latency_s=0.01) as mock:
        job.write(rows(150), endpoint__base_url=mock.url, workers=2)
        ended = job.run()
    assert ended.code == 0, ended.err
    assert [row["id"] for row in job.table()] == [row["id"] for row in rows(150)]
    (adopted,) = ADOPTED
    assert adopted >= 20


def test_rows_that_are_sent_again_leave_nothing_to_adopt(job: Job) -> None:
    """What failed is replaced, so that the output does not begin as it was."""
    with mock_thread(latency_s=0.004, faults=(Fault("garbage", 0.5),)) as mock:
        job.write(rows(60), endpoint__base_url=mock.url, retry__max_attempts=1)
        assert job.run().code == 3
        assert job.run("--retry-failed").code == 3
    assert len(job.table()) == 60
    assert ADOPTED[1] == 0


def building(job: Job) -> Path:
    return job.folder / ".out.parquet.building"


def begun(job: Job) -> Running:
    """A run of 5,000 rows that has begun to write its output."""
    running = job.start()
    until(lambda: building(job).exists() or running.process.poll() is not None)
    assert running.process.poll() is None
    return running


@pytest.mark.field
def test_a_killed_run_leaves_what_the_next_one_removes(job: Job) -> None:
    """SIGKILL in the middle of it: a hidden file is left, and the next run ends as if there had been none."""
    with mock_thread(latency_s=0.02) as mock:
        job.write(rows(2_500), endpoint__base_url=mock.url, concurrency=64)
        running = begun(job)
        running.process.kill()
        running.end()
        assert building(job).exists()
        ended = job.run()
    assert ended.code == 0, ended.err
    assert [row["id"] for row in job.table()] == [row["id"] for row in rows(2_500)]
    assert beside(job) == ["in.jsonl", "job.yaml", "out.parquet", "out.run", "tmp"]
    (adopted,) = ADOPTED
    assert adopted >= 1_000


@pytest.mark.field
@pytest.mark.parametrize("signals", [1, 2])
def test_a_run_that_a_signal_ends_leaves_nothing(job: Job, signals: int) -> None:
    """Its journal is the result; neither an output is there, nor what was written of it."""
    with mock_thread(latency_s=0.02) as mock:
        job.write(rows(5_000), endpoint__base_url=mock.url, concurrency=64)
        running = begun(job)
        for _ in range(signals):
            running.signal(signal.SIGINT)
        assert running.end().code == 130
    assert beside(job) == ["in.jsonl", "job.yaml", "out.run", "tmp"]
