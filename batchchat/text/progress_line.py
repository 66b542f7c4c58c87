"""How far a run is, in one line: rows, pace, money, trouble; and its last line. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from batchchat.core.events import Finished, Progress
from batchchat.text import numbers

__all__ = ["failure_kinds", "figures", "finished_line", "progress_line", "rows_of_total"]


def progress_line(event: Progress) -> str:
    """The whole line: time elapsed, rows, pace, figures, time left."""
    left = f" · {numbers.duration(event.eta_s)} left" if event.eta_s else ""
    pace = f"{event.rows_per_s:.1f}/s"
    return f"{numbers.clock(event.elapsed_s)} {rows_of_total(event)} rows · {pace} · {figures(event)}{left}"


def rows_of_total(event: Progress) -> str:
    """`1,200/about 3,000`: the rows done, of those there are."""
    if event.total is None:
        return numbers.count(event.done)
    about = "about " if event.estimated else ""
    return f"{numbers.count(event.done)}/{about}{numbers.count(event.total)}"


def figures(event: Progress, *, brief: bool = False) -> str:
    """Money, failures, what is in flight and the token rate; `brief` leaves out the expected cost and the rates."""
    parts = _money(event, brief=brief)
    if event.rows.failed:
        parts.append(f"{numbers.count(event.rows.failed)} failed")
    if event.rows.invalid:
        parts.append(f"{numbers.count(event.rows.invalid)} invalid")
    if event.awaited is not None:
        row, ran = event.awaited, numbers.duration(event.awaited.running_s)
        if brief:
            return " · ".join([*parts, f"waiting for {numbers.shorten(row.id, 12)}, {ran}"])
        cutoff = numbers.duration(row.cutoff_s)
        parts.append(f"waiting for row {numbers.shorten(row.id, 24)}, {ran} of at most {cutoff}")
    elif event.recovering:
        parts.append(f"{numbers.count(event.recovering)} retrying")
    parts.append(_in_flight(event))
    if unused := sum(endpoint.state != "working" for endpoint in event.endpoints):
        parts.append(f"{unused} of {numbers.quantity(len(event.endpoints), 'endpoint')} not answering")
    if event.tokens_per_s and not brief:
        parts.append(f"{numbers.compact(event.tokens_per_s)} tok/s")
    return " · ".join(parts)


def _money(event: Progress, *, brief: bool) -> list[str]:
    if event.cost_usd is None:
        return []
    expected = None if brief else event.expected_cost_usd
    about = f" of about {numbers.money(expected)}" if expected is not None else ""
    cap = f"at most {numbers.money(event.max_cost_usd)}" if event.max_cost_usd is not None else ""
    of_cap = f"{',' if about else ' of'} {cap}" if cap else ""
    parts = [f"{numbers.money(event.cost_usd)}{about}{of_cap}"]
    if event.cost_per_hour_usd and not brief:
        parts.append(numbers.per_hour(event.cost_per_hour_usd))
    return parts


def _in_flight(event: Progress) -> str:
    """The number of requests in flight, or why there is none."""
    if event.down_since is not None:
        probe = f"next probe in {numbers.duration(event.probe_in_s)}" if event.probe_in_s else "probing"
        why = f" ({numbers.shorten(event.down_why, 40)})" if event.down_why else ""
        return f"endpoint down{why}, {probe}"
    if event.held_s >= 1:
        return f"held {numbers.duration(event.held_s)} by the endpoint"
    ceiling = f"/{numbers.count(event.ceiling)}" if event.ceiling < event.max_ceiling else ""
    return f"{numbers.count(event.in_flight)}{ceiling} in flight"


def failure_kinds(event: Progress) -> str:
    """` · failed: 1 timeout · tried again: 1,900 rate_limit`: failures and retries by kind, for run.log."""
    by_label = (("failed", event.failures), ("tried again", event.retries))
    return "".join(f" · {label}: {listed}" for label, counts in by_label if (listed := _listed(counts)))


def _listed(counts: Mapping[str, int]) -> str:
    """`190 rate_limit, 2 timeout`; the most frequent first."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{numbers.count(count)} {kind}" for kind, count in ranked if count)


def finished_line(event: Finished) -> str:
    """`end    12,474 answered · 3 failed · $6.2841`: the rows and the money at the end."""
    rows = event.figures.rows
    parts = [
        f"{numbers.count(count)} {status}"
        for count, status in (
            (rows.answered, "answered"),
            (rows.cut_off, "cut off"),
            (rows.failed, "failed"),
            (rows.invalid, "invalid"),
            (rows.left or 0, "left"),
            (event.figures.outdated, "to be sent again"),
            (rows.undecided, "undecided"),
        )
        if count or status == "answered"
    ]
    if rows.left is None:
        parts.append("an unknown number left")
    return f"end    {' · '.join(parts)} · {numbers.money(event.figures.paid_usd)}"
