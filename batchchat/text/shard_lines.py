"""What is said of a shard before anything is sent."""

from __future__ import annotations

from batchchat.core.notices import ShardNoted
from batchchat.text import numbers

__all__ = ["shard_noted"]

_EXACT_BELOW = 100


def shard_noted(event: ShardNoted) -> str:
    """Which shard it is and its part of each limit, and what may surprise about other runs and equal requests."""
    parts = [f"shard  {numbers.count(event.number)} of {numbers.count(event.of)}"]
    if event.in_flight is None:
        parts.append(f"1/{event.of} of what the endpoint allows")
    else:
        parts.append("{} of {} in flight".format(*map(numbers.count, event.in_flight)))
    if event.max_cost_usd is not None:
        parts.append("{} of the budget of {}".format(*map(numbers.money, event.max_cost_usd)))
    if event.requests_per_minute is not None:
        parts.append("{} of {} requests a minute".format(*map(_rate, event.requests_per_minute)))
    if event.tokens_per_minute is not None:
        parts.append("{} of {} tokens a minute".format(*map(_rate, event.tokens_per_minute)))
    lines = [" · ".join([*parts, f"output {event.output}"])]
    if event.shares_apart:
        lines.append("note   equal requests are sent once in each shard (`dedupe`): a shard does not see the others")
    if event.other_runs:
        others = ", ".join(event.other_runs)
        lines.append(
            f"note   {others}: runs of this job with another number of shards. Their answers are not used here, and are"
            " paid for again."
        )
    return "\n".join(lines)


def _rate(per_minute: float) -> str:
    is_whole = per_minute == int(per_minute)
    return numbers.count(per_minute) if is_whole or per_minute > _EXACT_BELOW else f"{per_minute:.3g}"
