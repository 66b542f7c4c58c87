"""What a job asks for, summed up while its rows stream by, and what was seen of answers; memory is flat.

Rows still to be sent are counted in bands of prompt length, a quarter of a doubling wide: what a sample tells of
replies is spread over them band by band, since longer prompts may well get longer replies.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from batchchat.preflight.interval import Stratum

__all__ = ["Load", "ObservedRow", "Strata", "band", "strata_of"]

_LEAST_OF_STRATUM = 25
_MOST_STRATA = 4
_SHOWN = 3


class ObservedRow(NamedTuple):
    """One row that was sent before. `prompt` is as counted here, `reported` as the endpoint did; None is not known.

    A row that failed has no `completion` and no `latency_s` worth the name: both are 0 where it cost nothing.
    """

    prompt: int
    reported: int | None
    completion: int
    cost_usd: float | None
    cost_reported: bool
    latency_s: float
    answered: bool


@dataclass(slots=True)
class Load:
    """The rows of an input under one model. Tokens of `left` are as counted; `most` is what its replies may have."""

    rows: int = 0
    invalid: int = 0
    kept: int = 0
    kept_failed: int = 0
    undecided: int = 0
    other_models: int = 0
    too_long: int = 0
    first_too_long: list[str] = field(default_factory=list)
    left: int = 0
    left_prompt: int = 0
    left_most: int = 0
    unbounded: int = 0
    """Rows left whose reply has no bound that is known."""
    by_context: int = 0
    """Rows left whose reply is bounded by the context alone."""
    bands: Counter[int] = field(default_factory=Counter)
    known_prompt: int = 0
    known_completion: int = 0
    known_cost: float = 0.0
    unknown_tokens: int = 0
    """Finished rows that did not say how many tokens they had."""
    unknown_cost: int = 0

    def send(self, prompt: int, most: int | None, *, by_context: bool) -> None:
        """One more row to be sent, whose reply has at most so many tokens."""
        self.left += 1
        self.left_prompt += prompt
        self.bands[band(prompt)] += 1
        if most is None:
            self.unbounded += 1
        else:
            self.left_most += most
            self.by_context += by_context

    def refuse(self, key: str) -> None:
        """One more row that the context can't hold."""
        self.too_long += 1
        if len(self.first_too_long) < _SHOWN:
            self.first_too_long.append(key)

    def keep(self, seen: ObservedRow, *, tokens_known: bool) -> None:
        """One more row that is finished, and paid."""
        self.kept += seen.answered
        self.kept_failed += not seen.answered
        self.known_prompt += seen.prompt if seen.reported is None else seen.reported
        self.known_completion += seen.completion
        self.unknown_tokens += not tokens_known and seen.answered
        self.known_cost += seen.cost_usd or 0.0
        self.unknown_cost += seen.cost_usd is None and seen.answered


def band(prompt: int) -> int:
    """The band of a prompt of so many tokens: 4 to each doubling."""
    length = max(prompt, 0).bit_length()
    return length * 4 + (prompt >> (length - 3) & 3 if length > 2 else prompt & 3)  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class Strata:
    """A sample cut by prompt length, and how many of the rows left belong to each cut."""

    samples: Sequence[Sequence[ObservedRow]]
    rests: Sequence[int]

    def of(self, values: Sequence[Sequence[float]]) -> list[Stratum]:
        """With a value for each row of each sample."""
        return [Stratum(each, rest) for each, rest in zip(values, self.rests, strict=True)]


def strata_of(seen: Sequence[ObservedRow], bands: Counter[int]) -> Strata:
    """Cut a sample into at most 4 strata of at least 25 rows each, or leave it whole."""
    least = max(_LEAST_OF_STRATUM, math.ceil(len(seen) / _MOST_STRATA))
    ordered = sorted(seen, key=lambda each: band(each.prompt))
    cuts: list[int] = []
    samples: list[list[ObservedRow]] = [[]]
    used = 0
    for number, group in groupby(ordered, key=lambda each: band(each.prompt)):
        samples[-1] += group
        if len(samples[-1]) >= least and len(ordered) - used - len(samples[-1]) >= least:
            used += len(samples[-1])
            cuts.append(number)
            samples.append([])
    rests = [0] * len(samples)
    for number, rows in bands.items():
        rests[bisect_left(cuts, number)] += rows
    return Strata(samples, rests)
