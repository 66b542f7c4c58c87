"""The tokens, cost and duration of a job, extrapolated from its rows and from earlier answers; pure and seeded.

Each figure has a source, in words for users; an unknown figure is None. `low` assumes that each reply left is as long
as the 10th percentile of those observed, `expected` as their mean, `worst` as its maximum. Costs and tokens are those
of the whole job, including what is paid already; the duration is that of the rows left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from batchchat.preflight.charges import Charge, observed_charge
from batchchat.preflight.interval import Interval, Stratum, interval, total
from batchchat.preflight.load import Load, ObservedRow, Strata, has_rows_of_one_id, strata_of
from batchchat.preflight.makespan import HIGH_QUANTILE, LOW_QUANTILE, MEDIAN, LatencyDistribution

__all__ = ["ASSUMED", "Evidence", "Forecast", "Range", "SendLimits", "forecast"]

ASSUMED = (0.1, 0.5)
"""Low and expected length of a reply as a share of its maximum, where no reply was observed."""
_LOW_QUANTILE = 0.1
_MIN_SCALE_DIFFERENCE = 0.005
"""Counts of prompt tokens that differ by less from the reported ones are not scaled."""


class Range(NamedTuple):
    """The low, expected and worst value of one quantity; None is unknown."""

    low: float | None
    expected: float | None
    worst: float | None


class SendLimits(NamedTuple):
    """The limits on the throughput of a run."""

    concurrency: int
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Rows that were sent before, from which the rows left are extrapolated.

    `where` says where they come from, such as `in the pilot`; `length_source` is the source of reply lengths, such as
    `lengths from a pilot of 100 rows`. `is_calibrating`: their prompts were counted as the job's are, so the ratio of
    reported to counted tokens applies. `is_random_sample`: they are a random sample of the job's rows, so an interval
    can be given. `same_price`: they were charged at the prices that the job will be charged at; of others only the
    lengths and latencies count. `of_job`: they are rows of the job, so that of each of its models its own apply.
    """

    rows: Sequence[ObservedRow]
    where: str
    length_source: str
    is_calibrating: bool = True
    is_random_sample: bool = False
    same_price: bool = True
    of_job: bool = False


