"""What a job will use, cost and take, from what it asks for and what was seen of answers; pure and seeded.

Nothing is guessed in silence: each figure has its source in words, and what nobody knows is None. `low` has each reply
left as short as the shortest tenth of those seen, `expected` as long as their mean, `worst` as long as it may be.
Costs and tokens are of the whole job, what is paid already included; the duration is of what is left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from batchchat.preflight.charges import Charge, charged
from batchchat.preflight.interval import Interval, Stratum, interval, total
from batchchat.preflight.load import Load, ObservedRow, Strata, strata_of
from batchchat.preflight.makespan import LIKELY, SELDOM_LESS, SELDOM_MORE, Latencies

__all__ = ["ASSUMED", "Evidence", "Forecast", "Range", "SendLimits", "forecast"]

ASSUMED = (0.1, 0.5)
"""Of what a reply may have, where no reply was ever seen: low and expected."""
_LOW = 0.1
_SAME = 0.005
"""Counts that differ by less from what endpoints report are the same."""


class Range(NamedTuple):
    """Three figures of one kind; None is unknown."""

    low: float | None
    expected: float | None
    worst: float | None


class SendLimits(NamedTuple):
    """What bounds how fast a run goes."""

    concurrency: int
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Answers that were seen. `where` reads `in the pilot`, `lengths` reads `lengths from a pilot of 100 rows`.

    `calibrates`: its prompts were counted as the job's are, so that both counts can be compared. `drawn`: it is a
    random sample of the job's rows, so that an interval holds. `same_price`: it was charged as the job will be.
    """

    seen: Sequence[ObservedRow]
    where: str
    lengths: str
    calibrates: bool = True
    drawn: bool = False
    same_price: bool = True


