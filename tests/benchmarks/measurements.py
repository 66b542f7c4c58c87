"""What is measured, one function for each group of figures; all are ratios within one round, where they can be.

CPU a row is the slope between two sizes of input, user and system time of the client with its threads: what a start
costs is left out of it. Contenders take turns, since machines drift.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from tests.benchmarks.contenders import Contenders, Load
from tests.benchmarks.figures import Figure, ratio
from tests.benchmarks.process import python

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured: rounds, the two sizes of a slope, and the size of what is resumed, published, reported."""

    rounds: int
    sizes: tuple[int, int]
    big: int

    def at_a_million(self, goal: float) -> float | None:
        """A goal that is set for a million rows only."""
        return goal if self.big == MILLION else None


QUICK = Extent(rounds=3, sizes=(5_000, 20_000), big=50_000)
FULL = Extent(rounds=3, sizes=(5_000, 50_000), big=MILLION)


@dataclass(frozen=True, slots=True)
class Slope:
    """Microseconds of CPU a row."""

    contenders: Contenders
    load: Load
    sizes: tuple[int, int]

    def bare(self) -> float:
        small, large = (self.contenders.bare(self.load, rows).cpu_s for rows in self.sizes)
        return self._slope(small, large)

    def batchchat(self, *, budget: bool = False) -> float:
        small, large = (self.contenders.batchchat(self.load, rows, budget=budget).cpu_s for rows in self.sizes)
        return self._slope(small, large)

    def _slope(self, small: float, large: float) -> float:
        return (large - small) / (self.sizes[1] - self.sizes[0]) * 1e6


def cpu_per_row(contenders: Contenders, extent: Extent) -> Iterator[Figure]:
    """Both kinds of rows at 64 and 256 in flight."""
    goals = {("realistic", 64): 1.6, ("realistic", 256): 1.5, ("short", 64): 1.4, ("short", 256): 1.3}
    for (kind, in_flight), goal in goals.items():
        slope = Slope(contenders, Load(kind, in_flight), extent.sizes)
        yield _against_bare(f"CPU a row, {kind}, {in_flight} in flight", slope, extent.rounds, goal)


def long_conversations(contenders: Contenders, extent: Extent) -> Iterator[Figure]:
    """100 messages, 200 KB."""
    slope = Slope(contenders, Load("long"), (100, 800))
    yield _against_bare("CPU a row, long, 64 in flight", slope, extent.rounds, 1.5)


def _against_bare(name: str, slope: Slope, rounds: int, goal: float) -> Figure:
    bare, ours = [], []
    for _ in range(rounds):
        bare.append(slope.bare())
        ours.append(slope.batchchat())
    return ratio(f"{name} / bare", {"bare us": bare, "ours us": ours}, goal)


def budget(contenders: Contenders, extent: Extent) -> Iterator[Figure]:
    """What `budget.max_cost` adds."""
    slope = Slope(contenders, Load(), extent.sizes)
    without, with_budget = [], []
    for _ in range(extent.rounds):
        without.append(slope.batchchat())
        with_budget.append(slope.batchchat(budget=True))
    yield ratio("CPU a row with budget.max_cost / without", {"without us": without, "with us": with_budget}, 1.03)


def many_in_flight(contenders: Contenders, extent: Extent) -> Iterator[Figure]:
    """5,000 in flight, as the server counts them; it takes so long in both that its client is the bound.

    Both sizes open as many connections, so that these are not in the slope.
    """
    few = Slope(contenders, Load(in_flight=256, latency_ms=150), (10_000, 25_000))
    many = Slope(contenders, Load(in_flight=5_000, latency_ms=3_000), (10_000, 25_000))
    at_few, at_many, most = [], [], []
    for _ in range(extent.rounds):
        at_few.append(few.batchchat())
        at_many.append(many.batchchat())
        most.append(float(contenders.endpoint.most_waiting()))
    figure = ratio("CPU a row, 5,000 in flight / 256", {"256 us": at_few, "5,000 us": at_many}, 1.2)
    yield replace(figure, parts={**figure.parts, "in flight": most})


def slow_endpoint(contenders: Contenders, extent: Extent) -> Iterator[Figure]:
    """20,000 rows at 500 ms and 1,000 in flight take 10 s where the client takes no time."""
    load, rows = Load(in_flight=1_000, latency_ms=500), 20_000
    bare, ours = [], []
    for _ in range(extent.rounds):
        bare.append(contenders.bare(load, rows).wall_s)
        ours.append(contenders.batchchat(load, rows).wall_s)
    yield ratio("wall, 500 ms, 1,000 in flight, 20k / bare", {"bare s": bare, "ours s": ours}, 1.1)


