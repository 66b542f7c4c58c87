"""How a mock server behaves: one frozen value, valid once built."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchchat.mock.json_format import FORMATS

if TYPE_CHECKING:
    from batchchat.mock.faults import Fault

__all__ = ["MockOptions"]


@dataclass(frozen=True, slots=True)
class MockOptions:
    """The options of a `MockServer`. Raises `ValueError` naming the option and its value.

    `latency_s` passes before each answer, plus up to `latency_jitter_s`, drawn from the request, the seed and
    the arrival number. Above `max_concurrent` in flight, or `rate_limit` a minute, comes a 429. A prompt of
    more than `context_length` tokens is a 400. With an `api_key`, every path but /stats requires it.
    `tpm_rate_limit` is shown at /v1/me/rate_limit, not enforced.
    `reply_tokens` is the median length of a reply. `slow_s` is what the fault `slow` adds. An answer costs the mock's
    price times a share drawn from `price_share`, lowest and highest: (0.5, 1.0) bills up to half less. The types of
    `response_format` in `refused_formats` are a 400, as of a model without structured outputs.
    """

    latency_s: float = 0.0
    latency_jitter_s: float = 0.0
    max_concurrent: int | None = None
    rate_limit: float | None = None
    tpm_rate_limit: int | None = None
    context_length: int = 65536
    api_key: str | None = field(default=None, repr=False)
    seed: int = 0
    faults: tuple[Fault, ...] = ()
    reply_tokens: int = 85
    slow_s: float = 2.0
    price_share: tuple[float, float] = (1.0, 1.0)
    refused_formats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("latency_s", "latency_jitter_s", "slow_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}, not a number of seconds from 0 up")
        for name in ("max_concurrent", "tpm_rate_limit", "context_length", "reply_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}, not a number from 1 up")
        low, high = self.price_share
        if not (math.isfinite(high) and 0 <= low <= high):
            raise ValueError(f"price_share is {low:g}:{high:g}, not a lowest and a highest share from 0 up")
        if self.rate_limit is not None and not (math.isfinite(self.rate_limit) and self.rate_limit > 0):
            raise ValueError(f"rate_limit is {self.rate_limit}, not a number of requests per minute above 0")
        for name in self.refused_formats:
            if name not in FORMATS:
                raise ValueError(
                    f"refused_formats is {', '.join(self.refused_formats)}: known are {', '.join(FORMATS)}"
                )
        if self.api_key == "":
            raise ValueError("api_key is empty: leave it out to take every request")
