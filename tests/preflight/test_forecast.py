from __future__ import annotations

import math
from random import Random

import orjson
import pytest

from batchchat.mock.replies import reply_to
from batchchat.mock.request import parse_request
from batchchat.preflight.charges import Charge
from batchchat.preflight.forecast import Evidence, Forecast, Range, SendLimits, forecast
from batchchat.preflight.load import Load, ObservedRow

LISTED = Charge(0.48e-6, 0.48e-6, "job", "$0.48 in / $0.48 out per million (the job's `price`)")
LIMITS = SendLimits(50)
MAX_TOKENS = 1024


def answered_by_the_mock(seed: int, rows: int) -> list[ObservedRow]:
    """Rows of skewed lengths, answered by the mock's own reply function at its prices."""
    random, observed = Random(seed), []
    for number in range(rows):
        text = f"{seed} {number} {'word ' * int(random.lognormvariate(3, 0.8))}"
        body = {"model": "m", "messages": [{"role": "user", "content": text}], "max_tokens": MAX_TOKENS}
        usage = reply_to(parse_request(orjson.dumps(body), 1 << 20), 0, 85).usage
        observed.append(
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
    return observed


def load_of(rows: list[ObservedRow], sampled: int, max_completion: int | None = MAX_TOKENS) -> Load:
    """The load of an input whose first `sampled` rows are answered."""
    load = Load(rows=len(rows))
    for row in rows[:sampled]:
        load.keep(row, tokens_known=True)
    for row in rows[sampled:]:
        load.send(row.prompt, max_completion, by_context=False)
    return load


def piloted(rows: list[ObservedRow], sampled: int, seed: int = 0, listed: Charge | None = None) -> Forecast:
    evidence = Evidence(
        rows[:sampled], "in the pilot", f"lengths from a pilot of {sampled} rows", is_random_sample=True
    )
    return forecast(load_of(rows, sampled), evidence, listed, LIMITS, prompt_source="counted", seed=seed)


def test_the_mocks_true_cost_is_in_the_interval() -> None:
    """In at least 51 of 60 inputs it covers the true cost and tokens; a larger pilot narrows both."""
    covered = {30: [0, 0], 120: [0, 0]}
    widths = dict.fromkeys(covered, 0.0)
    for seed in range(60):
        rows = answered_by_the_mock(seed, 300)
        cost, tokens = math.fsum(row.cost_usd or 0 for row in rows), sum(row.completion for row in rows)
        for sampled, counts in covered.items():
            figures = piloted(rows, sampled, seed)
            assert figures.cost_interval is not None
            assert figures.completion_interval is not None
            counts[0] += figures.cost_interval.low <= cost <= figures.cost_interval.high
            counts[1] += figures.completion_interval.low <= tokens <= figures.completion_interval.high
            widths[sampled] += figures.cost_interval.high - figures.cost_interval.low
    assert min(min(counts) for counts in covered.values()) >= 51, covered
    assert widths[120] < 0.6 * widths[30]


def test_a_pilot_of_all_rows_is_the_truth() -> None:
    """No row is left: low, expected, worst and both ends of the interval are the cost that was paid."""
    rows = answered_by_the_mock(1, 40)
    figures = piloted(rows, 40)
    cost, tokens = math.fsum(row.cost_usd or 0 for row in rows), sum(row.completion for row in rows)
    assert figures.cost_interval is not None
    assert figures.cost_usd is not None
    assert [figures.cost_interval.low, figures.cost_interval.high] == pytest.approx([cost] * 2)
    assert [*figures.cost_usd] == pytest.approx([cost] * 3)
    assert figures.completion_tokens == Range(tokens, tokens, tokens)
    assert figures.duration_s == Range(0.0, 0.0, 0.0)
    assert figures.prompt_tokens == sum(row.reported or 0 for row in rows)


def test_samples_of_one_row_are_no_rows_of_their_own() -> None:
    """Four rows of each id that are alike say as much as one: the interval is as wide, and covers the truth."""
    covered, widths = 0, []
    for seed in range(15):
        each = answered_by_the_mock(seed, 600)
        rows = [row._replace(id=str(n)) for n, row in enumerate(each) for _ in range(4)]
        alone, four = piloted(each, 50).completion_interval, piloted(rows, 200).completion_interval
        assert alone is not None
        assert four is not None
        covered += four.low <= sum(row.completion for row in rows) <= four.high
        widths.append((four.high - four.low) / (4 * (alone.high - alone.low)))
    assert covered >= 11, covered
    assert 0.9 < sum(widths) / len(widths) < 1.4, widths


def test_a_pilot_of_one_has_figures_and_no_interval() -> None:
    """One row gives a mean, but no standard error."""
    figures = piloted(answered_by_the_mock(2, 40), 1)
    assert figures.completion_tokens.expected is not None
    assert figures.cost_usd is not None
    assert (figures.cost_interval, figures.completion_interval, figures.duration_interval) == (None, None, None)


def test_rows_that_failed_have_no_tokens() -> None:
    """Where half of a pilot failed, half the tokens are expected; a pilot without an answer is no evidence."""
    rows = answered_by_the_mock(3, 300)
    failed = ObservedRow(rows[0].prompt, None, 0, None, cost_reported=False, latency_s=0.1, answered=False)
    mixed = [failed if number % 2 else row for number, row in enumerate(rows)]
    whole, half = (piloted(sample, 100).completion_tokens.expected for sample in (rows, mixed))
    assert whole is not None
    assert half is not None
    assert 0.35 < half / whole < 0.65
    nothing = piloted([failed] * 30, 10)
    assert (nothing.measured, nothing.cost_usd, nothing.duration_s) == (False, None, None)


def test_without_evidence_the_assumption_is_named() -> None:
    """With max_tokens the worst case is known; low and expected are assumed, and the source says so."""
    rows = answered_by_the_mock(4, 100)
    figures = forecast(load_of(rows, 0), None, LISTED, LIMITS, prompt_source="counted")
    prompt = sum(row.prompt for row in rows)
    assert figures.completion_tokens == Range(10_240.0, 51_200.0, 102_400.0)
    assert figures.cost_usd is not None
    assert figures.cost_usd.worst == pytest.approx((prompt + 102_400) * 0.48e-6)
    assert figures.cost_usd.expected == pytest.approx((prompt + 51_200) * 0.48e-6)
    assert (figures.duration_s, figures.measured) == (None, False)
    assert figures.sources == {
        "prompt_tokens": "counted",
        "completion_tokens": "assumed: 10% and 50% of the maximum",
        "cost_usd": "$0.48 in / $0.48 out per million (the job's `price`)",
        "duration_s": None,
    }


def test_without_limit_and_evidence_nothing_is_guessed() -> None:
    """Without max_tokens, context and answers, lengths and cost are unknown; prompts are still counted."""
    rows = answered_by_the_mock(5, 100)
    figures = forecast(load_of(rows, 0, None), None, LISTED, LIMITS, prompt_source="counted")
    assert figures.completion_tokens == Range(None, None, None)
    assert figures.cost_usd == Range(None, None, None)
    assert figures.prompt_tokens == sum(row.prompt for row in rows)
    assert figures.sources["completion_tokens"] == "reply lengths unknown"
    by_context = Load()
    by_context.send(100, 65_436, by_context=True)
    figures = forecast(by_context, None, None, LIMITS, prompt_source="counted")
    assert figures.completion_tokens == Range(None, None, 65_436.0)
    assert figures.cost_usd is None


def test_reported_costs_win_over_the_list() -> None:
    """Where the pilot's answers report a cost, prices and prompt tokens are those of the endpoint."""
    rows = answered_by_the_mock(6, 300)
    figures = piloted(rows, 100, listed=LISTED)
    assert figures.charge is not None
    assert [figures.charge.input_usd, figures.charge.output_usd] == pytest.approx([761e-9, 839e-9])
    assert figures.sources["cost_usd"] == "as reported by the endpoint in the pilot"
    assert figures.sources["prompt_tokens"] is not None
    assert figures.sources["prompt_tokens"].startswith("counted, times 1.")
    assert figures.prompt_tokens == pytest.approx(sum(row.reported or 0 for row in rows), rel=0.03)


def test_lengths_of_another_model_keep_the_listed_price() -> None:
    """Evidence at other prices gives only lengths, and no interval."""
    rows = answered_by_the_mock(7, 300)
    evidence = Evidence(rows[:100], "in x", "lengths from x", is_calibrating=False, same_price=False)
    figures = forecast(load_of(rows, 0), evidence, LISTED, LIMITS, prompt_source="counted")
    assert figures.charge is LISTED
    assert figures.cost_interval is None
    assert figures.cost_usd is not None
    assert figures.completion_tokens.expected == pytest.approx(sum(row.completion for row in rows), rel=0.2)


def test_limits_set_the_duration() -> None:
    """Limits of requests or tokens a minute set the duration of the run."""
    rows = answered_by_the_mock(8, 700)
    evidence = Evidence(rows[:100], "in the pilot", "x", is_random_sample=True)
    slow = forecast(load_of(rows, 100), evidence, None, SendLimits(50, requests_per_minute=10), prompt_source="c")
    assert slow.duration_s is not None
    assert slow.duration_s.expected == pytest.approx(3600.0)
    tokens = forecast(load_of(rows, 100), evidence, None, SendLimits(50, tokens_per_minute=1_000), prompt_source="c")
    assert tokens.duration_s is not None
    assert tokens.completion_tokens.expected is not None
    left = tokens.completion_tokens.expected - sum(row.completion for row in rows[:100])
    assert tokens.duration_s.expected is not None
    assert tokens.duration_s.expected > left / 1_000 * 60


def three_turns(seed: int, rows: int) -> list[ObservedRow]:
    """Rows of three requests with 60 tokens of text; the endpoint counts a tenth more, and charges the list's price."""
    random, observed = Random(seed), []
    for _ in range(rows):
        first, second, third = (int(random.lognormvariate(4, 0.5)) for _ in range(3))
        prompt, completion = round(1.1 * (60 + 2 * first + second)), first + second + third
        cost_usd = 0.48e-6 * (prompt + completion)
        observed.append(
            ObservedRow(60, prompt, completion, cost_usd, cost_reported=True, latency_s=3.0, answered=True)._replace(
                resent=2 * first + second
            )
        )
    return observed


def test_replies_that_are_sent_again_count_as_prompt() -> None:
    """Every reply is in the prompts of the turns after it: with and without evidence, of this job or of another."""
    rows = three_turns(1, 600)
    load = Load(rows=500)
    for row in rows[:100]:
        load.keep(row, tokens_known=True)
    for row in rows[100:]:
        load.send(row.prompt, 3 * 100, by_context=False, requests=3)
    cost_usd = sum(row.cost_usd or 0.0 for row in rows)
    prompt = sum(row.reported or 0 for row in rows)
    evidence = Evidence(rows[:100], "in the pilot", "x", is_random_sample=True)
    own = forecast(load, evidence, LISTED, LIMITS, prompt_source="counted", seed=1)
    assert own.sources["prompt_tokens"] == "counted, times 1.100 as reported in the pilot"
    assert own.prompt_tokens == pytest.approx(prompt, rel=0.05)
    assert own.cost_usd is not None
    assert own.cost_usd.expected == pytest.approx(cost_usd, rel=0.05)
    assert own.cost_interval is not None
    assert own.cost_interval.low < cost_usd < own.cost_interval.high
    other = [row._replace(prompt=row.reported or 0, resent=0) for row in rows[:100]]
    like = Evidence(other, "in y", "lengths from y", is_calibrating=False, same_price=False)
    fresh = Load(rows=500)
    for row in rows[100:]:
        fresh.send(row.prompt, 3 * 100, by_context=False, requests=3)
    by_like = forecast(fresh, like, LISTED, LIMITS, prompt_source="counted")
    assert by_like.cost_usd is not None
    text_and_replies = sum(row.sent_prompt + row.completion for row in rows[100:])
    assert by_like.cost_usd.expected == pytest.approx(text_and_replies * 0.48e-6, rel=0.05)
    assumed = forecast(fresh, None, LISTED, LIMITS, prompt_source="counted")
    assert assumed.prompt_tokens == 500 * (60 + 3 * 50)
    assert assumed.cost_usd is not None
    assert assumed.cost_usd.worst == pytest.approx(500 * (60 + 3 * 100 + 300) * 0.48e-6)
    slow = forecast(fresh, like, None, SendLimits(50, requests_per_minute=10), prompt_source="counted")
    assert slow.duration_s is not None
    assert slow.duration_s.expected == pytest.approx(500 * 3 / 10 * 60)