@dataclass(slots=True)
class Forecast:
    """The figures of a job under one model.

    `sources` has the source of each figure by its name in `--json`, `notes` are sentences for users. Only a pilot gives
    intervals. `left_cost_usd` is the cost of the rows left.
    """

    prompt_tokens: int
    completion_tokens: Range
    cost_usd: Range | None
    duration_s: Range | None
    charge: Charge | None
    completion_interval: Interval | None = None
    cost_interval: Interval | None = None
    duration_interval: Interval | None = None
    left_cost_usd: Range | None = None
    measured: bool = False
    """True if reply lengths were observed, and not assumed."""
    sources: dict[str, str | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def forecast(
    load: Load,
    evidence: Evidence | None,
    listed: Charge | None,
    limits: SendLimits,
    *,
    prompt_source: str,
    seed: int = 0,
) -> Forecast:
    """The forecast for the rows of `load`.

    `listed` is the price that is known before anything is sent, `prompt_source` says how prompts were counted, and
    `seed` makes the intervals repeatable. Without an answer in `evidence` reply lengths are assumed or unknown.
    """
    if evidence is None or not any(row.answered for row in evidence.rows):
        return _without_evidence(load, listed, prompt_source)
    scale = _prompt_scale(evidence)
    price = observed_charge(evidence.rows, listed, evidence.where) if evidence.same_price else listed
    # Their prompts may have replies in them, and say nothing of length; or strata would part what was drawn together.
    is_whole = bool(load.to_send.resends) and not evidence.is_calibrating
    if is_whole or (evidence.is_random_sample and has_rows_of_one_id(evidence.rows)):
        strata = Strata([evidence.rows], [load.left])
    else:
        strata = strata_of(evidence.rows, load.to_send.bands)
    extrapolation = _Extrapolation(
        load, strata, price, scale, seed, has_interval=evidence.is_random_sample, same_price=evidence.same_price
    )
    completion, completion_interval = extrapolation.completion_tokens()
    cost, cost_interval = extrapolation.cost_usd(completion)
    duration, duration_interval = extrapolation.duration_s(limits, completion)
    if scale is not None:
        prompt_source = f"{prompt_source}, times {scale:.3f} as reported {evidence.where}"
    return Forecast(
        prompt_tokens=round(load.known_prompt + extrapolation.left_prompt),
        completion_tokens=completion,
        cost_usd=cost,
        duration_s=duration,
        charge=price,
        completion_interval=completion_interval,
        cost_interval=cost_interval,
        duration_interval=duration_interval,
        left_cost_usd=_without_paid(cost, load.known_cost),
        measured=True,
        sources={
            "prompt_tokens": prompt_source,
            "completion_tokens": evidence.length_source,
            "cost_usd": None if price is None else price.description,
            "duration_s": f"at the latency {evidence.where}",
        },
    )


def _without_evidence(load: Load, listed: Charge | None, prompt_source: str) -> Forecast:
    """The forecast without an answer: worst is the maximum of replies, low and expected are assumed or unknown."""
    worst = _worst_completion(load)
    is_assumed = worst is not None and not load.to_send.by_context
    low, expected = (
        load.known_completion + share * load.to_send.max_completion if is_assumed else None for share in ASSUMED
    )
    completion = Range(low, expected, worst) if load.left else Range(*[float(load.known_completion)] * 3)
    cost = None
    if listed is not None:
        # A reply that is sent again with later turns costs as prompt each time.
        token_usd = listed.output_usd + load.resent(listed.input_usd)
        base_usd = listed.cost_usd(load.to_send.prompt, 0) + load.known_cost
        low_usd, expected_usd, worst_usd = (
            _with_replies(base_usd, token_usd, tokens, load.known_completion) for tokens in completion
        )
        re_asked_usd = listed.cost_usd(load.to_send.re_asked_prompt, 0)
        cost = Range(low_usd, expected_usd, None if worst_usd is None else worst_usd + re_asked_usd)
    resent = 0.0 if expected is None else load.resent(expected - load.known_completion)
    if is_assumed or not load.left:
        length_source = f"assumed: {ASSUMED[0]:.0%} and {ASSUMED[1]:.0%} of the maximum"
    else:
        length_source = (
            "reply lengths unknown" if load.to_send.unbounded else "reply lengths unknown; the worst fills the context"
        )
    return Forecast(
        prompt_tokens=round(load.known_prompt + load.to_send.prompt + resent),
        completion_tokens=completion,
        cost_usd=cost,
        duration_s=None,
        charge=listed,
        left_cost_usd=_without_paid(cost, load.known_cost),
        sources={
            "prompt_tokens": prompt_source,
            "completion_tokens": length_source if load.left else "as reported for the answers so far",
            "cost_usd": None if listed is None else listed.description,
            "duration_s": None,
        },
    )


@dataclass
class _Extrapolation:
    """The figures of all rows of `load`, extrapolated from sampled rows in `strata`.

    `scale` is the ratio of reported to counted prompt tokens, None for 1. With `same_price` the costs of the sampled
    rows are evidence, except those that were computed by a price of the job, which may have been another then.
    """

    load: Load
    strata: Strata
    price: Charge | None
    scale: float | None
    seed: int
    has_interval: bool
    same_price: bool

    @property
    def left_prompt(self) -> float:
        """The prompt tokens of the rows left, as the endpoint is expected to report them."""
        return (self.load.to_send.prompt + self.load.resent(self._left_completion)) * (self.scale or 1.0)

    @cached_property
    def _left_completion(self) -> float:
        """The expected completion tokens of the rows left."""
        return self._sum(lambda row: float(row.completion), 0.0)[0] if self.load.to_send.resends else 0.0

    def completion_tokens(self) -> tuple[Range, Interval | None]:
        load, base = self.load, self.load.known_completion
        expected, span = self._sum(lambda row: float(row.completion), base)
        return _ordered(base + load.left * self._low_completion(), expected, _worst_completion(load)), span

    def cost_usd(self, completion: Range) -> tuple[Range | None, Interval | None]:
        price = self.price
        if price is None:
            return None, None
        # The text of every row is known, so only the cost beyond it is extrapolated: of replies, and of those that are
        # sent again with later turns.
        scale = self.scale or 1.0
        base_usd = self.load.known_cost + price.cost_usd(self.load.to_send.prompt * scale, 0)
        resend_usd = self.load.resent(price.cost_usd(scale, 0))

        def beyond_prompt_usd(row: ObservedRow) -> float:
            prompt = row.sent_prompt * scale
            usd = row.cost_usd if self.same_price and (row.cost_reported or price.source != "job") else None
            if usd is None:
                usd = price.cost_usd(prompt, row.completion) if row.answered else 0.0
            return usd - price.cost_usd(prompt, 0) + resend_usd * row.completion

        expected, span = self._sum(beyond_prompt_usd, base_usd)
        low, worst = (
            _with_replies(base_usd, price.output_usd + resend_usd, tokens, self.load.known_completion)
            for tokens in (completion.low, completion.worst)
        )
        re_asked_usd = price.cost_usd(self.load.to_send.re_asked_prompt * scale, 0)
        return _ordered(low, expected, None if worst is None else worst + re_asked_usd), span

    def duration_s(self, limits: SendLimits, completion: Range) -> tuple[Range | None, Interval | None]:
        load = self.load
        if not load.left:
            return Range(0.0, 0.0, 0.0), Interval(0.0, 0.0) if self.has_interval else None
        answered = [row for sample in self.strata.samples for row in sample if row.answered]
        latencies_s = [row.latency_s for row in answered]
        base_s, token_s = _latency_line([float(row.completion) for row in answered], latencies_s)
        max_s = 0.0 if load.to_send.unbounded else base_s + token_s * load.to_send.max_completion / load.left
        distribution = LatencyDistribution.of(latencies_s, max_s)

        def run_s(busy_s: float | None, tokens: float | None, quantile: float = MEDIAN) -> float | None:
            if busy_s is None:
                return None
            bounds = [distribution.makespan_s(busy_s, load.left, limits.concurrency, quantile)]
            if limits.requests_per_minute is not None:
                bounds.append(load.to_send.requests / limits.requests_per_minute * 60)
            if limits.tokens_per_minute is not None:
                left_tokens = (tokens or 0.0) - load.known_completion + self.left_prompt
                bounds.append(left_tokens / limits.tokens_per_minute * 60)
            return max(bounds)

        expected, span = self._sum(lambda row: row.latency_s, 0.0)
        busy_s = (
            load.left * (base_s + token_s * self._low_completion()),
            expected,
            _worst_busy_s(load, base_s, token_s),
        )
        figures = _ordered(*map(run_s, busy_s, completion))
        if span is None:
            return figures, None
        low = run_s(span.low, completion.expected, LOW_QUANTILE)
        high = run_s(span.high, completion.expected, HIGH_QUANTILE)
        return figures, None if low is None or high is None else Interval(low, high)

    def _sum(self, value: Callable[[ObservedRow], float], base: float) -> tuple[float, Interval | None]:
        """`base` plus the expected sum of `value` over the rows left, and the interval of that, if there is one."""
        strata: list[Stratum] = self.strata.with_values(value, by_id=self.has_interval)
        expected = total(strata)
        assert expected is not None
        span = interval(strata, self.seed) if self.has_interval else None
        if span is None:
            return base + expected, None
        low = max(span.low, min(expected, 0.0))  # a sum of tokens, costs or seconds is not below 0
        return base + expected, Interval(low, span.high) + base

    def _low_completion(self) -> float:
        """The completion tokens of a short reply: the 10th percentile of the sample."""
        lengths = sorted(row.completion for sample in self.strata.samples for row in sample if row.answered)
        return float(lengths[int(_LOW_QUANTILE * (len(lengths) - 1))])


def _worst_completion(load: Load) -> float | None:
    """The most completion tokens of the rows of `load`, with all replies that may be asked for again."""
    rows = load.to_send
    return None if rows.unbounded else float(load.known_completion + rows.max_completion + rows.re_asked_completion)


def _worst_busy_s(load: Load, base_s: float, token_s: float) -> float | None:
    """The most seconds of answering, where a reply takes `base_s` and `token_s` a token."""
    rows = load.to_send
    if rows.unbounded:
        return None
    return (rows.rows + rows.re_asks) * base_s + token_s * (rows.max_completion + rows.re_asked_completion)


def _prompt_scale(evidence: Evidence) -> float | None:
    """The ratio of reported to counted prompt tokens; None where it is about 1 or unknown."""
    if not evidence.is_calibrating:
        return None
    pairs = [(row.reported, row.sent_prompt) for row in evidence.rows if row.reported and row.prompt]
    counted = sum(prompt for _, prompt in pairs)
    ratio = sum(reported for reported, _ in pairs) / counted if counted else 1.0
    return None if abs(ratio - 1) < _MIN_SCALE_DIFFERENCE else ratio


def _latency_line(tokens: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """The latency of an answer as a line in its tokens, by least squares: (base, slope) in seconds, neither below 0."""
    mean_tokens, mean_s = math.fsum(tokens) / len(tokens), math.fsum(seconds) / len(seconds)
    spread = math.fsum((token - mean_tokens) ** 2 for token in tokens)
    joint = math.fsum((token - mean_tokens) * (s - mean_s) for token, s in zip(tokens, seconds, strict=True))
    slope = max(joint / spread, 0.0) if spread else 0.0
    if mean_tokens and mean_s - slope * mean_tokens < 0:
        slope = mean_s / mean_tokens
    return max(mean_s - slope * mean_tokens, 0.0), slope


def _ordered(low: float | None, expected: float | None, worst: float | None) -> Range:
    """The range with `low` at most, and `worst` at least, `expected`."""
    if expected is None:
        return Range(low, expected, worst)
    return Range(None if low is None else min(low, expected), expected, None if worst is None else max(worst, expected))


def _with_replies(base_usd: float, token_usd: float, tokens: float | None, paid_tokens: float) -> float | None:
    """`base_usd` plus the cost of those completion `tokens` that are not paid yet; None where they are unknown."""
    return None if tokens is None else base_usd + token_usd * (tokens - paid_tokens)


def _without_paid(cost: Range | None, paid_usd: float) -> Range | None:
    """`cost` without what is paid already, at least 0."""
    if cost is None:
        return None
    return Range(*(None if usd is None else max(usd - paid_usd, 0.0) for usd in cost))
