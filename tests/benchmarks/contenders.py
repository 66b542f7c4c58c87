"""The two that are measured on the same rows and the same endpoint: the bare loop, and `batchchat run`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.endpoint import Endpoint
from tests.benchmarks.process import Measured, python
from tests.benchmarks.rows import write_rows

HERE = Path(__file__).parent

# In a process of its own: a child's peak memory begins with that of the process it was forked from.
PUBLISHED = """
import sys, os, pyarrow.compute, pyarrow.parquet as pq
finished = pq.read_table(sys.argv[1], columns=["finished_at"])["finished_at"]
print(len(finished), os.stat(sys.argv[1]).st_ctime - pyarrow.compute.max(finished).as_py().timestamp())
"""
ANSWERING = """
import sys, pyarrow.compute, pyarrow.parquet as pq
span = pyarrow.compute.min_max(pq.read_table(sys.argv[1], columns=["finished_at"])["finished_at"]).as_py()
print((span["max"] - span["min"]).total_seconds())
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: rows of a kind, how many are in flight, and how long the endpoint takes."""

    kind: str = "realistic"
    in_flight: int = 64
    latency_ms: int = 0


class Contenders:
    """Runs both in `folder`; the input of each size is written once. `busy` gathers the server's share of its core."""

    def __init__(self, folder: Path, endpoint: Endpoint, *, stream: bool = False) -> None:
        self.folder = folder
        self.endpoint = endpoint
        self.busy: list[float] = []
        self._stream = stream
        self._output = folder / "out/answers.parquet"

    def source(self, kind: str, rows: int) -> Path:
        """The input of `rows` rows."""
        path = self.folder / f"{kind}-{rows}.jsonl"
        if not path.exists():
            write_rows(path, kind, rows)
        return path

    def bare(self, load: Load, rows: int) -> Measured:
        """The bare loop."""
        target = self.folder / "bare.jsonl"
        url = f"{self.endpoint.base_url(load.kind, load.latency_ms)}/chat/completions"
        busy_s = self.endpoint.cpu_s()
        with self._all_requests(rows):
            measured = python(
                [str(HERE / "bare.py"), url, str(self.source(load.kind, rows)), str(target), str(load.in_flight)]
            )
        self.busy.append((self.endpoint.cpu_s() - busy_s) / measured.wall_s)
        with target.open("rb") as written:
            _same_count("the bare loop wrote", sum(1 for _ in written), rows)
        return measured

    def batchchat(self, load: Load, rows: int, *, budget: bool = False, profile: Path | None = None) -> Measured:
        """`batchchat run` from nothing, journal and Parquet included; with `budget` under a cap that it never nears."""
        self.remove_run()
        job = self.job(load, rows, budget=budget)
        profiled = [] if profile is None else ["-m", "cProfile", "-o", str(profile)]
        with self._all_requests(rows):
            measured = python([*profiled, "-m", "batchchat", "run", str(job), "--progress", "none"])
        self.after_last_answer_s(rows)
        return measured

    def workers(self, load: Load, rows: int, count: int) -> float:
        """Seconds from the first answer to the last of a run with `count` workers, on all cores."""
        self.remove_run()
        job = self.job(load, rows, workers=count)
        with self._all_requests(rows):
            python(["-m", "batchchat", "run", str(job), "--progress", "none"], core=None)
        return float(subprocess.check_output([sys.executable, "-c", ANSWERING, str(self._output)], text=True))

    def command(self, *arguments: str, until: Callable[[], bool] | None = None) -> Measured:
        """Another command of batchchat."""
        return python(["-m", "batchchat", *arguments], until=until)

    def job(self, load: Load, rows: int, *, budget: bool = False, workers: int = 1) -> Path:
        """Write the job file; its path."""
        kind = "stream" if self._stream and load.kind == "short" else load.kind
        job = {
            "input": {"path": str(self.source(load.kind, rows)), "id": "id"},
            "model": "benchmark",
            "endpoint": {"base_url": self.endpoint.base_url(kind, load.latency_ms), "stream": kind == "stream"},
            "params": {"temperature": 0.7, "max_tokens": 512},
            "concurrency": load.in_flight,
            "workers": workers,
            "output": {"path": str(self._output)},
            **({"budget": {"max_cost": 1_000_000}, "price": {"input": 0.5, "output": 0.5}} if budget else {}),
        }
        path = self.folder / "job.yaml"
        path.write_text(json.dumps(job))  # JSON is YAML
        return path

    @property
    def output(self) -> Path:
        """What batchchat publishes."""
        return self._output

    def remove_run(self) -> None:
        """Remove the output and its run folder."""
        shutil.rmtree(self._output.parent, ignore_errors=True)

    def after_last_answer_s(self, rows: int) -> float:
        """Seconds from the last row's end to the output's place under its name; it must have `rows` rows."""
        ask = [sys.executable, "-c", PUBLISHED, str(self._output)]
        written, seconds = subprocess.check_output(ask, text=True).split()
        _same_count("batchchat wrote", int(written), rows)
        return float(seconds)

    @contextmanager
    def _all_requests(self, rows: int) -> Iterator[None]:
        """A fast loop that sends fewer requests than there are rows is no yardstick."""
        self.endpoint.reset()
        yield
        _same_count("the endpoint was asked", self.endpoint.requests(), rows)


def _same_count(what: str, count: int, expected: int) -> None:
    if count != expected:
        sys.exit(f"{what} {count:,} rows of {expected:,}")
