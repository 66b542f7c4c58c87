"""Messages go through JSON as they are."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.cluster.messages import (
    Ask,
    CreditReport,
    Grant,
    UsdReport,
    ask_from_json,
    grant_from_json,
    message_to_json,
)

numbers = st.floats(0, 1e12)
counts = st.integers(0, 10**9)
usd = st.decimals(0, 10**6, places=9) | st.just(Decimal("Infinity"))
credit_reports = st.none() | st.builds(CreditReport, *[numbers] * 5)
usd_reports = st.none() | st.builds(UsdReport, *[usd] * 6, counts, usd, usd)


@given(st.builds(Ask, st.text(), *[counts] * 5, credit_reports, credit_reports, usd_reports))
def test_an_ask_comes_as_it_was_sent(ask: Ask) -> None:
    assert ask_from_json(json.loads(json.dumps(message_to_json(ask)))) == ask


@given(st.builds(Grant, st.text(), *[counts] * 4, numbers, numbers, numbers, usd, st.booleans(), counts, usd))
def test_a_grant_comes_as_it_was_sent(grant: Grant) -> None:
    assert grant_from_json(json.loads(json.dumps(message_to_json(grant)))) == grant


def test_an_unknown_or_missing_field_is_an_error() -> None:
    fields = message_to_json(Grant("a", 1, 1, 1, 4, 10.0))
    with pytest.raises(TypeError, match="speed"):
        grant_from_json({**fields, "speed": 1})
    del fields["slots"]
    with pytest.raises(TypeError, match="slots"):
        grant_from_json(fields)
