"""The sums of a run: rows, tokens, money, latency, failures; a fold over finished rows that can be undone row by row.

Money is summed in Decimal, so that sums do not depend on the order of rows or on restarts; the rows that a sum
lacks are counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from dataclasses import fields as dataclass_fields
from decimal import Decimal
from typing import Any, NamedTuple

from batchchat.core.conversation import Status
from batchchat.core.key_spelling import spelled_key
from batchchat.core.quantile import quantile
from batchchat.core.record import RowRecord, key_of, possibly_billed_usd_of, unbounded_of, unreported_usd_of
from batchchat.core.row_counts import RowCounts

__all__ = [
    "BUCKETS_PER_E",
    "CUT_OFF",
    "REPAIRED",
    "RE_ASKS",
    "SHARED",
    "TOKEN_FIELDS",
    "Example",
    "OffRowCosts",
    "Totals",
]

# Latencies are kept in buckets 0.2 % wide: three significant digits on a screen need no more, and a million rows
# need little more memory than a thousand.
BUCKETS_PER_E = 500
# In Python 3.11 a member of an enum takes 0.1 µs to look up; these are looked up for each row.
_ANSWERED, _FAILED, _INVALID = Status.ANSWERED.value, Status.FAILED.value, Status.INVALID.value
_NONE: dict[str, int] = {}
_ZERO = Decimal(0)
TOKEN_FIELDS = ("prompt_tokens", "completion_tokens", "cached_tokens")
SHARED = "shared"
"""The `cost_source` of a row that has the answer of a row with an equal request."""
CUT_OFF = "length"
"""The `finish_reason` of a reply that ended at the limit of its tokens."""
REPAIRED, RE_ASKS = "repaired", "re_asks"
_NO_REPLY: dict[str, Any] = {}


class Example(NamedTuple):
    """One row of a kind of failure, to be shown: its id, its location in the input, its reason.

    `name` is its id with its variant and sample, where it has any.
    """

    id: str
    name: str
    place: str
    text: str


@dataclass(frozen=True, slots=True)
class OffRowCosts:
    """What was paid, or may have been, and is in no row of the output.

    `superseded_usd` was paid for answers that were replaced or are no longer in the input, `pending_usd` for attempts
    at unfinished rows, `pending_possibly_billed` of which ended without a known bill; up to `at_risk` requests were in
    flight when a run was killed. `gone_rows` are no longer in the input.

    The fields below are upper bounds of what may have been paid: `broke_off_usd` for all attempts that may have been
    billed, those of the output's rows included, except for `unbounded` of them (None: for any of them);
    `unreported_usd` for answers without usage; `at_risk_usd` for what was in flight. `unsure_usd` is the sum of these,
    and of the same for rows that are in the output no more.

    `left` rows of the input are unfinished, None where its end is not known. `retries` counts the reasons of further
    attempts, which no column has. `cache_saved_usd` is how much less the cached tokens of the output's rows cost than
    others at the job's price, None where that has none for them.
    """

    superseded_usd: Decimal = _ZERO
    pending_usd: Decimal = _ZERO
    pending_possibly_billed: int = 0
    at_risk: int = 0
    gone_rows: int = 0
    broke_off_usd: Decimal = _ZERO
    unbounded: int | None = None
    unreported_usd: Decimal = _ZERO
    at_risk_usd: Decimal = _ZERO
    unsure_usd: Decimal = _ZERO
    left: int | None = 0
    retries: Mapping[str, int] = field(default_factory=dict)
    cache_saved_usd: Decimal | None = None

    def fields(self) -> dict[str, Any]:
        """The fields for the output's metadata: money as exact decimal text."""
        return {name: str(value) if isinstance(value, Decimal) else value for name, value in asdict(self).items()}

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any]) -> OffRowCosts:
        """The inverse of `fields`; a missing field has its default."""
        present: dict[str, Any] = {
            declared.name: fields[declared.name] for declared in dataclass_fields(cls) if declared.name in fields
        }
        parsed: dict[str, Any] = {
            name: Decimal(value) if isinstance(value, str) else value for name, value in present.items()
        }
        return cls(**parsed)


