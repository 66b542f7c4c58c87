"""The values that an estimate consists of: that of a job under one model, and the result of a pilot."""

from __future__ import annotations

from dataclasses import dataclass

from batchchat.preflight.forecast import Forecast
from batchchat.preflight.load import Load

__all__ = ["JobEstimate", "PilotResult"]


@dataclass(frozen=True, slots=True)
class PilotResult:
    """The finished `rows` of a pilot, `failed` of them without an answer; `cost_usd` is None where one is unknown."""

    rows: int
    failed: int
    seed: int
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class JobEstimate:
    """The estimate of a job under one model. `tokenizer` is its name, whether it is exact, and its relative error."""

    job: str
    model: str
    host: str
    concurrency: int
    load: Load
    forecast: Forecast
    tokenizer: tuple[str, bool, float | None]
    context_length: int | None
    pilot: PilotResult | None = None
    is_sum: bool = False
    """Whether it is the sum over the models of a matrix."""
