"""The keys of one endpoint, as the section `endpoint` has them and as each entry of `endpoints` has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from batchchat.core.price import Price
from batchchat.job.bounds import LimitsSpec, PriceSpec
from batchchat.job.declaration import key, section
from batchchat.job.endpoint import MOCK, base_url, headers, key_name
from batchchat.job.value_types import boolean, integer, line, number
from batchchat.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["MAX_CONCURRENCY", "PREFIX", "EndpointEntry", "EndpointSpec", "names_of"]

MAX_CONCURRENCY = 10_000
PREFIX = "prefix"
"""The value of `affinity` that keeps rows with the same beginning together."""
_COUNT = integer(1)
_MAX_NAMED = 4


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """Where requests are sent. `base_url` is `mock`, or an http(s) URL without a slash at its path's end."""

    base_url: str = field(
        default="https://api.deepinfra.com/v1/openai",
        metadata=key(base_url(), "where requests go; `mock` needs no key"),
    )
    api_key_env: str | None = field(
        default=None,
        metadata=key(
            key_name(),
            "the variable that holds the key",
            default_words="DEEPINFRA_TOKEN at api.deepinfra.com, else none",
        ),
    )
    api_key: Secret | None = None
    context_length: int | None = field(
        default=None,
        metadata=key(
            _COUNT,
            "tokens that a prompt and its reply may have together",
            default_words="what the endpoint's list of models or the price table says",
        ),
    )
    headers: Mapping[str, Secret] = field(default_factory=dict, metadata=key(headers(), "further HTTP headers"))
    stream: bool = field(
        default=False,
        metadata=key(boolean(), "ask for replies as streams and join them, for gateways that end long silent requests"),
    )

    @property
    def is_mock(self) -> bool:
        """Whether this is the embedded endpoint."""
        return self.base_url == MOCK

    @property
    def address(self) -> str:
        """Its host and port in messages: `api.deepinfra.com`, `localhost:8000`, `the embedded mock`."""
        return "the embedded mock" if self.is_mock else urlsplit(self.base_url).netloc.lower()

    @property
    def label(self) -> str:
        """What messages call it."""
        return self.address

    @property
    def price_host(self) -> str:
        """The host whose prices apply, without a port; "" for the mock."""
        return "" if self.is_mock else (urlsplit(self.base_url).hostname or "")


@dataclass(frozen=True, slots=True)
class EndpointEntry(EndpointSpec):
    """One of several endpoints, with its `name`. `model`, `concurrency` and `price` are the job's where they are None.

    `concurrency` is its ceiling, and `limits` are its own; those of the job are for all endpoints together.
    """

    name: str = field(
        default="",
        metadata=key(line("a name"), "what it is called in results and messages", default_words="its host and port"),
    )
    weight: float = field(
        default=1.0, metadata=key(number(above=0), "its share of the requests while several endpoints have room")
    )
    concurrency: int | None = field(
        default=None,
        metadata=key(
            integer(1, MAX_CONCURRENCY), "ceiling of its requests in flight", default_words="the job's `concurrency`"
        ),
    )
    model: str | None = field(
        default=None,
        metadata=key(line("the name of a model"), "what it calls the job's model", default_words="the job's `model`"),
    )
    limits: LimitsSpec = field(default=LimitsSpec(), metadata=section(LimitsSpec))
    price: Price | None = field(default=None, metadata=section(PriceSpec))

    @property
    def label(self) -> str:
        """Its name."""
        return self.name


def names_of(endpoints: Sequence[EndpointEntry]) -> str:
    """The names of `endpoints` in messages: `a, b, c, d and 12 more`."""
    names, more = [entry.name for entry in endpoints], len(endpoints) - _MAX_NAMED
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:_MAX_NAMED])} and {more} more"
