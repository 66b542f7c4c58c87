"""What a job allows: in a minute, for one attempt, for one row and an outage, in money and time, and at what price."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchchat.core.price import Price
from batchchat.job.declaration import key
from batchchat.job.stop_at import StopAt, stop_at
from batchchat.job.value_types import file_name, integer, money, number, one_of

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["BudgetSpec", "LimitsSpec", "PriceSpec", "ResumeSpec", "RetrySpec", "TimeoutSpec"]

_COUNT = integer(1)
_SECONDS = number(above=0)
_SECONDS_OR_ZERO = number(minimum=0)
_PER_MINUTE = number(above=0)


@dataclass(frozen=True, slots=True)
class LimitsSpec:
    """Limits on what is sent in a minute; None is unlimited."""

    requests_per_minute: float | None = field(
        default=None, metadata=key(_PER_MINUTE, "requests a minute at most, evenly")
    )
    tokens_per_minute: float | None = field(
        default=None, metadata=key(_PER_MINUTE, "tokens a minute at most, prompts and replies")
    )
    share: str | None = field(
        default=None,
        metadata=key(
            file_name(),
            "a name; jobs that run on this machine under the same one share `concurrency` and these limits",
        ),
    )


@dataclass(frozen=True, slots=True)
class TimeoutSpec:
    """Time limits of one attempt, in seconds."""

    total: float = field(default=600.0, metadata=key(_SECONDS, "seconds for one attempt"))
    connect: float = field(default=10.0, metadata=key(_SECONDS, "seconds until an attempt is connected"))


@dataclass(frozen=True, slots=True)
class RetrySpec:
    """How long a row and an endpoint are retried. `max_wait`, `max_elapsed` and `max_outage` are seconds."""

    max_attempts: int = field(default=6, metadata=key(_COUNT, "attempts for one row"))
    max_wait: float = field(default=120.0, metadata=key(_SECONDS_OR_ZERO, "longest wait between two attempts, seconds"))
    max_elapsed: float = field(default=3600.0, metadata=key(_SECONDS_OR_ZERO, "longest time spent on one row, seconds"))
    max_outage: float = field(
        default=3600.0, metadata=key(_SECONDS_OR_ZERO, "longest outage that is waited out, seconds")
    )
    stop_after_failures: int = field(
        default=50,
        metadata=key(_COUNT, "the run stops if the first N rows, or N consecutive ones, fail with the same error"),
    )
    max_possibly_billed: int = field(
        default=3,
        metadata=key(_COUNT, "attempts of one row that may break off and be billed all the same"),
    )


@dataclass(frozen=True, slots=True)
class ResumeSpec:
    """What a resume does about rows that have an answer."""

    changed: str = field(
        default="ask",
        metadata=key(
            one_of(("ask", "resend", "keep")),
            "answered rows whose request changed: `ask`, or off a terminal leave them and exit 3; `resend` pays again;"
            " `keep` keeps their answers",
        ),
    )


@dataclass(frozen=True, slots=True)
class BudgetSpec:
    """What ends a run: the cost of the job over all its resumes, in USD, and a time."""

    max_cost: Decimal | None = field(
        default=None, metadata=key(money(above=0), "USD the job may cost in all, over all its resumes")
    )
    stop_at: StopAt | None = field(
        default=None,
        metadata=key(stop_at(), "when the run is to end: `07:30`, a date and time, or a duration such as `6h`"),
    )


@dataclass(frozen=True, slots=True)
class PriceSpec:
    """The section `price` as the job writes it; `JobSpec.price` is the `Price` made of it."""

    input: Decimal | None = field(
        default=None, metadata=key(money(), "USD per million prompt tokens, where the endpoint reports no cost")
    )
    output: Decimal | None = field(default=None, metadata=key(money(), "USD per million completion tokens"))
    cached_input: Decimal | None = field(default=None, metadata=key(money(), "USD per million cached prompt tokens"))

    def as_price(self) -> Price | None:
        """The price of the job; None if it has none."""
        if self.input is None or self.output is None:
            return None
        return Price(self.input, self.output, self.cached_input)
