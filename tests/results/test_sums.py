"""The sum of many costs is exact, all the way from what answers cost to what a report prints."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import reduce
from operator import add
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat import lossless_json
from batchchat.core.attempt import Usage
from batchchat.core.price import Price
from batchchat.pricing.cost import cost_usd
from batchchat.results.group_stats import GroupStats
from tests.store.given import answered

_SOME = 100_000
_MANY = 1_000_000


def told(costs: list[Decimal]) -> Decimal:
    """What `report --json` prints for rows of these costs, each of which was in a journal and in a float64 column."""
    lines = b"[" + b",".join(lossless_json.dumps(float(cost)) for cost in costs) + b"]"
    column: list[Any] = pa.array(json.loads(lines), pa.float64()).to_pylist()
    tally, row = GroupStats(), answered("r")
    for cost in column:
        row["cost_usd"] = cost
        tally.add(row)
    printed = json.loads(lossless_json.dumps(tally.json()), parse_float=Decimal)
    assert printed["cost_usd"]["known"] == tally.totals.known_cost_usd
    return Decimal(printed["cost_usd"]["known"])


@pytest.mark.parametrize("rows", [_SOME, pytest.param(_MANY, marks=pytest.mark.soak)])
def test_a_long_sum_is_exact(rows: int) -> None:
    """To the last digit, where a sum of floats is off: answers of all lengths at a price with odd digits."""
    random, price = Random(rows), Price(Decimal("0.761"), Decimal("0.839"), Decimal("0.0761"))
    costs = []
    for _ in range(rows):
        prompt = random.randrange(1, 60_000)
        usage = Usage(prompt, random.randrange(16_384), None, random.choice([None, random.randrange(prompt)]))
        cost = cost_usd(usage, price)
        assert cost is not None
        costs.append(cost)
    nano = Decimal("1e-10")
    exact = sum(int(cost / nano) for cost in costs) * nano
    assert told(costs) == exact
    assert Decimal(repr(reduce(add, map(float, costs)))) != exact  # `sum` makes up for the error from 3.12 on


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=60))
def test_any_sum_is_exact(nanos: list[int]) -> None:
    """Whatever the answers cost, from a billionth of a dollar to a thousand."""
    assert told([Decimal(nano).scaleb(-9) for nano in nanos]) == Decimal(sum(nanos)).scaleb(-9)
