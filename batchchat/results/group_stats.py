"""Figures over finished rows, whole and by columns: rows, tokens, money, latency, failures. Pure.

Money is summed in Decimal. Quantiles are exact, interpolated as pandas and DuckDB's `quantile_cont` do. What is unknown
is None, and the rows that a sum lacks are counted.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any

import numpy as np

from batchchat import lossless_json
from batchchat.core.conversation import Status
from batchchat.core.quantile import quantile
from batchchat.core.record import RowRecord
from batchchat.core.row_counts import RowCounts
from batchchat.core.totals import TOKEN_FIELDS, OffRowCosts, Totals
from batchchat.errors import UsageError
from batchchat.results.values import column_values
from batchchat.store.parquet import PassthroughColumn

__all__ = ["GroupStats", "Groups", "by_cost_descending", "check_groups", "group_key", "tally_by"]

_ROWS_AT_ONCE = 500
_MAX_GROUPS = 10_000
_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
_ANSWERED = Status.ANSWERED.value

Groups = dict[bytes, tuple[tuple[Any, ...], "GroupStats"]]
"""The figures for each combination of the values of some columns, by its JSON."""


class GroupStats:
    """The figures of some rows, a fold over them. About 8 bytes a row."""

    def __init__(self) -> None:
        self.totals = Totals()
        self._latencies = array("d")
        self._sorted: array[float] | None = None

    def add(self, row: RowRecord) -> None:
        """Count a finished row."""
        self.totals.add(row)
        if row["status"] == _ANSWERED and (latency_s := row.get("latency_s")) is not None:
            self._latencies.append(latency_s)
            self._sorted = None

    def add_latencies(self, latencies_s: bytes) -> None:
        """Add the latencies of many answers, a float64 each; `totals` must be updated by the caller."""
        self._latencies.frombytes(latencies_s)
        self._sorted = None

    def latency_s(self, share: float) -> float | None:
        """The latency that `share` (0 to 1) of the answered rows did not exceed; None without any."""
        if self._sorted is None:
            self._sorted = array("d", np.sort(np.array(self._latencies)).tobytes())
        return quantile(share, len(self._sorted), self._sorted.__getitem__)

    def json(self, off_row_costs: OffRowCosts | None = None, rows: RowCounts | None = None) -> dict[str, Any]:
        """The figures as `report --json` has them; `off_row_costs` and `rows` where they are of a whole output."""
        totals = self.totals
        return {
            "rows": (totals.counts(left=0) if rows is None else rows).json(),
            **{name: totals.tokens.get(name) for name in TOKEN_FIELDS},
            "cost_usd": _cost(totals, off_row_costs),
            "latency_s": {name: self.latency_s(share) for name, share in _SHARES.items()},
            "attempts": totals.attempts,
            "possibly_billed_attempts": totals.possibly_billed,
            "replies": totals.replies_json(),
            "failures": [
                {
                    "error_kind": kind,
                    "rows": count,
                    "example_id": totals.examples[kind].id,
                    "example": totals.examples[kind].text,
                }
                for kind, count in totals.failures.most_common()
            ],
        }


def _cost(totals: Totals, off_row_costs: OffRowCosts | None) -> dict[str, Any]:
    # What was paid outside the rows is known of a whole output only.
    return {
        "known": _number(totals.known_cost_usd),
        "unknown_rows": totals.unknown_cost_rows,
        "superseded": _number(off_row_costs.superseded_usd) if off_row_costs else None,
        "pending": _number(off_row_costs.pending_usd) if off_row_costs else None,
        "by_source": {source: _number(usd) for source, usd in sorted(totals.cost_usd.items())},
        "possibly_billed": _possibly_billed(totals, off_row_costs),
        "saved_by_cache": _number(off_row_costs.cache_saved_usd) if off_row_costs else None,
    }


def _possibly_billed(totals: Totals, off_row_costs: OffRowCosts | None) -> float | None:
    """The upper bound of all that may have been paid on top of what is known; None where a part has no bound.

    That is for attempts that broke off, at unfinished rows too, for answers without usage, and for what was in flight
    when a run was killed.
    """
    costs = off_row_costs
    if costs is None or costs.unbounded is None:
        return None if totals.possibly_billed else 0.0
    if costs.unbounded or (costs.at_risk and not costs.at_risk_usd):
        return None
    return float(max(costs.unsure_usd, costs.broke_off_usd + costs.unreported_usd + costs.at_risk_usd))


def _number(usd: Decimal | None) -> float | None:
    return None if usd is None else float(usd)


def tally_by(
    rows: Iterable[RowRecord], passthrough: Mapping[str, PassthroughColumn], by: Sequence[str]
) -> tuple[GroupStats, list[tuple[tuple[Any, ...], GroupStats]]]:
    """The figures of all rows, and of the rows of each combination of the columns `by`, the most expensive first.

    Raises `UsageError` where there are too many combinations.
    """
    whole = GroupStats()
    groups: Groups = {}
    remaining = iter(rows)
    while chunk := list(islice(remaining, _ROWS_AT_ONCE)):
        for row in chunk:
            whole.add(row)
        if not by:
            continue
        columns = [column_values(chunk, passthrough, name) for name in by]
        for row, values in zip(chunk, zip(*columns, strict=True), strict=True):
            groups.setdefault(group_key(values), (values, GroupStats()))[1].add(row)
        check_groups(groups, by)
    return whole, by_cost_descending(groups)


def group_key(values: tuple[Any, ...]) -> bytes:
    """What a group is known by: the JSON of its values."""
    return lossless_json.dumps(values)


def check_groups(groups: Collection[bytes], by: Sequence[str]) -> None:
    """Raises `UsageError` where there are too many groups."""
    if len(groups) <= _MAX_GROUPS:
        return
    if len(by) == 1:
        raise UsageError(f"`{by[0]}` has more than {_MAX_GROUPS:,} values. Group by a column that has fewer.")
    columns = " and ".join(f"`{name}`" for name in by)
    raise UsageError(f"{columns} have more than {_MAX_GROUPS:,} combinations. Group by columns that have fewer.")


def by_cost_descending(groups: Groups) -> list[tuple[tuple[Any, ...], GroupStats]]:
    """The values of each group with its figures, by cost, then by rows, in descending order."""
    return sorted(groups.values(), key=lambda group: _rank(group[1].totals), reverse=True)


def _rank(totals: Totals) -> tuple[Decimal, int]:
    return totals.known_cost_usd or Decimal(0), totals.finished
