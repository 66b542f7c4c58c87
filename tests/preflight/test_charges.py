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
    found = []
    for _ in range(count):
        prompt = random.randint(10, 900)
        completion = 2 * prompt if alike else random.randint(5, 700)
        usd = prompt * price[0] + completion * price[1]
        found.append(ObservedRow(1, prompt, completion, usd, cost_reported=reported, latency_s=1.0, answered=True))
    return found


@given(st.integers(10, 60), st.floats(1e-7, 1e-4), st.floats(1e-7, 1e-4))
def test_both_rates_are_found(count: int, input_usd: float, output_usd: float) -> None:
    """From what answers reported, both prices come out as they were charged, whatever is listed."""
    found = observed_charge(answers(count, (input_usd, output_usd)), LISTED, "in the pilot")
    assert found is not None
    assert [found.input_usd, found.output_usd] == pytest.approx([input_usd, output_usd], rel=1e-6)
    assert (found.source, found.description) == ("reported", "as reported by the endpoint in the pilot")


@pytest.mark.parametrize(("count", "alike"), [(3, False), (40, True)])
def test_rates_that_cant_be_told_apart_keep_the_lists_shape(count: int, alike: bool) -> None:
    """Few answers, or replies as long as their prompts: the list's rates, times what was charged more."""
    found = observed_charge(answers(count, (0.48e-6 * 1.6, 0.96e-6 * 1.6), alike=alike), LISTED, "in the pilot")
    assert found is not None
    assert found.input_usd / LISTED.input_usd == pytest.approx(1.6)
    assert found.output_usd / LISTED.output_usd == pytest.approx(1.6)
    blended = observed_charge(answers(count, (1e-6, 1e-6), alike=alike), None, "in the pilot")
    assert blended is not None
    assert [blended.input_usd, blended.output_usd] == pytest.approx([1e-6, 1e-6])


def test_what_was_not_reported_is_no_evidence() -> None:
    """Costs that were reckoned by a price say nothing new; unknown stays unknown."""
    reckoned = answers(30, (9e-6, 9e-6), reported=False)
    assert observed_charge(reckoned, LISTED, "in the pilot") is LISTED
    assert observed_charge(reckoned, None, "in the pilot") is None
    assert observed_charge([], None, "in the pilot") is None


def test_an_endpoint_that_charges_nothing() -> None:
    """A cost of 0 that was reported is a price of 0, which is not unknown."""
    found = observed_charge(answers(30, (0.0, 0.0)), LISTED, "in the pilot")
    assert found is not None
    assert (found.input_usd, found.output_usd) == (0.0, 0.0)
