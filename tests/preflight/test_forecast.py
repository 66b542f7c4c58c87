from __future__ import annotations

import math
from random import Random

import orjson
import pytest

from batchchat.mock.asked import parse_asked
from batchchat.mock.replies import reply_to
from batchchat.preflight.charges import Charge
from batchchat.preflight.forecast import Evidence, Forecast, Range, SendLimits, forecast
from batchchat.preflight.load import Load, ObservedRow

LISTED = Charge(0.48e-6, 0.48e-6, "job", "$0.48 in / $0.48 out per million (the job's `price`)")
PACE = SendLimits(50)
MOST = 1024


def asked_of_the_mock(seed: int, rows: int) -> list[ObservedRow]:
    """What the mock's own reply function says to rows of skewed lengths, at the mock's prices."""
    random, found = Random(seed), []
    for number in range(rows):
        text = f"{seed} {number} {'word ' * int(random.lognormvariate(3, 0.8))}"
        body = {"model": "m", "messages": [{"role": "user", "content": text}], "max_tokens": MOST}
        asked = parse_asked(orjson.dumps(body), 1 << 20)
        usage = reply_to(asked, 0, 85).usage
        found.append(
            ObservedRow(
                prompt=len(text) // 5,
                reported=usage.prompt_tokens,
                completion=usage.completion_tokens,
                cost_usd=usage.cost_nano_usd / 1e9,
                cost_reported=True,
                latency_s=0.5 + usage.completion_tokens / 40,
                answered=True,
            )
        )
    return found


def loaded(rows: list[ObservedRow], sampled: int, most: int | None = MOST) -> Load:
    """An input whose first `sampled` rows are answered."""
    load = Load(rows=len(rows))
    for row in rows[:sampled]:
        load.keep(row, tokens_known=True)
    for row in rows[sampled:]:
        load.send(row.prompt, most, by_context=False)
    return load


def piloted(rows: list[ObservedRow], sampled: int, seed: int = 0, listed: Charge | None = None) -> Forecast:
    evidence = Evidence(
        rows[:sampled], "in the pilot", f"lengths from a pilot of {sampled} rows", is_random_sample=True
    )
    return forecast(loaded(rows, sampled), evidence, listed, PACE, prompt_source="counted", seed=seed)


def test_the_mocks_true_cost_is_in_the_interval() -> None:
    """Of 60 inputs answered by the mock, 51 at least have true cost and tokens in it; a larger pilot narrows both."""
    held = {30: [0, 0], 120: [0, 0]}
    widths = dict.fromkeys(held, 0.0)
    for seed in range(60):
        rows = asked_of_the_mock(seed, 300)
        cost, tokens = math.fsum(row.cost_usd or 0 for row in rows), sum(row.completion for row in rows)
        for sampled, counts in held.items():
            made = piloted(rows, sampled, seed)
            assert made.cost_interval is not None
            assert made.completion_interval is not None
            counts[0] += made.cost_interval.low <= cost <= made.cost_interval.high
            counts[1] += made.completion_interval.low <= tokens <= made.completion_interval.high
            widths[sampled] += made.cost_interval.high - made.cost_interval.low
    assert min(min(counts) for counts in held.values()) >= 51, held
    assert widths[120] < 0.6 * widths[30]


def test_a_pilot_of_all_rows_is_the_truth() -> None:
    """Nothing is left: low, expected, worst and both ends of the interval are what was paid."""
    rows = asked_of_the_mock(1, 40)
    made = piloted(rows, 40)
    cost, tokens = math.fsum(row.cost_usd or 0 for row in rows), sum(row.completion for row in rows)
    assert made.cost_interval is not None
    assert made.cost_usd is not None
    assert [made.cost_interval.low, made.cost_interval.high] == pytest.approx([cost] * 2)
    assert [*made.cost_usd] == pytest.approx([cost] * 3)
    assert made.completion_tokens == Range(tokens, tokens, tokens)
    assert made.duration_s == Range(0.0, 0.0, 0.0)
    assert made.prompt_tokens == sum(row.reported or 0 for row in rows)


def test_a_pilot_of_one_has_figures_and_no_interval() -> None:
    """One row gives a mean, of which nobody knows how far it is off."""
    made = piloted(asked_of_the_mock(2, 40), 1)
    assert made.completion_tokens.expected is not None
    assert made.cost_usd is not None
    assert (made.cost_interval, made.completion_interval, made.duration_interval) == (None, None, None)