@dataclass(slots=True)
class Forecast:
    """The figures, each with its source by name; `notes` are whole sentences. Intervals are those of a pilot."""

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
    """Whether the lengths of replies were seen, and not assumed."""
    sources: dict[str, str | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def forecast(
    load: Load, evidence: Evidence | None, listed: Charge | None, pace: SendLimits, *, counted: str, seed: int = 0
) -> Forecast:
    """`listed` is the price that is known before anything is sent; `counted` says how prompts were counted."""
    seen = [] if evidence is None else evidence.seen
    if evidence is None or not any(each.answered for each in seen):
        return _unseen(load, listed, counted)
    scale = _scale(evidence)
    price = charged(seen, listed, evidence.where) if evidence.same_price else listed
    view = _View(load, strata_of(seen, load.bands), price, scale, seed, drawn=evidence.drawn)
    completion, completion_interval = view.completion()
    cost, cost_interval = view.cost(completion)
    duration, duration_interval = view.duration(pace, completion)
    told = counted if scale is None else f"{counted}, times {scale:.3f} as reported {evidence.where}"
    return Forecast(
        prompt_tokens=round(load.known_prompt + view.left_prompt),
        completion_tokens=completion,
        cost_usd=cost,
        duration_s=duration,
        charge=price,
        completion_interval=completion_interval,
        cost_interval=cost_interval,
        duration_interval=duration_interval,
        left_cost_usd=_less(cost, load.known_cost),
        measured=True,
        sources={
            "prompt_tokens": told,
            "completion_tokens": evidence.lengths,
            "cost_usd": None if price is None else price.words,
            "duration_s": f"at the latency {evidence.where}",
        },
    )


def _unseen(load: Load, listed: Charge | None, counted: str) -> Forecast:
    """Without one answer to learn from: the worst is known, the rest is an assumption or unknown."""
    most = None if load.unbounded else load.known_completion + load.left_most
    assumed = most is not None and not load.by_context
    low, expected = (load.known_completion + share * load.left_most if assumed else None for share in ASSUMED)
    completion = Range(low, expected, most) if load.left else Range(*[float(load.known_completion)] * 3)
    cost = None
    if listed is not None:
        prompt = listed.of(load.left_prompt, 0) + load.known_cost
        cost = Range(*(_plus(prompt, listed.output_usd, tokens, load.known_completion) for tokens in completion))
    if assumed or not load.left:
        lengths = f"an assumption: {ASSUMED[0]:.0%} and {ASSUMED[1]:.0%} of what a reply may have"
    else:
        lengths = "reply lengths unknown" if load.unbounded else "reply lengths unknown; the worst fills the context"
    return Forecast(
        prompt_tokens=load.known_prompt + load.left_prompt,
        completion_tokens=completion,
        cost_usd=cost,
        duration_s=None,
        charge=listed,
        left_cost_usd=_less(cost, load.known_cost),
        sources={
            "prompt_tokens": counted,
            "completion_tokens": lengths if load.left else "as reported for the answers there are",
            "cost_usd": None if listed is None else listed.words,
            "duration_s": None,
        },
    )


@dataclass(slots=True)
class _View:
    """A load through a sample."""

    load: Load
    strata: Strata
    price: Charge | None
    scale: float | None
    seed: int
    drawn: bool

    @property
    def left_prompt(self) -> float:
        """Prompt tokens left, as the endpoint will report them."""
        return self.load.left_prompt * (self.scale or 1.0)

    def completion(self) -> tuple[Range, Interval | None]:
        load, known = self.load, self.load.known_completion
        expected, span = self._sum(lambda each: float(each.completion), known)
        most = None if load.unbounded else float(known + load.left_most)
        return _ordered(known + load.left * self._shortest(), expected, most), span

    def cost(self, completion: Range) -> tuple[Range | None, Interval | None]:
        price, known = self.price, self.load.known_cost
        if price is None:
            return None, None
        # Prompts are known of every row; only what a cost is beyond its prompt's share is to be learned.
        prompt, scale = price.of(self.left_prompt, 0), self.scale or 1.0

        def beyond(each: ObservedRow) -> float:
            counted = each.prompt * scale
            told = (
                each.cost_usd
                if each.cost_usd is not None
                else (price.of(counted, each.completion) if each.answered else 0.0)
            )
            return told - price.of(counted, 0)

        expected, span = self._sum(beyond, known + prompt)
        low, worst = (
            _plus(known + prompt, price.output_usd, tokens, self.load.known_completion)
            for tokens in (completion.low, completion.worst)
        )
        return _ordered(low, expected, worst), span

    def duration(self, pace: SendLimits, completion: Range) -> tuple[Range | None, Interval | None]:
        load = self.load
        if not load.left:
            return Range(0.0, 0.0, 0.0), Interval(0.0, 0.0) if self.drawn else None
        seen = [each for sample in self.strata.samples for each in sample if each.answered]
        base, slope = _line([float(each.completion) for each in seen], [each.latency_s for each in seen])
        longest = 0.0 if load.unbounded else base + slope * load.left_most / load.left
        latencies = Latencies.of([each.latency_s for each in seen], longest)

        def run_s(busy_s: float | None, tokens: float | None, share: float = LIKELY) -> float | None:
            if busy_s is None:
                return None
            bounds = [latencies.finish_s(busy_s, load.left, pace.concurrency, share)]
            if pace.requests_per_minute is not None:
                bounds.append(load.left / pace.requests_per_minute * 60)
            if pace.tokens_per_minute is not None:
                left = (tokens or 0.0) - load.known_completion + self.left_prompt
                bounds.append(left / pace.tokens_per_minute * 60)
            return max(bounds)

        expected, span = self._sum(lambda each: each.latency_s, 0.0)
        busy = (
            load.left * (base + slope * self._shortest()),
            expected,
            None if load.unbounded else load.left * base + slope * load.left_most,
        )
        figures = _ordered(*(run_s(*each) for each in zip(busy, completion, strict=True)))
        if span is None:
            return figures, None
        low = run_s(span.low, completion.expected, SELDOM_LESS)
        high = run_s(span.high, completion.expected, SELDOM_MORE)
        return figures, None if low is None or high is None else Interval(low, high)

    def _sum(self, value: Callable[[ObservedRow], float], known: float) -> tuple[float, Interval | None]:
        """What `value` adds up to over the rows left and what is known, and its interval where that holds."""
        strata: list[Stratum] = self.strata.of([[value(each) for each in sample] for sample in self.strata.samples])
        expected = total(strata)
        assert expected is not None
        span = interval(strata, self.seed) if self.drawn else None
        if span is None:
            return known + expected, None
        return known + expected, Interval(max(span.low, min(expected, 0.0)), span.high) + known

    def _shortest(self) -> float:
        lengths = sorted(each.completion for sample in self.strata.samples for each in sample if each.answered)
        return float(lengths[int(_LOW * (len(lengths) - 1))])


def _scale(evidence: Evidence) -> float | None:
    """How many tokens an endpoint reports for each that is counted here; None where that is the same or unknown."""
    if not evidence.calibrates:
        return None
    told = [(each.reported, each.prompt) for each in evidence.seen if each.reported and each.prompt]
    counted = sum(prompt for _, prompt in told)
    ratio = sum(reported for reported, _ in told) / counted if counted else 1.0
    return None if abs(ratio - 1) < _SAME else ratio


def _line(tokens: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Seconds of an answer: what each takes, and what each token adds; neither is below 0."""
    mean_tokens, mean_s = math.fsum(tokens) / len(tokens), math.fsum(seconds) / len(seconds)
    spread = math.fsum((token - mean_tokens) ** 2 for token in tokens)
    joint = math.fsum((token - mean_tokens) * (s - mean_s) for token, s in zip(tokens, seconds, strict=True))
    slope = max(joint / spread, 0.0) if spread else 0.0
    if mean_tokens and mean_s - slope * mean_tokens < 0:
        slope = mean_s / mean_tokens
    return max(mean_s - slope * mean_tokens, 0.0), slope


def _ordered(low: float | None, expected: float | None, worst: float | None) -> Range:
    """Low is at most, and worst at least, what is expected."""
    if expected is None:
        return Range(low, expected, worst)
    return Range(None if low is None else min(low, expected), expected, None if worst is None else max(worst, expected))


def _plus(base: float, usd_a_token: float, tokens: float | None, paid_tokens: float) -> float | None:
    return None if tokens is None else base + usd_a_token * (tokens - paid_tokens)


def _less(cost: Range | None, paid: float) -> Range | None:
    if cost is None:
        return None
    return Range(*(None if usd is None else max(usd - paid, 0.0) for usd in cost))
