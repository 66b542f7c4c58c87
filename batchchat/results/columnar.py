"""The figures of an output, column by column: a million rows in a second, the same to the last digit.

Rows are added up in blocks of numpy arrays. Of each kind of failure one row is looked at itself, its example.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from batchchat.core.conversation import Status
from batchchat.core.totals import BUCKETS_PER_E, CUT_OFF, RE_ASKS, REPAIRED, SHARED, TOKEN_FIELDS, Totals
from batchchat.results.column_arrays import Floats, decimal_sum, whole_sum
from batchchat.results.group_numbers import GroupNumbers
from batchchat.results.group_stats import GroupStats, by_cost_descending
from batchchat.results.journal_columns import MOCK, POSSIBLY_BILLED_USD, RETRIES, UNBOUNDED, UNREPORTED_USD
from batchchat.results.journal_columns import REPAIRED as REPAIRED_COLUMN
from batchchat.results.row_block import TALLIED, TALLIED_OF_RECORDS, RowBlock, blocks_of

__all__ = ["TALLIED", "TALLIED_OF_RECORDS", "tally_batches"]

_ANSWERED, _INVALID = Status.ANSWERED.value, Status.INVALID.value
_NO_SOURCE = "reported"
"""Whose a cost is that says nothing of its source."""


def tally_batches(
    batches: Iterable[pa.RecordBatch], by: Sequence[str]
) -> tuple[GroupStats, list[tuple[tuple[Any, ...], GroupStats]]]:
    """The figures as `tally_by` has them, of batches with the columns `by`, and `TALLIED` or `TALLIED_OF_RECORDS`."""
    whole = GroupStats()
    groups = GroupNumbers(by)
    for block in blocks_of(batches, groups.add if by else None):
        _add(whole, block)
        if by:
            for number, rows in block.by_group():
                _add(groups.stats[number], rows)
    return whole, by_cost_descending(groups.by_key())


def _add(stats: GroupStats, rows: RowBlock) -> None:
    """Add `rows` as `GroupStats.add` does one by one."""
    totals = stats.totals
    for status, count, _ in rows.firsts("status"):
        totals.rows[status] += count
    is_answered = rows.are("status", _ANSWERED)
    if not is_answered.all():
        _add_failures(totals, rows.take(~is_answered))
    sent = rows.take(~rows.are("status", _INVALID))
    totals.attempts += whole_sum(sent.whole("attempts"))
    totals.replies[RE_ASKS] += whole_sum(sent.whole("re_asks"))
    _add_possibly_billed(totals, sent)
    _add_retries(totals, sent)
    _add_cost(totals, sent)
    for name in TOKEN_FIELDS:
        if sent.has(name):
            totals.tokens[name] += whole_sum(sent.whole(name))
    _add_answers(stats, rows.take(is_answered))


def _add_failures(totals: Totals, rows: RowBlock) -> None:
    for kind, count, first in rows.firsts("error_kind"):
        totals.failures[kind] += count
        if kind not in totals.examples:
            totals.examples[kind] = rows.example(first)


def _add_possibly_billed(totals: Totals, sent: RowBlock) -> None:
    """Attempts that may have been billed; only a journal has bounds of them."""
    attempts = sent.whole("possibly_billed_attempts")
    unbounded, recorded = attempts, sent.recorded
    if POSSIBLY_BILLED_USD in recorded:
        bound_usd = sent.floats(POSSIBLY_BILLED_USD)
        has_bound = np.isfinite(bound_usd)
        counted = sent.whole(UNBOUNDED) if UNBOUNDED in recorded else np.zeros(len(attempts), np.int64)
        unbounded = np.where(attempts > 0, np.where(has_bound, counted, attempts), 0)
        totals.possibly_billed_usd += decimal_sum(bound_usd[has_bound & (attempts > 0)])
    if UNREPORTED_USD in recorded:
        unreported_usd = sent.floats(UNREPORTED_USD)
        totals.unreported_usd += decimal_sum(unreported_usd[np.isfinite(unreported_usd)])
    totals.possibly_billed += whole_sum(attempts)
    totals.unbounded += whole_sum(unbounded)


def _add_retries(totals: Totals, sent: RowBlock) -> None:
    counts = {kind: sent.whole(name) for kind, name in RETRIES.items() if name in sent.recorded}
    firsts = {kind: int(np.argmax(of_rows > 0)) for kind, of_rows in counts.items() if (of_rows > 0).any()}
    for kind in sorted(firsts, key=firsts.__getitem__):
        totals.retries[kind] += whole_sum(counts[kind])


def _add_cost(totals: Totals, sent: RowBlock) -> None:
    priced = sent.take(np.isfinite(sent.floats("cost_usd")))
    sources = [(source, priced.are("cost_source", source)) for source, _, _ in priced.firsts("cost_source")]
    if (without := priced.array("cost_source") < 0).any():
        sources.append((_NO_SOURCE, without))
    for source, mask in sources:
        costs = priced.floats("cost_usd")[mask]
        totals.known_cost_rows[source] += len(costs)
        totals.cost_usd[source] = totals.cost_usd.get(source, Decimal(0)) + decimal_sum(costs)


def _add_answers(stats: GroupStats, answers: RowBlock) -> None:
    totals = stats.totals
    totals.unknown_cost_rows += int(np.isnan(answers.floats("cost_usd")).sum())
    totals.cut_off += int(answers.are("finish_reason", CUT_OFF).sum())
    repaired = REPAIRED_COLUMN if REPAIRED_COLUMN in answers.recorded else "parse_repaired"
    totals.replies[REPAIRED] += whole_sum(answers.whole(repaired))
    if MOCK in answers.recorded:
        totals.mock_answers += whole_sum(answers.whole(MOCK))
    # What shares another row's answer has no usage of its own, as in `Totals`.
    totals.without_usage += int((~answers.has_usage & ~answers.are("cost_source", SHARED)).sum())
    latency_s = answers.floats("latency_s")
    latency_s = latency_s[np.isfinite(latency_s)]
    for bucket, count in _bucket_counts(latency_s):
        totals.latency_buckets[bucket] += count
    stats.add_latencies(latency_s.tobytes())


def _bucket_counts(latency_s: Floats) -> list[tuple[int, int]]:
    buckets = np.rint(np.log(np.maximum(latency_s, 1e-6)) * BUCKETS_PER_E).astype(np.int64)
    numbers, counts = np.unique(buckets, return_counts=True)
    return list(zip(numbers.tolist(), counts.tolist(), strict=True))
