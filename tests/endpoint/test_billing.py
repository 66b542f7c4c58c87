"""What an endpoint says it billed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from batchchat.endpoint.billing import read_costs


def test_costs_in_the_order_asked() -> None:
    """Nano-USD become exact USD by their id, in whatever order they come; what is no cost is unknown."""
    payload = {
        "requests": [
            {"requestId": "b", "costNanoUsd": 26_800},
            {"requestId": "a", "costNanoUsd": 1},
            {"requestId": "c", "costNanoUsd": None},
            {"requestId": "d", "costNanoUsd": -1},
            {"requestId": "e", "costNanoUsd": True},
            {"requestId": "f", "costNanoUsd": 0.5},
            {"requestId": ["g"], "costNanoUsd": 5},
        ]
    }
    assert read_costs(payload, ["a", "b", "c", "d", "e", "f", "h"]) == [
        Decimal("1e-9"), Decimal("0.0000268"), None, None, None, Decimal("5e-10"), None,
    ]  # fmt: skip


@pytest.mark.parametrize("payload", [None, [], {}, {"requests": {}}, {"requests": [1]}])
def test_an_unexpected_response(payload: Any) -> None:
    """What is not such a list says nothing."""
    assert read_costs(payload, ["a"]) is None
