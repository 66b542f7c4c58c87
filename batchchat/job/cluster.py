"""Where the rows of a job are sent from: processes of this machine, or workers that Ray places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from batchchat.job.declaration import key
from batchchat.job.diagnostics import Diagnostic, RefusedError
from batchchat.job.tree import MappingNode, Node, Scalar, printable, wrong_type, wrong_value
from batchchat.job.value_types import ValueType, collect, integer, line, number, one_of

__all__ = ["CPU", "LOCAL", "MAX_WORKERS", "RAY", "ClusterSpec", "partition_count", "worker_count"]

MAX_WORKERS = 256
MAX_PARTITIONS = 1000
"""Each partition has a process of its own to be started."""
LOCAL, RAY = "local", "ray"
"""The values of `cluster.engine`."""
CPU = "CPU"
"""Ray's name for cores."""

_RAYS_ARGUMENTS = {"num_cpus": CPU, "cpus": CPU, "cpu": CPU, "num_gpus": "GPU", "gpus": "GPU", "gpu": "GPU"}
_ADDRESS = re.compile(r"auto|[^\s/:]+:\d+|\[[0-9a-fA-F:]+\]:\d+")


def _address() -> ValueType:
    """The address of a Ray cluster of which this machine is a node."""
    takes = "auto, or the HOST:PORT of a Ray cluster"
    text = line(takes)

    def read(name: str, node: Node) -> str:
        address: str = text.read(name, node)
        if address.startswith("ray://"):
            sentence = (
                f"`{name}` is {printable(address)}, which is for programs outside of a cluster. Run batchchat on one of"
                " its nodes, with `auto`."
            )
            raise RefusedError(Diagnostic(node.location, sentence))
        if _ADDRESS.fullmatch(address) is None:
            assert isinstance(node, Scalar)
            raise wrong_value(name, node, takes)
        return address

    return ValueType(takes, {"type": "string", "pattern": rf"^(?:{_ADDRESS.pattern})$"}, read)


def _resources() -> ValueType:
    """What one worker needs of a node, by Ray's names."""
    takes = "a mapping of Ray's resources, such as {CPU: 1}"
    amount = number(above=0)

    def read(name: str, node: Node) -> dict[str, float]:
        if not isinstance(node, MappingNode):
            raise wrong_type(name, node, takes)
        for resource, entry in node.entries.items():
            if (meant := _RAYS_ARGUMENTS.get(resource.lower())) is not None and resource != meant:
                sentence = f"`{name}` has {printable(resource)}, and Ray calls that {meant}."
                raise RefusedError(Diagnostic(entry.location, sentence))
        named = [(f"{name}.{printable(resource)}", entry) for resource, entry in node.entries.items()]
        return dict(zip(node.entries, collect(amount.read, named), strict=True))

    return ValueType(takes, {"type": "object", "additionalProperties": amount.schema}, read)


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """How the rows are spread over processes. An `address` of None starts Ray on this machine, for the run alone."""

    engine: str = field(
        default=LOCAL,
        metadata=key(
            one_of((LOCAL, RAY)), "what starts the `workers`: this process, or Ray; `--engine` is short for it"
        ),
    )
    address: str | None = field(
        default=None,
        metadata=key(
            _address(),
            "the Ray cluster that this machine is a node of; `auto` is the one that runs here",
            default_words="a Ray of the run's own, on this machine and closed to the network",
        ),
    )
    workers: int | None = field(
        default=None,
        metadata=key(integer(1, MAX_WORKERS), "workers that Ray places", default_words="as many as `workers`"),
    )
    partitions: int | None = field(
        default=None,
        metadata=key(
            integer(1, MAX_PARTITIONS),
            "parts of the rows, which several workers take one after the other; at least as many as workers",
            default_words="one for each worker",
        ),
    )
    resources: Mapping[str, float] = field(
        default_factory=lambda: {CPU: 1.0},
        metadata=key(_resources(), "what a worker needs of its node, by Ray's names"),
    )


def worker_count(cluster: ClusterSpec, workers: int, concurrency: int) -> int:
    """How many workers send the rows of a job with that `cluster`, `workers` and `concurrency`."""
    wanted = cluster.workers if cluster.engine == RAY else None
    return min(wanted or workers, concurrency)


def partition_count(cluster: ClusterSpec, workers: int) -> int:
    """In how many parts so many `workers` send the rows of a job with that `cluster`."""
    return max(workers, cluster.partitions or 0)
