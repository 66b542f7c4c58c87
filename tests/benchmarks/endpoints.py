"""`python -m tests.benchmarks.endpoints`: how much of what several servers can do together one job gets out of them.

Mock servers of 10, 20 and 40 slots, each its own process, answer after `--latency` seconds; more than fits is a 429.
What they can do in a second is their slots by that latency. The job is given their slots (`concurrency` of each), or is
not, so that its ceilings find them by the refusals. The share is of the whole run, and of its middle, from the first
tenth of the answers to the last: without the start and the last answers.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from batchchat import run

__all__ = ["Share", "main", "server", "share_of"]

_SLOTS = (10, 20, 40)
_EDGE = 0.1


class Share(NamedTuple):
    """What part of the servers' throughput a run had, in all and in its middle; and of their slots, in use.

    The last is what the client is to blame for: on a busy machine a server takes longer for an answer than it says.
    """

    whole: float
    middle: float
    in_use: float


@contextmanager
def server(slots: int, latency_s: float) -> Iterator[str]:
    """A mock server's process; its address."""
    command = [sys.executable, "-m", "batchchat", "mock-server", "--port", "0", "--max-concurrent", str(slots)]
    process = subprocess.Popen([*command, "--latency", str(latency_s)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        match = re.search(r"http://[0-9.:]+", process.stderr.readline())
        assert match is not None
        yield match.group()
    finally:
        process.terminate()
        process.wait(30)
        process.stderr.close()


def measured(folder: Path, rows: int, latency_s: float, *, told: bool) -> tuple[Share, list[dict[str, Any]]]:
    """One run of so many `rows`; the servers' own statistics."""
    source, output = folder / "in.jsonl", folder / "out.parquet"
    source.write_text("".join(f"{json.dumps({'id': str(n), 'prompt': f'Question {n}'})}\n" for n in range(rows)))
    with ExitStack() as stack:
        roots = [stack.enter_context(server(slots, latency_s)) for slots in _SLOTS]
        entries = [
            {"base_url": f"{root}/v1/openai", "name": f"{slots} slots", **({"concurrency": slots} if told else {})}
            for slots, root in zip(_SLOTS, roots, strict=True)
        ]
        job = {
            "input": {"path": str(source), "id": "id"},
            "model": "m",
            "endpoints": entries,
            "output": {"path": str(output)},
        }
        result = run(job, fresh=True, progress="none")
        stats = []
        for root in roots:
            with urllib.request.urlopen(f"{root}/stats", timeout=30) as response:
                stats.append(json.load(response))
    if result.exit_code:
        sys.exit(f"the run ended with {result.exit_code}: {result.summary['reason']}")
    return share_of(output, sum(_SLOTS), latency_s), stats


def share_of(output: Path, slots: int, latency_s: float) -> Share:
    """What part of the throughput of so many `slots` the run of `output` had."""
    columns = pq.read_table(output, columns=["started_at", "finished_at"])
    starts, ended = ([at.timestamp() for at in column.to_pylist() if at is not None] for column in columns.columns)
    start, ends, rows = min(starts), sorted(ended), len(ended)
    per_s = slots / latency_s
    first, last = int(rows * _EDGE), int(rows * (1 - _EDGE))
    begin, end = ends[first], ends[last]
    busy_s = sum(max(0.0, min(to, end) - max(since, begin)) for since, to in zip(starts, ended, strict=True))
    in_use = busy_s / (end - begin) / slots
    return Share(rows / (ends[-1] - start) / per_s, (last - first) / (end - begin) / per_s, in_use)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_100)
    parser.add_argument("--latency", type=float, default=2.0, help="seconds of an answer")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for told in (True, False):
            share, stats = measured(Path(folder), options.rows, options.latency, told=told)
            answered = ", ".join(f"{server['answered']:,}" for server in stats)
            refused = sum(server["requests"] - server["answered"] for server in stats)
            print(
                f"slots {'given' if told else 'found'}: {share.middle:.1%} of {sum(_SLOTS) / options.latency:g} rows/s"
                f" in the middle ({share.in_use:.1%} of the slots in use), {share.whole:.1%} with start and end;"
                f" answered {answered}; {refused:,} refused",
                flush=True,
            )


if __name__ == "__main__":
    main()
