from __future__ import annotations

import pytest

from batchchat.job.cluster import partition_count, worker_count
from tests.job.given import MOCK, TOP, faults, load


def test_as_it_is_written() -> None:
    """The section as a job has it, and what it is without one."""
    cluster = load(MOCK + "cluster: {engine: ray, address: 10.0.0.7:6379, workers: 8, resources: {CPU: 0.5}}").cluster
    assert (cluster.engine, cluster.address, cluster.workers, cluster.resources) == (
        "ray",
        "10.0.0.7:6379",
        8,
        {"CPU": 0.5},
    )
    cluster = load(MOCK).cluster
    assert (cluster.engine, cluster.address, cluster.workers, cluster.resources) == ("local", None, None, {"CPU": 1.0})


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("engine: dask", "`cluster.engine` is dask. It takes local or ray."),
        ("workers: 0", "`cluster.workers` is 0. It takes a whole number from 1 to 256."),
        (
            "address: 'ray://head:10001'",
            "`cluster.address` is ray://head:10001, which is for programs outside of a cluster. Run batchchat on one of"
            " its nodes, with `auto`.",
        ),
        ("address: head", "`cluster.address` is head. It takes auto, or the HOST:PORT of a Ray cluster."),
        ("resources: {num_cpus: 1}", "`cluster.resources` has num_cpus, and Ray calls that CPU."),
        ("resources: {CPU: 0}", "`cluster.resources.CPU` is 0. It takes a number above 0."),
        (
            "resources: 2",
            "`cluster.resources` is 2, a whole number. It takes a mapping of Ray's resources, such as {CPU: 1}.",
        ),
        ("partitions: 1001", "`cluster.partitions` is 1001. It takes a whole number from 1 to 1,000."),
        ("nodes: 2", "`nodes` is not a key of `cluster`. It takes engine, address, workers, partitions and resources."),
    ],
)
def test_refused(written: str, sentence: str) -> None:
    """What Ray would refuse, or wait for in vain, is said before."""
    assert faults(f"{MOCK}cluster: {{{written}}}") == [f"job.yaml:5: {sentence}"]


@pytest.mark.parametrize(
    ("workers", "cluster", "concurrency", "count"),
    [
        (1, "", 200, 1),
        (4, "{workers: 8}", 200, 4),
        (4, "{engine: ray}", 200, 4),
        (4, "{engine: ray, workers: 8}", 200, 8),
        (4, "{engine: ray, workers: 8}", 5, 5),
    ],
)
def test_worker_count(workers: int, cluster: str, concurrency: int, count: int) -> None:
    """Those of the engine, and never more than requests may be in flight."""
    job = load(MOCK + f"workers: {workers}\n" + (f"cluster: {cluster}" if cluster else ""))
    assert worker_count(job.cluster, job.workers, concurrency) == count


@pytest.mark.parametrize(
    ("cluster", "workers", "count"), [("", 4, 4), ("{partitions: 40}", 4, 40), ("{partitions: 40}", 1, 40)]
)
def test_partition_count(cluster: str, workers: int, count: int) -> None:
    """One for each worker, unless the job says more."""
    job = load(MOCK + (f"cluster: {cluster}" if cluster else ""))
    assert partition_count(job.cluster, workers) == count


@pytest.mark.parametrize(
    ("written", "workers"),
    [
        ("workers: 4\ncluster: {partitions: 3}", 4),
        ("workers: 4\ncluster: {partitions: 3, workers: 2}", 4),
        ("workers: 4\ncluster: {partitions: 3, engine: ray}", 4),
        ("workers: 2\ncluster: {partitions: 3, engine: ray, workers: 5}", 5),
    ],
)
def test_a_partition_for_each_worker(written: str, workers: int) -> None:
    """Those of the engine count; one that would have nothing to do is refused."""
    assert faults(f"{MOCK}{written}") == [
        f"job.yaml:6: `cluster.partitions` is 3, for {workers} workers, each of which takes one at a time. Set"
        f" {workers} or more."
    ]
    assert load(f"{MOCK}{written.replace('partitions: 3', 'partitions: 5')}").cluster.partitions == 5


def test_no_limits_that_other_jobs_share() -> None:
    """A worker may be on another machine, where the file of the leases is not."""
    assert faults(MOCK + "limits: {share: us}\ncluster: {engine: ray}") == [
        "job.yaml:5: `limits.share` takes jobs of one process: set `cluster.engine: local`, or take this key out."
    ]


def test_one_endpoint() -> None:
    """Several endpoints have one process that sends to all."""
    text = TOP + "endpoints: [{base_url: http://a:1/v1}, {base_url: http://b:1/v1}]\n"
    assert faults(text + "cluster: {engine: ray}") == [
        "job.yaml:5: `cluster.engine` can't be ray with `endpoints` in this version. Set `cluster.engine: local`."
    ]
