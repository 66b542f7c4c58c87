"""A job as one of its shards runs it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from batchchat.core.key_shard import KeyShard
from batchchat.errors import UsageError
from batchchat.job.sharded import shard_noted, sharded
from tests.job.given import MOCK, load

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
        " `concurrency` to 4 or more."
    )


def test_limits_that_are_shared_on_one_machine_can_not_be_divided() -> None:
    with pytest.raises(UsageError, match=r"Add --set limits\.share=null to this command"):
        sharded(load(f"{MOCK}limits: {{share: mine}}\n"), KeyShard(1, 4))


def test_an_endpoint_that_is_asked_for_its_ceiling_may_have_any_number_of_shards() -> None:
    assert sharded(load(f"{MOCK}concurrency: auto\n"), KeyShard(1, 400)).ask_concurrency


def test_money_that_can_not_be_divided() -> None:
    with pytest.raises(UsageError, match=r"`budget.max_cost` is \$0.000001, too little to be divided among 4 shards"):
        sharded(load(f"{MOCK}budget: {{max_cost: 0.000001}}\n"), KeyShard(4, 4))
