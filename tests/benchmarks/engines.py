"""`python -m tests.benchmarks.engines`: one process, `workers` and Ray in turn, at the same ceiling.

A mock server answers after `--latency` seconds and has as many slots as the job's ceiling: one request more is a 429.
What it can do in a second is its slots by that latency; the share is that of the middle of the run, from the first
tenth of the answers to the last. So the start, seconds with Ray, is left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from batchchat import run
from tests.benchmarks.endpoints import Share, server, share_of

__all__ = ["main"]

_ENGINES: dict[str, dict[str, Any]] = {
    "one process": {},
    "workers: 4": {"workers": 4},
    "ray, 4 workers": {"workers": 4, "cluster": {"engine": "ray"}},
}


def measured(folder: Path, rows: int, latency_s: float, slots: int, keys: dict[str, Any]) -> tuple[Share, int]:
    """One run with `keys` of so many `rows`; its share, and how many requests were refused."""
    source, output = folder / "in.jsonl", folder / "out.parquet"
    source.write_text("".join(f"{json.dumps({'id': str(n), 'prompt': f'Question {n}'})}\n" for n in range(rows)))
    with server(slots, latency_s) as root:
        job = {
            "input": {"path": str(source), "id": "id"},
            "model": "m",
            "endpoint": {"base_url": f"{root}/v1/openai"},
            "concurrency": slots,
            "output": {"path": str(output)},
            **keys,
        }
        result = run(job, fresh=True, progress="none")
        with urllib.request.urlopen(f"{root}/stats", timeout=30) as response:
            stats = json.load(response)
    if result.exit_code:
        sys.exit(f"the run ended with {result.exit_code}: {result.summary['reason']}")
    return share_of(output, slots, latency_s), stats["requests"] - stats["answered"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000)
    parser.add_argument("--latency", type=float, default=0.5, help="seconds of an answer")
    parser.add_argument("--slots", type=int, default=100, help="the ceiling, and what the server takes")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for _ in range(options.rounds):
        for name, keys in _ENGINES.items():
            with tempfile.TemporaryDirectory() as folder:
                share, refused = measured(Path(folder), options.rows, options.latency, options.slots, keys)
            print(
                f"{name}: {share.middle * options.slots / options.latency:.0f} rows/s in the middle, {share.middle:.1%}"
                f" of what the server can do ({share.in_use:.1%} of the slots in use); {refused:,} refused",
                flush=True,
            )


if __name__ == "__main__":
    main()
