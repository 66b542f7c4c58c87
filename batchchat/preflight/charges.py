"""What a token costs: by the price that is known, or, where answers reported their cost, as those were charged. Pure.

The founding page's own examples cost 1.5 to 1.8 times its price: what was charged is better evidence than a list.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from batchchat.preflight.load import ObservedRow

__all__ = ["Charge", "charged"]

_ENOUGH_TO_FIT = 10
_DISTINCT = 1e-3
"""Of the determinant to its most: below, prompts and replies grow alike and their prices can't be told apart."""


@dataclass(frozen=True, slots=True)
class Charge:
    """USD a token, and who says so: `source` for machines, `words` for people; `as_of` is a date, if there is one."""

    input_usd: float
    output_usd: float
    source: str
    words: str
    as_of: str | None = None

    def of(self, prompt: float, completion: float) -> float:
        """USD for so many tokens."""
        return self.input_usd * prompt + self.output_usd * completion


def charged(seen: Sequence[ObservedRow], listed: Charge | None, where: str) -> Charge | None:
    """The charge by what `seen` reported, `listed` where nothing was. `where` is `in the pilot` or the like."""
    told = [each for each in seen if each.cost_reported and each.cost_usd is not None]
    prompts = [float(each.prompt if each.reported is None else each.reported) for each in told]
    completions = [float(each.completion) for each in told]
    costs = [each.cost_usd or 0.0 for each in told]
    if not math.fsum(prompts) + math.fsum(completions):
        return listed
    rates = _fitted(prompts, completions, costs) or _in_proportion(prompts, completions, costs, listed)
    return Charge(*rates, source="reported", words=f"as reported by the endpoint {where}")


def _fitted(
    prompts: Sequence[float], completions: Sequence[float], costs: Sequence[float]
) -> tuple[float, float] | None:
    """Both rates by least squares; None where they can't be told apart, or come out as no price."""
    if len(costs) < _ENOUGH_TO_FIT:
        return None
    pp, cc, pc = _dot(prompts, prompts), _dot(completions, completions), _dot(prompts, completions)
    py, cy = _dot(prompts, costs), _dot(completions, costs)
    determinant = pp * cc - pc * pc
    if determinant <= _DISTINCT * pp * cc:
        return None
    rates = (py * cc - cy * pc) / determinant, (cy * pp - py * pc) / determinant
    return rates if min(rates) > 0 else None


def _in_proportion(
    prompts: Sequence[float], completions: Sequence[float], costs: Sequence[float], listed: Charge | None
) -> tuple[float, float]:
    """The listed rates times what was charged more; one rate for all tokens where nothing is listed."""
    shape = (1.0, 1.0) if listed is None else (listed.input_usd, listed.output_usd)
    basis = shape[0] * math.fsum(prompts) + shape[1] * math.fsum(completions)
    if not basis:  # listed as free, and charged
        shape = (1.0, 1.0)
        basis = math.fsum(prompts) + math.fsum(completions)
    factor = math.fsum(costs) / basis
    return shape[0] * factor, shape[1] * factor


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(left, right, strict=True))
