"""`make bench`: what batchchat costs beside a bare aiohttp + uvloop + orjson loop, in one run, and the goals for it.

Both read the same rows and ask the same local endpoint, on a core of its own. Medians are printed, with the least and
the most of the rounds, and whether the goal was met; nothing is asserted. `make bench-full` goes to a million rows.

    python -m tests.benchmarks.bench [--full] [--only cpu,start] [--rounds 3] [--stream] [--profile KIND]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pstats
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.contenders import Contenders, Load
from tests.benchmarks.endpoint import HOW_TO_INSTALL, has_nginx, running
from tests.benchmarks.figures import Figure
from tests.benchmarks.machine import commit, describe
from tests.benchmarks.measurements import FULL, GROUPS, QUICK, Extent
from tests.benchmarks.rows import KINDS

RESULTS = Path(__file__).parent / "results"


def measure(contenders: Contenders, extent: Extent, groups: list[str]) -> list[Figure]:
    """Print each figure as soon as it is there."""
    figures = []
    for group in groups:
        for figure in GROUPS[group](contenders, extent):
            print(figure.line(), flush=True)
            figures.append(figure)
    return figures


def save(path: Path, contenders: Contenders, extent: Extent, figures: list[Figure], took_s: float) -> None:
    """Write the results of one run."""
    result = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": commit(),
        "took_s": round(took_s),
        "machine": describe(),
        "endpoint": contenders.endpoint.name,
        "endpoint_busy": [round(share, 2) for share in contenders.busy],
        "extent": dataclasses.asdict(extent),
        "figures": [figure.json() for figure in figures],
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")


def profile(contenders: Contenders, kind: str) -> None:
    """Where the time of 5,000 rows goes, by function; only of the main thread."""
    path = contenders.folder / "run.prof"
    contenders.batchchat(Load(kind), 500 if kind == "long" else 5_000, profile=path)
    pstats.Stats(str(path)).strip_dirs().sort_stats("tottime").print_stats(40)


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="to a million rows")
    parser.add_argument("--only", default=",".join(GROUPS), help="groups of figures, of " + ", ".join(GROUPS))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--stream", action="store_true", help="batchchat asks for streams where rows are short")
    parser.add_argument("--profile", choices=KINDS, help="print a profile of one run instead")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # 5,000 in flight
    if not has_nginx():
        print(f"nginx with Lua is not installed ({HOW_TO_INSTALL}): a server in Python takes its place, and is slower")
    extent = FULL if chosen.full else QUICK
    extent = dataclasses.replace(extent, rounds=chosen.rounds or extent.rounds)
    start = time.monotonic()
    temporary = tempfile.TemporaryDirectory(prefix="batchchat-bench-")
    with temporary as folder, running(Path(folder) / "server") as endpoint:
        contenders = Contenders(Path(folder), endpoint, stream=chosen.stream)
        if chosen.profile:
            profile(contenders, chosen.profile)
            return
        print(f"{endpoint.name}; {extent.rounds} rounds; figure, min - max, goal, and the medians it is made of")
        figures = measure(contenders, extent, chosen.only.split(","))
        took_s = time.monotonic() - start
        if contenders.busy:
            print(f"the server was busy for {max(contenders.busy):.0%} of its core at most, under the bare loop")
        name = f"{time.strftime('%Y-%m-%d')}-{commit()}-{'full' if chosen.full else 'bench'}.json"
        save(RESULTS / name, contenders, extent, figures, took_s)
        print(f"{took_s / 60:.0f} minutes; {RESULTS.name}/{name}")


if __name__ == "__main__":
    main()
