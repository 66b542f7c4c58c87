"""The job, frozen and valid: what the rest of the program trusts.

Only `load.load_job` builds one from a file. Nothing in a `repr` is secret: keys and header values are
`Secret`s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal
    from pathlib import Path

    from batchchat.core.price import Price
    from batchchat.job.stop_at import StopAt
from batchchat.secret import Secret

__all__ = [
    "MOCK",
    "PART_ROWS",
    "BudgetSpec",
    "EndpointSpec",
    "EstimateSpec",
    "InputSpec",
    "JobSpec",
    "LimitsSpec",
    "OutputSpec",
    "PricesSpec",
    "RetrySpec",
    "TimeoutSpec",
]

MOCK = "mock"
PART_ROWS = 100_000
"""At some KB a row a part is a few hundred MB, which readers take in parallel and `aws s3 cp` in one go."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """Where rows come from.

    `as_given` are the paths as the job writes them, `paths` the same made absolute; globs stay globs.
    """

    paths: tuple[str, ...]
    as_given: tuple[str, ...]
    format: str = "auto"
    id: str | None = None
    column: str | None = None
    params: str | None = None
    first: int | None = None
    random: int | None = None
    seed: int = 0
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """Whom to ask. `base_url` is `mock`, or an http(s) URL without a slash at its path's end."""

    base_url: str = "https://api.deepinfra.com/v1/openai"
    api_key_env: str | None = None
    api_key: Secret | None = None
    headers: Mapping[str, Secret] = field(default_factory=dict)
    context_length: int | None = None


@dataclass(frozen=True, slots=True)
class TimeoutSpec:
    """Seconds for one attempt: in all, and until it is connected."""

    total: float = 600.0
    connect: float = 10.0


@dataclass(frozen=True, slots=True)
class RetrySpec:
    """How long a row and an endpoint are tried. `max_wait`, `max_elapsed` and `max_outage` are seconds.

    `max_possibly_billed`: attempts of one row that broke off, each of which may have been paid for.
    """

    max_attempts: int = 6
    max_wait: float = 120.0
    max_elapsed: float = 3600.0
    max_outage: float = 3600.0
    stop_after_failures: int = 50
    max_possibly_billed: int = 3


@dataclass(frozen=True, slots=True)
class LimitsSpec:
    """What may be sent in a minute; None is unlimited."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


@dataclass(frozen=True, slots=True)
class BudgetSpec:
    """What ends a run: USD for the whole job over all its resumes, and an hour."""

    max_cost: Decimal | None = None
    stop_at: StopAt | None = None


@dataclass(frozen=True, slots=True)
class EstimateSpec:
    """How the job is estimated: `tokenizer` is a `tokenizer.json`, absolute."""

    tokenizer: Path | None = None


@dataclass(frozen=True, slots=True)
class PricesSpec:
    """A price table of the user's: `path` is absolute, `as_given` as the job writes it."""

    path: Path
    as_given: str


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """Where the result goes; a folder of part files where `path` has no suffix.

    `path` is absolute, `as_given` as the job or `--output` writes it.
    """

    path: Path
    as_given: str
    order: str = "input"
    part_rows: int = PART_ROWS
    raw: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether the output is a folder of part files."""
        return not self.path.suffix


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A valid job.

    `path` is the job file as typed, `text` the job as written: `${NAME}` unexpanded, no header values, the
    overrides as comment lines at its end. `drain` is seconds. Where `ask_concurrency`, the endpoint is asked, and
    `concurrency` is what stands when it doesn't say. `on_finish` is a text for the shell, or words for none.
    """

    name: str
    path: Path
    text: str
    input: InputSpec
    model: str
    output: OutputSpec
    system: str | None = None
    endpoint: EndpointSpec = EndpointSpec()
    params: Mapping[str, Any] = field(default_factory=dict)
    concurrency: int = 200
    ask_concurrency: bool = False
    adaptive: bool = True
    limits: LimitsSpec = LimitsSpec()
    timeout: TimeoutSpec = TimeoutSpec()
    retry: RetrySpec = RetrySpec()
    drain: float = 30.0
    budget: BudgetSpec = BudgetSpec()
    price: Price | None = None
    prices: PricesSpec | None = None
    estimate: EstimateSpec = EstimateSpec()
    confirm_above: Decimal | None = None
    on_finish: Secret | tuple[Secret, ...] | None = None

    @property
    def is_mock(self) -> bool:
        """Whether the embedded endpoint answers."""
        return self.endpoint.base_url == MOCK

    @property
    def price_host(self) -> str:
        """Whose prices hold: the host's name without a port."""
        return "" if self.is_mock else (urlsplit(self.endpoint.base_url).hostname or "")

    @property
    def host(self) -> str:
        """Whom we talk to, for people: `api.deepinfra.com`, `localhost:8000`, `the embedded mock`."""
        return "the embedded mock" if self.is_mock else urlsplit(self.endpoint.base_url).netloc.lower()