def workers(contenders: Contenders, extent: Extent) -> Iterator[Figure]:
    """Two workers against one process, from the first answer to the last.

    All cores are theirs, but what the endpoint takes of one: on two cores that is in the figure.
    """
    load, rows = Load(), extent.sizes[1]
    one, two = [], []
    for _ in range(extent.rounds):
        one.append(contenders.workers(load, rows, 1))
        two.append(contenders.workers(load, rows, 2))
    yield ratio("time to answer, workers: 2 / 1", {"one s": one, "two s": two}, 1 / 1.7)


def start(contenders: Contenders, extent: Extent) -> Iterator[Figure]:
    """Commands that do next to nothing."""
    rounds, load = extent.rounds * 3, Load()
    click, help_ = [], []
    bare, ours = [], []
    for _ in range(rounds):
        click.append(python(["-c", "import click"]).wall_s)
        help_.append(contenders.command("--help").wall_s)
        bare.append(_first_request_s(contenders, contenders.bare(load, 1).started_at))
        ours.append(_first_request_s(contenders, contenders.batchchat(load, 1).started_at))
    yield ratio("wall, --help / import click", {"click s": click, "ours s": help_}, 1.5)
    yield ratio("wall, run to its first request / bare", {"bare s": bare, "ours s": ours}, 1.5)


def _first_request_s(contenders: Contenders, started_at: float) -> float:
    first_at = contenders.endpoint.first_at()
    assert first_at is not None
    return first_at - started_at


def scale(contenders: Contenders, extent: Extent) -> Iterator[Figure]:
    """What grows with the input: CPU a row, memory, the end of a run, a resume, a report. One round, 10k apart."""
    load, big = Load(), extent.big
    tenth = big // 10
    start_s = contenders.batchchat(load, 1).cpu_s
    small_us = median((contenders.batchchat(load, 10_000).cpu_s - start_s) / 10_000 * 1e6 for _ in range(3))
    at_tenth = contenders.batchchat(load, tenth)
    at_big = contenders.batchchat(load, big)
    big_us = (at_big.cpu_s - start_s) / big * 1e6
    name = _rows(big)
    cpu_goal, peak_goal = extent.at_a_million(1.1), extent.at_a_million(1.2)
    yield ratio(f"CPU a row at {name} / 10k", {"10k us": [small_us], f"{name} us": [big_us]}, cpu_goal)
    peaks = {f"{_rows(tenth)} MiB": [at_tenth.peak_mib], f"{name} MiB": [at_big.peak_mib]}
    yield ratio(f"peak memory at {name} / {_rows(tenth)}", peaks, peak_goal)
    yield Figure(f"peak memory at {name}", [at_big.peak_mib], "MiB", extent.at_a_million(190))
    published = contenders.after_last_answer_s(big)
    yield Figure(f"last answer to published file, {name}", [published], "s", extent.at_a_million(10))
    yield from _finished(contenders, load, extent)
    yield from _half_finished(contenders, load, extent)


def _finished(contenders: Contenders, load: Load, extent: Extent) -> Iterator[Figure]:
    name = _rows(extent.big)
    no_op = contenders.command("run", str(contenders.job(load, extent.big)), "--progress", "none")
    yield Figure(
        f"resume of a finished run, {name}", [no_op.wall_s], "s", extent.at_a_million(8), {"CPU s": [no_op.cpu_s]}
    )
    report = contenders.command("report", str(contenders.output))
    yield Figure(f"report of the output, {name}", [report.wall_s], "s", extent.at_a_million(1.5))


def _half_finished(contenders: Contenders, load: Load, extent: Extent) -> Iterator[Figure]:
    """Half is answered, the next run is killed after its first request; then a page is made of what there is."""
    name = _rows(extent.big)
    contenders.remove_run()
    run = ("run", str(contenders.job(load, extent.big)), "--progress", "none")
    contenders.command(*run, "--limit", str(extent.big // 2))
    contenders.endpoint.reset()
    resumed = contenders.command(*run, until=lambda: contenders.endpoint.first_at() is not None)
    first_s = _first_request_s(contenders, resumed.started_at)
    yield Figure(f"resume of a half-finished run, {name}", [first_s], "s", extent.at_a_million(15))
    html: Path = contenders.folder / "page.html"
    page = contenders.command("report", str(contenders.folder / "job.yaml"), "--html", str(html))
    yield Figure(f"page of the unfinished run, {name}", [page.wall_s], "s", extent.at_a_million(15))


def _rows(count: int) -> str:
    return "1M" if count == MILLION else f"{count // 1000}k"


GROUPS = {
    "start": start,
    "cpu": cpu_per_row,
    "long": long_conversations,
    "budget": budget,
    "many": many_in_flight,
    "slow": slow_endpoint,
    "workers": workers,
    "scale": scale,
}
