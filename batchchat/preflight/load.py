"""The tokens and costs of a job's rows, summed up while the input is read, so that memory stays flat.

Rows still to be sent are counted in bands of prompt length, a quarter of a doubling wide. A sample of answers is
extrapolated band by band, since longer prompts may get longer replies.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from itertools import groupby
from typing import NamedTuple

from batchchat.preflight.interval import Stratum

__all__ = ["Load", "ObservedRow", "RowsToSend", "Strata", "band", "has_rows_of_one_id", "strata_of"]

_MIN_STRATUM_ROWS = 25
_MAX_STRATA = 4
_MAX_NAMED = 3


class ObservedRow(NamedTuple):
    """A row that was sent before, as evidence for the rows that were not.

    `prompt` are its prompt tokens as counted here, `reported` as the endpoint reported them, `completion` its
    completion tokens; None is unknown. The `completion` of a failed row is 0 where it has no usage. All are sums over
    its requests; `resent` are the tokens of replies that were sent again with later turns, which are in no `prompt`.
    Rows with the same `id` are samples or variants of one input row.
    """

    prompt: int
    reported: int | None
    completion: int
    cost_usd: float | None
    cost_reported: bool
    latency_s: float
    answered: bool
    resent: int = 0
    id: str = ""

    @property
    def sent_prompt(self) -> int:
        """All prompt tokens as counted here."""
        return self.prompt + self.resent


@dataclass(slots=True)
class RowsToSend:
    """The `rows` still to be sent: what they may take, in sums.

    `prompt` are their prompt tokens as counted here, without replies that are sent again, `max_completion` the maximum
    of their completion tokens, `requests` the number of their requests, and `resends` how often one of their replies is
    sent again. `re_asks` is how often their replies may be asked for again, `re_asked_*` the most that takes on top.
    """

    rows: int = 0
    prompt: int = 0
    max_completion: int = 0
    requests: int = 0
    resends: int = 0
    re_asks: int = 0
    re_asked_prompt: int = 0
    re_asked_completion: int = 0
    unbounded: int = 0
    """Rows whose reply has no known maximum."""
    by_context: int = 0
    """Rows whose reply is limited by the context only."""
    bands: Counter[int] = field(default_factory=Counter)

    def __add__(self, further: RowsToSend) -> RowsToSend:
        """The sum of both, which have no row in common."""
        return RowsToSend(*(getattr(self, own.name) + getattr(further, own.name) for own in fields(self)))

    def add(self, prompt: int, max_completion: int | None, *, by_context: bool, requests: int) -> None:
        """Count a row, as `Load.send` says."""
        self.rows += 1
        self.requests += requests
        self.resends += requests * (requests - 1) // 2
        self.prompt += prompt
        self.bands[band(prompt)] += 1
        if max_completion is None:
            self.unbounded += 1
        else:
            self.max_completion += max_completion
            self.by_context += by_context

    def ask_again(self, times: int, prompt: int, completion: int) -> None:
        """Count that a row's reply may be asked for again, each time at most with so many tokens."""
        self.re_asks += times
        self.re_asked_prompt += times * prompt
        self.re_asked_completion += times * completion


