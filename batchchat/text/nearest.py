"""The name that a misspelt one was probably meant to be: the one place that judges how near two names are."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from batchchat.lossless_json import scrub

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["did_you_mean", "nearest_names"]

_CUTOFF = 0.6  # difflib's own default


def nearest_names(name: str, candidates: Iterable[str], *, max_count: int = 1, cutoff: float = _CUTOFF) -> list[str]:
    """Up to `max_count` of `candidates` that are like `name`, the nearest first.

    `cutoff` is the least likeness, from 0 to 1, as `difflib.SequenceMatcher.ratio` measures it.
    """
    return get_close_matches(name, list(candidates), n=max_count, cutoff=cutoff)


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """` Did you mean ...?`, to end a sentence about `name`; empty where no candidate is near."""
    return "".join(f" Did you mean `{scrub(candidate)}`?" for candidate in nearest_names(name, candidates))
