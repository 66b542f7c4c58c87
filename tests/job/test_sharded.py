"""A job as one of its shards runs it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from batchchat.core.key_shard import KeyShard
from batchchat.errors import UsageError
from batchchat.job.sharded import shard_noted, sharded
from tests.job.given import MOCK, TOP, load

LIMITED = f"""{MOCK}concurrency: 10
budget: {{max_cost: 10}}
confirm_above: 1
limits: {{requests_per_minute: 90, tokens_per_minute: 1000}}
"""


def test_limits_and_money_are_divided() -> None:
    """The parts add up to what the job allows."""
    whole = load(LIMITED)
    jobs = [sharded(whole, KeyShard(number, 3)) for number in (1, 2, 3)]
    assert [job.concurrency for job in jobs] == [4, 3, 3]
    assert sum(job.budget.max_cost or 0 for job in jobs) == 10
    assert sum(job.confirm_above or 0 for job in jobs) == 1
    assert [job.limits.requests_per_minute for job in jobs] == [30, 30, 30]
    assert sum(job.limits.tokens_per_minute or 0 for job in jobs) == pytest.approx(1000)
    assert [job.output.path.name for job in jobs] == [f"o-{number}-of-3.parquet" for number in (1, 2, 3)]
    assert [job.output.as_given for job in jobs] == [f"o-{number}-of-3.parquet" for number in (1, 2, 3)]
    assert jobs[1].text.endswith("\n# --shard 2/3\n")


def test_what_is_said_has_the_part_and_the_whole() -> None:
    whole = load(LIMITED)
    noted = shard_noted(whole, sharded(whole, KeyShard(1, 4)))
    assert (noted.in_flight, noted.max_cost_usd) == ((3, 10), (Decimal("2.5"), Decimal(10)))
    assert noted.requests_per_minute == (22.5, 90)


def test_no_limit_stays_none() -> None:
    job = sharded(load(MOCK), KeyShard(1, 4))
    assert (job.budget.max_cost, job.limits.requests_per_minute, job.confirm_above) == (None, None, None)


def test_too_many_shards_for_the_requests_in_flight() -> None:
    with pytest.raises(UsageError) as refused:
        sharded(load(f"{MOCK}concurrency: 3\n"), KeyShard(1, 4))
    assert str(refused.value) == (
        "`concurrency` is 3, and each of 4 shards needs at least one request in flight. Use at most 3 shards, or raise"
        " it to 4 or more."
    )


def test_several_endpoints_are_divided_each() -> None:
    """Each server's ceiling and rates are for all shards together."""
    several = """endpoints:
- {base_url: "http://a:1/v1", concurrency: 6, limits: {requests_per_minute: 30}}
- {base_url: "http://b:1/v1"}
"""
    job = sharded(load(f"{TOP}{several}"), KeyShard(1, 4))
    assert job.endpoints is not None
    assert [entry.concurrency for entry in job.endpoints] == [2, None]
    assert [entry.limits.requests_per_minute for entry in job.endpoints] == [7.5, None]
    with pytest.raises(UsageError, match=r"`concurrency` of the endpoint `a:1` is 6, and each of 7 shards"):
        sharded(load(f"{TOP}{several}"), KeyShard(1, 7))


def test_limits_that_are_shared_on_one_machine_can_not_be_divided() -> None:
    with pytest.raises(UsageError, match=r"Add --set limits\.share=null to this command"):
        sharded(load(f"{MOCK}limits: {{share: mine}}\n"), KeyShard(1, 4))


def test_an_endpoint_that_is_asked_for_its_ceiling_may_have_any_number_of_shards() -> None:
    assert sharded(load(f"{MOCK}concurrency: auto\n"), KeyShard(1, 400)).ask_concurrency


def test_money_that_can_not_be_divided() -> None:
    with pytest.raises(UsageError, match=r"`budget.max_cost` is \$0.000001, too little to be divided among 4 shards"):
        sharded(load(f"{MOCK}budget: {{max_cost: 0.000001}}\n"), KeyShard(4, 4))
