"""The figures of a published output, column by column: a million rows in seconds, the same to the last digit.

Answers, the bulk of an output, are added up in columns. Rows without an answer are few and are added one by one, as a
journal's rows are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batchchat.core.conversation import Status
from batchchat.core.totals import BUCKETS_PER_E, CUT_OFF, RE_ASKS, REPAIRED, SHARED, TOKEN_FIELDS
from batchchat.results.group_stats import Groups, GroupStats, by_cost_descending, check_groups, group_key
from batchchat.results.values import batch_values
from batchchat.store.published import records_of

__all__ = ["TALLIED", "tally_batches"]

_USAGE = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")
TALLIED = frozenset(
    {
        *(
            "id",
            "variant",
            "sample",
            "status",
            "cost_usd",
            "cost_source",
            "attempts",
            "possibly_billed_attempts",
            "latency_s",
        ),
        *("error_kind", "error", "finish_reason", "parse_repaired", "re_asks"),
        *_USAGE,
    }
)
"""The columns that are read."""
_ANSWERED = Status.ANSWERED.value
_ROWS_A_PIECE = 64
_MAX_INT64 = (1 << 63) - 1
# The stubs lack overloads for some of these calls, and type every array without its element type.
_pc: Any = pc


def tally_batches(
    batches: Iterable[pa.RecordBatch], by: Sequence[str]
) -> tuple[GroupStats, list[tuple[tuple[Any, ...], GroupStats]]]:
    """The figures as `tally_by` has them, of batches with the columns `TALLIED` and those of `by`."""
    whole = GroupStats()
    groups: Groups = {}
    for batch in batches:
        own = batch.select([name for name in batch.schema.names if name in TALLIED])
        _add(whole, own)
        if by:
            columns = [batch_values(batch, name) for name in by]
            _add_to_groups(groups, own, list(zip(*columns, strict=True)))
            check_groups(groups, by)
    return whole, by_cost_descending(groups)


def _add_to_groups(groups: Groups, batch: pa.RecordBatch, values: list[tuple[Any, ...]]) -> None:
    keys = list(map(group_key, values))
    positions: dict[bytes, list[int]] = {}
    for position, key in enumerate(keys):
        positions.setdefault(key, []).append(position)
    for key, rows in positions.items():
        groups.setdefault(key, (values[rows[0]], GroupStats()))
    if len(positions) * _ROWS_A_PIECE > len(keys):  # many small pieces cost more than their rows do
        for key, row in zip(keys, records_of(batch), strict=True):
            groups[key][1].add(row)
        return
    for key, rows in positions.items():
        _add(groups[key][1], batch.take(np.array(rows, dtype=np.int64)))


def _add(stats: GroupStats, batch: pa.RecordBatch) -> None:
    is_answered = _pc.equal(batch.column("status"), _ANSWERED)
    answers = batch.filter(is_answered)
    for row in records_of(batch.filter(_pc.invert(is_answered))):
        stats.add(row)
    if not answers.num_rows:
        return
    totals, latency_s = stats.totals, answers.column("latency_s").drop_null().to_numpy()
    totals.rows[_ANSWERED] += answers.num_rows
    totals.attempts += _sum(answers, "attempts")
    totals.cut_off += _pc.sum(_pc.equal(answers.column("finish_reason"), CUT_OFF)).as_py() or 0
    if "re_asks" in answers.schema.names:  # an output of an earlier version has none
        totals.replies[RE_ASKS] += _sum(answers, "re_asks")
        totals.replies[REPAIRED] += _pc.sum(answers.column("parse_repaired")).as_py() or 0
    possibly_billed = _sum(answers, "possibly_billed_attempts")
    totals.possibly_billed += possibly_billed
    totals.unbounded += possibly_billed  # an output has no bound of a row's attempts
    buckets = np.rint(np.log(np.maximum(latency_s, 1e-6)) * BUCKETS_PER_E)
    for bucket, count in zip(*np.unique(buckets, return_counts=True), strict=True):
        totals.latency_buckets[int(bucket)] += int(count)
    _add_cost(stats, answers)
    reported = [name for name in _USAGE if answers.column(name).null_count < answers.num_rows]
    for name in TOKEN_FIELDS:
        if name in reported:
            totals.tokens[name] += _sum(answers, name)
    stats.add_latencies(latency_s.astype(np.float64).tobytes())
    # What shares another row's answer has no usage of its own, as in `Totals`.
    shared = _pc.fill_null(_pc.equal(answers.column("cost_source"), SHARED), fill_value=False)
    has_usage = shared.to_numpy(zero_copy_only=False).copy()
    for name in reported:
        has_usage |= answers.column(name).is_valid().to_numpy(zero_copy_only=False)
    totals.without_usage += int((~has_usage).sum())


def _add_cost(stats: GroupStats, answers: pa.RecordBatch) -> None:
    totals, priced = stats.totals, answers.filter(answers.column("cost_usd").is_valid())
    totals.unknown_cost_rows += answers.num_rows - priced.num_rows
    sources = _pc.fill_null(priced.column("cost_source"), "reported")
    for source in _pc.unique(sources).to_pylist():
        costs = priced.column("cost_usd").filter(_pc.equal(sources, source)).to_pylist()
        totals.known_cost_rows[source] += len(costs)
        totals.cost_usd[source] = sum(map(Decimal, map(repr, costs)), totals.cost_usd.get(source, Decimal(0)))


def _sum(batch: pa.RecordBatch, name: str) -> int:
    """The sum of a column of whole numbers, which Arrow would let wrap at 64 bits."""
    column = batch.column(name)
    if (_pc.max(column).as_py() or 0) > _MAX_INT64 // max(1, batch.num_rows):
        return sum(value for value in column.to_pylist() if value is not None)
    return _pc.sum(column).as_py() or 0
