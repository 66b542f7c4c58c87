"""An estimate of one job under one model, and what a pilot cost."""

from __future__ import annotations

from dataclasses import dataclass

from batchchat.preflight.forecast import Forecast
from batchchat.preflight.load import Load

__all__ = ["JobEstimate", "PilotResult"]


@dataclass(frozen=True, slots=True)
class PilotResult:
    """A pilot: how many rows have ended, `failed` of them without an answer; `cost_usd` is what they cost."""

    rows: int
    failed: int
    seed: int
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class JobEstimate:
    """One job under one model. `tokenizer` is a name, whether it is exact, and its error."""

    job: str
    model: str
    host: str
    concurrency: int
    load: Load
    forecast: Forecast
    tokenizer: tuple[str, bool, float | None]
    context_length: int | None
    pilot: PilotResult | None = None
