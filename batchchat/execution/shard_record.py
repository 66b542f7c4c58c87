"""What the journal of a shard says of it, so that the shards of one job are known to belong together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchchat.core.notices import ShardNoted
from batchchat.execution.known_input import asked_of, may_share
from batchchat.job import JobSpec
from batchchat.sources import Source

__all__ = ["is_recorded", "shard_members", "shard_note"]


def shard_members(job: JobSpec, source: Source) -> dict[str, Any]:
    """The member `shard` of a `run` record: which shard it is, of which job and input; none where `job` is no shard."""
    if (shard := job.input.shard) is None:
        return {}
    size = [len(source.files), source.bytes_total]
    return {"shard": {"number": shard.number, "of": shard.of, "asks": asked_of(job), "input": size}}


def is_recorded(job: JobSpec, source: Source, run: Mapping[str, Any]) -> bool:
    """Whether `run`, the latest `run` record, says of the shard that `job` is what there is to say; true of others."""
    return job.input.shard is None or {"shard": run.get("shard")} == shard_members(job, source)


def shard_note(note: ShardNoted, job: JobSpec, source: Source) -> ShardNoted:
    """`note`, and whether equal requests of `job` may be in different shards: those with ids of their own are."""
    return note._replace(shares_apart=source.id_column is not None and may_share(job))