def test_rows_that_failed_have_no_tokens() -> None:
    """A pilot half of which failed expects half the tokens; none of them answered is no evidence at all."""
    rows = asked_of_the_mock(3, 300)
    failed = ObservedRow(rows[0].prompt, None, 0, None, cost_reported=False, latency_s=0.1, answered=False)
    mixed = [failed if number % 2 else row for number, row in enumerate(rows)]
    whole, half = (piloted(each, 100).completion_tokens.expected for each in (rows, mixed))
    assert whole is not None
    assert half is not None
    assert 0.35 < half / whole < 0.65
    nothing = piloted([failed] * 30, 10)
    assert (nothing.measured, nothing.cost_usd, nothing.duration_s) == (False, None, None)


def test_without_evidence_the_assumption_is_named() -> None:
    """With max_tokens the worst is known, and low and expected are an assumption that is called one."""
    rows = asked_of_the_mock(4, 100)
    made = forecast(loaded(rows, 0), None, LISTED, PACE, prompt_source="counted")
    prompt = sum(row.prompt for row in rows)
    assert made.completion_tokens == Range(10_240.0, 51_200.0, 102_400.0)
    assert made.cost_usd is not None
    assert made.cost_usd.worst == pytest.approx((prompt + 102_400) * 0.48e-6)
    assert made.cost_usd.expected == pytest.approx((prompt + 51_200) * 0.48e-6)
    assert (made.duration_s, made.measured) == (None, False)
    assert made.sources == {
        "prompt_tokens": "counted",
        "completion_tokens": "assumed: 10% and 50% of the maximum",
        "cost_usd": "$0.48 in / $0.48 out per million (the job's `price`)",
        "duration_s": None,
    }


def test_without_bound_and_evidence_nothing_is_guessed() -> None:
    """No max_tokens, no context, no answer: lengths and cost are unknown, and prompts are counted all the same."""
    rows = asked_of_the_mock(5, 100)
    made = forecast(loaded(rows, 0, None), None, LISTED, PACE, prompt_source="counted")
    assert made.completion_tokens == Range(None, None, None)
    assert made.cost_usd == Range(None, None, None)
    assert made.prompt_tokens == sum(row.prompt for row in rows)
    assert made.sources["completion_tokens"] == "reply lengths unknown"
    by_context = Load()
    by_context.send(100, 65_436, by_context=True)
    made = forecast(by_context, None, None, PACE, prompt_source="counted")
    assert made.completion_tokens == Range(None, None, 65_436.0)
    assert made.cost_usd is None


def test_what_was_charged_wins_over_the_list() -> None:
    """Where the pilot's answers reported their cost, their rates are taken, and prompts as the endpoint counts them."""
    rows = asked_of_the_mock(6, 300)
    made = piloted(rows, 100, listed=LISTED)
    assert made.charge is not None
    assert [made.charge.input_usd, made.charge.output_usd] == pytest.approx([761e-9, 839e-9])
    assert made.sources["cost_usd"] == "as reported by the endpoint in the pilot"
    assert made.sources["prompt_tokens"] is not None
    assert made.sources["prompt_tokens"].startswith("counted, times 1.")
    assert made.prompt_tokens == pytest.approx(sum(row.reported or 0 for row in rows), rel=0.03)


def test_lengths_of_another_model_keep_the_listed_price() -> None:
    """Evidence that was charged otherwise tells lengths alone, and has no interval."""
    rows = asked_of_the_mock(7, 300)
    evidence = Evidence(rows[:100], "in x", "lengths from x", is_calibrating=False, same_price=False)
    made = forecast(loaded(rows, 0), evidence, LISTED, PACE, prompt_source="counted")
    assert made.charge is LISTED
    assert made.cost_interval is None
    assert made.cost_usd is not None
    assert made.completion_tokens.expected == pytest.approx(sum(row.completion for row in rows), rel=0.2)


def test_limits_bound_the_time() -> None:
    """Where requests or tokens of a minute are limited, the run takes as long as they make it."""
    rows = asked_of_the_mock(8, 700)
    evidence = Evidence(rows[:100], "in the pilot", "x", is_random_sample=True)
    slow = forecast(loaded(rows, 100), evidence, None, SendLimits(50, requests_per_minute=10), prompt_source="c")
    assert slow.duration_s is not None
    assert slow.duration_s.expected == pytest.approx(3600.0)
    tokens = forecast(loaded(rows, 100), evidence, None, SendLimits(50, tokens_per_minute=1_000), prompt_source="c")
    assert tokens.duration_s is not None
    assert tokens.completion_tokens.expected is not None
    left = tokens.completion_tokens.expected - sum(row.completion for row in rows[:100])
    assert tokens.duration_s.expected is not None
    assert tokens.duration_s.expected > left / 1_000 * 60