@dataclass(slots=True)
class Totals:
    """Sums over the rows of an output: `attempts` counts requests, `cost_usd` and `known_cost_rows` are by source.

    `tokens` has the fields that any row reported. `cut_off` answers ended at the limit of their tokens.
    `replies` counts those whose JSON was `repaired`, and the `re_asks`, those asked for again since they did not fit.

    Not in the cost are upper bounds at the job's price: `possibly_billed_usd` for attempts that broke off, except the
    `unbounded` ones among them; `unreported_usd` for answers without usage.
    """

    rows: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    without_usage: int = 0
    cost_usd: dict[str, Decimal] = field(default_factory=dict)
    known_cost_rows: Counter[str] = field(default_factory=Counter)
    unknown_cost_rows: int = 0
    attempts: int = 0
    possibly_billed: int = 0
    possibly_billed_usd: Decimal = _ZERO
    unbounded: int = 0
    unreported_usd: Decimal = _ZERO
    mock_answers: int = 0
    cut_off: int = 0
    replies: Counter[str] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    examples: dict[str, Example] = field(default_factory=dict)
    latency_buckets: Counter[int] = field(default_factory=Counter)

    def state(self) -> dict[str, Any]:
        """All sums as JSON values: money as exact decimal text, what is counted as pairs."""
        return {declared.name: _packed(getattr(self, declared.name)) for declared in dataclass_fields(self)}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Totals:
        """The inverse of `state`."""
        totals = cls()
        for declared in dataclass_fields(cls):
            packed, initial = state[declared.name], getattr(totals, declared.name)
            value: Any = packed
            if isinstance(initial, Counter):
                value = Counter(dict(packed))
            elif isinstance(initial, Decimal):
                value = Decimal(packed)
            setattr(totals, declared.name, value)
        totals.cost_usd = {source: Decimal(usd) for source, usd in state["cost_usd"]}
        totals.examples = {kind: Example(*example) for kind, example in state["examples"]}
        return totals

    @property
    def answered(self) -> int:
        """Rows with an answer."""
        return self.rows[_ANSWERED]

    @property
    def failed(self) -> int:
        """Rows that were sent and have no answer."""
        return self.rows[_FAILED]

    @property
    def invalid(self) -> int:
        """Rows that could not be sent."""
        return self.rows[_INVALID]

    @property
    def finished(self) -> int:
        """Rows of every status."""
        return self.answered + self.failed + self.invalid

    def counts(self, left: int | None, undecided: int = 0) -> RowCounts:
        """How the rows stand, with those `left` (None: not known) and the answered ones that are `undecided`."""
        return RowCounts(self.answered, self.failed, self.invalid, left, self.cut_off, undecided)

    def replies_json(self) -> dict[str, int]:
        """The object `replies` of every JSON: how many were repaired, and how many were asked for again."""
        return {name: self.replies[name] for name in (REPAIRED, RE_ASKS)}

    @property
    def known_cost_usd(self) -> Decimal | None:
        """The sum of all known costs; None where none is known."""
        return sum(self.cost_usd.values(), _ZERO) if self.cost_usd else None

    def add(self, row: RowRecord) -> None:
        """Count a finished row."""
        self._count(row, 1)
        if row["status"] != _ANSWERED:
            example = Example(row["id"], spelled_key(key_of(row)), row["place"], row.get("error", ""))
            self.examples.setdefault(row["error_kind"], example)

    def remove(self, row: RowRecord) -> None:
        """Undo `add` of the same row."""
        self._count(row, -1)
        kind = row.get("error_kind", "")
        if (example := self.examples.get(kind)) and example.name == spelled_key(key_of(row)):
            del self.examples[kind]

    def _count(self, row: RowRecord, sign: int) -> None:
        status = row["status"]
        answered = status == _ANSWERED
        self.rows[status] += sign
        if not answered:
            self.failures[row["error_kind"]] += sign
            if status == _INVALID:
                return
        self.attempts += sign * row["attempts"]
        if attempts := row["possibly_billed"]:
            self._count_possibly_billed(row, attempts, sign)
        if "re_asks" in row:
            self.replies[RE_ASKS] += sign * row["re_asks"]
        if "unreported_usd" in row:
            self.unreported_usd += sign * unreported_usd_of(row)
        for kind, count in row.get("retries", _NONE).items():
            self.retries[kind] += sign * count
        if (cost := row.get("cost_usd")) is not None:
            self._count_cost(row.get("cost_source", "reported"), cost, sign)
        elif answered:
            self.unknown_cost_rows += sign
        self._count_tokens(row.get("usage"), sign, answered=answered and row.get("cost_source") != SHARED)
        if answered:
            self._count_answer(row, sign)

    def _count_answer(self, row: RowRecord, sign: int) -> None:
        if (latency_s := row.get("latency_s")) is not None:  # an imported answer has none, nor one of another row's
            self.latency_buckets[_bucket(latency_s)] += sign
        if "mock" in row:
            self.mock_answers += sign
        if "parse_repaired" in row:
            self.replies[REPAIRED] += sign
        if row.get("reply", _NO_REPLY).get("finish_reason") == CUT_OFF:
            self.cut_off += sign

    def _count_possibly_billed(self, row: RowRecord, attempts: int, sign: int) -> None:
        self.possibly_billed += sign * attempts
        self.unbounded += sign * unbounded_of(row)
        self.possibly_billed_usd += sign * possibly_billed_usd_of(row)

    def _count_tokens(self, usage: dict[str, int] | None, sign: int, *, answered: bool) -> None:
        if usage is not None:
            tokens = self.tokens
            for name in TOKEN_FIELDS:
                if name in usage:
                    tokens[name] += sign * usage[name]
        elif answered:
            self.without_usage += sign

    def _count_cost(self, source: str, cost: float, sign: int) -> None:
        self.known_cost_rows[source] += sign
        if self.known_cost_rows[source]:
            usd = Decimal(repr(cost))
            self.cost_usd[source] = self.cost_usd.get(source, _ZERO) + (usd if sign > 0 else -usd)
        else:
            # A sum of nothing is unknown, not 0.
            del self.cost_usd[source]

    def latency_s(self, share: float) -> float | None:
        """The latency that `share` (0 to 1) of the answered rows did not exceed, within 0.1 %; None without rows."""
        return quantile(share, sum(self.latency_buckets.values()), self._latency_at)

    def _latency_at(self, rank: int) -> float:
        """The latency of the answered row at `rank`, from 0, in ascending order."""
        rows_so_far = 0
        for bucket in sorted(self.latency_buckets):
            rows_so_far += self.latency_buckets[bucket]
            if rows_so_far > rank:
                break
        return math.exp(bucket / BUCKETS_PER_E)


def _packed(value: Any) -> Any:
    if isinstance(value, dict):
        return [[key, _packed(item)] for key, item in value.items()]
    if isinstance(value, Example):
        return list(value)
    return str(value) if isinstance(value, Decimal) else value


def _bucket(latency_s: float) -> int:
    return round(math.log(max(latency_s, 1e-6)) * BUCKETS_PER_E)
