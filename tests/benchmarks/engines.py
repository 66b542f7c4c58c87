"""`python -m tests.benchmarks.engines`: one process, `workers` and Ray in turn, at the same ceiling.

A mock server answers after `--latency` seconds and has as many slots as the job's ceiling: one request more is a 429.
What it can do in a second is its slots by that latency; the share is that of the middle of the run, from the first
tenth of the answers to the last. So the start, seconds with Ray, is left out.

CPU is that of all processes of the run, Ray's too: the slope between two runs, of `--rows` and of a quarter of them.
Memory is PSS, in which a page that several processes share counts once, by the kind of process and at its highest.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.benchmarks.endpoints import Share, server, share_of

__all__ = ["main"]

_ENGINES: dict[str, dict[str, Any]] = {
    "one process": {},
    "workers": {"workers": 4},
    "ray": {"workers": 4, "cluster": {"engine": "ray"}},
}
_KINDS = {"batchchat.cluster.worker": "worker", "ray::Relay": "relay", "batchchat.cluster.ray_gateway": "gateway"}
_LOOK_EACH_S = 0.25


class Usage(NamedTuple):
    """What one run took: `start_s` is from the command to its first request, `pss_mib` by the kind of process."""

    share: Share
    refused: int
    start_s: float
    cpu_s: float
    pss_mib: Counter[str]
    processes: Counter[str]


class Watch(threading.Thread):
    """Looks at a process and all below it until it has ended: their CPU seconds, and the memory of each kind."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._root = psutil.Process(pid)
        self._cpu_s: dict[psutil.Process, float] = {}
        self.pss_mib = Counter[str]()
        self.processes = Counter[str]()

    @property
    def cpu_s(self) -> float:
        """Of all processes, as it was when they were last seen."""
        return sum(self._cpu_s.values())

    def run(self) -> None:
        while self._root.is_running() and self._root.status() != psutil.STATUS_ZOMBIE:
            self._look()
            time.sleep(_LOOK_EACH_S)

    def _look(self) -> None:
        pss, processes = Counter[str](), Counter[str]()
        try:
            family = [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for process in family:
            try:
                times, command = process.cpu_times(), " ".join(process.cmdline())
                self._cpu_s[process] = times.user + times.system
                kind = "run" if process == self._root else _kind(command)
                pss[kind] += process.memory_full_info().pss >> 20
                processes[kind] += 1
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        self.pss_mib |= pss
        self.processes |= processes


def _kind(command: str) -> str:
    own = (kind for name, kind in _KINDS.items() if name in command and not command.startswith("/bin/sh"))
    return next(own, "shell" if command.startswith("/bin/sh") else "ray")


def measured(folder: Path, rows: int, latency_s: float, slots: int, keys: dict[str, Any]) -> Usage:
    """One run with `keys` of so many `rows`."""
    source, output, file = folder / "in.jsonl", folder / "out.parquet", folder / "job.json"
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
        file.write_text(json.dumps(job))
        began = time.time()
        command = [sys.executable, "-m", "batchchat", "run", str(file), "--fresh", "--progress", "none"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            watch = Watch(process.pid)
            watch.start()
            watch.join()
        with urllib.request.urlopen(f"{root}/stats", timeout=30) as response:
            stats = json.load(response)
    if process.returncode:
        sys.exit(f"the run ended with {process.returncode}")
    first = pc.min(pq.read_table(output, columns=["started_at"])["started_at"]).as_py().timestamp()
    return Usage(
        share_of(output, slots, latency_s),
        stats["requests"] - stats["answered"],
        first - began,
        watch.cpu_s,
        watch.pss_mib,
        watch.processes,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000)
    parser.add_argument("--latency", type=float, default=0.5, help="seconds of an answer")
    parser.add_argument("--slots", type=int, default=100, help="the ceiling, and what the server takes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=_ENGINES, default=[*_ENGINES], help="of the engines")
    options = parser.parse_args()
    for _ in range(options.rounds):
        for name in options.only:
            few, all_ = (_usage(options, rows, _ENGINES[name]) for rows in (options.rows // 4, options.rows))
            share, per_s = all_.share, options.slots / options.latency
            cpu_ms = (all_.cpu_s - few.cpu_s) / (options.rows - options.rows // 4) * 1000
            pss = ", ".join(f"{all_.processes[kind]} {kind} {mib:.0f}" for kind, mib in all_.pss_mib.items())
            print(
                f"{name}: {share.middle * per_s:.0f} rows/s in the middle, {share.middle:.1%} of what the server can do"
                f" ({share.in_use:.1%} of the slots in use); {all_.refused:,} refused; {cpu_ms:.2f} ms CPU a row;"
                f" first request after {all_.start_s:.1f} s; MiB: {pss} (load {psutil.getloadavg()[0]:.1f})",
                flush=True,
            )


def _usage(options: argparse.Namespace, rows: int, keys: dict[str, Any]) -> Usage:
    with tempfile.TemporaryDirectory() as folder:
        return measured(Path(folder), rows, options.latency, options.slots, keys)


if __name__ == "__main__":
    main()
