"""A job as one of its shards runs it: its rows, its output, and its part of what the job allows in all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from batchchat.core.notices import ShardNoted
from batchchat.errors import UsageError
from batchchat.text import numbers

if TYPE_CHECKING:
    from decimal import Decimal

    from batchchat.core.key_shard import KeyShard
    from batchchat.job.bounds import LimitsSpec
    from batchchat.job.endpoint_spec import EndpointEntry
    from batchchat.job.spec import JobSpec

__all__ = ["shard_noted", "sharded"]

N = TypeVar("N")


def sharded(job: JobSpec, shard: KeyShard) -> JobSpec:
    """`job` with the rows of `shard` alone, an output beside the job's, and its part of the limits and the budget.

    The parts of all shards add up to what the job allows. Raises `UsageError` where a shard would have none.
    """
    if job.limits.share is not None:
        raise UsageError(
            "`limits.share` has the jobs of this machine share limits, and --shard divides them among machines. Add"
            " --set limits.share=null to this command; on one machine `workers` is what has one limit for all."
        )
    if not job.ask_concurrency:
        _check_ceiling("concurrency", job.concurrency, shard)
    budget, output = job.budget, job.output
    return replace(
        job,
        input=replace(job.input, shard=shard),
        output=output.of_shard(shard),
        concurrency=shard.part_of_count(job.concurrency),
        limits=_limits(job.limits, shard),
        endpoints=job.endpoints and tuple(_endpoint(entry, shard) for entry in job.endpoints),
        budget=replace(budget, max_cost=_usd("budget.max_cost", budget.max_cost, shard)),
        confirm_above=_usd("confirm_above", job.confirm_above, shard),
        text="\n".join([job.text.removesuffix("\n"), f"# --shard {shard}", ""]),
    )


def shard_noted(whole: JobSpec, job: JobSpec) -> ShardNoted:
    """What is said of `job`, a shard of the job `whole`: which rows it has, and its part of each limit."""
    shard = job.input.shard
    assert shard is not None
    return ShardNoted(
        number=shard.number,
        of=shard.of,
        in_flight=None if whole.ask_concurrency else (job.concurrency, whole.concurrency),
        requests_per_minute=_part(job.limits.requests_per_minute, whole.limits.requests_per_minute),
        tokens_per_minute=_part(job.limits.tokens_per_minute, whole.limits.tokens_per_minute),
        max_cost_usd=_part(job.budget.max_cost, whole.budget.max_cost),
        output=job.output.as_given,
    )


def _part(own: N | None, whole: N | None) -> tuple[N, N] | None:
    return None if own is None or whole is None else (own, whole)


def _check_ceiling(name: str, ceiling: int, shard: KeyShard) -> None:
    if ceiling < shard.of:
        raise UsageError(
            f"`{name}` is {ceiling}, and each of {shard.of} shards needs at least one request in flight. Use at most"
            f" {numbers.quantity(ceiling, 'shard')}, or raise it to {shard.of} or more."
        )


def _endpoint(entry: EndpointEntry, shard: KeyShard) -> EndpointEntry:
    """One of several endpoints, with the shard's part of what it allows."""
    ceiling = entry.concurrency
    if ceiling is not None:
        _check_ceiling(f"concurrency` of the endpoint `{entry.name}", ceiling, shard)
        ceiling = shard.part_of_count(ceiling)
    return replace(entry, concurrency=ceiling, limits=_limits(entry.limits, shard))


def _limits(limits: LimitsSpec, shard: KeyShard) -> LimitsSpec:
    requests, tokens = (_rate(rate, shard) for rate in (limits.requests_per_minute, limits.tokens_per_minute))
    return replace(limits, requests_per_minute=requests, tokens_per_minute=tokens)


def _rate(per_minute: float | None, shard: KeyShard) -> float | None:
    return None if per_minute is None else per_minute / shard.of


def _usd(name: str, usd: Decimal | None, shard: KeyShard) -> Decimal | None:
    if usd is None:
        return None
    part = shard.part_of_usd(usd)
    if usd and not part:
        raise UsageError(f"`{name}` is ${usd}, too little to be divided among {shard.of} shards. Raise it.")
    return part
