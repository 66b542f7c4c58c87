"""`make bench`: what a row costs in batchchat, beside a bare aiohttp + uvloop + orjson loop, in one run.

Both read the same rows (0.7 KB) and ask the same local server (2 KB replies), which runs in its own process on its own
core. CPU a row is the slope between two sizes of input, user and system time of the client process with its threads;
start-up is what the line leaves at zero rows. Rounds are interleaved, since machines drift; medians are printed, and
the ratios of each round as min, median and max. Nothing is asserted: a goal is met or it is not.

    python tests/benchmarks/bench.py [--rounds 3] [--sizes 10000,100000] [--in-flight 64,256] [--stream] [--profile]
"""

from __future__ import annotations

import argparse
import os
import pstats
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import orjson

HERE = Path(__file__).parent
CPU_GOAL = 2.0
MEMORY_GOAL = 1.3
MEMORY_SIZES = (1_000, 100_000)
ROW_BYTES = 700

PROSE = (
    "Describe in a few plain sentences how the following idea came about, what speaks for it and what against it, "
    "and whom you would ask before you made up your mind about it; then name two books that a reader should know. "
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One process from start to end."""

    rows: int
    cpu_s: float
    wall_s: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Round:
    """One contender at both sizes."""

    small: Measured
    large: Measured

    @property
    def cpu_per_row_us(self) -> float:
        """The slope."""
        return (self.large.cpu_s - self.small.cpu_s) / (self.large.rows - self.small.rows) * 1e6

    @property
    def start_up_s(self) -> float:
        """CPU at zero rows."""
        return self.small.cpu_s - self.small.rows * self.cpu_per_row_us / 1e6

    @property
    def rows_per_s(self) -> float:
        """By the clock, at the large size."""
        return self.large.rows / self.large.wall_s


class Bench:
    """A folder, a server, and the commands to be measured; with `stream` batchchat has the replies streamed."""

    def __init__(self, folder: Path, port: int, *, stream: bool) -> None:
        self._folder = folder
        self._stream = str(stream).lower()
        self._url = f"http://127.0.0.1:{port}/v1/openai"

    def source(self, rows: int) -> Path:
        """The input of `rows` rows, made once."""
        path = self._folder / f"in-{rows}.jsonl"
        if not path.exists():
            with path.open("wb") as file:
                for number in range(rows):
                    text = f"{number}: {PROSE * 4}"[: ROW_BYTES - 70]
                    messages = [{"role": "user", "content": text}]
                    file.write(orjson.dumps({"id": f"row-{number:07d}", "messages": messages}) + b"\n")
        return path

    def bare(self, rows: int, in_flight: int) -> Measured:
        """The bare loop."""
        target = self._folder / "bare.jsonl"
        url = f"{self._url}/chat/completions"
        measured = run([str(HERE / "bare.py"), url, str(self.source(rows)), str(target), str(in_flight)], rows)
        with target.open("rb") as written:
            check_rows("the bare loop", sum(1 for _ in written), rows)
        return measured

    def batchchat(self, rows: int, in_flight: int, *python: str) -> Measured:
        """`batchchat run`, journal and Parquet included."""
        shutil.rmtree(self._folder / "out", ignore_errors=True)
        job = self._folder / "job.yaml"
        job.write_text(
            f"input: {{path: {self.source(rows).name}, id: id}}\n"
            "model: benchmark\n"
            f"endpoint: {{base_url: '{self._url}', stream: {self._stream}}}\n"
            "params: {temperature: 0.7, max_tokens: 512}\n"
            f"concurrency: {in_flight}\n"
            "output: {path: out/answers.parquet}\n"
        )
        measured = run([*python, "-m", "batchchat", "run", str(job), "--progress", "none"], rows)
        check_rows("batchchat", parquet_rows(self._folder / "out/answers.parquet"), rows)
        return measured


def parquet_rows(path: Path) -> int:
    """How many rows the file has; asked in another process, since a child's peak memory begins with its parent's."""
    ask = "import sys, pyarrow.parquet as pq; print(pq.read_metadata(sys.argv[1]).num_rows)"
    return int(subprocess.check_output([sys.executable, "-c", ask, str(path)]))


def check_rows(who: str, found: int, expected: int) -> None:
    """A fast loop that loses rows is no yardstick."""
    if found != expected:
        sys.exit(f"{who} wrote {found:,} rows of {expected:,}")


def run(arguments: list[str], rows: int) -> Measured:
    """Run Python with `arguments` on the first core, and read what the kernel says of it."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    try:
        pin(process.pid, 0)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()
    if process.returncode:
        sys.exit(f"{' '.join(arguments)} ended with {process.returncode}")
    wall_s = time.perf_counter() - start
    return Measured(rows, usage.ru_utime + usage.ru_stime, wall_s, usage.ru_maxrss / 1024)


def pin(pid: int, core: int) -> None:
    """Keep a process on one core, where there are several, so that client and server do not take turns."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(pid, {core})


def compare(bench: Bench, sizes: tuple[int, int], in_flight: int, rounds: int) -> None:
    """Interleaved rounds at one level of concurrency, and the table of their medians."""
    bare, ours = [], []
    for _ in range(rounds):
        bare.append(Round(*(bench.bare(rows, in_flight) for rows in sizes)))
        ours.append(Round(*(bench.batchchat(rows, in_flight) for rows in sizes)))
    print(f"\n{in_flight} in flight, {sizes[0]:,} and {sizes[1]:,} rows, {rounds} rounds")
    print(f"{'':12}{'CPU us/row':>12}{'start-up s':>12}{'rows/s':>10}{'peak MiB':>10}")
    for name, taken in (("bare loop", bare), ("batchchat", ours)):
        cpu, start, pace, peak = (
            statistics.median(figures)
            for figures in (
                [one.cpu_per_row_us for one in taken],
                [one.start_up_s for one in taken],
                [one.rows_per_s for one in taken],
                [one.large.peak_mib for one in taken],
            )
        )
        print(f"{name:12}{cpu:12.1f}{start:12.2f}{pace:10,.0f}{peak:10.0f}")
    ratios = sorted(b.cpu_per_row_us / a.cpu_per_row_us for a, b in zip(bare, ours, strict=True))
    middle = statistics.median(ratios)
    verdict = "met" if middle <= CPU_GOAL else "not met"
    spread = f"{ratios[0]:.2f} - {middle:.2f} - {ratios[-1]:.2f}"
    print(f"ratio of CPU a row, batchchat to bare: {spread} (goal {CPU_GOAL}: {verdict})")


def memory(bench: Bench) -> None:
    """Peak memory at two sizes."""
    small, large = (bench.batchchat(rows, 64).peak_mib for rows in MEMORY_SIZES)
    ratio = large / small
    verdict = "met" if ratio <= MEMORY_GOAL else "not met"
    print(
        f"\npeak memory of batchchat at {MEMORY_SIZES[0]:,} rows {small:.0f} MiB, at {MEMORY_SIZES[1]:,} rows", end=""
    )
    print(f" {large:.0f} MiB, ratio {ratio:.2f} (goal {MEMORY_GOAL}: {verdict})")


def profile(bench: Bench, rows: int) -> None:
    """Where the time goes, by function."""
    with tempfile.NamedTemporaryFile(suffix=".prof") as file:
        bench.batchchat(rows, 64, "-m", "cProfile", "-o", file.name)
        pstats.Stats(file.name).strip_dirs().sort_stats("tottime").print_stats(30)


def pair(text: str) -> tuple[int, int]:
    """`10000,100000`."""
    small, large = (int(part) for part in text.split(","))
    return small, large


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=pair, default=(10_000, 100_000), help="two sizes of input")
    parser.add_argument("--in-flight", default="64,256")
    parser.add_argument("--stream", action="store_true", help="batchchat asks for streams, of 400 chunks each")
    parser.add_argument("--profile", action="store_true", help="print a profile of one run instead")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    server = subprocess.Popen([sys.executable, str(HERE / "server.py")], stdout=subprocess.PIPE, text=True)
    try:
        pin(server.pid, 1)
        assert server.stdout is not None
        with tempfile.TemporaryDirectory(prefix="batchchat-bench-") as folder:
            bench = Bench(Path(folder), int(server.stdout.readline()), stream=options.stream)
            if options.profile:
                profile(bench, options.sizes[0])
                return
            for in_flight in (int(part) for part in options.in_flight.split(",")):
                compare(bench, options.sizes, in_flight, options.rounds)
            memory(bench)
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
