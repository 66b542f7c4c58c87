from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.preflight.charges import Charge, observed_charge
from batchchat.preflight.load import ObservedRow

LISTED = Charge(0.48e-6, 0.96e-6, "job", "the job's price")


def answers(count: int, price: tuple[float, float], *, alike: bool = False, reported: bool = True) -> list[ObservedRow]:
    random = Random(count)
    rows = []
    for _ in range(count):
        prompt = random.randint(10, 900)
        completion = 2 * prompt if alike else random.randint(5, 700)
        usd = prompt * price[0] + completion * price[1]
        rows.append(ObservedRow(1, prompt, completion, usd, cost_reported=reported, latency_s=1.0, answered=True))
    return rows


@given(st.integers(10, 60), st.floats(1e-7, 1e-4), st.floats(1e-7, 1e-4))
def test_both_prices_are_fitted(count: int, input_usd: float, output_usd: float) -> None:
    """From reported costs both prices are computed as they were charged, whatever is listed."""
    charge = observed_charge(answers(count, (input_usd, output_usd)), LISTED, "in the pilot")
    assert charge is not None
    assert [charge.input_usd, charge.output_usd] == pytest.approx([input_usd, output_usd], rel=1e-6)
    assert (charge.source, charge.description) == ("reported", "as reported by the endpoint in the pilot")


@pytest.mark.parametrize(("count", "alike"), [(3, False), (40, True)])
def test_prices_that_cant_be_separated_keep_the_listed_ratio(count: int, alike: bool) -> None:
    """With few answers, or replies proportional to prompts, both listed prices are scaled by one factor."""
    charge = observed_charge(answers(count, (0.48e-6 * 1.6, 0.96e-6 * 1.6), alike=alike), LISTED, "in the pilot")
    assert charge is not None
    assert charge.input_usd / LISTED.input_usd == pytest.approx(1.6)
    assert charge.output_usd / LISTED.output_usd == pytest.approx(1.6)
    blended = observed_charge(answers(count, (1e-6, 1e-6), alike=alike), None, "in the pilot")
    assert blended is not None
    assert [blended.input_usd, blended.output_usd] == pytest.approx([1e-6, 1e-6])


def test_what_was_not_reported_is_no_evidence() -> None:
    """Costs that were computed by a price are no evidence of a price; unknown stays unknown."""
    computed = answers(30, (9e-6, 9e-6), reported=False)
    assert observed_charge(computed, LISTED, "in the pilot") is LISTED
    assert observed_charge(computed, None, "in the pilot") is None
    assert observed_charge([], None, "in the pilot") is None


def test_an_endpoint_that_charges_nothing() -> None:
    """A reported cost of 0 is a price of 0, not an unknown one."""
    charge = observed_charge(answers(30, (0.0, 0.0)), LISTED, "in the pilot")
    assert charge is not None
    assert (charge.input_usd, charge.output_usd) == (0.0, 0.0)
