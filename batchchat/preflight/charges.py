"""The price of a token: the listed one or, where answers reported their cost, the one they were charged at; pure.

A reported cost is better evidence than a list: the examples on DeepInfra's page of WizardLM-2-8x22B cost 1.5 to 1.8
times the price that the page lists.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from batchchat.preflight.load import ObservedRow

__all__ = ["Charge", "observed_charge"]

_MIN_FIT_ROWS = 10
_MIN_DETERMINANT = 1e-3
"""As a share of its maximum. Below it, prompt and reply lengths are proportional: their prices can't be separated."""


@dataclass(frozen=True, slots=True)
class Charge:
    """The price of a token in USD and its source.

    `source` is job, endpoint, table or reported; `description` is for users; `as_of` is the date of a listed price.
    """

    input_usd: float
    output_usd: float
    source: str
    description: str
    as_of: str | None = None

    def cost_usd(self, prompt_tokens: float, completion_tokens: float) -> float:
        """The cost in USD of `prompt_tokens` and `completion_tokens`."""
        return self.input_usd * prompt_tokens + self.output_usd * completion_tokens


def observed_charge(rows: Sequence[ObservedRow], listed: Charge | None, where: str) -> Charge | None:
    """The price that `rows` were charged at; `listed` where none of them reported a cost.

    `where` says in words where the rows come from, such as `in the pilot`.
    """
    charged = [row for row in rows if row.cost_reported and row.cost_usd is not None]
    prompts = [float(row.sent_prompt if row.reported is None else row.reported) for row in charged]
    completions = [float(row.completion) for row in charged]
    costs = [row.cost_usd or 0.0 for row in charged]
    if not math.fsum(prompts) + math.fsum(completions):
        return listed
    rates = _fitted(prompts, completions, costs) or _in_proportion(prompts, completions, costs, listed)
    return Charge(*rates, source="reported", description=f"as reported by the endpoint {where}")


def _fitted(
    prompts: Sequence[float], completions: Sequence[float], costs: Sequence[float]
) -> tuple[float, float] | None:
    """Both prices by least squares; None with too few rows, proportional lengths, or a price that is not positive."""
    if len(costs) < _MIN_FIT_ROWS:
        return None
    pp, cc, pc = _dot(prompts, prompts), _dot(completions, completions), _dot(prompts, completions)
    py, cy = _dot(prompts, costs), _dot(completions, costs)
    determinant = pp * cc - pc * pc
    if determinant <= _MIN_DETERMINANT * pp * cc:
        return None
    rates = (py * cc - cy * pc) / determinant, (cy * pp - py * pc) / determinant
    return rates if min(rates) > 0 else None


def _in_proportion(
    prompts: Sequence[float], completions: Sequence[float], costs: Sequence[float], listed: Charge | None
) -> tuple[float, float]:
    """Both listed prices times the ratio of charged to listed cost; without a list, one price for all tokens."""
    weights = (1.0, 1.0) if listed is None else (listed.input_usd, listed.output_usd)
    listed_usd = weights[0] * math.fsum(prompts) + weights[1] * math.fsum(completions)
    if not listed_usd:  # listed as free, but charged
        weights = (1.0, 1.0)
        listed_usd = math.fsum(prompts) + math.fsum(completions)
    factor = math.fsum(costs) / listed_usd
    return weights[0] * factor, weights[1] * factor


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(left, right, strict=True))