@dataclass(slots=True)
class Load:
    """The rows of an input under one model, in sums.

    `kept` rows are answered and `kept_failed` have failed; `known_*` are the tokens and the cost of both.
    """

    rows: int = 0
    invalid: int = 0
    kept: int = 0
    kept_failed: int = 0
    cut_off: int = 0
    """Answered rows whose reply reached its maximum length."""
    undecided: int = 0
    shared: int = 0
    """Rows that will share the answer of another row, and are not sent."""
    kept_shared: int = 0
    """Rows among the `kept` and `kept_failed` that share it."""
    other_models: int = 0
    too_long: int = 0
    first_too_long: list[str] = field(default_factory=list)
    to_send: RowsToSend = field(default_factory=RowsToSend)
    known_prompt: int = 0
    known_completion: int = 0
    known_cost: float = 0.0
    unknown_tokens: int = 0
    """Answered rows whose usage was not reported."""
    unknown_cost: int = 0

    @classmethod
    def of_all(cls, loads: Sequence[Load]) -> Load:
        """The sum of `loads`, which have no row in common."""
        total = cls()
        for load in loads:
            for declared in fields(cls):
                setattr(total, declared.name, getattr(total, declared.name) + getattr(load, declared.name))
        del total.first_too_long[_MAX_NAMED:]
        return total

    @property
    def left(self) -> int:
        """How many rows are still to be sent."""
        return self.to_send.rows

    def send(self, prompt: int, max_completion: int | None, *, by_context: bool, requests: int = 1) -> None:
        """Count a row to be sent, with its prompt tokens and the maximum of its reply's, None where there is none.

        `by_context` says that the maximum is what the context leaves. Both are sums over its `requests`, each of which
        has the replies to those before it in its prompt.
        """
        self.to_send.add(prompt, max_completion, by_context=by_context, requests=requests)

    def resent(self, completion: float) -> float:
        """The tokens of replies that the rows left send again, if their replies have `completion` tokens together."""
        to_send = self.to_send
        return completion * to_send.resends / to_send.requests if to_send.resends else 0.0

    def refuse(self, key: str) -> None:
        """Count the row with the id `key`, which does not fit the context."""
        self.too_long += 1
        if len(self.first_too_long) < _MAX_NAMED:
            self.first_too_long.append(key)

    def keep_shared(self, *, answered: bool) -> None:
        """Count a finished row that has the answer of another, for nothing."""
        self.kept_shared += 1
        self.kept += answered
        self.kept_failed += not answered

    def keep(self, row: ObservedRow, *, tokens_known: bool) -> None:
        """Count a finished `row`; `tokens_known` says whether its usage was reported."""
        self.kept += row.answered
        self.kept_failed += not row.answered
        self.known_prompt += row.sent_prompt if row.reported is None else row.reported
        self.known_completion += row.completion
        self.unknown_tokens += not tokens_known and row.answered
        self.known_cost += row.cost_usd or 0.0
        self.unknown_cost += row.cost_usd is None and row.answered


def band(prompt: int) -> int:
    """The number of the band of a prompt of `prompt` tokens; each doubling has four bands."""
    length = max(prompt, 0).bit_length()
    return length * 4 + (prompt >> (length - 3) & 3 if length > 2 else prompt & 3)  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class Strata:
    """A sample divided by prompt length: the sampled rows of each stratum, and the count of rows left in each."""

    samples: Sequence[Sequence[ObservedRow]]
    left_counts: Sequence[int]

    def with_values(self, value: Callable[[ObservedRow], float], *, by_id: bool = False) -> list[Stratum]:
        """The strata of `value` over the sampled rows; with `by_id` rows of one id are one value, their sum.

        They were drawn together and are alike, so that they say less than as many rows of their own.
        """
        stratum_of = _by_id if by_id else _by_row
        return [
            stratum_of(sample, left_count, value)
            for sample, left_count in zip(self.samples, self.left_counts, strict=True)
        ]


def _by_row(sample: Sequence[ObservedRow], left_count: int, value: Callable[[ObservedRow], float]) -> Stratum:
    return Stratum([value(row) for row in sample], left_count)


def _by_id(sample: Sequence[ObservedRow], left_count: int, value: Callable[[ObservedRow], float]) -> Stratum:
    """Where an id lacks some of its rows, the mean of the others stands for these."""
    values: dict[str | int, list[float]] = {}
    for number, row in enumerate(sample):
        values.setdefault(row.id or number, []).append(value(row))
    rows_each = len(sample) / len(values) if values else 1.0
    return Stratum([rows_each * math.fsum(of_id) / len(of_id) for of_id in values.values()], left_count / rows_each)


def has_rows_of_one_id(sample: Sequence[ObservedRow]) -> bool:
    """Whether an input row is in `sample` more than once, as several samples or variants."""
    return len({row.id or number for number, row in enumerate(sample)}) < len(sample)


def strata_of(sample: Sequence[ObservedRow], left_bands: Counter[int]) -> Strata:
    """Divide `sample` into at most 4 strata of at least 25 rows each, or leave it whole.

    `left_bands` counts the rows left in each band of prompt length; each is added to its stratum.
    """
    min_rows = max(_MIN_STRATUM_ROWS, math.ceil(len(sample) / _MAX_STRATA))
    ordered = sorted(sample, key=lambda row: band(row.prompt))
    cuts: list[int] = []  # the last band of each stratum but the last
    samples: list[list[ObservedRow]] = [[]]
    closed_count = 0
    for number, group in groupby(ordered, key=lambda row: band(row.prompt)):
        samples[-1] += group
        if len(samples[-1]) >= min_rows and len(ordered) - closed_count - len(samples[-1]) >= min_rows:
            closed_count += len(samples[-1])
            cuts.append(number)
            samples.append([])
    left_counts = [0] * len(samples)
    for number, rows in left_bands.items():
        left_counts[bisect_left(cuts, number)] += rows
    return Strata(samples, left_counts)
