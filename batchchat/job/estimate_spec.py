"""What a job is estimated with: a price table and a tokenizer of the user's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from batchchat.job.declaration import key
from batchchat.job.value_types import line

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["EstimateSpec", "PricesSpec"]


class PricesSpec(NamedTuple):
    """A price table of the user's: `path` is absolute, `as_given` as the job writes it."""

    path: Path
    as_given: str


@dataclass(frozen=True, slots=True)
class EstimateSpec:
    """How the job is estimated: `tokenizer` is the absolute path of a `tokenizer.json`."""

    tokenizer: Path | None = field(
        default=None,
        metadata=key(
            line("the path of a tokenizer.json"),
            "the model's tokenizer.json, to count tokens with",
            default_words="the model's own where it is known, else a rule of thumb",
        ),
    )
