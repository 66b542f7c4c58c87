"""The `run` record of the journal: which program runs which job from here on."""

from __future__ import annotations

import os
import socket
import time
from typing import Any

from batchchat.execution.context import RunContext
from batchchat.job import JobSpec
from batchchat.job.cluster import RAY, worker_count
from batchchat.job.expect import ExpectSpec
from batchchat.job.paths import relative_inputs
from batchchat.pricing.for_job import rates_for
from batchchat.sources import Source
from batchchat.store.passthrough_columns import schema_text
from batchchat.store.records import FORMAT
from batchchat.version import __version__

__all__ = ["run_record"]


def run_record(context: RunContext, source: Source, reading: str | None = None) -> dict[str, Any]:
    """The record of the session of `context`, whose input is `source`, without secrets.

    `reading` is the id of the input in the checkpoint of an earlier session, where it is the same.
    """
    job = context.job
    workers = worker_count(job.cluster, job.workers, job.concurrency)
    return {
        "kind": "run",
        "format": FORMAT,
        "version": __version__,
        "name": job.name,
        "model": ", ".join(job.models),
        "mock": job.is_mock,
        "endpoint": job.host,
        "inputs": relative_inputs(job.input.paths, job.output.path.parent),
        "job": context.redactor.redact(job.text),
        "columns": schema_text(source.column_types),
        "parsed_columns": _parsed_columns(job.expect),
        "resend": context.options.resend.label,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "at": time.time(),
        **({} if reading is None else {"reading": reading}),
        **({"endpoints": {entry.name: entry.address for entry in job.endpoints}} if job.endpoints else {}),
        **({"workers": workers} if workers > 1 or job.cluster.engine == RAY else {}),
        **_shard(job, source),
        **_price(job),
    }


def _shard(job: JobSpec, source: Source) -> dict[str, Any]:
    """Which shard it is, of which job and input; nothing where `job` is no shard."""
    if job.input.shard is None:
        return {}
    from batchchat.execution.shard_record import shard_members

    return shard_members(job, source)


def _price(job: JobSpec) -> dict[str, Any]:
    """What tokens of prompts cost, cached and others, where the job has one model, at one price that is known.

    With a cap the endpoints' lists of models may have replaced the price of the table.
    """
    if job.is_mock or len(job.models) > 1:
        return {}
    rates = [rates_for(view).rate(job.model) for view in job.per_endpoint]
    rate = rates[0]
    if rate is None or rate.price.cached_input is None or len(set(rates)) > 1:
        return {}
    if rate.source != "job" and job.budget.max_cost is not None:
        return {}
    price = {"model": job.model, "input": str(rate.price.input), "cached_input": str(rate.price.cached_input)}
    return {"price": price}


def _parsed_columns(expect: ExpectSpec) -> str | None:
    """The columns that are made of the parsed replies, as text; None where the job wants none."""
    if not expect.columns:
        return None
    from batchchat.execution.publish import parsed_fields
    from batchchat.store.parsed_columns import declared_text

    return declared_text(parsed_fields(expect))
